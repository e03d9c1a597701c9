// SPDX-License-Identifier: GPL-2.0
/*
 * Short reads and a long write in one batch of the block layer, when short requests have just
 * been, and long ones not for a while: all come back, or this hangs.
 *
 *	together DEVICE CPU	submits on that CPU
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/aio_abi.h>

#define ROUNDS	4
#define BATCH	3
#define SHORT	4096
/* A long one, that does not end the batch by its size. */
#define LONG	(64 << 10)

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "CPU %d", cpu);
}

/* Until no long request is expected any more (NBD_MIXED_TIME). */
static void be_quiet(void)
{
	const struct timespec time = { .tv_nsec = 400000000 };

	nanosleep(&time, NULL);
}

/* The write is the one at @place; which of a batch is sent last depends on the kernel. */
static void submit_batch(aio_context_t aio, int fd, uint8_t *buffer, unsigned int place)
{
	struct iocb iocbs[BATCH] = { }, *list[BATCH];
	unsigned int i;
	long nr;

	for (i = 0; i < BATCH; i++) {
		iocbs[i].aio_fildes = fd;
		iocbs[i].aio_lio_opcode = i == place ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
		iocbs[i].aio_buf = (uintptr_t)(buffer + i * LONG);
		iocbs[i].aio_nbytes = i == place ? LONG : SHORT;
		/* Not next to each other, or they become one request. */
		iocbs[i].aio_offset = i * 2 * LONG;
		list[i] = &iocbs[i];
	}
	nr = syscall(SYS_io_submit, aio, (long)BATCH, list);
	if (nr != BATCH)
		err(1, "io_submit: %ld", nr);
}

static void reap_batch(aio_context_t aio)
{
	struct io_event events[BATCH];
	long got = 0, nr, i;

	while (got < BATCH) {
		nr = syscall(SYS_io_getevents, aio, 1L, (long)BATCH, events, NULL);
		if (nr < 0)
			err(1, "io_getevents");
		for (i = 0; i < nr; i++)
			if (events[i].res != SHORT && events[i].res != LONG)
				errx(1, "a request returned %lld", (long long)events[i].res);
		got += nr;
	}
}

int main(int argc, char **argv)
{
	aio_context_t aio = 0;
	unsigned int round;
	uint8_t *buffer;
	int fd;

	if (argc != 3)
		errx(2, "usage: together DEVICE CPU");
	stay_on(atoi(argv[2]));
	fd = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
	buffer = aligned_alloc(SHORT, BATCH * LONG);
	if (fd < 0 || !buffer || syscall(SYS_io_setup, (long)BATCH, &aio))
		err(1, "%s", argv[1]);
	for (round = 0; round < ROUNDS; round++) {
		be_quiet();
		if (pread(fd, buffer, SHORT, 0) != SHORT)
			err(1, "read");
		submit_batch(aio, fd, buffer, round % 2 ? 0 : BATCH - 1);
		reap_batch(aio);
	}
	return 0;
}
