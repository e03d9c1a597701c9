// SPDX-License-Identifier: GPL-2.0
/* For programs in which the steps that the library reports are of no interest. */
#include "../library.h"

void say(const char *step, const char *fmt, ...)
{
	(void)step;
	(void)fmt;
}

void say_result(const char *step, long ret)
{
	(void)step;
	(void)ret;
}
