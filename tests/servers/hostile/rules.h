/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rules for the transmission phase: which request makes the server do
 * which one wrong thing. A rule is a line
 *
 *	VERB [MATCH=...] [VERB'S OWN=...]
 *
 * Matches, all of which must hold:
 *	conn=N		connection with that ordinal in the transmission phase
 *	listener=N	connections that came in by that address
 *	type=T		read, write, flush, trim, zeroes, disc (default: any but disc)
 *	lba=N [end=N]	requests that touch byte N, or a byte of [lba, end)
 *	minlen=N	requests at least that long
 *	fua=1		requests with FUA
 *	after=N		not the first N requests that match
 *	every=N		only each N-th of the rest
 *	count=N		strike N times (default 1; 0 means always)
 *
 * Verbs; "then" is one of fin, rst, half_close, stall, and none:
 *	hold t=T	answer after T
 *	never		never answer
 *	err e=N [exec=1] reply with error N; the request is executed only with exec
 *	errdata e=N	error reply to a READ that carries its payload nevertheless
 *	magic value=N	another magic number in the reply
 *	garbage n=N	N random bytes in place of the reply
 *	structured	a structured reply, agreed on or not
 *	simple		a simple reply to a READ where structured ones were agreed on
 *	split n=N [order=reverse|odd]  a structured reply to a READ in N chunks: from its end, or
 *			every other one first
 *	piece at=A n=N [flags=F]  a structured reply whose next chunk is N bytes from byte A of
 *			the request on; flags 1: the last
 *	chunk [kind=T] [flags=F] [len=L] [data=HEX] [fill=N]  the same, with any header (length
 *			L, else what follows), those bytes and N more
 *	alien kind=K [bit=N] [add=1]  another cookie: unused, tag, queue,
 *			generation, completed, otherconn, zero, ones, bit;
 *			with add, in a second reply before the right one
 *	misdirect	the reply goes out on another connection
 *	dup [n=N]	the reply is sent N times (2)
 *	cut at=N then=T	after N bytes of the reply; half_hdr and half_data in one
 *	extra n=N [then=T]  N garbage bytes behind the reply
 *	payload n=N	N bytes of payload behind a reply that has none
 *	drip [n=N] [t=T] N bytes (1) at a time, T apart
 *	oob at=N	an out-of-band byte after N bytes of the reply
 *	scm at=N	a file descriptor passed at byte N of the reply (AF_UNIX)
 *	early then=T	answer a WRITE after its header, before its payload
 *	end how=T [at=K]  fin, rst, half_close; at header (default), payload or reply
 *	noread [t=T]	stop reading after the header, for good or for T
 *	slowread n=N t=T from now on read N bytes every T
 *	late t=T	apply a WRITE, TRIM, ZEROES or FLUSH after T, connection or not
 *	reorder mode=M n=N [t=T]  keep N replies back (or what came in T, 20 ms), then
 *			send them: reverse or shuffle; interleave: a chunk of each in turn
 */
#ifndef NBD_TEST_RULES_H
#define NBD_TEST_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "args.h"
#include "conn.h"

enum alien {
	ALIEN_NONE,
	ALIEN_UNUSED,
	ALIEN_TAG,
	ALIEN_QUEUE,
	ALIEN_GENERATION,
	ALIEN_COMPLETED,
	ALIEN_OTHERCONN,
	ALIEN_ZERO,
	ALIEN_ONES,
	ALIEN_BIT,
};

enum kill_at {
	KILL_HEADER,
	KILL_PAYLOAD,
	KILL_REPLY,
};

/* One chunk of a reply that rules put together. */
struct chunk_spec {
	bool piece;
	uint16_t flags, type;
	bool has_len;
	uint32_t len;
	uint32_t at, n;
	uint8_t data[32];
	size_t data_len, fill;
};

#define CHUNKS_MAX	40

enum split_order {
	SPLIT_FORWARD,
	SPLIT_REVERSE,
	SPLIT_ODD,
};

/**
 * struct effects - everything that is to go wrong with one request
 *
 * The verbs of rules.h, one or a few fields each; zero means that nothing does.
 */
struct effects {
	uint64_t hold_ns;
	bool never;
	bool has_error, execute_anyway, error_with_data;
	uint32_t error;
	bool has_magic, structured, simple;
	unsigned int split;
	enum split_order split_order;
	unsigned int n_chunks;
	struct chunk_spec chunks[CHUNKS_MAX];
	uint32_t magic;
	size_t garbage;
	enum alien alien;
	unsigned int alien_bit;
	bool alien_add;
	bool misdirect;
	unsigned int copies;
	bool cut;
	size_t cut_at;
	enum ending cut_then;
	size_t extra;
	enum ending extra_then;
	size_t payload;
	size_t drip;
	uint64_t drip_ns;
	bool early;
	enum ending early_then;
	enum ending kill;
	enum kill_at kill_at;
	bool noread;
	uint64_t noread_ns;
	size_t slowread;
	uint64_t slowread_ns;
	uint64_t late_ns;
	unsigned int reorder;
	bool shuffle, interleave;
	uint64_t reorder_ns;
};

/* What a rule looks at. */
struct request_key {
	struct conn *conn;
	uint16_t type;
	bool fua;
	uint64_t offset;
	uint32_t len;
};

/* True if @verb belongs to this file. */
bool rule_is_verb(const char *verb);

/* Add the rule on @line, whose verb is one; false and a message in @error if it is wrong. */
bool rule_add(const char *line, char *error, size_t size);

/* Remove all rules. */
void rules_clear(void);
void rules_print(FILE *out);

/* What is to go wrong with this request; counts it. */
void rules_match(const struct request_key *key, struct effects *effects);

#endif /* NBD_TEST_RULES_H */
