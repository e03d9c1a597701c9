// SPDX-License-Identifier: GPL-2.0
/*
 * What kernel/tlskey.c has hashed, against the traces of RFC 8448. The hash is none: it notes
 * down what it is given. Runs in the kernel, and in userspace as tests/kunit/wire.c does.
 */
#include <kunit/test.h>
#ifdef __KERNEL__
#include <linux/array_size.h>
#include <linux/string.h>
#endif
#include "../../kernel/tlskey.h"

static struct {
	__u8 key[NBD_TLS_HASH_MAX];
	size_t key_len;
	__u8 data[64];
	size_t len;
} asked[4];
static unsigned int calls;

/* Returns as many bytes as the longest hash has: of the number of the call. */
static void note(const __u8 *key, size_t key_len, const __u8 *data, size_t len, __u8 *out)
{
	memcpy(asked[calls].key, key, key_len);
	asked[calls].key_len = key_len;
	memcpy(asked[calls].data, data, len);
	asked[calls].len = len;
	calls++;
	memset(out, calls, key_len);
}

static const struct nbd_tls_hash hash_sha256 = { NBD_TLS_SHA256_SIZE, note };
static const struct nbd_tls_hash hash_sha384 = { NBD_TLS_SHA384_SIZE, note };

/* As the server's application traffic secret of section 3 there is. */
static const __u8 secret[NBD_TLS_HASH_MAX] = {
	0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50,
	0x32, 0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63,
	0x16, 0x43,
};

static void expect_hashed(struct kunit *test, unsigned int call, const char *data, size_t len)
{
	KUNIT_EXPECT_EQ(test, asked[call].len, len);
	KUNIT_EXPECT_EQ(test, memcmp(asked[call].data, data, len), 0);
}

static void keys(struct kunit *test)
{
	struct nbd_tls_key key = { };

	calls = 0;
	nbd_tls_key_derive(&hash_sha256, secret, &key, 16);
	KUNIT_EXPECT_EQ(test, calls, 2);
	KUNIT_EXPECT_EQ(test, asked[0].key_len, 32);
	KUNIT_EXPECT_EQ(test, memcmp(asked[0].key, secret, 32), 0);
	KUNIT_EXPECT_EQ(test, memcmp(asked[1].key, secret, 32), 0);
	/* "info" of the RFC, and the number of the block. */
	expect_hashed(test, 0, "\x00\x10\x09tls13 key\x00\x01", 14);
	expect_hashed(test, 1, "\x00\x0c\x08tls13 iv\x00\x01", 13);
	/* Of what the hash makes the first bytes, and no others. */
	KUNIT_EXPECT_EQ(test, key.key[15], 1);
	KUNIT_EXPECT_EQ(test, key.key[16], 0);
	KUNIT_EXPECT_EQ(test, key.iv[0], 2);
	KUNIT_EXPECT_EQ(test, key.iv[NBD_TLS_IV_SIZE - 1], 2);
}

static void long_keys(struct kunit *test)
{
	struct nbd_tls_key key = { };

	calls = 0;
	nbd_tls_key_derive(&hash_sha384, secret, &key, 32);
	KUNIT_EXPECT_EQ(test, asked[0].key_len, 48);
	expect_hashed(test, 0, "\x00\x20\x09tls13 key\x00\x01", 14);
	KUNIT_EXPECT_EQ(test, key.key[31], 1);
	KUNIT_EXPECT_EQ(test, key.iv[0], 2);
}

static void next_secrets(struct kunit *test)
{
	__u8 next[NBD_TLS_HASH_MAX + 1] = { };

	calls = 0;
	nbd_tls_secret_next(&hash_sha256, secret, next);
	expect_hashed(test, 0, "\x00\x20\x11tls13 traffic upd\x00\x01", 22);
	KUNIT_EXPECT_EQ(test, next[31], 1);
	KUNIT_EXPECT_EQ(test, next[32], 0);
	nbd_tls_secret_next(&hash_sha384, secret, next);
	expect_hashed(test, 1, "\x00\x30\x11tls13 traffic upd\x00\x01", 22);
	KUNIT_EXPECT_EQ(test, next[47], 2);
	KUNIT_EXPECT_EQ(test, next[48], 0);
}

static struct kunit_case tlskey_cases[] = {
	KUNIT_CASE(keys),
	KUNIT_CASE(long_keys),
	KUNIT_CASE(next_secrets),
	{ }
};

static struct kunit_suite tlskey_suite = {
	.name = "nbd_tlskey",
	.test_cases = tlskey_cases,
};

kunit_test_suites(&tlskey_suite);
