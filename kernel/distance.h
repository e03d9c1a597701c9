/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How much a sequential reader has to have asked for, so that the link to a server that is
 * far away is never empty.
 *
 * Pure, so that tests run it in userspace: tests/kunit/distance.c.
 *
 * What is under way fills the link if it is as much as the link carries in one round trip.
 * What it carries in a second nobody has said; NBD_DISTANCE_RATE is assumed, twice a gigabit a
 * second. On a slower link more is asked for than is needed, by readers who read on and on;
 * who reads here and there does not read ahead.
 */
#ifndef _NBD_DISTANCE_H
#define _NBD_DISTANCE_H

#include <linux/types.h>

/* KiB for each millisecond of the round trip. */
#define NBD_DISTANCE_RATE	256
/* KiB; what memory each reader may take is bounded. */
#define NBD_DISTANCE_MAX	(16 << 10)
/* Microseconds: below this a server is near, and the block layer's own choice is good. */
#define NBD_DISTANCE_NEAR	1000

/*
 * KiB of read-ahead, whole blocks of @preferred bytes, for a round trip of @rtt microseconds;
 * 0 for a server that is near. @preferred is 0 if it is unknown.
 */
__u32 nbd_distance_read_ahead(__u32 rtt, __u32 preferred);

#endif /* _NBD_DISTANCE_H */
