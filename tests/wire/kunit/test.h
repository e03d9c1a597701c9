/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of the kernel's <kunit/test.h> as the suites of pure code in tests/kunit use, for
 * userspace: tests/wire/main.c runs them all and writes TAP.
 */
#ifndef NBD_TEST_KUNIT_H
#define NBD_TEST_KUNIT_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../common.h"

/* A running case. */
struct kunit {
	unsigned int failures;
};

struct kunit_case {
	void (*run_case)(struct kunit *test);
	const char *name;
};

struct kunit_suite {
	const char *name;
	struct kunit_case *test_cases;
	struct kunit_suite *next;
};

#define KUNIT_CASE(function)	{ .run_case = function, .name = #function }

#define KUNIT_EXPECT_TRUE(test, condition) \
	do { \
		if (!(condition)) { \
			printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			(test)->failures++; \
		} \
	} while (0)
#define KUNIT_EXPECT_EQ(test, a, b)	KUNIT_EXPECT_TRUE(test, (a) == (b))
#define KUNIT_EXPECT_NOT_NULL(test, p)	KUNIT_EXPECT_TRUE(test, (p) != NULL)
#define KUNIT_EXPECT_LT(test, a, b)	KUNIT_EXPECT_TRUE(test, (a) < (b))

/* Before main(): @suite will be run. */
void kunit_register(struct kunit_suite *suite);

#define kunit_test_suites(suite) \
	__attribute__((constructor)) static void register_suite(void) \
	{ \
		kunit_register(suite); \
	}

#endif /* NBD_TEST_KUNIT_H */
