/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of the kernel's <kunit/test.h> as tests/kunit/wire.c uses, for userspace:
 * a program with one suite, which writes TAP. A header with code, for one file only.
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

static inline int kunit_run_suite(const struct kunit_suite *suite)
{
	unsigned int number = 0, failed = 0;
	const struct kunit_case *c;

	for (c = suite->test_cases; c->run_case; c++) {
		struct kunit test = { 0 };

		c->run_case(&test);
		failed += !!test.failures;
		printf("%s %u - %s: %s\n", test.failures ? "not ok" : "ok", ++number,
		       suite->name, c->name);
	}
	printf("1..%u\n", number);
	return failed || !number;
}

/* The program's suite: one for each program. */
static const struct kunit_suite *kunit_program_suite;

#define kunit_test_suites(suite) \
	static const struct kunit_suite *kunit_program_suite = (suite)

int main(void)
{
	return kunit_run_suite(kunit_program_suite);
}

#endif /* NBD_TEST_KUNIT_H */
