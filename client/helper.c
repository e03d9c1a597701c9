// SPDX-License-Identifier: GPL-2.0
/*
 * A short-lived child for what may take long.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper.h"
#include "util.h"

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Whoever waits for the end of one of the others shall not wait for this process. */
static void close_all_but(int *fds, size_t n)
{
	unsigned int next = 0;
	size_t i;

	qsort(fds, n, sizeof(*fds), by_number);
	for (i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		if ((unsigned int)fds[i] > next)
			close_range(next, fds[i] - 1, 0);
		next = fds[i] + 1;
	}
	close_range(next, ~0U, 0);
}

/* It ends with its parent, and in time, without anybody's help. */
static void limit_life(pid_t parent, unsigned int seconds)
{
	sigset_t none;

	signal(SIGALRM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	alarm(seconds);
}

int nbd_helper_start(struct nbd_helper *helper, const struct nbd_place *place,
		     const int *kept, unsigned int seconds, nbd_helper_fn fn,
		     void *arg)
{
	const pid_t self = getpid();
	int ends[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	child = fork();
	if (!child) {
		int fds[] = { ends[1], place->net, place->mnt,
			      kept ? kept[0] : -1, kept ? kept[1] : -1 };

		limit_life(self, seconds);
		close_all_but(fds, ARRAY_SIZE(fds));
		mlockall(MCL_CURRENT | MCL_FUTURE);
		fn(arg, nbd_place_enter(place), ends[1]);
		_exit(0);
	}
	if (child < 0) {
		int error = errno;

		close(ends[0]);
		close(ends[1]);
		return -error;
	}
	close(ends[1]);
	helper->fd = ends[0];
	helper->pidfd = syscall(SYS_pidfd_open, child, 0);
	return 0;
}

bool nbd_helper_read(const struct nbd_helper *helper, void *answer, size_t size)
{
	return recv(helper->fd, answer, size, MSG_DONTWAIT | MSG_TRUNC) ==
	       (ssize_t)size;
}

void nbd_helper_end(struct nbd_helper *helper)
{
	if (helper->pidfd >= 0) {
		syscall(SYS_pidfd_send_signal, helper->pidfd, SIGKILL, NULL, 0);
		close(helper->pidfd);
	}
	close(helper->fd);
	helper->pidfd = -1;
	helper->fd = -1;
}
