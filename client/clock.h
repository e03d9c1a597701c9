/* SPDX-License-Identifier: GPL-2.0 */
/* The clock that deadlines are measured with. */
#ifndef NBD_CLOCK_H
#define NBD_CLOCK_H

#include <stdint.h>
#include <time.h>

/* No deadline. */
#define NBD_NEVER INT64_MAX

/* Milliseconds since some fixed point; goes on while the machine sleeps. */
static inline int64_t nbd_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static inline int64_t nbd_min_time(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Timeout for poll() until @deadline: 0 when it has passed, -1 for never. */
static inline int nbd_poll_timeout(int64_t deadline)
{
	int64_t left;

	if (deadline == NBD_NEVER)
		return -1;
	left = deadline - nbd_now_ms();
	if (left <= 0)
		return 0;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

#endif /* NBD_CLOCK_H */
