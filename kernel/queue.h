/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The blk-mq side of the driver: commands and who owns them.
 *
 * A command is the driver's part of a struct request. From dispatch to completion
 * it has exactly one owner, and only the owner may complete it, send it again or
 * touch its pages:
 *
 * block layer	not dispatched yet, or completed. The driver has nothing of it.
 *
 * connection	nbd_conn_enqueue() put it into the session's table and on its
 *		pending list, both under conn->lock. From there it moves to the
 *		sending list, which belongs to the holder of conn->tx_mutex. The
 *		transmit side and the receive side each let go of it once, in either
 *		order, by setting NBD_PHASE_SENT and NBD_PHASE_REPLIED; who sets the second
 *		one completes the command, so a reply that overtakes the return of
 *		sendmsg() cannot free pages that are still being sent. A reply to a
 *		command that was not even offered to the socket (NBD_PHASE_OFFERED) is a
 *		protocol violation. Long writes wait for their turn on the bulk list.
 *
 * receiver	nbd_conn_take() removed it from the table because its reply arrived. It
 *		is in conn->rx.cmd until all of that is there, or a chunk of it: between
 *		those nbd_conn_give_back() puts it back into the table.
 *
 * session	on session->parked, under session->lock: there is no connection, or
 *		connections died under it and it waits for its turn.
 *
 * undertaker	nbd_conn_bury() collected it from a connection whose transmit and
 *		receive sides have both ended. It is sent again, parked or failed.
 *
 * The timeout paths own nothing: they kill the connection, and its burial moves
 * the command.
 */
#ifndef _NBD_QUEUE_H
#define _NBD_QUEUE_H

#include <linux/atomic.h>
#include <linux/blk-mq.h>
#include <linux/list.h>
#include <linux/nbd.h>
#include "cover.h"

struct io_comp_batch;
struct nbd_conn;
struct nbd_session;

/* Bits of nbd_cmd.phase, see above. */
#define NBD_PHASE_OFFERED	1
#define NBD_PHASE_SENT		2
#define NBD_PHASE_REPLIED	4

/**
 * struct nbd_cmd - the driver's part of a request
 * @node:	on the pending or sending list of a connection, on session->parked, or
 *		on a list of the undertaker's
 * @cookie:	of the last issue; of its first part
 * @index:	place in the session's table (nbd_session.table)
 * @started:	jiffies of the dispatch
 * @issued:	jiffies of the last issue on a connection
 * @phase:	NBD_PHASE_OFFERED, NBD_PHASE_SENT, NBD_PHASE_REPLIED
 * @len:	bytes of WRITE payload to send, or of READ payload to receive
 * @status:	result, once known
 * @is_write:	payload goes out
 * @is_read:	payload comes in
 * @apart:	the other kind comes, too, and each has connections of its own, see order.h
 * @slow:	was counted and logged as slow
 * @suspect:	connections died under it: it is sent again alone, see suspect.h
 * @overdue:	the connection that it was on was given up for its silence, while others lived
 * @hops:	connections in a row that died under it while others lived
 * @parks:	times it had to wait for a connection because the last one died under it
 * @silences:	connections that were given up because it was not answered in time
 * @charges:	those of them whose server has answered others meanwhile
 * @asked:	@issued of the last of @silences
 * @part:	bytes of payload of each part that it is sent in, see parts.h; 0 while it is one
 *		request
 * @nr_sent:	parts that the socket has; under tx_mutex
 * @nr_offered:	parts that may be answered; if it is in parts
 * @answered:	a bit for each part that is; under nbd_conn.lock, and the receiver's
 * @stamp:	write generation that a flush covers, see session.c
 * @cover:	what has come of a structured reply, while the command is in a table or received
 * @header:	the request on the wire
 */
struct nbd_cmd {
	struct list_head node;
	u64 cookie;
	u32 index;
	unsigned long started;
	unsigned long issued;
	atomic_t phase;
	u32 len;
	blk_status_t status;
	bool is_write;
	bool is_read;
	bool apart;
	bool slow;
	bool suspect;
	bool overdue;
	u8 hops;
	u8 parks;
	u8 silences;
	u8 charges;
	unsigned long asked;
	u32 part;
	u16 nr_sent;
	u16 nr_offered;
	u64 answered;
	u64 stamp;
	struct nbd_request header;
	struct nbd_cover cover;
};

extern const struct blk_mq_ops nbd_mq_ops;

static inline struct request *nbd_cmd_rq(struct nbd_cmd *cmd)
{
	return blk_mq_rq_from_pdu(cmd);
}

/* The name of a request type for messages. */
const char *nbd_cmd_name(struct nbd_cmd *cmd);

/*
 * Lets go of @cmd on one side: @side is NBD_PHASE_SENT or NBD_PHASE_REPLIED. If the
 * other side has let go before, the command is completed, in @batch where that
 * is not NULL and the command is fit for it; it must not be touched afterwards.
 */
void nbd_cmd_release(struct nbd_cmd *cmd, int side, struct io_comp_batch *batch);

/* Completes @cmd, which the caller owns alone. */
void nbd_cmd_complete(struct nbd_cmd *cmd, blk_status_t status);

/* Completes a batch that nbd_cmd_release() collected. */
static inline void nbd_batch_complete(struct io_comp_batch *batch)
{
	if (batch->complete)
		batch->complete(batch);
}

/* The block status that a negative errno of the server's becomes. */
blk_status_t nbd_status_from_errno(int err);

#endif /* _NBD_QUEUE_H */
