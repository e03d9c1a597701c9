// SPDX-License-Identifier: GPL-2.0
/* Messages in TLS records that are no data. */
#ifdef __KERNEL__
#include <linux/stddef.h>
#else
#include <stddef.h>
#endif
#include "tlsrec.h"

#define TLS_WARNING		1
#define TLS_CLOSE_NOTIFY	0

#define TLS_HELLO_REQUEST	0
#define TLS_NEW_SESSION_TICKET	4

/* Bytes of an alert, and of what a message of the handshake begins with. */
#define TLS_ALERT_SIZE		2
#define TLS_HEAD_SIZE		4
/* Bytes of a KeyUpdate, and what its last one may be. */
#define TLS_UPDATE_SIZE		5
#define TLS_UPDATE_NOT_REQUESTED 0
#define TLS_UPDATE_REQUESTED	1

static enum nbd_tls_verdict talk_alert(struct nbd_tls_talk *t)
{
	t->have = 0;
	t->alert = t->head[1];
	if (t->alert == TLS_CLOSE_NOTIFY)
		return NBD_TLS_CLOSED;
	return t->head[0] == TLS_WARNING ? NBD_TLS_NOTHING : NBD_TLS_ALERTED;
}

/* Of a KeyUpdate, from its first byte on. */
static enum nbd_tls_verdict talk_update(struct nbd_tls_talk *t)
{
	if (!t->follows)
		return NBD_TLS_NEW_KEYS;
	if (t->have == TLS_HEAD_SIZE &&
	    (t->head[1] || t->head[2] || t->head[3] != TLS_UPDATE_SIZE - TLS_HEAD_SIZE))
		return NBD_TLS_NONSENSE;
	if (t->have < TLS_UPDATE_SIZE)
		return NBD_TLS_NOTHING;
	t->have = 0;
	switch (t->head[TLS_UPDATE_SIZE - 1]) {
	case TLS_UPDATE_NOT_REQUESTED:
		return NBD_TLS_UPDATED;
	case TLS_UPDATE_REQUESTED:
		return NBD_TLS_ASKED;
	default:
		return NBD_TLS_NONSENSE;
	}
}

/* What kind of message it is says its first byte; the other three are its length. */
static enum nbd_tls_verdict talk_head(struct nbd_tls_talk *t)
{
	switch (t->head[0]) {
	case TLS_NEW_SESSION_TICKET:
		break;
	case NBD_TLS_KEY_UPDATE:
		return talk_update(t);
	case TLS_HELLO_REQUEST:
		return NBD_TLS_NEW_HANDSHAKE;
	default:
		return NBD_TLS_NONSENSE;
	}
	if (t->have < TLS_HEAD_SIZE)
		return NBD_TLS_NOTHING;
	t->have = 0;
	t->left = t->head[1] << 16 | t->head[2] << 8 | t->head[3];
	return NBD_TLS_NOTHING;
}

static enum nbd_tls_verdict talk_byte(struct nbd_tls_talk *t, __u8 byte)
{
	if (t->left) {
		t->left--;
		return NBD_TLS_NOTHING;
	}
	t->head[t->have++] = byte;
	if (t->type == NBD_TLS_HANDSHAKE_RECORD)
		return talk_head(t);
	return t->have == TLS_ALERT_SIZE ? talk_alert(t) : NBD_TLS_NOTHING;
}

/*
 * The record was taken up to byte @i of @n. A key changes between two records, so nothing may
 * stand behind a KeyUpdate; and the kernel decrypts nothing more when a record has begun like
 * one, so that its end cannot be in the next.
 */
static enum nbd_tls_verdict talk_end(const struct nbd_tls_talk *t, enum nbd_tls_verdict verdict,
				     __u32 i, __u32 n)
{
	if ((verdict == NBD_TLS_UPDATED || verdict == NBD_TLS_ASKED) && i < n)
		return NBD_TLS_NONSENSE;
	if (verdict == NBD_TLS_NOTHING && t->have && t->type == NBD_TLS_HANDSHAKE_RECORD &&
	    t->head[0] == NBD_TLS_KEY_UPDATE)
		return NBD_TLS_NEW_KEYS;
	return verdict;
}

enum nbd_tls_verdict nbd_tls_talk_take(struct nbd_tls_talk *t, __u8 type, const __u8 *bytes,
				       __u32 n)
{
	enum nbd_tls_verdict verdict = NBD_TLS_NOTHING;
	__u32 i;

	if (type != NBD_TLS_ALERT_RECORD && type != NBD_TLS_HANDSHAKE_RECORD)
		return NBD_TLS_NONSENSE;
	/* Neither may be empty, nor in the middle of the other. */
	if (!n || ((t->have || t->left) && type != t->type))
		return NBD_TLS_NONSENSE;
	t->type = type;
	if (++t->records > NBD_TLS_TALK_MAX)
		return NBD_TLS_FLOOD;
	for (i = 0; i < n && verdict == NBD_TLS_NOTHING; i++)
		verdict = talk_byte(t, bytes[i]);
	return talk_end(t, verdict, i, n);
}

enum nbd_tls_verdict nbd_tls_talk_data(struct nbd_tls_talk *t)
{
	t->records = 0;
	return t->have || t->left ? NBD_TLS_NONSENSE : NBD_TLS_NOTHING;
}

const char *nbd_tls_verdict_text(enum nbd_tls_verdict verdict)
{
	switch (verdict) {
	case NBD_TLS_NOTHING:
	case NBD_TLS_UPDATED:
	case NBD_TLS_ASKED:
		return NULL;
	case NBD_TLS_CLOSED:
		return "server ended the TLS connection";
	case NBD_TLS_ALERTED:
		return "TLS alert of the server";
	case NBD_TLS_NEW_KEYS:
		return "server changed its TLS key, which the kernel cannot follow";
	case NBD_TLS_NEW_HANDSHAKE:
		return "server wants another TLS handshake";
	case NBD_TLS_FLOOD:
		return "TLS messages of the server without end";
	case NBD_TLS_NONSENSE:
		break;
	}
	return "server breaks the rules of TLS";
}
