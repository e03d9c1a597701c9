/* SPDX-License-Identifier: GPL-2.0 */
/*
 * In which order requests go out. The protocol knows no order between requests that are
 * under way, and the block layer submits none that has to come after another one. So where
 * both kinds come, short requests, reads among them, overtake long writes that have not
 * begun, and these go out in parts (parts.h), of which the socket is given no more than
 * keeps the link busy. Long writes do not starve: after NBD_OVERTAKE_BYTES of others it is
 * their turn. Where only one kind comes, all that is pending goes out together, as it came.
 *
 * Everything here is the transmit side's: nbd_conn.tx_mutex is held.
 */
#ifndef _NBD_ORDER_H
#define _NBD_ORDER_H

#include <linux/jiffies.h>
#include <linux/types.h>
#include "conn.h"
#include "queue.h"
#include "session.h"

/* A write with more payload is a long one. */
#define NBD_LONG_BYTES		(32 << 10)
/* So many bytes of short requests overtake a long write. */
#define NBD_OVERTAKE_BYTES	(256 << 10)
/* How long after a short request others are expected (jiffies). */
#define NBD_MIXED_TIME		(HZ / 4)

static inline bool nbd_is_long(const struct nbd_cmd *cmd)
{
	return cmd->is_write && cmd->len > NBD_LONG_BYTES;
}

/*
 * Whether short requests come, so that long ones have to leave room for them: some are under
 * way here, or went out on any connection to the server not long ago. What fills the link
 * keeps the others' from it, too.
 */
static inline bool nbd_order_is_mixed(const struct nbd_conn *conn)
{
	return READ_ONCE(conn->inflight) != READ_ONCE(conn->nr_long) ||
	       time_before(jiffies, READ_ONCE(conn->session->short_until));
}

/* A short request goes out. */
static inline void nbd_order_note_short(struct nbd_conn *conn)
{
	unsigned long until = jiffies + NBD_MIXED_TIME;

	if (READ_ONCE(conn->session->short_until) != until)
		WRITE_ONCE(conn->session->short_until, until);
}

/* Takes over @cmds, which were pending, in their order. */
void nbd_order_add(struct nbd_conn *conn, struct list_head *cmds);

/* The same where none of them is long. */
static inline void nbd_order_add_short(struct nbd_conn *conn, struct list_head *cmds)
{
	list_splice_tail(cmds, &conn->sending);
	nbd_order_note_short(conn);
}

/* Puts on the sending list what is to go out next. Nothing of it has been offered. */
void nbd_order_arrange(struct nbd_conn *conn);

/* @bytes of @cmd, the first of the sending list, are in the socket. */
void nbd_order_note_sent(struct nbd_conn *conn, const struct nbd_cmd *cmd, size_t bytes);

#endif /* _NBD_ORDER_H */
