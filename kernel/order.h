/* SPDX-License-Identifier: GPL-2.0 */
/*
 * In which order requests go out, and on which connections. The protocol knows no order
 * between requests that are under way, and the block layer submits none that has to come
 * after another one. So where both kinds come, short requests, reads among them, overtake
 * long writes that have not begun, and these go out in parts (parts.h), of which the socket
 * is given no more than keeps the link busy. Long writes do not starve: after
 * NBD_OVERTAKE_BYTES of others it is their turn. Where only one kind comes, all that is
 * pending goes out together, as it came.
 *
 * A part that has begun is finished, and one connection of several has only its share of the
 * link for that. So while both kinds come, each has connections of its own: the short ones
 * the first half of the slots, the long ones the rest. Which a command is offered to first is
 * said once for each dispatch (nbd_cmd.apart): who has dispatched it has to know whether the
 * requests that came with it are on other connections, and must not be left unsent there. If
 * all connections of its kind are dead, or reserved (retry.h), it goes to any other; so does
 * a suspect.
 *
 * Processors are shared out, too. An ordinary task that comes with a short request does not
 * send the long ones that it has overtaken. A work does, and of these there are always more: if
 * it went before all ordinary tasks, as what sends does, those that the short ones wait for
 * would have what it leaves. With one connection it does nevertheless, for there it is the link
 * that it keeps waiting.
 *
 * nbd_order_comes_apart() and nbd_order_share() are for who dispatches, under RCU, and
 * nbd_order_is_mixed(), nbd_order_is_busy() and nbd_order_takes_share() for everybody. All else
 * here is the transmit side's: nbd_conn.tx_mutex is held.
 */
#ifndef _NBD_ORDER_H
#define _NBD_ORDER_H

#include <linux/jiffies.h>
#include <linux/types.h>
#include "conn.h"
#include "later.h"
#include "queue.h"
#include "session.h"

/* A write with more payload is a long one. */
#define NBD_LONG_BYTES		(32 << 10)
/* So many bytes of short requests overtake a long write. */
#define NBD_OVERTAKE_BYTES	(256 << 10)
/* How long after a request others of its kind are expected (jiffies). */
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

/* Expects more of a kind, of which @until is that of the session. */
static inline void nbd_order_expect(unsigned long *until)
{
	unsigned long then = jiffies + NBD_MIXED_TIME;

	if (READ_ONCE(*until) != then)
		WRITE_ONCE(*until, then);
}

/* A short request goes out. */
static inline void nbd_order_note_short(struct nbd_conn *conn)
{
	nbd_order_expect(&conn->session->short_until);
}

/*
 * For nbd_cmd.apart, once for each dispatch: @cmd comes, and the other kind has come not
 * long ago.
 */
static inline bool nbd_order_comes_apart(struct nbd_session *session, const struct nbd_cmd *cmd)
{
	if (likely(!nbd_is_long(cmd)))
		return time_before(jiffies, READ_ONCE(session->long_until));
	nbd_order_expect(&session->long_until);
	return time_before(jiffies, READ_ONCE(session->short_until));
}

/*
 * Whether who sends for @conn has no more of a processor than its share: what is left are long
 * writes between short requests, which have other connections, and an ordinary task came last.
 */
static inline bool nbd_order_takes_share(const struct nbd_conn *conn)
{
	return READ_ONCE(conn->overtakable) && nbd_order_is_mixed(conn) &&
	       READ_ONCE(conn->session->live) > 1 &&
	       !READ_ONCE(conn->burst.urgent);
}

/*
 * Whether so many requests are under way that others may wait for more, to go out with them. A
 * short one has nothing to wait for among long writes, which do not go out with it.
 */
static inline bool nbd_order_is_busy(const struct nbd_conn *conn)
{
	unsigned int nr = READ_ONCE(conn->inflight), nr_long = READ_ONCE(conn->nr_long);

	return (nr <= nr_long ? nr : nr - nr_long) > NBD_BUSY;
}

/**
 * struct nbd_share - slots of a session
 * @first:	of them
 * @nr:		how many
 */
struct nbd_share {
	unsigned int first;
	unsigned int nr;
};

/* Those of @nr slots that @cmd is offered to before all others. */
static inline struct nbd_share nbd_order_share(const struct nbd_cmd *cmd, unsigned int nr)
{
	unsigned int half = nr / 2;

	if (likely(!cmd->apart) || !half)
		return (struct nbd_share){ .nr = nr };
	if (nbd_is_long(cmd))
		return (struct nbd_share){ .first = half, .nr = nr - half };
	return (struct nbd_share){ .nr = half };
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
