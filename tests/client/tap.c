// SPDX-License-Identifier: GPL-2.0
/*
 * TAP for tests in C.
 */
#include <stdarg.h>

#include "tap.h"

static char name[256];
static unsigned int number, failures;
static bool failed;

static void verdict(void)
{
	if (!number)
		return;
	printf("%sok %u - %s\n", failed ? "not " : "", number, name);
	failures += failed;
	failed = false;
}

void tap_test(const char *fmt, ...)
{
	va_list ap;

	verdict();
	number++;
	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
}

void tap_failure(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	failed = true;
	printf("# %s: %s:%d: ", name, file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

int tap_finish(void)
{
	verdict();
	printf("1..%u\n", number);
	return failures != 0;
}
