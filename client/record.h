/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What outlives nbd-client: one file an attachment under /run/nbd, from which
 * the monitor knows where to reconnect to and -status what to print.
 *
 * A record is written by the client that attaches, updated by the monitor and
 * by -replace, and removed by whoever sees the attachment end. Files are
 * replaced as a whole, so that a reader sees the old or the new one. Lines are
 * "key value", values percent-encoded; unknown keys are ignored.
 */
#ifndef NBD_RECORD_H
#define NBD_RECORD_H

#include <stdio.h>

#include "address.h"
#include "model.h"
#include "namespace.h"
#include "rundir.h"
#include "util.h"

/**
 * struct nbd_record - one attachment
 * @params:	as asked for; @params.index is the device
 * @export:	what the device uses of the export: its size and block sizes as the
 *		server told them last, flags that it relies on as when it was attached
 * @session_id:	the attachment, 0 from the stock driver
 * @keeper:	tells it from records of the attachment in other places, see keeper.h; 0 if
 *		that is not known
 * @pid:		the process that attached it, as sysfs says; tells attachments
 *		apart where there are no sessions
 * @block_size:	logical block size in use
 * @nconns:	connections
 * @in_use:	where all live connections lead; @len is 0 in a record of a release that did
 *		not note it, of a server that has a name
 * @moving:	they are about to be exchanged for connections to somewhere else, or have
 *		been, if whoever does that did not come to its end
 * @socket_owner: user who served the Unix socket when it was attached, or replaced; 0,
 *		root, for any other server
 * @namespaces:	where its servers are looked for
 * @other_fs:	UUID of the file system on a disk that -other-disk has accepted though
 *		udev knew another; "none" without one, NULL if there is no such disk
 * @other_table: of its partition table
 * @addresses:	what the servers' names meant when they were last resolved
 */
struct nbd_record {
	struct nbd_params params;
	struct nbd_export export;
	u64 session_id;
	u64 keeper;
	u32 pid;
	u32 block_size;
	u32 nconns;
	struct nbd_address in_use;
	bool moving;
	u32 socket_owner;
	struct nbd_namespaces namespaces;
	char *other_fs;
	char *other_table;
	struct nbd_address_list addresses;
};

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

/**
 * nbd_record_read - the record of a device
 * @record:	filled in; nbd_record_free() it
 * @index:	device
 * @err:	says why not
 *
 * Return: 0, -ENOENT without one, -EINVAL for a damaged one or one that somebody else
 * than root can have written.
 */
int nbd_record_read(struct nbd_record *record, s32 index,
		    struct nbd_err *err);
void nbd_record_free(struct nbd_record *record);

/* The same, from text; for nbd_record_read() and tests. */
int nbd_record_parse(struct nbd_record *record, FILE *file,
		     struct nbd_err *err);
void nbd_record_print(const struct nbd_record *record, FILE *file);

/* Whether it is certain that @record->in_use is where the live connections lead. */
bool nbd_record_knows_address(const struct nbd_record *record);

/* Remove the record and the namespaces of a device; it is no error if none is. */
void nbd_record_remove(s32 index);

/*
 * As nbd_record_remove(), if the record is still of that attachment; locks. 0, also if it
 * is not, or a negative errno.
 */
int nbd_record_remove_session(s32 index, u64 session_id, struct nbd_err *err);

/*
 * As nbd_record_remove(), if the record is still the file @id. Waits for nobody, and
 * reads no file: false if somebody holds the lock.
 */
bool nbd_record_remove_file(s32 index, u64 id);

/* Whether the device is one that a monitor has to reconnect. */
bool nbd_record_monitored(const struct nbd_record *record);

/* Never the same again when the record has been written; 0 without one. Reads no file. */
u64 nbd_record_id(s32 index);

/* Call @fn for the device of each record. */
void nbd_record_list(void (*fn)(void *arg, s32 index), void *arg);

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

#endif /* NBD_RECORD_H */
