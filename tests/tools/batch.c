// SPDX-License-Identifier: GPL-2.0
/*
 * Batches of requests, by the kernel's own interface.
 */
#define _GNU_SOURCE
#include <err.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"

void batch_stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "CPU %d", cpu);
}

aio_context_t batch_setup(void)
{
	aio_context_t aio = 0;

	if (syscall(SYS_io_setup, (long)BATCH_MAX, &aio))
		err(1, "io_setup");
	return aio;
}

void batch_submit(aio_context_t aio, struct iocb *iocbs, unsigned int n)
{
	struct iocb *list[BATCH_MAX];
	unsigned int i;
	long nr;

	for (i = 0; i < n; i++) {
		iocbs[i].aio_data = iocbs[i].aio_nbytes;
		list[i] = &iocbs[i];
	}
	nr = syscall(SYS_io_submit, aio, (long)n, list);
	if (nr != n)
		err(1, "io_submit: %ld", nr);
}

void batch_reap(aio_context_t aio, unsigned int n, bool asleep)
{
	struct timespec none = { };
	struct io_event events[BATCH_MAX];
	long got = 0, nr, i;

	while (got < n) {
		nr = syscall(SYS_io_getevents, aio, asleep ? 1L : 0L, (long)BATCH_MAX, events,
			     asleep ? NULL : &none);
		if (nr < 0)
			err(1, "io_getevents");
		for (i = 0; i < nr; i++)
			if (events[i].res != (int64_t)events[i].data)
				errx(1, "a request returned %lld", (long long)events[i].res);
		got += nr;
	}
}
