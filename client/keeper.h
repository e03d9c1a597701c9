/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who takes care of an attachment: the monitor of the place (the /run) where its record is.
 *
 * Containers have a /run of their own, and may end without their devices. A number that is
 * drawn for each record, and that the driver knows too, tells whether the record that is
 * here is the one that counts.
 */
#ifndef NBD_KEEPER_H
#define NBD_KEEPER_H

#include "kernel.h"
#include "record.h"
#include "util.h"

/** enum nbd_care - where the record of an attachment is */
enum nbd_care {
	NBD_CARE_HERE,		/* here, or the driver cannot tell */
	NBD_CARE_ELSEWHERE,	/* with a process that lives and cannot see this /run */
	NBD_CARE_ENDED,		/* with one that has ended */
	NBD_CARE_NOBODY,	/* nowhere: another program has attached it */
};

#define NBD_CARE_TEXT_MAX 256

/* A number for a new record; never 0. */
u64 nbd_keeper_new(void);

/* The record is of the attachment, and nobody has adopted that since. */
bool nbd_keeper_is_ours(const struct nbd_record *record,
			const struct nbd_status *status);

/* The same, or it is one of the ioctl interface, which nobody can adopt. */
bool nbd_keeper_record_counts(const struct nbd_record *record,
			      const struct nbd_status *status);

/* The record of what the device is attached to now, if it counts; 0 or a negative errno. */
int nbd_keeper_find_record(s32 index, struct nbd_record *record, struct nbd_err *err);

/* @has_record: the one here is the one that counts. */
enum nbd_care nbd_care(const struct nbd_status *status, bool has_record);

/* What that means and what to do, a sentence without a stop; returns @buf. */
const char *nbd_care_text(const struct nbd_status *status, enum nbd_care care,
			  char *buf, size_t size);

/* The same of a device, with "; " in front; empty if its record is here. Returns @buf. */
const char *nbd_care_hint(s32 index, char *buf, size_t size);

#endif /* NBD_KEEPER_H */
