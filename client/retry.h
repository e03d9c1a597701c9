/* SPDX-License-Identifier: GPL-2.0 */
/*
 * When to try to reconnect.
 *
 * The first attempt is made at once. Then the pause between two attempts is a tenth of the time
 * that the outage has lasted, at least NBD_RETRY_MIN_MS, give or take a quarter of it, and never
 * more than NBD_RETRY_MAX_MS: an outage of a second or more becomes an eighth longer at worst,
 * and a server that comes back is not met by all its clients at once.
 */
#ifndef NBD_RETRY_H
#define NBD_RETRY_H

#include <stdbool.h>

#include "util.h"

/* Milliseconds; before the quarter, so that the shortest pause is 75. */
#define NBD_RETRY_MIN_MS 100
/* The quarter included. */
#define NBD_RETRY_MAX_MS 10000
/* A connection that dies earlier than this did not end the outage. */
#define NBD_RETRY_PROVEN_MS 1000

/*
 * Whether a loss at @lost_at belongs to the outage that seemed to end at @mended_at (0: there
 * was none); both on nbd_now_ms()'s clock.
 */
bool nbd_outage_goes_on(s64 mended_at, s64 lost_at);

/*
 * Whether a server that was connected to at @mended_at, and that has let requests wait for
 * @timeout (seconds) by @lost_at, has answered nothing but its handshake in between, or not
 * much.
 */
bool nbd_server_relapses(s64 mended_at, s64 lost_at, u32 timeout);

/* Milliseconds until the next attempt, after so long an outage. */
s64 nbd_retry_pause(s64 outage);

#endif /* NBD_RETRY_H */
