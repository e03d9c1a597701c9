// SPDX-License-Identifier: GPL-2.0
/* kernel/distance.c; as tests/kunit/wire.c. */
#include <kunit/test.h>
#ifdef __KERNEL__
#include <linux/array_size.h>
#endif
#include "../../kernel/distance.h"

static void by_round_trip(struct kunit *test)
{
	static const struct {
		__u32 rtt, preferred, kib;
	} cases[] = {
		/* Unknown, on this machine, in the next rack, in the same city. */
		{ 0, 0, 0 },
		{ 40, 4096, 0 },
		{ 300, 4096, 0 },
		{ 999, 4096, 0 },
		{ 1000, 4096, 256 },
		{ 1001, 4096, 384 },
		{ 5000, 0, 1280 },
		{ 30000, 4096, 7680 },
		{ 30001, 4096, 7808 },
		/* The limit: 64 ms, and whatever a peer can make believe. */
		{ 63999, 4096, 16384 },
		{ 64000, 4096, 16384 },
		{ 250000, 4096, 16384 },
		{ 0xffffffff, 4096, 16384 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		KUNIT_EXPECT_EQ(test, nbd_distance_read_ahead(cases[i].rtt, cases[i].preferred),
				cases[i].kib);
}

/* Whole blocks, but for the limit; no preference, however strange, makes it more than that. */
static void by_preferred_block(struct kunit *test)
{
	static const struct {
		__u32 preferred, kib;
	} cases[] = {
		{ 512, 1280 },
		{ 65536, 1280 },
		{ 1 << 20, 2048 },
		{ 4 << 20, 4096 },
		{ 16 << 20, 16384 },
		{ 32 << 20, 1280 },
		{ 0x80000000, 1280 },
		{ 0xffffffff, 1280 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		KUNIT_EXPECT_EQ(test, nbd_distance_read_ahead(5000, cases[i].preferred),
				cases[i].kib);
}

/* A longer way never gets less. */
static void monotonic(struct kunit *test)
{
	__u32 rtt, before = 0, kib;

	for (rtt = 0; rtt < 200000; rtt += 97) {
		kib = nbd_distance_read_ahead(rtt, 1 << 20);
		KUNIT_EXPECT_TRUE(test, kib >= before && kib <= NBD_DISTANCE_MAX);
		before = kib;
	}
}

static struct kunit_case distance_cases[] = {
	KUNIT_CASE(by_round_trip),
	KUNIT_CASE(by_preferred_block),
	KUNIT_CASE(monotonic),
	{ }
};

static struct kunit_suite distance_suite = {
	.name = "nbd_distance",
	.test_cases = distance_cases,
};

kunit_test_suites(&distance_suite);
