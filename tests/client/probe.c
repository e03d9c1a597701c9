// SPDX-License-Identifier: GPL-2.0
/*
 * Head and tail over a connection to a server that plays a part: what is asked for, what
 * arrives where, what is refused, and that nothing is left in the stream.
 */
#include <endian.h>
#include <errno.h>
#include <linux/nbd.h>
#include <stdlib.h>

#include "../../client/probe.h"
#include "tap.h"

/** enum part - what the server does wrong */
enum part {
	GOOD,
	BACKWARDS,		/* answers the last request first */
	BAD_MAGIC,
	STRUCTURED,		/* the magic of a structured reply */
	CHUNKS,			/* structured replies, which were agreed on: two chunks each */
	CHUNK_ERRORS,		/* the same, NBD_EIO behind some data */
	CHUNK_LACKS,		/* the same, but the second chunk does not come */
	ALIEN,			/* a cookie that was never sent */
	NOT_YET,		/* the cookie of the next request */
	TWICE,			/* the same reply again */
	ERRORS,			/* NBD_EIO, without data */
	SHUTS_DOWN,		/* NBD_ESHUTDOWN */
	CUT,			/* ends in the middle of the data */
	MUTE,			/* ends without a word */
};

#define REQUESTS_MAX 600

/**
 * struct server - a stream to it and back
 * @base:	for probe.c
 * @part:	what it does
 * @step:	most bytes of one send or receive
 * @stutters:	half the calls would block
 * @turn:	calls so far
 * @requests:	what came
 * @n:		how many, whole
 * @got:	bytes of the next one
 * @out:	what it has to say
 * @out_len:	bytes there
 * @out_at:	bytes of them that were received
 * @ended:	no more comes
 */
struct server {
	struct nbd_transport base;
	enum part part;
	size_t step;
	bool stutters;
	unsigned int turn;
	struct nbd_request requests[REQUESTS_MAX];
	unsigned int n;
	size_t got;
	unsigned char *out;
	size_t out_len;
	size_t out_at;
	bool ended;
};

static unsigned char pattern(u64 offset)
{
	return (offset >> 9) * 7 + offset;
}

static unsigned char *room(struct server *s, size_t len)
{
	s->out = realloc(s->out, s->out_len + len);
	s->out_len += len;
	return s->out + s->out_len - len;
}

/* Header, and offset if it is data. */
static void put_chunk(struct server *s, const struct nbd_request *r, u16 flags, u16 type,
		      u32 len, u64 from)
{
	const u32 magic = htobe32(0x668e33ef);

	flags = htobe16(flags);
	type = htobe16(type);
	len = htobe32(len);
	from = htobe64(from);
	memcpy(room(s, 4), &magic, 4);
	memcpy(room(s, 2), &flags, 2);
	memcpy(room(s, 2), &type, 2);
	memcpy(room(s, 8), &r->cookie, 8);
	memcpy(room(s, 4), &len, 4);
	if (type == htobe16(NBD_CHUNK_DATA))
		memcpy(room(s, 8), &from, 8);
}

static void put_data(struct server *s, const struct nbd_request *r, u16 flags, u64 from, u32 len)
{
	unsigned char *data;
	u32 i;

	put_chunk(s, r, flags, NBD_CHUNK_DATA, 8 + len, from);
	data = room(s, len);
	for (i = 0; i < len; i++)
		data[i] = pattern(from + i);
}

/* The second half first. */
static void reply_in_chunks(struct server *s, const struct nbd_request *r)
{
	static const unsigned char eio[] = { 0, 0, 0, 5, 0, 2, 'n', 'o' };
	u64 from = be64toh(r->from);
	u32 len = be32toh(r->len), half = len / 2;

	put_data(s, r, 0, from + half, len - half);
	if (s->part == CHUNKS) {
		put_data(s, r, NBD_CHUNK_DONE, from, half);
	} else if (s->part == CHUNK_LACKS) {
		put_chunk(s, r, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 0, 0);
	} else {
		put_chunk(s, r, 0, NBD_CHUNK_ERROR, sizeof(eio), 0);
		memcpy(room(s, sizeof(eio)), eio, sizeof(eio));
		put_chunk(s, r, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 0, 0);
	}
}

static bool is_structured(const struct server *s)
{
	return s->part == CHUNKS || s->part == CHUNK_ERRORS || s->part == CHUNK_LACKS;
}

static void reply(struct server *s, const struct nbd_request *r)
{
	struct nbd_reply reply = {
		.magic = htobe32(NBD_REPLY_MAGIC),
		.cookie = r->cookie,
	};
	u64 from = be64toh(r->from);
	u32 i, len = be32toh(r->len);
	unsigned char *data;

	if (is_structured(s)) {
		reply_in_chunks(s, r);
		return;
	}
	if (s->part == BAD_MAGIC)
		reply.magic = 0;
	if (s->part == STRUCTURED)
		reply.magic = htobe32(0x668e33ef);
	if (s->part == ALIEN)
		reply.cookie = htobe64(1);
	if (s->part == NOT_YET)
		reply.cookie = htobe64(be64toh(r->cookie) + 1);
	if (s->part == ERRORS || s->part == SHUTS_DOWN)
		reply.error = htobe32(s->part == ERRORS ? 5 : 108);
	memcpy(room(s, sizeof(reply)), &reply, sizeof(reply));
	if (s->part == CUT)
		len = 5;
	if (reply.error)
		len = 0;
	data = room(s, len);
	for (i = 0; i < len; i++)
		data[i] = pattern(from + i);
	s->ended |= s->part == CUT;
}

/* In no rhythm that a caller could share. */
static bool stutters(struct server *s)
{
	return s->stutters && (s->turn++ * 2654435761u) >> 31;
}

static void take_request(struct server *s)
{
	const struct nbd_request *r = &s->requests[s->n++];

	expect(be32toh(r->magic) == NBD_REQUEST_MAGIC);
	expect_number(be32toh(r->type), NBD_CMD_READ);
	s->got = 0;
	if (s->part == MUTE)
		s->ended = true;
	else if (s->part != BACKWARDS)
		reply(s, r);
	if (s->part == TWICE)
		reply(s, r);
}

static ssize_t server_send(struct nbd_transport *t, const void *buf, size_t len)
{
	struct server *s = (struct server *)t;
	unsigned char *at;
	size_t i;

	if (stutters(s))
		return -EAGAIN;
	if (len > s->step)
		len = s->step;
	for (i = 0; i < len && s->n < REQUESTS_MAX; i++) {
		at = (unsigned char *)&s->requests[s->n];
		at[s->got++] = ((const unsigned char *)buf)[i];
		if (s->got == sizeof(s->requests[0]))
			take_request(s);
	}
	return len;
}

static ssize_t server_recv(struct nbd_transport *t, void *buf, size_t len)
{
	struct server *s = (struct server *)t;
	unsigned int i;

	if (stutters(s))
		return -EAGAIN;
	if (s->part == BACKWARDS && !s->out_len)
		for (i = s->n; i; i--)
			reply(s, &s->requests[i - 1]);
	if (len > s->step)
		len = s->step;
	if (len > s->out_len - s->out_at)
		len = s->out_len - s->out_at;
	if (!len)
		return s->ended ? 0 : -EAGAIN;
	memcpy(buf, s->out + s->out_at, len);
	s->out_at += len;
	return len;
}

static const struct nbd_transport_ops server_ops = {
	.recv = server_recv,
	.send = server_send,
};

/** struct outcome - of one probe */
struct outcome {
	int ret;
	struct nbd_err err;
	struct nbd_probe p;
	unsigned int n;
};

static struct server *new_server(enum part part, size_t step, bool stutters)
{
	struct server *s = calloc(1, sizeof(*s));

	s->base.ops = &server_ops;
	s->part = part;
	s->step = step;
	s->stutters = stutters;
	return s;
}

static bool filled_in(const struct nbd_probe_area *area)
{
	u32 i;

	for (i = 0; i < area->length; i++)
		if (area->memory[i] != pattern(area->offset + i))
			return false;
	return true;
}

/* Within the export, in blocks. */
static void check_requests(const struct server *s, const struct nbd_export *e)
{
	u32 min = e->has_block_sizes ? e->block_min : 1;
	unsigned int i;

	for (i = 0; i < s->n; i++) {
		u64 from = be64toh(s->requests[i].from);
		u32 len = be32toh(s->requests[i].len);

		expect(len && from + len <= e->size);
		expect(!(from % min) && !(len % min));
		expect(!e->has_block_sizes || len <= e->block_max);
	}
}

static struct outcome probe(struct server *s, const struct nbd_export *e)
{
	struct outcome o = { 0 };
	unsigned int i, tries = 0;

	o.ret = nbd_probe_init(&o.p, e, is_structured(s), &o.err);
	for (i = 0; i < 2; i++)
		o.p.area[i].memory = malloc(o.p.area[i].length);
	if (!o.ret)
		do {
			o.ret = nbd_probe_run(&o.p, &s->base, &o.err);
		} while (o.ret == -EAGAIN && ++tries < 4000000);
	o.n = s->n;
	check_requests(s, e);
	if (!o.ret)
		expect_number(s->out_at, s->out_len);
	if (!o.ret && !o.p.error)
		for (i = 0; i < 2; i++)
			expect(filled_in(&o.p.area[i]));
	for (i = 0; i < 2; i++)
		free(o.p.area[i].memory);
	free(s->out);
	free(s);
	return o;
}

static struct nbd_export export_of(u64 size, u32 min, u32 max)
{
	struct nbd_export e = {
		.size = size,
		.has_block_sizes = min,
		.block_min = min,
		.block_preferred = min,
		.block_max = max,
	};

	return e;
}

static void test_sizes(void)
{
	static const u64 sizes[] = {
		512, 4096, 65536, 131072, 131584, 196608, 200704, 262144,
		266240, 1 << 20, (1 << 20) + 512, 1ULL << 40, (1ULL << 62) + 4096,
	};
	struct nbd_export e;
	struct outcome o;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		tap_test("probe: %llu bytes", sizes[i]);
		e = export_of(sizes[i], 0, 0);
		o = probe(new_server(GOOD, 1 << 20, false), &e);
		expect_number(o.ret, 0);
		expect(o.n <= 2);
		e = export_of(sizes[i], 512, 512);
		o = probe(new_server(BACKWARDS, 1 << 20, false), &e);
		expect_number(o.ret, 0);
		expect(o.n <= NBD_PROBE_PIECES_MAX);
		e = export_of(sizes[i], 1, 10000);
		o = probe(new_server(GOOD, 333, true), &e);
		expect_number(o.ret, 0);
	}
	tap_test("probe: blocks of 64 KiB");
	e = export_of(10 << 20, 65536, 65536);
	o = probe(new_server(BACKWARDS, 1 << 20, false), &e);
	expect_number(o.ret, 0);
	expect_number(o.n, 4);

	tap_test("probe: a last block that is not whole");
	e = export_of((1 << 20) + 100, 0, 0);
	o = probe(new_server(GOOD, 1 << 20, false), &e);
	expect_number(o.ret, 0);
}

static void test_steps(void)
{
	struct nbd_export e = export_of(1 << 20, 512, 1 << 20);
	struct outcome o;

	tap_test("probe: byte by byte");
	o = probe(new_server(GOOD, 1, false), &e);
	expect_number(o.ret, 0);

	tap_test("probe: byte by byte, with pauses");
	o = probe(new_server(GOOD, 1, true), &e);
	expect_number(o.ret, 0);

	tap_test("probe: structured replies, whole and byte by byte");
	o = probe(new_server(CHUNKS, 1 << 20, false), &e);
	expect_number(o.ret, 0);
	o = probe(new_server(CHUNKS, 1, true), &e);
	expect_number(o.ret, 0);

	tap_test("probe: all requests are sent before the first reply");
	o = probe(new_server(BACKWARDS, 1 << 20, false), &e);
	expect_number(o.ret, 0);
	expect_number(o.n, 2);
}

static void expect_refusal(enum part part, enum nbd_exit status, const char *words)
{
	struct nbd_export e = export_of(1 << 20, 512, 8192);
	struct outcome o;
	int step;

	for (step = 1; step < 100000; step *= 99) {
		o = probe(new_server(part, step, false), &e);
		expect(o.ret < 0 && o.ret != -EAGAIN);
		expect_number(o.err.status, status);
		expect_words(o.err.text, words);
	}
}

static void test_faults(void)
{
	struct nbd_export e = export_of(1 << 20, 512, 8192);
	struct outcome o;

	tap_test("probe: a wrong magic number");
	expect_refusal(BAD_MAGIC, NBD_EXIT_PROTOCOL, "wrong magic");
	tap_test("probe: a structured reply that was not negotiated");
	expect_refusal(STRUCTURED, NBD_EXIT_PROTOCOL, "structured reply");
	tap_test("probe: a structured reply that lacks a half");
	expect_refusal(CHUNK_LACKS, NBD_EXIT_PROTOCOL, "lacks data");
	tap_test("probe: a reply for nothing");
	expect_refusal(ALIEN, NBD_EXIT_PROTOCOL, "not outstanding");
	tap_test("probe: a reply twice");
	expect_refusal(TWICE, NBD_EXIT_PROTOCOL, "not outstanding");
	tap_test("probe: an end in the data");
	expect_refusal(CUT, NBD_EXIT_CONNECT, "ended the connection");
	tap_test("probe: an end without a word");
	expect_refusal(MUTE, NBD_EXIT_CONNECT, "ended the connection");
	tap_test("probe: a server that shuts down");
	expect_refusal(SHUTS_DOWN, NBD_EXIT_CONNECT, "shutting down");

	tap_test("probe: a reply before its request has left");
	o = probe(new_server(NOT_YET, 1, false), &e);
	expect_number(o.err.status, NBD_EXIT_PROTOCOL);

	tap_test("probe: errors are told, and leave nothing behind");
	o = probe(new_server(ERRORS, 1, true), &e);
	expect_number(o.ret, 0);
	expect_number(o.p.error, 5);

	tap_test("probe: errors in chunks are told, and leave nothing behind");
	o = probe(new_server(CHUNK_ERRORS, 1, true), &e);
	expect_number(o.ret, 0);
	expect_number(o.p.error, 5);

	tap_test("probe: no request is small enough");
	e = export_of(1 << 20, 1, 256);
	o = probe(new_server(GOOD, 1, false), &e);
	expect_number(o.err.status, NBD_EXIT_UNFIT);
}

void test_probe(void)
{
	test_sizes();
	test_steps();
	test_faults();
}
