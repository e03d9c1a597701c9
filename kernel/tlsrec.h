/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a server says in TLS records that are no data: alerts, and messages of the handshake
 * that come after it. RFC 8446 (TLS 1.3), sections 4.6, 5.1 and 6; RFC 5246 (TLS 1.2),
 * section 7.
 *
 * Pure as wire.h is. The kernel decrypts such records and hands them over byte by byte; a
 * message may be in several of them, and they hold several messages.
 */
#ifndef _NBD_TLSREC_H
#define _NBD_TLSREC_H

#include <linux/types.h>

#ifndef __KERNEL__
#include <stdbool.h>
#endif

#define NBD_TLS_ALERT_RECORD		21
#define NBD_TLS_HANDSHAKE_RECORD	22
#define NBD_TLS_DATA_RECORD		23

/* A message of the handshake. */
#define NBD_TLS_KEY_UPDATE		24

/* Records that are no data and come one after the other: no server has a reason for more. */
#define NBD_TLS_TALK_MAX	64

/**
 * enum nbd_tls_verdict - what a record means for the connection
 * @NBD_TLS_NOTHING:	go on: session tickets, warnings
 * @NBD_TLS_UPDATED:	KeyUpdate: what comes next has the next key
 * @NBD_TLS_ASKED:	the same, and what is sent shall have its next key, too
 * @NBD_TLS_CLOSED:	close_notify: nothing more will come, and that is the end in order
 * @NBD_TLS_ALERTED:	a fatal alert, nbd_tls_talk.alert
 * @NBD_TLS_NEW_KEYS:	KeyUpdate, and what comes next has a key that the kernel does not get
 * @NBD_TLS_NEW_HANDSHAKE: HelloRequest of TLS 1.2
 * @NBD_TLS_FLOOD:	more than NBD_TLS_TALK_MAX
 * @NBD_TLS_NONSENSE:	not TLS, or nothing that a server may say now
 */
enum nbd_tls_verdict {
	NBD_TLS_NOTHING,
	NBD_TLS_UPDATED,
	NBD_TLS_ASKED,
	NBD_TLS_CLOSED,
	NBD_TLS_ALERTED,
	NBD_TLS_NEW_KEYS,
	NBD_TLS_NEW_HANDSHAKE,
	NBD_TLS_FLOOD,
	NBD_TLS_NONSENSE,
};

/**
 * struct nbd_tls_talk - what is known of the messages so far
 * @follows:	KeyUpdate is understood; set before the first record
 * @head:	the message that is coming: the first @have bytes of it, at most 4, or a whole
 *		KeyUpdate
 * @type:	of the record that it began in
 * @left:	bytes to come of what follows those 4, which is not looked at
 * @records:	since the last data
 * @alert:	number of the last alert
 */
struct nbd_tls_talk {
	bool follows;
	__u8 head[5];
	__u8 have;
	__u8 type;
	__u8 alert;
	__u32 left;
	__u32 records;
};

/* @n bytes came of a record of type @type, which is not NBD_TLS_DATA_RECORD. */
enum nbd_tls_verdict nbd_tls_talk_take(struct nbd_tls_talk *t, __u8 type, const __u8 *bytes,
				       __u32 n);

/* Data came: NBD_TLS_NOTHING, or NBD_TLS_NONSENSE in the middle of a message. */
enum nbd_tls_verdict nbd_tls_talk_data(struct nbd_tls_talk *t);

/* What the verdict says of the server, for a cause; NULL if the connection goes on. */
const char *nbd_tls_verdict_text(enum nbd_tls_verdict verdict);

#endif /* _NBD_TLSREC_H */
