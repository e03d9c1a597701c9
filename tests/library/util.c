// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "library.h"

double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

bool until(bool (*check)(void *arg), void *arg, double seconds)
{
	double deadline = now() + seconds;

	while (!check(arg)) {
		if (now() > deadline)
			return false;
		usleep(2000);
	}
	return true;
}

const char *errno_name(int error)
{
	const char *text = strerrorname_np(error);

	return text ? text : "unknown errno";
}

const char *name(const char *fmt, ...)
{
	static char buffers[16][256];
	static unsigned int next;
	char *buffer = buffers[next++ % 16];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buffer, sizeof(buffers[0]), fmt, ap);
	va_end(ap);
	return buffer;
}

long result(long ret)
{
	return ret < 0 ? -errno : ret;
}
