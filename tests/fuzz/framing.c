// SPDX-License-Identifier: GPL-2.0
/*
 * The driver's framing, kernel/framing.c. The input is a number of requests, whose highest
 * bit says that structured replies were agreed on, their lengths, what the stream is cut by,
 * and the stream. It is read in one piece and in several, and, if replies are simple, by a
 * model that has all of it at once; all must come to the same.
 */
#include <stdint.h>
#include <string.h>

#include "../common.h"
#include "../kunit/reader.h"
#include "fuzz.h"

#define REQUESTS_MAX	8

static uint32_t be32_at(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static void new_requests(struct reader_request *requests, const unsigned char *lengths,
			 unsigned int nr)
{
	unsigned int i;

	memset(requests, 0, REQUESTS_MAX * sizeof(*requests));
	for (i = 0; i < nr; i++) {
		requests[i].len = lengths[i] % (READER_BYTES + 1);
		requests[i].from = (uint64_t)i << 31;
	}
}

/* The request that the header at @p answers, or NULL if the stream ends there. */
static struct reader_request *model_look_up(struct reader_request *requests, unsigned int nr,
					    const unsigned char *p)
{
	uint64_t cookie = (uint64_t)be32_at(p + 8) << 32 | be32_at(p + 12);

	if (be32_at(p) != NBD_REPLY_MAGIC || cookie >= nr || requests[cookie].answered)
		return NULL;
	return &requests[cookie];
}

/* The protocol by itself: how much of the stream is read. */
static size_t model(struct reader_request *requests, unsigned int nr,
		    const unsigned char *stream, size_t len)
{
	struct reader_request *q;
	size_t at = 0, payload;

	while (len - at >= NBD_REPLY_SIZE) {
		q = model_look_up(requests, nr, stream + at);
		if (!q)
			return at + NBD_REPLY_SIZE;
		q->answered = 1;
		payload = be32_at(stream + at + 4) ? 0 : q->len;
		if (payload > len - at - NBD_REPLY_SIZE) {
			memcpy(q->memory, stream + at + NBD_REPLY_SIZE, len - at - NBD_REPLY_SIZE);
			return len;
		}
		memcpy(q->memory, stream + at + NBD_REPLY_SIZE, payload);
		q->error = be32_at(stream + at + 4);
		q->finished = 1;
		at += NBD_REPLY_SIZE + payload;
	}
	return len;
}

/* In pieces of 1 to @cut bytes, as @cut says; 0: in one. */
static size_t read_in_pieces(struct reader *r, const unsigned char *stream, size_t len,
			     unsigned int cut)
{
	uint32_t random = cut, n, got;
	size_t done = 0;

	while (done < len) {
		random = random * 1103515245 + 12345;
		n = cut ? 1 + (random >> 16) % cut : len;
		if (n > len - done)
			n = len - done;
		got = reader_read(r, stream + done, n);
		done += got;
		fuzz_check(!r->outside);
		if (got < n || r->strange || r->framing.verdict != NBD_REPLY_OK)
			break;
	}
	return done;
}

static void check_stream(const unsigned char *lengths, unsigned int nr,
			 const unsigned char *stream, size_t len, unsigned int cut)
{
	struct reader_request got[REQUESTS_MAX], wanted[REQUESTS_MAX];
	struct reader r;

	new_requests(got, lengths, nr);
	new_requests(wanted, lengths, nr);
	reader_init(&r, got, nr, false);
	fuzz_check(read_in_pieces(&r, stream, len, cut) == model(wanted, nr, stream, len));
	fuzz_check(!memcmp(got, wanted, sizeof(got)));
	fuzz_check_printable(nbd_verdict_text(r.framing.verdict));
}

/* A reply that is whole has all that was asked for, unless it is an error. */
static void check_requests(const struct reader_request *requests, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct reader_request *q = &requests[i];

		fuzz_check(q->finished <= 1);
		fuzz_check(!q->finished || q->error || !q->len ||
			   nbd_cover_is_whole(&q->cover, q->len));
		fuzz_check(q->cover.nr <= NBD_COVER_MAX);
		fuzz_check_printable(q->text);
	}
}

static void check_structured(const unsigned char *lengths, unsigned int nr,
			     const unsigned char *stream, size_t len, unsigned int cut)
{
	struct reader_request whole[REQUESTS_MAX], pieces[REQUESTS_MAX];
	struct reader a, b;

	new_requests(whole, lengths, nr);
	new_requests(pieces, lengths, nr);
	reader_init(&a, whole, nr, true);
	reader_init(&b, pieces, nr, true);
	fuzz_check(read_in_pieces(&a, stream, len, 0) == read_in_pieces(&b, stream, len, cut));
	fuzz_check(a.framing.verdict == b.framing.verdict && a.strange == b.strange);
	fuzz_check(!memcmp(whole, pieces, sizeof(whole)));
	fuzz_check_printable(nbd_verdict_text(a.framing.verdict));
	check_requests(whole, nr);
}

int fuzz_one(const unsigned char *data, size_t len)
{
	unsigned int nr, cut;

	if (!len)
		return 0;
	nr = 1 + data[0] % REQUESTS_MAX;
	if (len < 2 + nr)
		return 0;
	cut = data[1 + nr];
	if (data[0] & 0x80) {
		check_structured(data + 1, nr, data + 2 + nr, len - 2 - nr, cut);
		check_structured(data + 1, nr, data + 2 + nr, len - 2 - nr, 1);
		return 0;
	}
	check_stream(data + 1, nr, data + 2 + nr, len - 2 - nr, 0);
	check_stream(data + 1, nr, data + 2 + nr, len - 2 - nr, cut);
	return 0;
}
