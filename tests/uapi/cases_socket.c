// SPDX-License-Identifier: GPL-2.0
/* What may be handed in as a socket, and in which state it comes back. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>

#include "probe.h"

#define MIB	(1ULL << 20)
#define MULTI	(NBD_FLAG_HAS_FLAGS | NBD_FLAG_CAN_MULTI_CONN)
#define MANY	16

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct msg *multi_msg(int index, const int *fds, unsigned int n)
{
	struct msg *msg = connect_msg(index, fds, n, MIB);

	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	return msg;
}

/* SET_SOCK, CONNECT, and CONNECT as the last of 16 good ones. */
static void try_socket(const char *step, int fd)
{
	int node = must_open(0), many[MANY];
	unsigned int i;

	say_result(name("%s-ioctl", step), nbd_ioctl(node, NBD_SET_SOCK, fd));
	nbd_ioctl(node, NBD_CLEAR_SOCK, 0);
	close(node);
	wait_free(0);
	if (!nl_step(name("%s-netlink", step), multi_msg(0, &fd, 1))->error) {
		nl_disconnect(0);
		wait_free(0);
	}
	for (i = 0; i < MANY; i++)
		many[i] = i == MANY - 1 ? fd : peer_fd(peer_new(PEER_UNIX));
	if (!nl_step(name("%s-last", step), multi_msg(0, many, MANY))->error) {
		nl_disconnect(0);
		wait_free(0);
	}
	for (i = 0; i < MANY - 1; i++)
		close(many[i]);
	say(name("%s-after", step), "%s", shape(0));
}

static void kinds(void)
{
	static const struct {
		const char *name;
		int family, type, protocol;
	} sockets[] = {
		{ "udp", AF_INET, SOCK_DGRAM, 0 },
		{ "udp6", AF_INET6, SOCK_DGRAM, 0 },
		{ "raw", AF_INET, SOCK_RAW, IPPROTO_ICMP },
		{ "netlink", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE },
		{ "packet", AF_PACKET, SOCK_RAW, 0 },
		{ "vsock", AF_VSOCK, SOCK_STREAM, 0 },
		{ "sctp", AF_INET, SOCK_STREAM, IPPROTO_SCTP },
		{ "mptcp", AF_INET, SOCK_STREAM, IPPROTO_MPTCP },
		{ "alg", AF_ALG, SOCK_SEQPACKET, 0 },
		{ "unix-dgram", AF_UNIX, SOCK_DGRAM, 0 },
		{ "unix-seqpacket", AF_UNIX, SOCK_SEQPACKET, 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sockets); i++) {
		int fd = socket(sockets[i].family, sockets[i].type, sockets[i].protocol);

		if (fd < 0) {
			/* not in this kernel: the line must not depend on it */
			say(sockets[i].name, "no such socket in this kernel");
			continue;
		}
		try_socket(sockets[i].name, fd);
		close(fd);
	}
}

static void pairs(void)
{
	static const struct {
		const char *name;
		int type;
	} types[] = { { "dgram-pair", SOCK_DGRAM }, { "seqpacket-pair", SOCK_SEQPACKET } };
	size_t i;
	int fds[2];

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		if (socketpair(AF_UNIX, types[i].type, 0, fds) < 0)
			continue;
		try_socket(types[i].name, fds[0]);
	}
}

static void not_sockets(void)
{
	int fds[2];

	if (pipe(fds) < 0)
		return;
	try_socket("pipe", fds[0]);
	try_socket("eventfd", eventfd(0, 0));
	try_socket("epoll", epoll_create1(0));
	try_socket("o-path", open("/", O_PATH));
	try_socket("directory", open("/", O_RDONLY));
	try_socket("file", open("/proc/self/exe", O_RDONLY));
	try_socket("closed", 1000);
	try_socket("minus-1", -1);
	try_socket("int-max", 0x7fffffff);
	try_socket("int-min", INT_MIN);
}

/* SET_SOCK takes a long. */
static void wide_numbers(void)
{
	static const uint64_t high[] = { 1ULL << 31, 1ULL << 32, 1ULL << 62, 1ULL << 63 };
	int fd = peer_fd(peer_new(PEER_UNIX)), node = must_open(0);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(high); i++)
		say_result(name("fd-plus-%#llx", (unsigned long long)high[i]),
			   nbd_ioctl(node, NBD_SET_SOCK, high[i] + fd));
	say_result("plain", nbd_ioctl(node, NBD_SET_SOCK, fd));
	close(node);
}

/* --- states of stream sockets: V2 --- */

static int tcp_listener(struct sockaddr_in *addr, int backlog)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(addr, 0, len);
	addr->sin_family = AF_INET;
	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (void *)addr, len) < 0 || listen(fd, backlog) < 0 ||
	    getsockname(fd, (void *)addr, &len) < 0)
		say("listener", "%s", errno_name(errno));
	return fd;
}

/* A connection whose SYN nobody takes: the backlog is full. */
static int syn_sent(void)
{
	struct sockaddr_in addr;
	int i, fd = -1;

	tcp_listener(&addr, 0);
	for (i = 0; i < 4; i++) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fd, (void *)&addr, sizeof(addr));
	}
	return fd;
}

static void try_state(const char *step, int fd)
{
	int node = must_open(0);

	say_result(name("%s-ioctl", step), nbd_ioctl(node, NBD_SET_SOCK, fd));
	nbd_ioctl(node, NBD_CLEAR_SOCK, 0);
	close(node);
	wait_free(0);
	nl_step(name("%s-netlink", step), multi_msg(0, &fd, 1));
	nl_disconnect(0);
	wait_free(0);
}

static int tcp_pair(int *far)
{
	struct sockaddr_in addr;
	int listener = tcp_listener(&addr, 1), fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (void *)&addr, sizeof(addr)) < 0)
		say("connect", "%s", errno_name(errno));
	*far = accept(listener, NULL, NULL);
	close(listener);
	return fd;
}

static void states(void)
{
	struct sockaddr_in addr;
	int far, one = 1, pair[2];
	struct linger linger = { 1, 0 };
	int fd;

	try_state("tcp-new", socket(AF_INET, SOCK_STREAM, 0));
	try_state("tcp6-new", socket(AF_INET6, SOCK_STREAM, 0));
	try_state("tcp-listening", tcp_listener(&addr, 1));
	try_state("tcp-syn-sent", syn_sent());
	fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one));
	connect(fd, (void *)&addr, sizeof(addr));
	try_state("tcp-deferred", fd);
	fd = tcp_pair(&far);
	close(far);
	usleep(50000);
	try_state("tcp-peer-closed", fd);
	fd = tcp_pair(&far);
	setsockopt(far, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(far);
	usleep(50000);
	try_state("tcp-peer-reset", fd);
	fd = tcp_pair(&far);
	shutdown(fd, SHUT_WR);
	try_state("tcp-shut-write", fd);
	fd = tcp_pair(&far);
	shutdown(fd, SHUT_RD);
	try_state("tcp-shut-read", fd);
	try_state("unix-new", socket(AF_UNIX, SOCK_STREAM, 0));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return;
	close(pair[1]);
	try_state("unix-peer-closed", pair[0]);
}

/* --- the same socket twice --- */

static void twice(void)
{
	int fd = peer_fd(peer_new(PEER_TCP)), both[2] = { fd, fd }, pair[2], node;

	nl_step("fd-twice", multi_msg(0, both, 2));
	nl_disconnect(0);
	wait_free(0);
	both[0] = peer_fd(peer_new(PEER_TCP));
	both[1] = dup(both[0]);
	nl_step("dup", multi_msg(0, both, 2));
	nl_disconnect(0);
	wait_free(0);
	fd = peer_fd(peer_new(PEER_TCP));
	nl_step("one-device", multi_msg(0, &fd, 1));
	nl_step("second-device", multi_msg(1, &fd, 1));
	nl_disconnect(1);
	say_result("first-still-reads", read_block(0, 0, 4096));
	nl_disconnect(0);
	wait_free(0);
	wait_free(1);
	node = must_open(0);
	fd = peer_fd(peer_new(PEER_UNIX));
	say_result("ioctl-first", nbd_ioctl(node, NBD_SET_SOCK, fd));
	say_result("ioctl-again", nbd_ioctl(node, NBD_SET_SOCK, fd));
	nbd_ioctl(node, NBD_CLEAR_SOCK, 0);
	close(node);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return;
	wait_free(0);
	nl_step("both-ends", multi_msg(0, pair, 2));
	nl_disconnect(0);
}

/* RECONFIGURE with a socket that is in use. */
static void reconfigure_in_use(void)
{
	struct peer *a = peer_new(PEER_UNIX), *b = peer_new(PEER_UNIX);
	int fds[2] = { peer_fd(a), peer_fd(b) };
	struct msg *msg;

	nl_step("connect", multi_msg(0, fds, 2));
	peer_hang_up(a);
	usleep(200000);
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_sockets(msg, &fds[1], 1);
	nl_step("with-the-live-one", msg);
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_sockets(msg, &fds[0], 1);
	nl_step("with-the-dead-one", msg);
	nl_disconnect(0);
}

/* A socket may be used again, elsewhere, once it was given back. */
static void given_back(void)
{
	struct timeval tv = { 0 };
	socklen_t len = sizeof(tv);
	struct peer *peer = peer_new(PEER_TCP);
	int fd = peer_fd(peer);
	struct msg *msg = multi_msg(0, &fd, 1);

	msg_u64(msg, NBD_ATTR_TIMEOUT, 7);
	nl_step("connect", msg);
	nl_disconnect(0);
	wait_free(0);
	getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &len);
	say("send-timeout", "%ld", (long)tv.tv_sec);
	getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len);
	say("receive-timeout", "%ld", (long)tv.tv_sec);
	say("server-saw-end", "%s", peer_saw_end(peer) ? "yes" : "no");
	say("blocking", "%s", fcntl(fd, F_GETFL) & O_NONBLOCK ? "no" : "yes");
	/* refused attachments leave it as it was */
	fd = peer_fd(peer_new(PEER_TCP));
	msg = connect_msg(0, &fd, 1, 1000);
	msg_u64(msg, NBD_ATTR_TIMEOUT, 7);
	msg_u64(msg, NBD_ATTR_BLOCK_SIZE_BYTES, 3);
	nl_step("refused", msg);
	len = sizeof(tv);
	getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &len);
	say("send-timeout-refused", "%ld", (long)tv.tv_sec);
}

/* An inherited receive timeout is not the device's. */
static void inherited_timeout(void)
{
	struct timeval tv = { .tv_sec = 1 };
	int fd = peer_fd(peer_new(PEER_TCP));

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	nl_step("connect", multi_msg(0, &fd, 1));
	usleep(2500000);
	say_result("read-after-idling", read_block(0, 0, 4096));
	nl_disconnect(0);
}

const struct probe_case socket_cases[] = {
	{ "socket-kinds", kinds, 0, 120 },
	{ "socket-pairs", pairs, 0, 0 },
	{ "socket-not", not_sockets, 0, 120 },
	{ "socket-wide-numbers", wide_numbers, 0, 0 },
	{ "socket-states", states, 0, 120 },
	{ "socket-twice", twice, 0, 60 },
	{ "socket-reconfigure-in-use", reconfigure_in_use, 0, 0 },
	{ "socket-given-back", given_back, 0, 0 },
	{ "socket-inherited-timeout", inherited_timeout, 0, 0 },
	{ NULL, NULL, 0, 0 },
};
