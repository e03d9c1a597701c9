// SPDX-License-Identifier: GPL-2.0
/* For programs that print the steps that the library reports as they come. */
#include <stdarg.h>
#include <stdio.h>
#include "../library.h"

void say(const char *step, const char *fmt, ...)
{
	va_list ap;

	printf("%s: ", step);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void say_result(const char *step, long ret)
{
	say(step, "%ld", ret);
}
