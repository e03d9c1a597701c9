// SPDX-License-Identifier: GPL-2.0
/*
 * What kernel/tlsrec.c makes of TLS records that are no data, cut anywhere. Runs in the
 * kernel, and in userspace as tests/kunit/wire.c does.
 */
#include <kunit/test.h>
#ifdef __KERNEL__
#include <linux/array_size.h>
#include <linux/string.h>
#endif
#include "../../kernel/tlsrec.h"

#define ALERT		NBD_TLS_ALERT_RECORD
#define HANDSHAKE	NBD_TLS_HANDSHAKE_RECORD

static enum nbd_tls_verdict take(struct nbd_tls_talk *t, __u8 type, const char *bytes, __u32 n)
{
	return nbd_tls_talk_take(t, type, (const __u8 *)bytes, n);
}

/* A server's first record. */
static enum nbd_tls_verdict first(__u8 type, const char *bytes, __u32 n)
{
	struct nbd_tls_talk t = { };

	return take(&t, type, bytes, n);
}

static void alerts(struct kunit *test)
{
	struct nbd_tls_talk t = { };

	KUNIT_EXPECT_EQ(test, first(ALERT, "\1\0", 2), NBD_TLS_CLOSED);
	KUNIT_EXPECT_EQ(test, first(ALERT, "\2\0", 2), NBD_TLS_CLOSED);
	KUNIT_EXPECT_EQ(test, first(ALERT, "\1\x5a", 2), NBD_TLS_NOTHING);
	KUNIT_EXPECT_EQ(test, take(&t, ALERT, "\2\x2a", 2), NBD_TLS_ALERTED);
	KUNIT_EXPECT_EQ(test, t.alert, 42);
	/* Two in a record, and one in two. */
	KUNIT_EXPECT_EQ(test, first(ALERT, "\1\x5a\1\0", 4), NBD_TLS_CLOSED);
	memset(&t, 0, sizeof(t));
	KUNIT_EXPECT_EQ(test, take(&t, ALERT, "\2", 1), NBD_TLS_NOTHING);
	KUNIT_EXPECT_EQ(test, take(&t, ALERT, "\x50", 1), NBD_TLS_ALERTED);
	KUNIT_EXPECT_EQ(test, t.alert, 80);
}

static void handshakes(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, first(HANDSHAKE, "\x18\0\0\1\0", 5), NBD_TLS_NEW_KEYS);
	KUNIT_EXPECT_EQ(test, first(HANDSHAKE, "\x18", 1), NBD_TLS_NEW_KEYS);
	KUNIT_EXPECT_EQ(test, first(HANDSHAKE, "\0\0\0\0", 4), NBD_TLS_NEW_HANDSHAKE);
	/* A ticket, and what may follow it in the same record. */
	KUNIT_EXPECT_EQ(test, first(HANDSHAKE, "\4\0\0\3abc", 7), NBD_TLS_NOTHING);
	KUNIT_EXPECT_EQ(test, first(HANDSHAKE, "\4\0\0\3abc\4\0\0\1x", 12), NBD_TLS_NOTHING);
	KUNIT_EXPECT_EQ(test, first(HANDSHAKE, "\4\0\0\3abc\x18\0\0\1\0", 12), NBD_TLS_NEW_KEYS);
	/* Its bytes are not looked at. */
	KUNIT_EXPECT_EQ(test, first(HANDSHAKE, "\4\0\0\5\x18\0\0\1\0", 9), NBD_TLS_NOTHING);
	/* A certificate request, a client's hello. */
	KUNIT_EXPECT_EQ(test, first(HANDSHAKE, "\xd\0\0\0", 4), NBD_TLS_NONSENSE);
	KUNIT_EXPECT_EQ(test, first(HANDSHAKE, "\1\0\0\0", 4), NBD_TLS_NONSENSE);
}

/* The first record of a server that is followed through changes of its keys. */
static enum nbd_tls_verdict followed(const char *bytes, __u32 n)
{
	struct nbd_tls_talk t = { .follows = true };

	return take(&t, HANDSHAKE, bytes, n);
}

static void updates(struct kunit *test)
{
	struct nbd_tls_talk t = { .follows = true };

	KUNIT_EXPECT_EQ(test, followed("\x18\0\0\1\0", 5), NBD_TLS_UPDATED);
	KUNIT_EXPECT_EQ(test, followed("\x18\0\0\1\1", 5), NBD_TLS_ASKED);
	KUNIT_EXPECT_EQ(test, followed("\4\0\0\3abc\x18\0\0\1\1", 12), NBD_TLS_ASKED);
	/* One after the other, and what else may come between. */
	KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, "\x18\0\0\1\0", 5), NBD_TLS_UPDATED);
	KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, "\x18\0\0\1\1", 5), NBD_TLS_ASKED);
	KUNIT_EXPECT_EQ(test, take(&t, ALERT, "\1\x5a", 2), NBD_TLS_NOTHING);
	KUNIT_EXPECT_EQ(test, nbd_tls_talk_data(&t), NBD_TLS_NOTHING);
	/* Another length, another value. */
	KUNIT_EXPECT_EQ(test, followed("\x18\0\0\0", 4), NBD_TLS_NONSENSE);
	KUNIT_EXPECT_EQ(test, followed("\x18\0\0\2\0\0", 6), NBD_TLS_NONSENSE);
	KUNIT_EXPECT_EQ(test, followed("\x18\0\1\1\0", 5), NBD_TLS_NONSENSE);
	KUNIT_EXPECT_EQ(test, followed("\x18\1\0\1\0", 5), NBD_TLS_NONSENSE);
	KUNIT_EXPECT_EQ(test, followed("\x18\0\0\1\2", 5), NBD_TLS_NONSENSE);
	/* With something behind it. */
	KUNIT_EXPECT_EQ(test, followed("\x18\0\0\1\0\x18\0\0\1\0", 10), NBD_TLS_NONSENSE);
	KUNIT_EXPECT_EQ(test, followed("\x18\0\0\1\1\4", 6), NBD_TLS_NONSENSE);
}

/* Of one that goes on in another record the kernel decrypts nothing more. */
static void cut_updates(struct kunit *test)
{
	static const char bytes[] = "\x18\0\0\1\0";
	struct nbd_tls_talk t;
	__u32 at;

	for (at = 1; at < 5; at++) {
		memset(&t, 0, sizeof(t));
		t.follows = true;
		KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, bytes, at), NBD_TLS_NEW_KEYS);
	}
}

/* However the messages are cut into records, the same comes of them. */
static void cuts(struct kunit *test)
{
	static const char bytes[] = "\4\0\0\3abc\4\0\1\0";
	struct nbd_tls_talk t;
	unsigned int at;

	for (at = 1; at < sizeof(bytes) - 1; at++) {
		memset(&t, 0, sizeof(t));
		KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, bytes, at), NBD_TLS_NOTHING);
		KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, bytes + at, sizeof(bytes) - 1 - at),
				NBD_TLS_NOTHING);
		KUNIT_EXPECT_EQ(test, t.left, 256);
		KUNIT_EXPECT_EQ(test, nbd_tls_talk_data(&t), NBD_TLS_NONSENSE);
	}
}

static void rules(struct kunit *test)
{
	struct nbd_tls_talk t = { };

	KUNIT_EXPECT_EQ(test, first(ALERT, "", 0), NBD_TLS_NONSENSE);
	KUNIT_EXPECT_EQ(test, first(HANDSHAKE, "", 0), NBD_TLS_NONSENSE);
	KUNIT_EXPECT_EQ(test, first(20, "\1", 1), NBD_TLS_NONSENSE);
	KUNIT_EXPECT_EQ(test, first(24, "\1", 1), NBD_TLS_NONSENSE);
	/* An alert in the middle of a message, and the other way round. */
	KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, "\4\0", 2), NBD_TLS_NOTHING);
	KUNIT_EXPECT_EQ(test, take(&t, ALERT, "\1\0", 2), NBD_TLS_NONSENSE);
	memset(&t, 0, sizeof(t));
	KUNIT_EXPECT_EQ(test, take(&t, ALERT, "\1", 1), NBD_TLS_NOTHING);
	KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, "\4\0\0\0", 4), NBD_TLS_NONSENSE);
}

/* Data makes the count begin anew. */
static void flood(struct kunit *test)
{
	struct nbd_tls_talk t = { };
	unsigned int i;

	for (i = 0; i < NBD_TLS_TALK_MAX; i++)
		KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, "\4\0\0\0", 4), NBD_TLS_NOTHING);
	KUNIT_EXPECT_EQ(test, nbd_tls_talk_data(&t), NBD_TLS_NOTHING);
	for (i = 0; i < NBD_TLS_TALK_MAX; i++)
		KUNIT_EXPECT_EQ(test, take(&t, ALERT, "\1\x5a", 2), NBD_TLS_NOTHING);
	KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, "\4\0\0\0", 4), NBD_TLS_FLOOD);
	memset(&t, 0, sizeof(t));
	t.follows = true;
	for (i = 0; i < NBD_TLS_TALK_MAX; i++)
		KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, "\x18\0\0\1\1", 5), NBD_TLS_ASKED);
	KUNIT_EXPECT_EQ(test, take(&t, HANDSHAKE, "\x18\0\0\1\1", 5), NBD_TLS_FLOOD);
}

static void talk_has_words(struct kunit *test)
{
	unsigned int verdict;

	for (verdict = NBD_TLS_NOTHING; verdict < NBD_TLS_CLOSED; verdict++)
		KUNIT_EXPECT_TRUE(test, !nbd_tls_verdict_text(verdict));
	for (verdict = NBD_TLS_CLOSED; verdict <= NBD_TLS_NONSENSE; verdict++)
		KUNIT_EXPECT_NOT_NULL(test, nbd_tls_verdict_text(verdict));
}

static struct kunit_case tlsrec_cases[] = {
	KUNIT_CASE(alerts),
	KUNIT_CASE(handshakes),
	KUNIT_CASE(updates),
	KUNIT_CASE(cut_updates),
	KUNIT_CASE(cuts),
	KUNIT_CASE(rules),
	KUNIT_CASE(flood),
	KUNIT_CASE(talk_has_words),
	{ }
};

static struct kunit_suite tlsrec_suite = {
	.name = "nbd_tlsrec",
	.test_cases = tlsrec_cases,
};

kunit_test_suites(&tlsrec_suite);
