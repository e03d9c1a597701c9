// SPDX-License-Identifier: GPL-2.0
/*
 * Reads in batches on a CPU that real-time tasks keep for themselves, which they must be
 * allowed to (kernel.sched_rt_runtime_us is -1). All reads come back, or this hangs.
 *
 *	urgent DEVICE CPU realtime	the reader is a real-time task, and a lesser one has the
 *					CPU whenever the reader sleeps
 *	urgent DEVICE CPU overtaken	the reader is an ordinary task when it submits, and has
 *					not slept since when a real-time one has the CPU
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/aio_abi.h>

#define BATCH	16	/* more than the driver sends one by one */
#define ROUNDS	20
#define BLOCK	4096

static void set_scheduler(int policy, int priority)
{
	struct sched_param param = { .sched_priority = priority };

	if (sched_setscheduler(0, policy, &param))
		err(1, "sched_setscheduler");
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "CPU %d", cpu);
}

/* A real-time task of that priority that never sleeps; it ends with its parent. */
static pid_t start_hog(int priority)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid)
		return pid;
	set_scheduler(SCHED_FIFO, priority);
	while (getppid() == parent)
		;
	_exit(0);
}

static void submit_batch(aio_context_t aio, int fd, uint8_t *buffer, unsigned int round)
{
	struct iocb iocbs[BATCH] = { }, *list[BATCH];
	unsigned int i;
	long nr;

	for (i = 0; i < BATCH; i++) {
		iocbs[i].aio_fildes = fd;
		iocbs[i].aio_lio_opcode = IOCB_CMD_PREAD;
		iocbs[i].aio_buf = (uintptr_t)(buffer + i * BLOCK);
		iocbs[i].aio_nbytes = BLOCK;
		/* Not next to each other, or they become one request. */
		iocbs[i].aio_offset = (round * BATCH + i) * 2 * BLOCK;
		list[i] = &iocbs[i];
	}
	nr = syscall(SYS_io_submit, aio, (long)BATCH, list);
	if (nr != BATCH)
		err(1, "io_submit: %ld", nr);
}

/* Waits for a batch, asleep or not. */
static void reap_batch(aio_context_t aio, bool asleep)
{
	struct timespec none = { };
	struct io_event events[BATCH];
	long got = 0, nr, i;

	while (got < BATCH) {
		nr = syscall(SYS_io_getevents, aio, asleep ? 1L : 0L, (long)BATCH, events,
			     asleep ? NULL : &none);
		if (nr < 0)
			err(1, "io_getevents");
		for (i = 0; i < nr; i++)
			if (events[i].res != BLOCK)
				errx(1, "a read returned %lld", (long long)events[i].res);
		got += nr;
	}
}

static void read_in_realtime(aio_context_t aio, int fd, uint8_t *buffer)
{
	unsigned int round;
	pid_t hog;

	set_scheduler(SCHED_FIFO, 50);
	hog = start_hog(10);
	for (round = 0; round < ROUNDS; round++) {
		submit_batch(aio, fd, buffer, round);
		reap_batch(aio, true);
	}
	kill(hog, SIGKILL);
}

static void read_overtaken(aio_context_t aio, int fd, uint8_t *buffer)
{
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		submit_batch(aio, fd, buffer, round);
		/* Who overtakes it is itself: nobody else could say when it is to end. */
		set_scheduler(SCHED_FIFO, 50);
		reap_batch(aio, false);
		set_scheduler(SCHED_OTHER, 0);
	}
}

int main(int argc, char **argv)
{
	aio_context_t aio = 0;
	void *buffer;
	int fd;

	if (argc != 4 || (strcmp(argv[3], "realtime") && strcmp(argv[3], "overtaken")))
		errx(2, "usage: urgent DEVICE CPU realtime|overtaken");
	fd = open(argv[1], O_RDONLY | O_DIRECT);
	if (fd < 0)
		err(1, "%s", argv[1]);
	if (posix_memalign(&buffer, BLOCK, BATCH * BLOCK))
		err(1, "memory");
	if (syscall(SYS_io_setup, (long)BATCH, &aio))
		err(1, "io_setup");
	stay_on(atoi(argv[2]));
	if (!strcmp(argv[3], "realtime"))
		read_in_realtime(aio, fd, buffer);
	else
		read_overtaken(aio, fd, buffer);
	return 0;
}
