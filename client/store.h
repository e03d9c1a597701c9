/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The records of all attachments, one file each: NBD_RUN_DIR/nbdN; and beside those with TLS
 * their credentials, NBD_RUN_DIR/.nbdN.tls, which only root can read.
 *
 * A record is written by the client that attaches, updated by the monitor and by -replace, and
 * removed by whoever sees the attachment end, with the namespaces that are kept for it. Files
 * are replaced as a whole, so that a reader sees the old or the new one.
 */
#ifndef NBD_STORE_H
#define NBD_STORE_H

#include "error.h"
#include "record.h"
#include "rundir.h"
#include "util.h"

/**
 * nbd_record_read - the record of a device
 * @record:	filled in; may be given to nbd_record_free() whatever the result
 * @index:	device
 * @err:	says why not
 *
 * Return: 0, -ENOENT without one, -EINVAL for a damaged one or one that somebody else
 * than root can have written.
 */
int nbd_record_read(struct nbd_record *record, s32 index,
		    struct nbd_err *err);

/* The same in @folder, which is nbd_rundir_open()'s: for who reads many. */
int nbd_record_read_at(int folder, struct nbd_record *record, s32 index,
		       struct nbd_err *err);

/*
 * The credentials that belong to it, for who makes connections with it; none without TLS.
 * 0 or a negative errno.
 */
int nbd_record_read_credentials(struct nbd_record *record, struct nbd_err *err);

/* Never the same again when the record has been written; 0 without one. Reads no file. */
u64 nbd_record_id(s32 index);

/* Call @fn for the device of each record. */
void nbd_record_list(void (*fn)(void *arg, s32 index), void *arg);

/* Whether there is a record of a device that a monitor has to reconnect. */
bool nbd_records_monitored(void);

/* "nbd7" is the name of a record: its device, else -1. */
s32 nbd_record_index(const char *name);

/*
 * Whoever writes or removes the record of a device, or changes the device and its record
 * together, holds this. Others are waited for, but not for ever: -ETIMEDOUT. Returns a file
 * descriptor to close, or a negative errno.
 */
int nbd_record_lock(s32 index, struct nbd_err *err);

/* The same, without waiting: -EWOULDBLOCK if somebody has it. */
int nbd_record_try_lock(s32 index, struct nbd_err *err);

/*
 * 0 or a negative errno, with @err. Creates NBD_RUN_DIR if need be. Call with
 * nbd_record_lock() of the device held.
 */
int nbd_record_write(const struct nbd_record *record, struct nbd_err *err);

/*
 * The same in two steps, for what must not fail in between: a draft, which takes the
 * place of the record when it is published, or is discarded.
 */
int nbd_record_draft(const struct nbd_record *record, struct nbd_err *err);
int nbd_record_publish(s32 index, struct nbd_err *err);
void nbd_record_discard(s32 index);

/*
 * Writes @record if the file is still *@file, which becomes the new one. Waits for
 * nobody: -EWOULDBLOCK if somebody holds the lock; -ESTALE if it is another file by
 * now, or none.
 */
int nbd_record_update(const struct nbd_record *record, u64 *file,
		      struct nbd_err *err);

/* Remove the record and the namespaces of a device; it is no error if none is. */
void nbd_record_remove(s32 index);

/*
 * As nbd_record_remove(), if the record is still of that attachment, or if there is none;
 * locks. 0, also if it is another's, or a negative errno.
 */
int nbd_record_remove_session(s32 index, u64 session_id, struct nbd_err *err);

/*
 * As nbd_record_remove(), if the record is still the file @id. Waits for nobody, and
 * reads no file: false if somebody holds the lock.
 */
bool nbd_record_remove_file(s32 index, u64 id);

#endif /* NBD_STORE_H */
