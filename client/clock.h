/* SPDX-License-Identifier: GPL-2.0 */
/* The clock that deadlines are measured with. */
#ifndef NBD_CLOCK_H
#define NBD_CLOCK_H

#include <time.h>

#include "util.h"

/* No deadline. */
#define NBD_NEVER S64_MAX

/* Milliseconds since some fixed point; goes on while the machine sleeps. */
static inline s64 nbd_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static inline s64 nbd_min_time(s64 a, s64 b)
{
	return a < b ? a : b;
}

/* Timeout for poll() until @deadline: 0 when it has passed, -1 for never. */
static inline int nbd_poll_timeout(s64 deadline)
{
	s64 left;

	if (deadline == NBD_NEVER)
		return -1;
	left = deadline - nbd_now_ms();
	if (left <= 0)
		return 0;
	return left > S32_MAX ? S32_MAX : (int)left;
}

#endif /* NBD_CLOCK_H */
