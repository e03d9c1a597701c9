/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Parts: a long write that goes to the server as several requests, one behind the other, so
 * that others can go between them. A message must not be interrupted, and a MiB takes 8 ms on
 * a link of 1 Gbit/s.
 *
 * The parts have consecutive cookies, the first one nbd_cmd.cookie, and one place in the
 * session's table: the command is answered when all of them are. The transmit side sees
 * what is left of the command, from part nr_sent on; a command that is not divided is one
 * part.
 */
#ifndef _NBD_PARTS_H
#define _NBD_PARTS_H

#include <linux/bitops.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/types.h>
#include "queue.h"

struct nbd_conn;

/* Payload of a part; the server has to take it, whatever its block sizes. */
#define NBD_PART_BYTES		(128 << 10)
/* That many at most: nbd_cmd.answered has a bit for each. */
#define NBD_PARTS_MAX		64

static inline unsigned int nbd_parts(const struct nbd_cmd *cmd)
{
	return cmd->part ? DIV_ROUND_UP(cmd->len, cmd->part) : 1;
}

/* Payload of part @i. */
static inline u32 nbd_part_len(const struct nbd_cmd *cmd, unsigned int i)
{
	return cmd->part ? min(cmd->part, cmd->len - i * cmd->part) : cmd->len;
}

/* Bytes on the wire of the part that is sent next: of all of it, if it is in one. */
size_t nbd_part_wire_len(const struct nbd_cmd *cmd);

/* Whether it is a write that is worth dividing, and none of it was offered to the socket. */
bool nbd_parts_can_divide(const struct nbd_cmd *cmd);

/* Divides @cmd, for which nbd_parts_can_divide() is true. tx_mutex is held. */
void nbd_parts_divide(struct nbd_conn *conn, struct nbd_cmd *cmd);

/* Writes the header of part @i. */
void nbd_parts_encode(const struct nbd_cmd *cmd, unsigned int i, struct nbd_request *header);

/* Part nr_sent is in the socket: goes on to the next; false if that was the last. */
bool nbd_parts_next(struct nbd_cmd *cmd);

/*
 * For those that are divided. Answers to the first @nr parts are possible from here on:
 * tx_mutex is held.
 */
void nbd_parts_offer(struct nbd_cmd *cmd, unsigned int nr);

/*
 * The socket did not take all that was offered: no answer to what it did not take is
 * possible yet. False if there was one. tx_mutex and nbd_conn.lock are held.
 */
bool nbd_parts_unoffer(struct nbd_cmd *cmd);

/*
 * A reply to the part that @cookie names has come, or with @last the last of it, and the part
 * is answered; false if there is no such part. nbd_conn.lock is held.
 */
bool nbd_parts_answer(struct nbd_cmd *cmd, u64 cookie, bool last);

/* Whether all parts are answered, for the receiver. */
static inline bool nbd_parts_answered(const struct nbd_cmd *cmd)
{
	return !cmd->part || hweight64(cmd->answered) == nbd_parts(cmd);
}

/* None of it is sent or answered, and it is in one part. */
static inline void nbd_parts_init(struct nbd_cmd *cmd)
{
	cmd->part = 0;
	cmd->nr_sent = 0;
	cmd->nr_offered = 0;
	cmd->answered = 0;
}

#endif /* _NBD_PARTS_H */
