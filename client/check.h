/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whether a server has the disk that an attached device had: what udev knew of the device
 * last against what is found on a connection to the server, before the driver gets that.
 *
 * The head and the tail are received into a file in memory, which libblkid takes for the
 * disk: libblkid runs in a process of its own, so that whatever a server makes it do is
 * over with that process; what it may take of time and memory is limited. Nothing blocks
 * here, nothing is read from a file system but /run, /sys and /proc, and the memory is
 * locked where the caller's is.
 *
 * Refused is a disk that lacks a UUID that udev knows. A program that has the disk open
 * for writing may have changed it meanwhile (writers.h): then it is not, and a note says
 * so. Nor is it if the server answers the reads with errors.
 */
#ifndef NBD_CHECK_H
#define NBD_CHECK_H

#include <poll.h>

#include "error.h"
#include "identity.h"
#include "model.h"
#include "transport.h"

struct nbd_record;
struct nbd_check;

/**
 * struct nbd_finding - how it ended well
 * @checked:	@found is known
 * @found:	what the disk has
 * @note:	why it is used although it is not known to be the right one; or empty
 */
struct nbd_finding {
	bool checked;
	struct nbd_identity found;
	char note[512];
};

/**
 * nbd_check_start - begin, if anything is known of the device's disk
 * @check:	receives the check, or NULL if there is nothing to compare
 * @record:	the attachment; not used after this
 * @overrule:	another disk is welcome: only find out what it has
 * @e:		what the server offers
 * @structured:	its replies are structured
 * @err:	says why not
 *
 * Return: 0 or a negative errno.
 */
int nbd_check_start(struct nbd_check **check, const struct nbd_record *record,
		    bool overrule, const struct nbd_export *e,
		    bool structured, struct nbd_err *err);

/**
 * nbd_check_run - go on as far as possible without blocking
 * @check:	the check
 * @t:		the connection
 * @finding:	filled in when it ends well
 * @err:	filled in otherwise
 *
 * Return: 0 when the connection can be used, and nothing is left in its stream; -EAGAIN; or
 * another negative errno.
 */
int nbd_check_run(struct nbd_check *check, struct nbd_transport *t,
		  struct nbd_finding *finding, struct nbd_err *err);

/* What to poll() for; @fd is the connection. */
struct pollfd nbd_check_poll(const struct nbd_check *check, int fd);

/* What it waits for, in words. */
const char *nbd_check_waits_for(const struct nbd_check *check);

/* Ends it. NULL is fine. */
void nbd_check_free(struct nbd_check *check);

#endif /* NBD_CHECK_H */
