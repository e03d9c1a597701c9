/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How many connections a second one server is asked for: when it was away, all devices of a
 * machine want theirs back at once, and a server that has thousands of handshakes to do at a
 * time is slow for all of them, or falls over again.
 *
 * Whoever wants connections joins its server's queue, and asks whether it may begin. What counts
 * is when connections are begun, not when they could have been: if the process was busy with
 * other things for a while, those whose time has passed meanwhile are not all let in at once.
 * The queue is in the order of joining, so that whoever failed is behind all others the next
 * time. Each server has one of its own: nobody waits for a device of another one. A few devices
 * never wait.
 */
#ifndef NBD_PACE_H
#define NBD_PACE_H

#include <stdbool.h>

#include "address.h"
#include "util.h"

/* Connections a second, in the long run. */
#define NBD_PACE_RATE	170
/* Connections that need not wait for one another; with the above, what a second may have. */
#define NBD_PACE_BURST	24

/**
 * struct nbd_turn - a place in a server's queue; all zeroes is none
 * @server:	whose, or NULL
 * @before:	connections that were asked for before it
 * @n:		connections that will be made; may be changed while it waits, NBD_PACE_BURST at most
 * @next:	behind it
 * @at:		what points to it
 *
 * The queue points to it, so it must not move. With another @n it keeps its place; if that is
 * more, so many of those behind may go first, and the server gets no more than without.
 */
struct nbd_turn {
	struct nbd_pace_server *server;
	u64 before;
	unsigned int n;
	struct nbd_turn *next;
	struct nbd_turn **at;
};

/**
 * nbd_pace_join - get in line
 * @turn:	is in no queue
 * @server:	whose; if there is no memory for it, nobody waits
 * @n:		connections that will be made, NBD_PACE_BURST at most
 * @now:	on nbd_now_ms()'s clock
 */
void nbd_pace_join(struct nbd_turn *turn, const struct nbd_address *server, unsigned int n,
		   s64 now);

/**
 * nbd_pace_begin - whether the connections may be made now
 * @turn:	is in no queue any more if they may
 * @now:	on nbd_now_ms()'s clock
 */
bool nbd_pace_begin(struct nbd_turn *turn, s64 now);

/*
 * When to ask again for @turn, which is in a queue; the past if the connections may be made.
 * Others that leave the queue or need fewer connections bring it forward, so it must not be kept.
 */
s64 nbd_pace_when(const struct nbd_turn *turn);

/* They are not wanted any more; also if @turn is in no queue. */
void nbd_pace_leave(struct nbd_turn *turn);

#endif /* NBD_PACE_H */
