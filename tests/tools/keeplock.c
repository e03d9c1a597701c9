// SPDX-License-Identifier: GPL-2.0
/*
 * Keeps the TCP sockets of another process locked: for each, a thread sits in send() with
 * the socket's lock, because what it sends is on a device that does not answer.
 *
 *	keeplock PID DEVICE
 *
 * Prints how many sockets it has when their locks are taken, and stays until it is killed
 * or DEVICE answers.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SOCKETS_MAX	64
/* Pages of the device, far from each other: each thread needs one that is not there. */
#define APART		0x100000

static int sockets[SOCKETS_MAX];
static unsigned int nr;
static char *device;

static int is_tcp(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	return !getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) &&
	       protocol == IPPROTO_TCP;
}

static void take_sockets(const char *process)
{
	int pidfd = syscall(SYS_pidfd_open, atoi(process), 0);
	struct dirent *e;
	char path[64];
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/fd", process);
	dir = opendir(path);
	if (pidfd < 0 || !dir)
		err(1, "process %s", process);
	while ((e = readdir(dir)) && nr < SOCKETS_MAX) {
		if (e->d_name[0] == '.')
			continue;
		fd = syscall(SYS_pidfd_getfd, pidfd, atoi(e->d_name), 0);
		if (fd >= 0 && is_tcp(fd))
			sockets[nr++] = fd;
		else if (fd >= 0)
			close(fd);
	}
	closedir(dir);
	if (!nr)
		errx(1, "process %s has no TCP socket", process);
}

static void *keep(void *arg)
{
	size_t i = (size_t)arg;

	send(sockets[i], device + (i + 1) * APART, 4096, MSG_NOSIGNAL);
	return NULL;
}

/* Somebody else cannot get the lock: a call that needs it does not come back. */
static void *try(void *arg)
{
	int *fd = arg, one = 1;

	setsockopt(*fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	__atomic_store_n(fd, -1, __ATOMIC_RELAXED);
	return NULL;
}

static void wait_until_locked(int fd)
{
	struct timespec moment = { .tv_nsec = 100000000 };
	int *tried = malloc(sizeof(*tried));
	pthread_t thread;

	do {
		__atomic_store_n(tried, fd, __ATOMIC_RELAXED);
		pthread_create(&thread, NULL, try, tried);
		nanosleep(&moment, NULL);
	} while (__atomic_load_n(tried, __ATOMIC_RELAXED) == -1);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	size_t i;
	int fd;

	if (argc != 3)
		errx(2, "usage: keeplock PID DEVICE");
	take_sockets(argv[1]);
	fd = open(argv[2], O_RDONLY);
	if (fd < 0)
		err(1, "%s", argv[2]);
	device = mmap(NULL, (nr + 1) * APART, PROT_READ, MAP_SHARED, fd, 0);
	if (device == MAP_FAILED || madvise(device, (nr + 1) * APART, MADV_RANDOM))
		err(1, "%s", argv[2]);
	for (i = 0; i < nr; i++)
		pthread_create(&thread, NULL, keep, (void *)i);
	for (i = 0; i < nr; i++)
		wait_until_locked(sockets[i]);
	printf("%u\n", nr);
	fflush(stdout);
	pause();
	return 0;
}
