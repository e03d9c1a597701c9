// SPDX-License-Identifier: GPL-2.0
/* Runs the suites that the program was linked with; writes TAP. */
#include <kunit/test.h>

static struct kunit_suite *suites;

void kunit_register(struct kunit_suite *suite)
{
	suite->next = suites;
	suites = suite;
}

/* Whether it fails. */
static int run_case(const struct kunit_suite *suite, const struct kunit_case *c,
		    unsigned int number)
{
	struct kunit test = { 0 };

	c->run_case(&test);
	printf("%s %u - %s: %s\n", test.failures ? "not ok" : "ok", number, suite->name, c->name);
	return test.failures != 0;
}

int main(void)
{
	unsigned int number = 0, failed = 0;
	const struct kunit_suite *suite;
	const struct kunit_case *c;

	for (suite = suites; suite; suite = suite->next)
		for (c = suite->test_cases; c->run_case; c++)
			failed += run_case(suite, c, ++number);
	printf("1..%u\n", number);
	return failed || !number;
}
