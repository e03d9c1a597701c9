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
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batch.h"

#define BATCH	BATCH_MAX	/* more than the driver sends one by one */
#define ROUNDS	20
#define BLOCK	4096

static void set_scheduler(int policy, int priority)
{
	struct sched_param param = { .sched_priority = priority };

	if (sched_setscheduler(0, policy, &param))
		err(1, "sched_setscheduler");
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

static void submit_reads(aio_context_t aio, int fd, uint8_t *buffer, unsigned int round)
{
	struct iocb iocbs[BATCH] = { };
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		iocbs[i].aio_fildes = fd;
		iocbs[i].aio_lio_opcode = IOCB_CMD_PREAD;
		iocbs[i].aio_buf = (uintptr_t)(buffer + i * BLOCK);
		iocbs[i].aio_nbytes = BLOCK;
		iocbs[i].aio_offset = (round * BATCH + i) * 2 * BLOCK;
	}
	batch_submit(aio, iocbs, BATCH);
}

static void read_in_realtime(aio_context_t aio, int fd, uint8_t *buffer)
{
	unsigned int round;
	pid_t hog;

	set_scheduler(SCHED_FIFO, 50);
	hog = start_hog(10);
	for (round = 0; round < ROUNDS; round++) {
		submit_reads(aio, fd, buffer, round);
		batch_reap(aio, BATCH, true);
	}
	kill(hog, SIGKILL);
}

static void read_overtaken(aio_context_t aio, int fd, uint8_t *buffer)
{
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		submit_reads(aio, fd, buffer, round);
		/* Who overtakes it is itself: nobody else could say when it is to end. */
		set_scheduler(SCHED_FIFO, 50);
		batch_reap(aio, BATCH, false);
		set_scheduler(SCHED_OTHER, 0);
	}
}

int main(int argc, char **argv)
{
	aio_context_t aio;
	void *buffer;
	int fd;

	if (argc != 4 || (strcmp(argv[3], "realtime") && strcmp(argv[3], "overtaken")))
		errx(2, "usage: urgent DEVICE CPU realtime|overtaken");
	fd = open(argv[1], O_RDONLY | O_DIRECT);
	if (fd < 0)
		err(1, "%s", argv[1]);
	if (posix_memalign(&buffer, BLOCK, BATCH * BLOCK))
		err(1, "memory");
	aio = batch_setup();
	batch_stay_on(atoi(argv[2]));
	if (!strcmp(argv[3], "realtime"))
		read_in_realtime(aio, fd, buffer);
	else
		read_overtaken(aio, fd, buffer);
	return 0;
}
