/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the hostile server has seen: counters for the control socket, and a log
 * of every message.
 */
#ifndef NBD_TEST_STATS_H
#define NBD_TEST_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../../common.h"

/**
 * struct stats - the counters, by the names that the control socket knows
 * @conns:	connections open now
 * @accepted:	connections accepted
 * @negotiated:	connections that reached the transmission phase
 * @tx_conns:	connections in the transmission phase now
 * @requests:	requests of any type, DISC included
 * @reads:	READ
 * @writes:	WRITE
 * @flushes:	FLUSH
 * @trims:	TRIM
 * @zeroes:	WRITE_ZEROES
 * @discs:	DISC
 * @unknown:	requests of a type that does not exist
 * @fua:	requests with FUA
 * @no_hole:	WRITE_ZEROES with NO_HOLE
 * @bytes_read:	bytes asked for by READ
 * @bytes_written:	bytes of WRITE payload
 * @max_len:	longest READ or WRITE
 * @max_trim:	longest TRIM or WRITE_ZEROES
 * @min_len:	shortest request that has a length, 0 if there was none
 * @outstanding:	requests received and not answered, now
 * @held:	of these, kept back by a rule
 * @max_outstanding:	most of them at one time
 * @answered:	replies sent completely
 * @errors:	error replies
 * @fired:	times that a rule struck
 * @misaligned:	requests that break the minimum block size
 * @too_long:	READ or WRITE longer than the maximum, TRIM than its limit
 * @out_of_range:	requests beyond the end
 * @empty:	requests of length 0 that need one
 * @unoffered:	requests or flags that were not offered
 * @overlapping:	writes that overlap an unanswered write
 * @dup_cookie:	cookies in use twice on one connection
 * @bad_magic:	requests with a wrong magic
 * @torn:	connections that ended inside a message
 * @peer_resets:	connections ended by a reset of the peer
 * @flush_early:	FLUSH received while writes were unanswered
 * @after_disc:	requests after a DISC on the same connection
 * @pattern_bad:	sectors of WRITE payload that break the pattern
 * @late:	writes applied after their connection was gone
 * @lost:	bytes lost by power losses
 * @hs_options:	options received in handshakes
 * @hs_bad:	handshakes that broke the protocol
 * @hs_aborts:	NBD_OPT_ABORT received
 */
struct stats {
	uint64_t conns;
	uint64_t accepted;
	uint64_t negotiated;
	uint64_t tx_conns;
	uint64_t requests;
	uint64_t reads;
	uint64_t writes;
	uint64_t flushes;
	uint64_t trims;
	uint64_t zeroes;
	uint64_t discs;
	uint64_t unknown;
	uint64_t fua;
	uint64_t no_hole;
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t max_len;
	uint64_t max_trim;
	uint64_t min_len;
	uint64_t outstanding;
	uint64_t held;
	uint64_t max_outstanding;
	uint64_t answered;
	uint64_t errors;
	uint64_t fired;
	uint64_t misaligned;
	uint64_t too_long;
	uint64_t out_of_range;
	uint64_t empty;
	uint64_t unoffered;
	uint64_t overlapping;
	uint64_t dup_cookie;
	uint64_t bad_magic;
	uint64_t torn;
	uint64_t peer_resets;
	uint64_t flush_early;
	uint64_t after_disc;
	uint64_t pattern_bad;
	uint64_t late;
	uint64_t lost;
	uint64_t hs_options;
	uint64_t hs_bad;
	uint64_t hs_aborts;
};

extern struct stats stats;

/* One name=value line each. */
void stats_print(FILE *out);
/* The counter of that name, NULL if there is none. */
uint64_t *stats_find(const char *name);
/* Zero all but those that say what is there now. */
void stats_reset(void);

/*
 * The log: one line a message, "seconds conn direction what...", appended.
 * NULL ends it. 0 or -errno.
 */
int log_open(const char *path, bool payload_crc);
extern bool log_payload_crc;
void __printf(2, 3) log_line(unsigned int conn, const char *fmt, ...);

#endif /* NBD_TEST_STATS_H */
