/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TAP for tests in C: test(name) begins one, expect*() check in it, the next
 * test() or tap_finish() gives the verdict. What failed is shown as a comment.
 */
#ifndef NBD_TEST_TAP_H
#define NBD_TEST_TAP_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void tap_test(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prints the plan; the exit status of main(). */
int tap_finish(void);
void tap_failure(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define expect(condition) \
	do { \
		if (!(condition)) \
			tap_failure(__FILE__, __LINE__, "%s", #condition); \
	} while (0)

#define expect_number(got, wanted) \
	do { \
		long long got_ = (got), wanted_ = (wanted); \
		if (got_ != wanted_) \
			tap_failure(__FILE__, __LINE__, "%s is %lld, not %lld", \
				    #got, got_, wanted_); \
	} while (0)

#define expect_text(got, wanted) \
	do { \
		const char *got_ = (got), *wanted_ = (wanted); \
		if (strcmp(got_, wanted_)) \
			tap_failure(__FILE__, __LINE__, \
				    "%s is \"%s\", not \"%s\"", #got, got_, \
				    wanted_); \
	} while (0)

/* Part of a message. */
#define expect_words(got, wanted) \
	do { \
		const char *got_ = (got), *wanted_ = (wanted); \
		if (!strstr(got_, wanted_)) \
			tap_failure(__FILE__, __LINE__, \
				    "%s is \"%s\", without \"%s\"", #got, got_, \
				    wanted_); \
	} while (0)

/* The suites, one for each file. */
void test_error(void);
void test_negotiate(void);
void test_options(void);
void test_uri(void);
void test_nbdtab(void);
void test_settings(void);
void test_record(void);
void test_fit(void);
void test_notice(void);
void test_overrun(void);
void test_json(void);
void test_list(void);
void test_outage(void);
void test_pace(void);
void test_address(void);
void test_target(void);
void test_bringup(void);
void test_await(void);
void test_watch(void);
void test_probe(void);
void test_identity(void);
void test_status(void);
void test_tls(void);

#endif /* NBD_TEST_TAP_H */
