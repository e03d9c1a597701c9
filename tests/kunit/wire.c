// SPDX-License-Identifier: GPL-2.0
/*
 * What kernel/wire.c puts on the wire and takes from it. Runs in the kernel, and in
 * userspace with tests/wire/kunit/test.h for the kernel's header.
 */
#include <kunit/test.h>
#ifdef __KERNEL__
#include <linux/array_size.h>
#include <linux/errno.h>
#include <linux/string.h>
#endif
#include "../../kernel/wire.h"

/* proto.md, "Request message": 28 bytes, big-endian, without holes. */
static void encode_layout(struct kunit *test)
{
	static const __u8 wanted[NBD_REQUEST_SIZE] = {
		0x25, 0x60, 0x95, 0x13,				/* magic */
		0x00, 0x01,					/* command flags: FUA */
		0x00, 0x01,					/* type: WRITE */
		0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,	/* cookie */
		0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,	/* offset */
		0xfe, 0xdc, 0xba, 0x98,				/* length */
	};
	struct nbd_request header;

	memset(&header, 0xa5, sizeof(header));
	nbd_wire_encode(&header, NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 0x0123456789abcdefULL,
			0x0011223344556677ULL, 0xfedcba98);
	KUNIT_EXPECT_EQ(test, memcmp(&header, wanted, sizeof(wanted)), 0);
}

static void encode_types(struct kunit *test)
{
	static const struct {
		__u32 type, flags;
		__u8 wanted[4];
	} cases[] = {
		{ NBD_CMD_READ, 0, { 0, 0, 0, 0 } },
		{ NBD_CMD_WRITE, 0, { 0, 0, 0, 1 } },
		{ NBD_CMD_DISC, 0, { 0, 0, 0, 2 } },
		{ NBD_CMD_FLUSH, 0, { 0, 0, 0, 3 } },
		{ NBD_CMD_TRIM, 0, { 0, 0, 0, 4 } },
		{ NBD_CMD_WRITE_ZEROES, 0, { 0, 0, 0, 6 } },
		{ NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_NO_HOLE, { 0, 2, 0, 6 } },
		{ NBD_CMD_TRIM, NBD_CMD_FLAG_FUA, { 0, 1, 0, 4 } },
	};
	struct nbd_request header;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		nbd_wire_encode(&header, cases[i].type, cases[i].flags, 0, 0, 0);
		KUNIT_EXPECT_EQ(test, memcmp(&header.type, cases[i].wanted, 4), 0);
	}
}

/* proto.md, "Simple reply message". */
static void decode_fields(struct kunit *test)
{
	static const __u8 bytes[NBD_REPLY_SIZE] = {
		0x67, 0x44, 0x66, 0x98,				/* magic */
		0x00, 0x00, 0x00, 0x1c,				/* error */
		0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,	/* cookie */
	};
	struct nbd_wire_reply reply;
	struct nbd_reply header;

	memcpy(&header, bytes, sizeof(header));
	KUNIT_EXPECT_EQ(test, (int)nbd_wire_decode(&header, &reply), (int)NBD_REPLY_OK);
	KUNIT_EXPECT_EQ(test, reply.error, 28U);
	KUNIT_EXPECT_TRUE(test, reply.cookie == 0x0123456789abcdefULL);
}

static enum nbd_verdict decode_magic(__u32 magic, struct nbd_wire_reply *reply)
{
	__u8 bytes[NBD_REPLY_SIZE] = { magic >> 24, magic >> 16, magic >> 8, magic };
	struct nbd_reply header;

	memcpy(&header, bytes, sizeof(header));
	return nbd_wire_decode(&header, reply);
}

/* Anything but the magic is refused, and the result left alone. */
static void decode_magics(struct kunit *test)
{
	static const __u32 wrong[] = { 0, 0xffffffff, NBD_REQUEST_MAGIC, 0x98664467 };
	const struct nbd_wire_reply before = { .cookie = 0x5a5a, .error = 0xa5a5 };
	struct nbd_wire_reply reply = before;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		KUNIT_EXPECT_EQ(test, (int)decode_magic(wrong[i], &reply),
				(int)NBD_REPLY_BAD_MAGIC);
	for (i = 0; i < 32; i++)
		KUNIT_EXPECT_EQ(test, (int)decode_magic(NBD_REPLY_MAGIC ^ 1U << i, &reply),
				(int)NBD_REPLY_BAD_MAGIC);
	KUNIT_EXPECT_EQ(test, (int)decode_magic(0x668e33ef, &reply), (int)NBD_REPLY_STRUCTURED);
	KUNIT_EXPECT_TRUE(test, reply.cookie == before.cookie);
	KUNIT_EXPECT_EQ(test, reply.error, before.error);
	KUNIT_EXPECT_EQ(test, (int)decode_magic(NBD_REPLY_MAGIC, &reply), (int)NBD_REPLY_OK);
}

static void verdicts_have_words(struct kunit *test)
{
	KUNIT_EXPECT_NOT_NULL(test, strstr(nbd_verdict_text(NBD_REPLY_BAD_MAGIC), "magic"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(nbd_verdict_text(NBD_REPLY_STRUCTURED), "structured"));
	KUNIT_EXPECT_NOT_NULL(test, nbd_verdict_text(NBD_REPLY_OK));
	KUNIT_EXPECT_NOT_NULL(test, nbd_verdict_text(99));
}

/* proto.md, "Error values"; all else is EIO, and nothing but 0 is success. */
static void errors(struct kunit *test)
{
	static const struct {
		__u32 error;
		int wanted;
	} cases[] = {
		{ 0, 0 }, { 1, -EPERM }, { 5, -EIO }, { 12, -ENOMEM }, { 22, -EINVAL },
		{ 28, -ENOSPC }, { 75, -EOVERFLOW }, { 95, -EOPNOTSUPP }, { 108, -ESHUTDOWN },
		{ 2, -EIO }, { 11, -EIO }, { 255, -EIO }, { 0x7fffffff, -EIO },
		{ 0x80000000, -EIO }, { 0xffffffff, -EIO }, { 0x0c000000, -EIO },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		KUNIT_EXPECT_EQ(test, nbd_wire_errno(cases[i].error), cases[i].wanted);
	for (i = 1; i < 100000; i++)
		KUNIT_EXPECT_LT(test, nbd_wire_errno(i), 0);
}

/* Index and generation keep apart, whatever their values. */
static void cookies(struct kunit *test)
{
	static const __u32 values[] = { 0, 1, 127, 0x7fffffff, 0x80000000, 0xffffffff };
	const unsigned int nr = ARRAY_SIZE(values);
	unsigned int g, i;

	for (g = 0; g < nr; g++)
		for (i = 0; i < nr; i++) {
			__u64 cookie = nbd_cookie(values[g], values[i]);

			KUNIT_EXPECT_EQ(test, nbd_cookie_index(cookie), values[i]);
			KUNIT_EXPECT_EQ(test, (__u32)(cookie >> 32), values[g]);
		}
}

static struct kunit_case wire_cases[] = {
	KUNIT_CASE(encode_layout),
	KUNIT_CASE(encode_types),
	KUNIT_CASE(decode_fields),
	KUNIT_CASE(decode_magics),
	KUNIT_CASE(verdicts_have_words),
	KUNIT_CASE(errors),
	KUNIT_CASE(cookies),
	{ }
};

static struct kunit_suite wire_suite = {
	.name = "nbd_wire",
	.test_cases = wire_cases,
};

kunit_test_suites(&wire_suite);
