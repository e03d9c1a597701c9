// SPDX-License-Identifier: GPL-2.0
/*
 * What ends a machine whose root's server is gone (system/boot/bound.c): when it does and when it
 * does not, with a device, a clock and an end of the machine that are played.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/reboot.h>

#include "../client/tap.h"

#define DEVICE "/dev/nbd0"
#define ROUNDS 5		/* after so many the server is gone */

enum behaviour {
	ANSWERS,
	FAILS,
	HANGS,
	GIVES_NOTHING,
	CANNOT_BE_READ,		/* there is no memory for its reader */
	KILLS_READER,
	NO_PIPE,
	NO_PROCESS,
};

static struct world {
	enum behaviour behaviour;
	int block;		/* bytes of a logical one */
	int attached;		/* asked so many times it is there */
	int sleeps;
	int reboots;
	int how;		/* the first of them */
	pid_t reader;		/* the last one */
	int left;		/* the most processes that were not collected */
	char *log;
} world;

static size_t log_size;

static int played_pipe(int *ends)
{
	if (world.behaviour != NO_PIPE)
		return pipe(ends);
	errno = EMFILE;
	return -1;
}

static pid_t played_fork(void)
{
	if (world.behaviour == NO_PROCESS) {
		errno = EAGAIN;
		return -1;
	}
	world.reader = fork();
	return world.reader;
}

static int played_open(const char *file, int flags, ...)
{
	if (strcmp(file, DEVICE) || !(flags & O_DIRECT)) {
		errno = ENOENT;
		return -1;
	}
	if (world.behaviour == KILLS_READER)
		raise(SIGKILL);
	if (world.behaviour == CANNOT_BE_READ) {
		errno = ENOMEM;
		return -1;
	}
	return open("/dev/zero", O_RDONLY | O_CLOEXEC);
}

static int played_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;

	(void)fd;
	if (request != BLKSSZGET)
		return -1;
	va_start(ap, request);
	*va_arg(ap, int *) = world.block;
	va_end(ap);
	return 0;
}

/* Of the device in the reader, or what that tells */
static ssize_t played_read(int fd, void *to, size_t size)
{
	if (size == 1)
		return read(fd, to, size);
	if (world.behaviour == HANGS)
		pause();
	if (world.behaviour == GIVES_NOTHING)
		return 0;
	if (world.behaviour == FAILS || size % world.block || (unsigned long)to % 4096) {
		errno = EIO;
		return -1;
	}
	return read(fd, to, size);
}

/* No time passes where nobody will answer. */
static int played_poll(struct pollfd *fds, nfds_t number, int timeout)
{
	expect(timeout > 0);
	return poll(fds, number, world.behaviour == HANGS ? 100 : timeout);
}

static int played_access(const char *file, int mode)
{
	expect_text(file, "/sys/block/nbd0/pid");
	expect_number(mode, F_OK);
	if (world.attached-- > 0)
		return 0;
	errno = ENOENT;
	return -1;
}

/* How many children there are, when the last one has ended */
static int count_children(void)
{
	char pids[1024] = "";
	int number = 0;
	siginfo_t ended;
	char *pid;
	FILE *file;

	waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT);

	file = fopen("/proc/thread-self/children", "r");
	if (!file || !fgets(pids, sizeof(pids), file))
		pids[0] = 0;
	for (pid = strtok(pids, " "); pid; pid = strtok(NULL, " "))
		number++;
	if (file)
		fclose(file);
	return number;
}

static unsigned int played_sleep(unsigned int seconds)
{
	int left = count_children();

	expect(seconds);
	if (left > world.left)
		world.left = left;
	if (++world.sleeps == ROUNDS)
		world.behaviour = FAILS;
	return 0;
}

static int played_reboot(int how)
{
	if (!world.reboots++)
		world.how = how;
	errno = EINVAL;
	return -1;
}

static FILE *played_fopen(const char *file, const char *mode)
{
	expect_text(file, "/dev/kmsg");
	expect_text(mode, "w");
	return open_memstream(&world.log, &log_size);
}

static int played_mlockall(int flags)
{
	expect_number(flags, MCL_CURRENT | MCL_FUTURE);
	return 0;
}

#define access played_access
#define fopen played_fopen
#define fork played_fork
#define ioctl played_ioctl
#define main bound_main
#define mlockall played_mlockall
#define open played_open
#define pipe played_pipe
#define poll(...) played_poll(__VA_ARGS__)
#define read played_read
#define reboot played_reboot
#define sleep played_sleep
#include "../../system/boot/bound.c"
#undef main

/* With a device that answers in blocks of that size until it does something else. */
static int run(enum behaviour behaviour, int block, int attached)
{
	int status;

	free(world.log);
	world = (struct world){ .behaviour = behaviour, .block = block, .attached = attached };
	status = bound(actions, DEVICE);
	if (world.behaviour == HANGS)
		kill(world.reader, SIGKILL);
	while (wait(NULL) > 0)
		;
	return status;
}

static void ends_after(int sleeps)
{
	expect_number(world.sleeps, sleeps);
	expect_number(world.reboots, 2);
	expect_number(world.how, LINUX_REBOOT_CMD_POWER_OFF);
	expect_words(world.log ?: "", "/dev/nbd0 does not answer: poweroff without it");
}

int main(void)
{
	static const struct {
		enum behaviour behaviour;
		const char *name;
	} unknown[] = {
		{ CANNOT_BE_READ, "memory for a reader" },
		{ KILLS_READER, "a word of the reader" },
		{ NO_PIPE, "a pipe" },
		{ NO_PROCESS, "a process" },
	};
	static const int blocks[] = { 512, 4096, 65536 };
	unsigned int i;

	for (i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
		tap_test("a server that answers, blocks of %d bytes: nothing until it is gone",
			 blocks[i]);
		run(ANSWERS, blocks[i], 100);
		ends_after(ROUNDS);
		expect(world.left <= 1);
	}
	tap_test("a read that fails ends the machine");
	run(FAILS, 4096, 100);
	ends_after(1);
	tap_test("a read that gives nothing, too");
	run(GIVES_NOTHING, 4096, 100);
	ends_after(1);
	tap_test("a read that does not come back, too");
	run(HANGS, 4096, 100);
	ends_after(1);
	for (i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		tap_test("without %s it is asked again", unknown[i].name);
		run(unknown[i].behaviour, 4096, 100);
		ends_after(ROUNDS);
	}
	for (i = ANSWERS; i <= GIVES_NOTHING; i++) {
		tap_test("a device that is detached meanwhile ends nothing (%u)", i);
		expect_number(run(i, 4096, i == ANSWERS ? 2 : 0), 0);
		expect_number(world.reboots, 0);
		expect(!world.log);
	}
	tap_test("a machine that is ended at once");
	world = (struct world){ .behaviour = ANSWERS };
	bound_main(3, (char *[]){ "bound", "now", "kexec", NULL });
	expect_number(world.sleeps, 0);
	expect_number(world.reboots, 2);
	expect_number(world.how, LINUX_REBOOT_CMD_KEXEC);
	return tap_finish();
}
