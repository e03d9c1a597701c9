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
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "batch.h"

#define ROUNDS	4
#define BATCH	3
#define SHORT	4096
/* A long one, that does not end the batch by its size. */
#define LONG	(64 << 10)

/* Until no long request is expected any more (NBD_MIXED_TIME). */
static void be_quiet(void)
{
	const struct timespec time = { .tv_nsec = 400000000 };

	nanosleep(&time, NULL);
}

/* The write is the one at @place; which of a batch is sent last depends on the kernel. */
static void submit_both(aio_context_t aio, int fd, uint8_t *buffer, unsigned int place)
{
	struct iocb iocbs[BATCH] = { };
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		iocbs[i].aio_fildes = fd;
		iocbs[i].aio_lio_opcode = i == place ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
		iocbs[i].aio_buf = (uintptr_t)(buffer + i * LONG);
		iocbs[i].aio_nbytes = i == place ? LONG : SHORT;
		iocbs[i].aio_offset = i * 2 * LONG;
	}
	batch_submit(aio, iocbs, BATCH);
}

int main(int argc, char **argv)
{
	aio_context_t aio = batch_setup();
	unsigned int round;
	uint8_t *buffer;
	int fd;

	if (argc != 3)
		errx(2, "usage: together DEVICE CPU");
	batch_stay_on(atoi(argv[2]));
	fd = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
	buffer = aligned_alloc(SHORT, BATCH * LONG);
	if (fd < 0 || !buffer)
		err(1, "%s", argv[1]);
	for (round = 0; round < ROUNDS; round++) {
		be_quiet();
		if (pread(fd, buffer, SHORT, 0) != SHORT)
			err(1, "read");
		submit_both(aio, fd, buffer, round % 2 ? 0 : BATCH - 1);
		batch_reap(aio, BATCH, true);
	}
	return 0;
}
