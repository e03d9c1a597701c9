/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What outlives nbd-client: all that is known of one attachment, from which the monitor
 * knows where to reconnect to and -status what to print; and its text, which store.h keeps
 * in a file.
 *
 * Lines are "key value", values percent-encoded; unknown keys are ignored.
 */
#ifndef NBD_RECORD_H
#define NBD_RECORD_H

#include <stdio.h>

#include "address.h"
#include "model.h"
#include "namespace.h"
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

/**
 * nbd_record_parse - a record from its text
 * @record:	filled in; nbd_record_free() it
 * @text:	the text, with a NUL behind it; it is changed
 * @len:	its bytes, without that
 * @err:	says in which line it is damaged
 *
 * What later code relies on is so in a record that is accepted.
 *
 * Return: 0, -EINVAL or -ENOMEM; @record is freed then.
 */
int nbd_record_parse(struct nbd_record *record, char *text, size_t len,
		     struct nbd_err *err);
void nbd_record_print(const struct nbd_record *record, FILE *file);

/* Frees its strings; also of one that is filled with zeroes. */
void nbd_record_free(struct nbd_record *record);

/* Whether it is certain that @record->in_use is where the live connections lead. */
bool nbd_record_knows_address(const struct nbd_record *record);

/* Whether the device is one that a monitor has to reconnect. */
bool nbd_record_monitored(const struct nbd_record *record);

#endif /* NBD_RECORD_H */
