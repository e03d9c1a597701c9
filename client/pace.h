/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How many connections a second one server is asked for: when it was away, all devices of a
 * machine want theirs back at once, and a server that has thousands of handshakes to do at a
 * time is slow for all of them, or falls over again.
 *
 * Turns are given in the order in which they are asked for, so that whoever failed is behind
 * all others the next time. Each server has turns of its own: nobody waits for a device of
 * another one. A few devices never wait.
 */
#ifndef NBD_PACE_H
#define NBD_PACE_H

#include "address.h"
#include "util.h"

/* Connections a second, in the long run. */
#define NBD_PACE_RATE	170
/* Connections that need not wait for one another. */
#define NBD_PACE_BURST	24

/**
 * nbd_pace_turn - take a turn
 * @server:	whose
 * @n:		connections that will be made
 * @now:	on nbd_now_ms()'s clock
 *
 * Return: when they may be made: @now, or later.
 */
s64 nbd_pace_turn(const struct nbd_address *server, unsigned int n, s64 now);

#endif /* NBD_PACE_H */
