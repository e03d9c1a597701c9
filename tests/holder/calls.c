// SPDX-License-Identifier: GPL-2.0
/* Calls on a socket: those that take from it, write to it, and change what it is. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../library/library.h"
#include "holder.h"

/* How long what goes on goes on. */
#define WHILE	0.3

static char garbage[65536];

static long disconnect(int fd)
{
	struct sockaddr addr = { .sa_family = AF_UNSPEC };

	return result(connect(fd, &addr, sizeof(addr)));
}

static long listen_now(int fd)
{
	return result(listen(fd, 1));
}

static long disconnect_listen(int fd)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };

	disconnect(fd);
	bind(fd, (void *)&addr, sizeof(addr));
	return listen_now(fd);
}

/* From then on it is connected to somebody who takes everything and says nothing. */
static long disconnect_elsewhere(int fd)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(addr);
	long ret;

	if (bind(listener, (void *)&addr, len) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (void *)&addr, &len) < 0)
		return -errno;
	disconnect(fd);
	ret = result(connect(fd, (void *)&addr, len));
	usleep(100000);
	close(listener);
	return ret;
}

static long connect_again(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	getpeername(fd, (void *)&addr, &len);
	return result(connect(fd, (void *)&addr, len));
}

static long accept_now(int fd)
{
	return result(accept4(fd, NULL, NULL, SOCK_NONBLOCK));
}

static long shutdown_read(int fd)
{
	return result(shutdown(fd, SHUT_RD));
}

static long shutdown_write(int fd)
{
	return result(shutdown(fd, SHUT_WR));
}

static long shutdown_both(int fd)
{
	return result(shutdown(fd, SHUT_RDWR));
}

/* recv() with @flags for a while; 0 if it ever had something. */
static long receive_with(int fd, int flags)
{
	double end = now() + WHILE;
	char buf[4096];
	long ret = -EAGAIN;

	do {
		if (recv(fd, buf, sizeof(buf), flags | MSG_DONTWAIT) > 0)
			ret = 0;
	} while (now() < end);
	return ret;
}

static long reader(int fd)
{
	return receive_with(fd, 0);
}

static long peeker(int fd)
{
	receive_with(fd, MSG_PEEK);
	return 0;
}

/* Is killed in there. */
static long reader_that_waits(int fd)
{
	char buf[4096];

	return result(recv(fd, buf, sizeof(buf), MSG_WAITALL));
}

/* Moves received pages into its memory. */
static long zerocopy_receive(int fd)
{
	struct tcp_zerocopy_receive zc = { .length = 65536 };
	double end = now() + WHILE;
	socklen_t len;
	void *map;
	long ret;

	map = mmap(NULL, zc.length, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	zc.address = (uintptr_t)map;
	do {
		len = sizeof(zc);
		ret = result(getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &zc, &len));
	} while (now() < end);
	return ret;
}

static long splice_out(int fd)
{
	double end = now() + WHILE;
	long ret = -EAGAIN;
	int pipes[2];

	if (pipe2(pipes, O_NONBLOCK) < 0)
		return -errno;
	do {
		if (splice(fd, NULL, pipes[1], NULL, 4096, SPLICE_F_NONBLOCK) > 0)
			ret = 0;
	} while (now() < end);
	return ret;
}

static long splice_in(int fd)
{
	int pipes[2];

	if (pipe2(pipes, O_NONBLOCK) < 0)
		return -errno;
	if (write(pipes[1], garbage, 4096) < 0)
		return -errno;
	return result(splice(pipes[0], NULL, fd, NULL, 4096, SPLICE_F_NONBLOCK));
}

static long sendfile_in(int fd)
{
	int file = memfd_create("garbage", 0);

	if (file < 0 || write(file, garbage, sizeof(garbage)) < 0)
		return -errno;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return result(sendfile(fd, file, &(off_t){ 0 }, sizeof(garbage)));
}

static long write_bytes(int fd, size_t len)
{
	return result(send(fd, garbage, len, MSG_NOSIGNAL | MSG_DONTWAIT));
}

static long writer_of_one(int fd)
{
	return write_bytes(fd, 1);
}

/* So that some of it gets between two parts of a long request. */
static long writer(int fd)
{
	double end = now() + WHILE;
	long ret = -EAGAIN;

	do {
		if (write_bytes(fd, 1000) > 0)
			ret = 0;
	} while (now() < end);
	return ret;
}

/* Is killed in there, or hears of the end. */
static long writer_that_waits(int fd)
{
	long ret;

	do
		ret = result(send(fd, garbage, sizeof(garbage), MSG_NOSIGNAL));
	while (ret > 0);
	return ret;
}

static long oob(int fd)
{
	return result(send(fd, "!", 1, MSG_OOB | MSG_NOSIGNAL | MSG_DONTWAIT));
}

/* Sends @what over @over. */
static long send_fd(int over, int what)
{
	char control[CMSG_SPACE(sizeof(int))] = { };
	struct iovec iov = { .iov_base = garbage, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &what, sizeof(what));
	return result(sendmsg(over, &msg, MSG_NOSIGNAL | MSG_DONTWAIT));
}

static long send_itself(int fd)
{
	return send_fd(fd, fd);
}

/* In flight over a socket that is gone: the kernel's collector finds it. */
static long send_over_another(int fd)
{
	int pair[2];
	long ret;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return -errno;
	ret = send_fd(pair[0], fd);
	send_fd(pair[0], pair[1]);
	close(pair[0]);
	close(pair[1]);
	return ret < 0 ? ret : 0;
}

static long ioctls(int fd)
{
	static const unsigned long numbers[] = {
		FIONREAD, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK, SIOCGPGRP,
	};
	int i, value;
	unsigned int n;

	for (i = 0; i < 100; i++)
		for (n = 0; n < ARRAY_SIZE(numbers); n++)
			ioctl(fd, numbers[n], &value);
	return 0;
}

static long async(int fd)
{
	signal(SIGUSR2, SIG_IGN);
	fcntl(fd, F_SETSIG, SIGUSR2);
	fcntl(fd, F_SETOWN, getpid());
	return result(fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
}

static long polls(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP };
	double end = now() + WHILE;

	do
		poll(&poll_fd, 1, 0);
	while (now() < end);
	return 0;
}

static long close_now(int fd)
{
	return result(close(fd));
}

const struct abuse call_abuses[] = {
	{ "disconnect", ON_TCP, disconnect, 0 },
	{ "disconnect_listen", ON_TCP, disconnect_listen, ON_TCP },
	{ "disconnect_elsewhere", ON_TCP, disconnect_elsewhere, 0 },
	{ "listen", ON_BOTH, listen_now, ON_BOTH },
	{ "connect_again", ON_BOTH, connect_again, ON_BOTH },
	{ "accept", ON_BOTH, accept_now, ON_BOTH },
	{ "shutdown_read", ON_BOTH, shutdown_read, 0 },
	{ "shutdown_write", ON_BOTH, shutdown_write, 0 },
	{ "shutdown_both", ON_BOTH, shutdown_both, 0 },
	{ "reader", ON_BOTH, reader, ON_BOTH },
	{ "peeker", ON_BOTH, peeker, 0 },
	{ "reader_that_waits", ON_BOTH, reader_that_waits, 0 },
	{ "zerocopy_receive", ON_TCP, zerocopy_receive, 0 },
	{ "splice_out", ON_BOTH, splice_out, ON_BOTH },
	{ "splice_in", ON_BOTH, splice_in, ON_UNIX },
	{ "sendfile", ON_BOTH, sendfile_in, ON_UNIX },
	{ "writer_of_one", ON_BOTH, writer_of_one, ON_UNIX },
	{ "writer", ON_BOTH, writer, ON_UNIX },
	{ "writer_that_waits", ON_BOTH, writer_that_waits, ON_UNIX },
	{ "oob", ON_BOTH, oob, ON_UNIX },
	{ "send_itself", ON_UNIX, send_itself, ON_UNIX },
	{ "send_over_another", ON_BOTH, send_over_another, 0 },
	{ "ioctls", ON_BOTH, ioctls, 0 },
	{ "async", ON_BOTH, async, 0 },
	{ "polls", ON_BOTH, polls, 0 },
	{ "close", ON_BOTH, close_now, 0 },
	{ }
};
