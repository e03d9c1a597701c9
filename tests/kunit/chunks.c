// SPDX-License-Identifier: GPL-2.0
/*
 * Structured replies: what kernel/cover.c and kernel/framing.c make of chunks in any order,
 * and of each that must cost the connection. Runs in the kernel, and in userspace as
 * tests/kunit/wire.c does.
 */
#include <kunit/test.h>
#ifdef __KERNEL__
#include <linux/array_size.h>
#include <linux/string.h>
#endif
#include "reader.h"

/* --- what has come --- */

static void cover_orders(struct kunit *test)
{
	struct nbd_cover c;
	__u32 i;

	nbd_cover_init(&c);
	KUNIT_EXPECT_TRUE(test, !nbd_cover_is_whole(&c, 1));
	for (i = 0; i < 100; i++) {
		KUNIT_EXPECT_TRUE(test, !nbd_cover_is_whole(&c, 100));
		KUNIT_EXPECT_EQ(test, (int)nbd_cover_add(&c, i, i + 1), (int)NBD_REPLY_OK);
		KUNIT_EXPECT_EQ(test, c.nr, 1U);
	}
	KUNIT_EXPECT_TRUE(test, nbd_cover_is_whole(&c, 100));
	KUNIT_EXPECT_TRUE(test, !nbd_cover_is_whole(&c, 101));

	nbd_cover_init(&c);
	for (i = 100; i > 0; i--) {
		KUNIT_EXPECT_EQ(test, (int)nbd_cover_add(&c, i - 1, i), (int)NBD_REPLY_OK);
		KUNIT_EXPECT_EQ(test, c.nr, 1U);
	}
	KUNIT_EXPECT_TRUE(test, nbd_cover_is_whole(&c, 100));

	/* Every other one, then what is between. */
	nbd_cover_init(&c);
	for (i = 0; i < 2 * NBD_COVER_MAX; i += 2)
		KUNIT_EXPECT_EQ(test, (int)nbd_cover_add(&c, i, i + 1), (int)NBD_REPLY_OK);
	KUNIT_EXPECT_EQ(test, c.nr, (__u32)NBD_COVER_MAX);
	for (i = 1; i < 2 * NBD_COVER_MAX; i += 2)
		KUNIT_EXPECT_EQ(test, (int)nbd_cover_add(&c, i, i + 1), (int)NBD_REPLY_OK);
	KUNIT_EXPECT_TRUE(test, nbd_cover_is_whole(&c, 2 * NBD_COVER_MAX));
}

static void cover_refusals(struct kunit *test)
{
	/* Where 10 to 20 and 30 to 40 have come. */
	static const __u32 overlaps[][2] = {
		{ 10, 20 }, { 10, 11 }, { 19, 20 }, { 5, 11 }, { 19, 25 }, { 0, 100 }, { 12, 13 },
		{ 20, 31 }, { 39, 41 }, { 15, 35 }, { 20, 100 }, { 0, 0xffffffff },
	};
	struct nbd_cover c, before;
	__u32 i;

	nbd_cover_init(&c);
	nbd_cover_add(&c, 30, 40);
	nbd_cover_add(&c, 10, 20);
	before = c;
	for (i = 0; i < ARRAY_SIZE(overlaps); i++)
		KUNIT_EXPECT_EQ(test, (int)nbd_cover_add(&c, overlaps[i][0], overlaps[i][1]),
				(int)NBD_CHUNK_OVERLAP);
	KUNIT_EXPECT_TRUE(test, !memcmp(&c, &before, sizeof(c)));

	nbd_cover_init(&c);
	for (i = 0; i < NBD_COVER_MAX; i++)
		KUNIT_EXPECT_EQ(test, (int)nbd_cover_add(&c, 1000 - 2 * i, 1001 - 2 * i),
				(int)NBD_REPLY_OK);
	KUNIT_EXPECT_EQ(test, (int)nbd_cover_add(&c, 0, 1), (int)NBD_CHUNK_SCATTERED);
	KUNIT_EXPECT_EQ(test, (int)nbd_cover_add(&c, 2000, 2001), (int)NBD_CHUNK_SCATTERED);
	KUNIT_EXPECT_EQ(test, (int)nbd_cover_add(&c, 1001, 1002), (int)NBD_REPLY_OK);
}

/* --- streams --- */

/** struct stream - what the server sends */
struct stream {
	__u8 bytes[8192];
	__u32 len;
};

static void put(struct stream *s, __u64 value, unsigned int size)
{
	while (size--)
		s->bytes[s->len++] = value >> (8 * size);
}

static void put_chunk(struct stream *s, __u8 cookie, __u16 flags, __u16 type, __u32 length)
{
	put(s, 0x668e33ef, 4);
	put(s, flags, 2);
	put(s, type, 2);
	put(s, cookie, 8);
	put(s, length, 4);
}

static void put_data(struct stream *s, __u8 cookie, __u16 flags, __u64 at, __u32 n)
{
	__u32 i;

	put_chunk(s, cookie, flags, NBD_CHUNK_DATA, 8 + n);
	put(s, at, 8);
	for (i = 0; i < n; i++)
		put(s, at + i + 1, 1);
}

static void put_hole(struct stream *s, __u8 cookie, __u16 flags, __u64 at, __u32 n)
{
	put_chunk(s, cookie, flags, NBD_CHUNK_HOLE, 12);
	put(s, at, 8);
	put(s, n, 4);
}

static void put_text(struct stream *s, __u32 n)
{
	while (n--)
		put(s, 'a' + n % 26, 1);
}

static void put_error(struct stream *s, __u8 cookie, __u16 flags, __u32 number, __u32 text)
{
	put_chunk(s, cookie, flags, NBD_CHUNK_ERROR, 6 + text);
	put(s, number, 4);
	put(s, text, 2);
	put_text(s, text);
}

static void put_simple(struct stream *s, __u8 cookie, __u32 error)
{
	put(s, NBD_REPLY_MAGIC, 4);
	put(s, error, 4);
	put(s, cookie, 8);
}

/*
 * Requests: two reads of 40 bytes at byte 1000, a write, and a read of 1 byte that begins
 * where no 32 bits lead.
 */
#define NR_REQUESTS	4
#define FAR		(1ULL << 40)

static void new_requests(struct reader_request *requests)
{
	memset(requests, 0, NR_REQUESTS * sizeof(*requests));
	memset(requests[0].memory, 0xee, READER_BYTES);
	requests[0].len = 40;
	requests[1].len = 40;
	requests[3].len = 1;
	requests[0].from = 1000;
	requests[1].from = 1000;
	requests[3].from = FAR;
}

/* Two reads interleaved, one of them from its end; between them other replies. */
static void put_all(struct stream *s)
{
	s->len = 0;
	put_data(s, 0, 0, 1000, 10);
	put_data(s, 1, 0, 1020, 20);
	put_hole(s, 0, 0, 1010, 5);
	put_simple(s, 2, 0);
	put_data(s, 1, NBD_CHUNK_DONE, 1000, 20);
	put_data(s, 3, NBD_CHUNK_DONE, FAR, 1);
	put_data(s, 0, 0, 1015, 25);
	put_chunk(s, 0, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 0);
}

static bool has_bytes(const struct reader_request *q, __u32 from, __u32 to)
{
	for (; from < to; from++)
		if (q->memory[from] != (__u8)(q->from + from + 1))
			return false;
	return true;
}

static void expect_all(struct kunit *test, const struct reader *r)
{
	static const __u8 zeroes[5];
	const struct reader_request *q = r->requests;
	unsigned int i;

	for (i = 0; i < NR_REQUESTS; i++) {
		KUNIT_EXPECT_EQ(test, q[i].finished, 1U);
		KUNIT_EXPECT_EQ(test, q[i].error, 0U);
	}
	KUNIT_EXPECT_EQ(test, q[0].chunks, 4U);
	KUNIT_EXPECT_TRUE(test, has_bytes(&q[0], 0, 10) && has_bytes(&q[0], 15, 40));
	KUNIT_EXPECT_TRUE(test, !memcmp(q[0].memory + 10, zeroes, sizeof(zeroes)));
	KUNIT_EXPECT_TRUE(test, has_bytes(&q[1], 0, 40));
	KUNIT_EXPECT_TRUE(test, has_bytes(&q[3], 0, 1));
	KUNIT_EXPECT_TRUE(test, !r->strange && !r->outside);
	KUNIT_EXPECT_EQ(test, r->framing.left, (__u32)NBD_REPLY_SIZE);
}

static struct stream stream;
static struct reader_request requests[NR_REQUESTS];
static struct reader reader;

static void chunks_cut_anywhere(struct kunit *test)
{
	__u32 at, n, done;

	put_all(&stream);
	for (at = 0; at <= stream.len; at++) {
		new_requests(requests);
		reader_init(&reader, requests, NR_REQUESTS, true);
		reader_read(&reader, stream.bytes, at);
		reader_read(&reader, stream.bytes + at, stream.len - at);
		expect_all(test, &reader);
	}
	for (n = 1; n < 40; n++) {
		new_requests(requests);
		reader_init(&reader, requests, NR_REQUESTS, true);
		for (done = 0; done < stream.len; done += n)
			reader_read(&reader, stream.bytes + done,
				    n < stream.len - done ? n : stream.len - done);
		expect_all(test, &reader);
	}
}

/* Reads the stream; whether it came to its end. */
static bool read_stream(struct stream *s)
{
	new_requests(requests);
	reader_init(&reader, requests, NR_REQUESTS, true);
	return reader_read(&reader, s->bytes, s->len) == s->len &&
	       reader.framing.verdict == NBD_REPLY_OK && !reader.strange && !reader.outside;
}

/* A text may be of any length, whatever follows it; the first error counts. */
static void chunk_errors(struct kunit *test)
{
	static const __u32 lengths[] = {
		0, 1, NBD_FRAMING_TEXT - 1, NBD_FRAMING_TEXT, NBD_FRAMING_TEXT + 1,
		NBD_FRAMING_TEXT + NBD_FRAMING_RAW, 1000, NBD_CHUNK_TEXT_MAX,
	};
	struct stream *s = &stream;
	unsigned int i, kept;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		kept = lengths[i] < NBD_FRAMING_TEXT ? lengths[i] : NBD_FRAMING_TEXT;
		s->len = 0;
		put_error(s, 0, NBD_CHUNK_DONE, 28, lengths[i]);
		KUNIT_EXPECT_TRUE(test, read_stream(s));
		KUNIT_EXPECT_EQ(test, requests[0].finished, 1U);
		KUNIT_EXPECT_EQ(test, requests[0].error, 28U);
		KUNIT_EXPECT_EQ(test, strlen(requests[0].text), (size_t)kept);

		/* Where it is, and what nobody knows behind that; then a second error. */
		s->len = 0;
		put_chunk(s, 0, 0, NBD_CHUNK_ERROR_WHERE, 6 + lengths[i] + 8 + 45);
		put(s, 5, 4);
		put(s, lengths[i], 2);
		put_text(s, lengths[i]);
		put(s, 1039, 8);
		put_text(s, 45);
		put_data(s, 0, 0, 1000, 3);
		put_error(s, 0, NBD_CHUNK_DONE, 28, 3);
		KUNIT_EXPECT_TRUE(test, read_stream(s));
		KUNIT_EXPECT_TRUE(test, reader.framing.error.number == 28);
		KUNIT_EXPECT_EQ(test, requests[0].error, 5U);
	}

	/* An error of a type to come, and to a write; the number 0 is one, too. */
	s->len = 0;
	put_chunk(s, 2, 0, 0x8888, 6 + 30);
	put(s, 0, 4);
	put(s, 4, 2);
	put(s, 0x61001b7f, 4);
	put_text(s, 26);
	put_chunk(s, 2, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 0);
	KUNIT_EXPECT_TRUE(test, read_stream(s));
	KUNIT_EXPECT_EQ(test, requests[2].finished, 1U);
	KUNIT_EXPECT_EQ(test, requests[2].error, 5U);
	KUNIT_EXPECT_TRUE(test, !strcmp(requests[2].text, "a???"));
}

/** struct wrong - what ends a stream, and why */
struct wrong {
	void (*put)(struct stream *s);
	enum nbd_verdict verdict;
};

static void simple_read(struct stream *s) { put_simple(s, 0, 0); }
static void simple_read_error(struct stream *s) { put_simple(s, 0, 5); }
static void unknown_type(struct stream *s) { put_chunk(s, 0, 1, 3, 0); }
static void data_8(struct stream *s) { put_chunk(s, 0, 1, NBD_CHUNK_DATA, 8); }
static void data_0(struct stream *s) { put_chunk(s, 0, 1, NBD_CHUNK_DATA, 0); }
static void hole_11(struct stream *s) { put_chunk(s, 0, 1, NBD_CHUNK_HOLE, 11); }
static void hole_13(struct stream *s) { put_chunk(s, 0, 1, NBD_CHUNK_HOLE, 13); }
static void hole_of_0(struct stream *s) { put_hole(s, 0, 1, 1000, 0); }
static void none_not_last(struct stream *s) { put_chunk(s, 0, 0, NBD_CHUNK_NONE, 0); }
static void none_with_length(struct stream *s) { put_chunk(s, 0, 1, NBD_CHUNK_NONE, 1); }
static void error_5(struct stream *s) { put_chunk(s, 0, 1, NBD_CHUNK_ERROR, 5); }
static void where_13(struct stream *s) { put_chunk(s, 0, 1, NBD_CHUNK_ERROR_WHERE, 13); }

static void error_4g(struct stream *s)
{
	put_chunk(s, 0, 1, 0x9999, 0xffffffff);
}

static void data_for_write(struct stream *s) { put_data(s, 2, 1, 0, 1); }
static void hole_for_write(struct stream *s) { put_hole(s, 2, 1, 0, 1); }
static void data_before(struct stream *s) { put_data(s, 0, 1, 999, 10); }
static void data_behind(struct stream *s) { put_data(s, 0, 1, 1031, 10); }
static void hole_behind(struct stream *s) { put_hole(s, 0, 1, 1040, 1); }
static void hole_4g(struct stream *s) { put_hole(s, 0, 1, 1000, 0xffffffff); }
static void data_wrapped(struct stream *s) { put_data(s, 0, 1, ~0ULL, 10); }
static void data_64(struct stream *s) { put_data(s, 0, 1, (1ULL << 32) + 1000, 10); }

static void overlap(struct stream *s)
{
	put_data(s, 0, 0, 1000, 10);
	put_hole(s, 0, 1, 1009, 31);
}

static void lacks_all(struct stream *s) { put_chunk(s, 0, 1, NBD_CHUNK_NONE, 0); }
static void lacks_end(struct stream *s) { put_data(s, 0, 1, 1000, 39); }
static void lacks_begin(struct stream *s) { put_hole(s, 0, 1, 1001, 39); }

static void long_text(struct stream *s)
{
	put_chunk(s, 0, 1, NBD_CHUNK_ERROR, 10);
	put(s, 5, 4);
	put(s, 5, 2);
}

static void long_text_where(struct stream *s)
{
	put_chunk(s, 0, 1, NBD_CHUNK_ERROR_WHERE, 18);
	put(s, 5, 4);
	put(s, 5, 2);
}

static void text_4097(struct stream *s)
{
	put_chunk(s, 0, 1, NBD_CHUNK_ERROR, 6 + NBD_CHUNK_TEXT_MAX + 1);
	put(s, 5, 4);
	put(s, NBD_CHUNK_TEXT_MAX + 1, 2);
}

static void where_outside(struct stream *s)
{
	put_chunk(s, 0, 1, NBD_CHUNK_ERROR_WHERE, 14);
	put(s, 5, 4);
	put(s, 0, 2);
	put(s, 1040, 8);
}

static void scattered(struct stream *s)
{
	__u32 i;

	for (i = 0; i <= 2 * NBD_COVER_MAX; i += 2)
		put_data(s, 0, 0, 1000 + i, 1);
}

static const struct wrong wrongs[] = {
	{ simple_read, NBD_REPLY_SIMPLE_READ },
	{ simple_read_error, NBD_REPLY_SIMPLE_READ },
	{ unknown_type, NBD_CHUNK_UNKNOWN },
	{ data_8, NBD_CHUNK_BAD_LENGTH },
	{ data_0, NBD_CHUNK_BAD_LENGTH },
	{ hole_11, NBD_CHUNK_BAD_LENGTH },
	{ hole_13, NBD_CHUNK_BAD_LENGTH },
	{ hole_of_0, NBD_CHUNK_BAD_LENGTH },
	{ none_not_last, NBD_CHUNK_NOT_LAST },
	{ none_with_length, NBD_CHUNK_BAD_LENGTH },
	{ error_5, NBD_CHUNK_BAD_LENGTH },
	{ where_13, NBD_CHUNK_BAD_LENGTH },
	{ error_4g, NBD_CHUNK_BAD_LENGTH },
	{ data_for_write, NBD_CHUNK_CONTENT },
	{ hole_for_write, NBD_CHUNK_CONTENT },
	{ data_before, NBD_CHUNK_OUTSIDE },
	{ data_behind, NBD_CHUNK_OUTSIDE },
	{ hole_behind, NBD_CHUNK_OUTSIDE },
	{ hole_4g, NBD_CHUNK_OUTSIDE },
	{ data_wrapped, NBD_CHUNK_OUTSIDE },
	{ data_64, NBD_CHUNK_OUTSIDE },
	{ overlap, NBD_CHUNK_OVERLAP },
	{ lacks_all, NBD_CHUNK_LACKS },
	{ lacks_end, NBD_CHUNK_LACKS },
	{ lacks_begin, NBD_CHUNK_LACKS },
	{ long_text, NBD_CHUNK_BAD_TEXT },
	{ long_text_where, NBD_CHUNK_BAD_TEXT },
	{ text_4097, NBD_CHUNK_BAD_TEXT },
	{ where_outside, NBD_CHUNK_OUTSIDE },
	{ scattered, NBD_CHUNK_SCATTERED },
};

/* Each is noticed by what has come of it, without a byte more. */
static void chunk_violations(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrongs); i++) {
		stream.len = 0;
		wrongs[i].put(&stream);
		KUNIT_EXPECT_TRUE(test, !read_stream(&stream));
		KUNIT_EXPECT_EQ(test, (int)reader.framing.verdict, (int)wrongs[i].verdict);
		KUNIT_EXPECT_TRUE(test, !reader.outside && !reader.strange);
		KUNIT_EXPECT_EQ(test, requests[0].finished + requests[2].finished, 0U);
	}
}

static struct kunit_case chunk_cases[] = {
	KUNIT_CASE(cover_orders),
	KUNIT_CASE(cover_refusals),
	KUNIT_CASE(chunks_cut_anywhere),
	KUNIT_CASE(chunk_errors),
	KUNIT_CASE(chunk_violations),
	{ }
};

static struct kunit_suite chunk_suite = {
	.name = "nbd_chunks",
	.test_cases = chunk_cases,
};

kunit_test_suites(&chunk_suite);
