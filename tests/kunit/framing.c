// SPDX-License-Identifier: GPL-2.0
/*
 * What kernel/framing.c makes of a stream of replies, cut anywhere. Runs in the kernel, and
 * in userspace as tests/kunit/wire.c does.
 */
#include <kunit/test.h>
#ifdef __KERNEL__
#include <linux/array_size.h>
#include <linux/string.h>
#endif
#include "reader.h"

/* Puts a reply header at @to. */
static __u32 put_header(__u8 *to, __u32 magic, __u32 error, __u8 cookie)
{
	const __u8 bytes[NBD_REPLY_SIZE] = {
		magic >> 24, magic >> 16, magic >> 8, magic,
		error >> 24, error >> 16, error >> 8, error,
		[NBD_REPLY_SIZE - 1] = cookie,
	};

	memcpy(to, bytes, sizeof(bytes));
	return sizeof(bytes);
}

static __u32 put_payload(__u8 *to, __u32 len, __u8 first)
{
	__u32 i;

	for (i = 0; i < len; i++)
		to[i] = first + i;
	return len;
}

static bool has_payload(const struct reader_request *q, __u32 len, __u8 first)
{
	__u32 i;

	for (i = 0; i < len; i++)
		if (q->memory[i] != (__u8)(first + i))
			return false;
	for (; i < READER_BYTES; i++)
		if (q->memory[i])
			return false;
	return true;
}

/* The requests that the streams below answer: reads of 40 bytes and of 1, and a write. */
static const __u32 lengths[] = { 40, 0, 1 };

static void new_requests(struct reader_request *requests)
{
	unsigned int i;

	memset(requests, 0, ARRAY_SIZE(lengths) * sizeof(*requests));
	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		requests[i].len = lengths[i];
}

/* Replies to all of them, out of order: its length. */
static __u32 whole_stream(__u8 *to)
{
	__u32 n = 0;

	n += put_header(to + n, NBD_REPLY_MAGIC, 0, 2);
	n += put_payload(to + n, 1, 0x77);
	n += put_header(to + n, NBD_REPLY_MAGIC, 0, 0);
	n += put_payload(to + n, 40, 0x10);
	n += put_header(to + n, NBD_REPLY_MAGIC, 28, 1);
	return n;
}

static void expect_all_answered(struct kunit *test, struct reader *r)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		KUNIT_EXPECT_EQ(test, r->requests[i].finished, 1U);
	KUNIT_EXPECT_EQ(test, r->requests[0].error, 0U);
	KUNIT_EXPECT_EQ(test, r->requests[1].error, 28U);
	KUNIT_EXPECT_TRUE(test, has_payload(&r->requests[0], 40, 0x10));
	KUNIT_EXPECT_TRUE(test, has_payload(&r->requests[1], 0, 0));
	KUNIT_EXPECT_TRUE(test, has_payload(&r->requests[2], 1, 0x77));
	KUNIT_EXPECT_TRUE(test, !r->strange && !r->outside);
	/* Nothing of the next one is there. */
	KUNIT_EXPECT_EQ(test, r->framing.left, (__u32)NBD_REPLY_SIZE);
	KUNIT_EXPECT_TRUE(test, !nbd_framing_in_payload(&r->framing));
}

/* Cut in two after each byte, and in pieces of each size. */
static void cut_anywhere(struct kunit *test)
{
	/* more than a stack of the kernel should hold */
	static struct reader_request requests[ARRAY_SIZE(lengths)];
	__u8 stream[128];
	__u32 len = whole_stream(stream), at, n, done;
	struct reader r;

	for (at = 0; at <= len; at++) {
		new_requests(requests);
		reader_init(&r, requests, ARRAY_SIZE(requests), false);
		KUNIT_EXPECT_EQ(test, reader_read(&r, stream, at), at);
		KUNIT_EXPECT_EQ(test, reader_read(&r, stream + at, len - at), len - at);
		expect_all_answered(test, &r);
	}
	for (n = 1; n < len; n++) {
		new_requests(requests);
		reader_init(&r, requests, ARRAY_SIZE(requests), false);
		for (done = 0; done < len; done += n)
			reader_read(&r, stream + done, n < len - done ? n : len - done);
		expect_all_answered(test, &r);
	}
}

/* What remains to be read, and where it belongs, after each byte of a reply with payload. */
static void what_remains(struct kunit *test)
{
	struct nbd_framing f;
	__u32 i;

	nbd_framing_init(&f, false);
	put_header(f.raw, NBD_REPLY_MAGIC, 0, 5);
	for (i = 0; i < NBD_REPLY_SIZE - 1; i++) {
		KUNIT_EXPECT_EQ(test, f.left, NBD_REPLY_SIZE - i);
		KUNIT_EXPECT_TRUE(test, nbd_framing_head(&f) == f.raw + i);
		KUNIT_EXPECT_EQ(test, (int)nbd_framing_advance(&f, 1), (int)NBD_STEP_READ);
	}
	KUNIT_EXPECT_EQ(test, (int)nbd_framing_advance(&f, 1), (int)NBD_STEP_LOOK_UP);
	KUNIT_EXPECT_TRUE(test, f.reply.cookie == 5);
	KUNIT_EXPECT_EQ(test, (int)nbd_framing_expect(&f, 1000), (int)NBD_STEP_READ);
	KUNIT_EXPECT_TRUE(test, nbd_framing_in_payload(&f));
	KUNIT_EXPECT_EQ(test, (int)nbd_framing_advance(&f, 300), (int)NBD_STEP_READ);
	KUNIT_EXPECT_EQ(test, f.offset, 300U);
	KUNIT_EXPECT_EQ(test, f.left, 700U);
	KUNIT_EXPECT_EQ(test, (int)nbd_framing_advance(&f, 699), (int)NBD_STEP_READ);
	KUNIT_EXPECT_EQ(test, f.offset, 999U);
	KUNIT_EXPECT_EQ(test, (int)nbd_framing_advance(&f, 1), (int)NBD_STEP_FINISH);
	/* Still told; then the next header is read. */
	KUNIT_EXPECT_TRUE(test, f.reply.cookie == 5);
	KUNIT_EXPECT_TRUE(test, !nbd_framing_in_payload(&f));
	KUNIT_EXPECT_TRUE(test, nbd_framing_head(&f) == f.raw);
}

/* The largest request that there can be. */
static void largest_payload(struct kunit *test)
{
	struct nbd_framing f;

	nbd_framing_init(&f, false);
	put_header(f.raw, NBD_REPLY_MAGIC, 0, 0);
	KUNIT_EXPECT_EQ(test, (int)nbd_framing_advance(&f, NBD_REPLY_SIZE), (int)NBD_STEP_LOOK_UP);
	nbd_framing_expect(&f, 0xffffffff);
	KUNIT_EXPECT_EQ(test, (int)nbd_framing_advance(&f, 0xfffffffe), (int)NBD_STEP_READ);
	KUNIT_EXPECT_EQ(test, f.offset, 0xfffffffe);
	KUNIT_EXPECT_EQ(test, (int)nbd_framing_advance(&f, 1), (int)NBD_STEP_FINISH);
}

/* An error has no payload, whatever was asked for. */
static void error_is_all(struct kunit *test)
{
	/* more than a stack of the kernel should hold */
	static struct reader_request requests[ARRAY_SIZE(lengths)];
	__u8 stream[128];
	struct reader r;
	__u32 n;

	new_requests(requests);
	reader_init(&r, requests, ARRAY_SIZE(requests), false);
	n = put_header(stream, NBD_REPLY_MAGIC, 5, 0);
	n += put_header(stream + n, NBD_REPLY_MAGIC, 0, 2);
	n += put_payload(stream + n, 1, 0x31);
	KUNIT_EXPECT_EQ(test, reader_read(&r, stream, n), n);
	KUNIT_EXPECT_EQ(test, requests[0].finished, 1U);
	KUNIT_EXPECT_EQ(test, requests[0].error, 5U);
	KUNIT_EXPECT_TRUE(test, has_payload(&requests[0], 0, 0));
	KUNIT_EXPECT_EQ(test, requests[2].finished, 1U);
	KUNIT_EXPECT_TRUE(test, has_payload(&requests[2], 1, 0x31));
}

/* What is no header where one has to be ends it there, and says why. */
static void gives_up(struct kunit *test)
{
	static const struct {
		__u32 magic;
		enum nbd_verdict verdict;
	} cases[] = {
		{ NBD_REPLY_MAGIC ^ 1, NBD_REPLY_BAD_MAGIC },
		{ 0x668e33ef, NBD_REPLY_STRUCTURED },
	};
	/* more than a stack of the kernel should hold */
	static struct reader_request requests[ARRAY_SIZE(lengths)];
	__u8 stream[128];
	unsigned int i;
	struct reader r;
	__u32 n, end;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		new_requests(requests);
		reader_init(&r, requests, ARRAY_SIZE(requests), false);
		n = put_header(stream, NBD_REPLY_MAGIC, 0, 2);
		n += put_payload(stream + n, 1, 0x31);
		end = n + put_header(stream + n, cases[i].magic, 0, 1);
		n = end + put_header(stream + end, NBD_REPLY_MAGIC, 0, 0);
		KUNIT_EXPECT_EQ(test, reader_read(&r, stream, n), end);
		KUNIT_EXPECT_EQ(test, (int)r.framing.verdict, (int)cases[i].verdict);
		KUNIT_EXPECT_EQ(test, requests[2].finished, 1U);
		KUNIT_EXPECT_EQ(test, requests[1].answered, 0U);
		KUNIT_EXPECT_TRUE(test, !r.strange && !r.outside);
	}
}

static struct kunit_case framing_cases[] = {
	KUNIT_CASE(cut_anywhere),
	KUNIT_CASE(what_remains),
	KUNIT_CASE(largest_payload),
	KUNIT_CASE(error_is_all),
	KUNIT_CASE(gives_up),
	{ }
};

static struct kunit_suite framing_suite = {
	.name = "nbd_framing",
	.test_cases = framing_cases,
};

kunit_test_suites(&framing_suite);
