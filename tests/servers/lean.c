// SPDX-License-Identifier: GPL-2.0
/*
 * The server of the benchmarks: an image in memory, and as few instructions for a
 * request as the socket allows. One recv() takes all requests that are there, one
 * sendmsg() sends the replies to all of them. READs are sent from the image itself,
 * WRITEs are received into it once their header is known.
 *
 * One thread serves all connections through epoll, so that a thousand idle ones
 * cost nothing. With -t each connection has a thread that blocks in recv(): two
 * system calls for a batch of requests instead of three.
 *
 * It trusts its client and keeps no counters; tests of behaviour use hostile.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire.h"

#define IN_BYTES	(256 * 1024)
/* Replies sent at a time; two vectors each. */
#define BATCH		256

/* Header of a READ's data where structured replies were agreed on. */
struct data_header {
	struct nbd_chunk chunk;
	uint64_t offset;
} __packed;

union reply_header {
	struct nbd_reply simple;
	struct data_header data;
};

/**
 * struct conn - one connection
 * @fd:		its socket
 * @flags:	MSG_DONTWAIT, or 0 if it has a thread of its own
 * @want_out:	the socket was full
 * @structured:	READs are answered in chunks, one each
 * @in:		received and not yet parsed: in[in_pos..in_len)
 * @write_at:	where the rest of a WRITE's payload goes
 * @write_left:	bytes of it that are still to come
 * @write_reply: reply to that WRITE, queued when the payload is complete
 * @replies:	headers of the replies to be sent
 * @iov:	them and the READs' data, iov[iov_pos..n_iov) is unsent
 */
struct conn {
	int fd;
	int flags;
	bool want_out;
	bool structured;
	size_t in_pos, in_len;
	uint8_t *write_at;
	size_t write_left;
	struct nbd_reply write_reply;
	unsigned int n_replies, n_iov, iov_pos;
	union reply_header replies[BATCH];
	struct iovec iov[2 * BATCH];
	uint8_t in[IN_BYTES];
};

static uint8_t *image;
static uint64_t image_size = 1ULL << 30;
static uint16_t export_flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
			       NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES |
			       NBD_FLAG_CAN_MULTI_CONN;
/* Payload is received into and sent from one buffer that stays in the cache. */
static bool discard;
static uint8_t *scratch;
#define SCRATCH_BYTES	(64U << 20)

static int epoll_fd;
static bool threads;
/* Agree to structured replies. */
static bool knows_chunks;

/* --- negotiation: blocking, for it happens once --- */

static bool read_full(int fd, void *buf, size_t len)
{
	while (len) {
		ssize_t n = recv(fd, buf, len, 0);

		if (n <= 0)
			return false;
		buf = (uint8_t *)buf + n;
		len -= n;
	}
	return true;
}

static bool write_full(int fd, const void *buf, size_t len)
{
	return send(fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool send_option_reply(int fd, uint32_t option, uint32_t type, const void *data,
			      size_t len)
{
	struct nbd_option_reply head = {
		.magic = htobe64(NBD_REP_MAGIC),
		.option = htobe32(option),
		.type = htobe32(type),
		.length = htobe32(len),
	};

	return write_full(fd, &head, sizeof(head)) && write_full(fd, data, len);
}

static bool send_infos(int fd, uint32_t option)
{
	struct nbd_info_export export = {
		.type = htobe16(NBD_INFO_EXPORT),
		.size = htobe64(image_size),
		.flags = htobe16(export_flags),
	};
	struct nbd_info_block_size blocks = {
		.type = htobe16(NBD_INFO_BLOCK_SIZE),
		.minimum = htobe32(512),
		.preferred = htobe32(4096),
		.maximum = htobe32(32 << 20),
	};

	return send_option_reply(fd, option, NBD_REP_INFO, &export, sizeof(export)) &&
	       send_option_reply(fd, option, NBD_REP_INFO, &blocks, sizeof(blocks)) &&
	       send_option_reply(fd, option, NBD_REP_ACK, NULL, 0);
}

static bool send_export(int fd, bool no_zeroes)
{
	struct nbd_export_reply reply = {
		.size = htobe64(image_size),
		.flags = htobe16(export_flags),
	};

	return write_full(fd, &reply, sizeof(reply) - (no_zeroes ? sizeof(reply.zeroes) : 0));
}

/* 1: the transmission begins, 0: another option follows, -1: the client is gone. */
static int serve_option(int fd, bool no_zeroes, bool *structured)
{
	struct nbd_option head;
	uint8_t data[4096];
	uint32_t option, len;

	if (!read_full(fd, &head, sizeof(head)) || be64toh(head.magic) != NBD_OPTS_MAGIC)
		return -1;
	option = be32toh(head.option);
	len = be32toh(head.length);
	if (len > sizeof(data) || !read_full(fd, data, len))
		return -1;
	switch (option) {
	case NBD_OPT_EXPORT_NAME:
		return send_export(fd, no_zeroes) ? 1 : -1;
	case NBD_OPT_GO:
		return send_infos(fd, option) ? 1 : -1;
	case NBD_OPT_INFO:
		return send_infos(fd, option) ? 0 : -1;
	case NBD_OPT_STRUCTURED:
		if (!knows_chunks)
			break;
		*structured = true;
		return send_option_reply(fd, option, NBD_REP_ACK, NULL, 0) ? 0 : -1;
	case NBD_OPT_ABORT:
		return -1;
	}
	return send_option_reply(fd, option, NBD_REP_ERR_UNSUP, NULL, 0) ? 0 : -1;
}

static bool negotiate(int fd, bool *structured)
{
	struct nbd_greeting greeting = {
		.magic = htobe64(NBD_INIT_MAGIC),
		.version = htobe64(NBD_OPTS_MAGIC),
		.flags = htobe16(NBD_HS_FIXED_NEWSTYLE | NBD_HS_NO_ZEROES),
	};
	uint32_t flags;
	int ret = 0;

	if (!write_full(fd, &greeting, sizeof(greeting)) || !read_full(fd, &flags, sizeof(flags)))
		return false;
	while (!ret)
		ret = serve_option(fd, be32toh(flags) & NBD_HS_NO_ZEROES, structured);
	return ret > 0;
}

/* --- transmission --- */

static void conn_close(struct conn *conn)
{
	close(conn->fd);
	free(conn);
}

static void want_events(struct conn *conn, bool out)
{
	struct epoll_event ev = {
		.events = out ? EPOLLOUT : EPOLLIN,
		.data.ptr = conn,
	};

	if (out == conn->want_out)
		return;
	conn->want_out = out;
	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, conn->fd, &ev);
}

/* Forget @n sent bytes. */
static void advance(struct conn *conn, size_t n)
{
	while (n) {
		struct iovec *iov = &conn->iov[conn->iov_pos];

		if (n < iov->iov_len) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= n;
			return;
		}
		n -= iov->iov_len;
		conn->iov_pos++;
	}
}

/* Send all replies. 1 if they are sent, 0 if the socket is full, -1 if it is dead. */
static int flush_replies(struct conn *conn)
{
	while (conn->iov_pos < conn->n_iov) {
		struct msghdr msg = {
			.msg_iov = conn->iov + conn->iov_pos,
			.msg_iovlen = conn->n_iov - conn->iov_pos,
		};
		ssize_t n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | conn->flags);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		advance(conn, n);
	}
	conn->n_replies = 0;
	conn->n_iov = 0;
	conn->iov_pos = 0;
	return 1;
}

static uint8_t *place(uint64_t offset)
{
	return discard ? scratch : image + offset;
}

static union reply_header *add_header(struct conn *conn, size_t len)
{
	union reply_header *slot = &conn->replies[conn->n_replies++];

	conn->iov[conn->n_iov++] = (struct iovec) { slot, len };
	return slot;
}

static void add_reply(struct conn *conn, const struct nbd_reply *reply)
{
	add_header(conn, sizeof(*reply))->simple = *reply;
}

static void add_data(struct conn *conn, const struct nbd_reply *reply, uint64_t offset,
		     uint32_t len)
{
	if (conn->structured)
		add_header(conn, sizeof(struct data_header))->data = (struct data_header) {
			.chunk.magic = htobe32(NBD_STRUCTURED_MAGIC),
			.chunk.flags = htobe16(CHUNK_DONE),
			.chunk.type = htobe16(CHUNK_DATA),
			.chunk.cookie = reply->cookie,
			.chunk.length = htobe32(sizeof(offset) + len),
			.offset = htobe64(offset),
		};
	else
		add_reply(conn, reply);
	conn->iov[conn->n_iov++] = (struct iovec) { place(offset), len };
}

/* Take what is in the buffer of the WRITE's payload; the rest is received in place. */
static void begin_write(struct conn *conn, uint64_t offset, uint32_t len)
{
	size_t have = conn->in_len - conn->in_pos;

	if (have > len)
		have = len;
	memcpy(place(offset), conn->in + conn->in_pos, have);
	conn->in_pos += have;
	conn->write_at = place(offset) + have;
	conn->write_left = len - have;
}

/* Serve one request. False if the connection is to be closed. */
static bool serve_request(struct conn *conn, const struct nbd_request *wire)
{
	struct nbd_reply reply = {
		.magic = htobe32(NBD_REPLY_MAGIC),
		.cookie = wire->cookie,
	};
	uint64_t offset = be64toh(wire->from);
	uint32_t len = be32toh(wire->len);
	uint16_t type = be32toh(wire->type);

	if (be32toh(wire->magic) != NBD_REQUEST_MAGIC || type == NBD_CMD_DISC)
		return false;
	if (offset > image_size || len > image_size - offset ||
	    (type <= NBD_CMD_WRITE && len > SCRATCH_BYTES))
		return false;
	switch (type) {
	case NBD_CMD_READ:
		add_data(conn, &reply, offset, len);
		return true;
	case NBD_CMD_WRITE:
		begin_write(conn, offset, len);
		if (!conn->write_left)
			break;
		conn->write_reply = reply;
		return true;
	case NBD_CMD_TRIM:
	case NBD_CMD_WRITE_ZEROES:
		if (!discard)
			memset(place(offset), 0, len);
		break;
	}
	add_reply(conn, &reply);
	return true;
}

/* Serve what is in the buffer. False if the connection is to be closed. */
static bool serve_buffer(struct conn *conn)
{
	struct nbd_request wire;

	while (!conn->write_left && conn->n_replies < BATCH &&
	       conn->in_len - conn->in_pos >= sizeof(wire)) {
		memcpy(&wire, conn->in + conn->in_pos, sizeof(wire));
		conn->in_pos += sizeof(wire);
		if (!serve_request(conn, &wire))
			return false;
	}
	return true;
}

/*
 * One receive call: the rest of a WRITE's payload goes where it belongs, and what
 * follows it into the buffer. As recv().
 */
static ssize_t receive(struct conn *conn)
{
	size_t left = conn->in_len - conn->in_pos;
	struct iovec iov[2] = {
		{ conn->write_at, conn->write_left },
		{ conn->in + left, IN_BYTES - left },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t direct = conn->write_left;
	ssize_t n;

	if (conn->in_pos && left)
		memmove(conn->in, conn->in + conn->in_pos, left);
	conn->in_pos = 0;
	conn->in_len = left;
	if (!direct) {
		n = recv(conn->fd, iov[1].iov_base, iov[1].iov_len, conn->flags);
		if (n > 0)
			conn->in_len += n;
		return n;
	}
	n = recvmsg(conn->fd, &msg, conn->flags);
	if (n <= 0)
		return n;
	if ((size_t)n < direct)
		direct = n;
	conn->write_at += direct;
	conn->write_left -= direct;
	conn->in_len += n - direct;
	if (!conn->write_left)
		add_reply(conn, &conn->write_reply);
	return n;
}

/*
 * Serve until the socket has nothing more, or, if that may block, until the
 * connection is over. False if it is.
 */
static bool serve_conn(struct conn *conn)
{
	bool drained = false;
	int sent;

	for (;;) {
		size_t asked;
		bool full;
		ssize_t n;

		if (!serve_buffer(conn))
			return false;
		full = conn->n_replies == BATCH;
		if (full || drained) {
			sent = flush_replies(conn);
			if (sent < 0)
				return false;
			if (!sent || (drained && !full && conn->flags))
				break;
		}
		if (full)
			continue;
		asked = conn->write_left + IN_BYTES - (conn->in_len - conn->in_pos);
		n = receive(conn);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		/* what did not fill the buffer was all that there was */
		drained = n < 0 || (size_t)n < asked;
	}
	want_events(conn, !sent);
	return true;
}

static void serve_ready(struct conn *conn)
{
	if (conn->want_out) {
		int sent = flush_replies(conn);

		if (sent < 0)
			conn_close(conn);
		if (sent <= 0)
			return;
	}
	if (!serve_conn(conn))
		conn_close(conn);
}

static void *conn_thread(void *arg)
{
	struct conn *conn = arg;

	while (serve_conn(conn))
		;
	conn_close(conn);
	return NULL;
}

/* Hand the connection to epoll or to a thread. */
static bool start_conn(struct conn *conn)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = conn };
	pthread_t thread;

	if (conn->flags)
		return !epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conn->fd, &ev);
	if (pthread_create(&thread, NULL, conn_thread, conn))
		return false;
	pthread_detach(thread);
	return true;
}

static void accept_conn(int listener, bool is_unix)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	bool structured = false;
	struct conn *conn;
	int one = 1;

	if (fd < 0)
		return;
	if (!is_unix)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn = negotiate(fd, &structured) ? malloc(sizeof(*conn)) : NULL;
	if (!conn) {
		close(fd);
		return;
	}
	memset(conn, 0, offsetof(struct conn, replies));
	conn->fd = fd;
	conn->flags = threads ? 0 : MSG_DONTWAIT;
	conn->structured = structured;
	if (!start_conn(conn))
		conn_close(conn);
}

static int listen_unix(const char *path)
{
	struct sockaddr_un addr;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!unix_address(&addr, path))
		errx(1, "%s: too long", path);
	unlink(path);
	if (fd < 0 || bind(fd, (void *)&addr, sizeof(addr)) < 0 || listen(fd, 4096) < 0)
		err(1, "%s", path);
	return fd;
}

static int listen_tcp(struct in_addr address, unsigned int port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr = address,
		.sin_port = htons(port),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (void *)&addr, sizeof(addr)) < 0 || listen(fd, 4096) < 0)
		err(1, "port %u", port);
	return fd;
}

static void *reserve(uint64_t size, bool populate)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
		       (populate ? MAP_POPULATE : 0), -1, 0);

	if (p == MAP_FAILED)
		err(1, "%llu bytes of memory", (unsigned long long)size);
	return p;
}

static void serve(int listener, bool is_unix)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct epoll_event events[64];
	int i, n;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &ev) < 0)
		err(1, "epoll");
	for (;;) {
		n = epoll_wait(epoll_fd, events, 64, -1);
		for (i = 0; i < n; i++) {
			if (events[i].data.ptr)
				serve_ready(events[i].data.ptr);
			else
				accept_conn(listener, is_unix);
		}
	}
}

static const char usage[] =
"usage: lean [-s BYTES] [-n] [-t] [-P] [-S] [-a ADDR] -p PORT | -u PATH\n"
"  -s BYTES  size of the export, K M G T known (1G)\n"
"  -n        store nothing: WRITEs are received and dropped, READs give old bytes\n"
"  -t        a thread for each connection\n"
"  -P        touch all memory first\n"
"  -S        structured replies, if the client asks for them\n"
"  -p PORT   TCP\n"
"  -a ADDR   IPv4 address to listen on (127.0.0.1)\n"
"  -u PATH   AF_UNIX\n";

static uint64_t parse_size(const char *text)
{
	static const char units[] = "KMGT";
	char *end;
	uint64_t size = strtoull(text, &end, 0);
	const char *unit = *end ? strchr(units, *end) : NULL;

	if (*end && (!unit || end[1]))
		errx(2, "%s is not a size", text);
	return unit ? size << (10 * (unit - units + 1)) : size;
}

int main(int argc, char **argv)
{
	struct in_addr address = { htonl(INADDR_LOOPBACK) };
	unsigned int port = 0;
	const char *path = NULL;
	bool populate = false;
	int opt;

	while ((opt = getopt(argc, argv, "s:ntPSa:p:u:")) != -1)
		switch (opt) {
		case 's':
			image_size = parse_size(optarg);
			break;
		case 'n':
			discard = true;
			break;
		case 't':
			threads = true;
			break;
		case 'P':
			populate = true;
			break;
		case 'S':
			knows_chunks = true;
			break;
		case 'a':
			if (!inet_aton(optarg, &address))
				errx(2, "%s is not an address", optarg);
			break;
		case 'p':
			port = strtoul(optarg, NULL, 0);
			break;
		case 'u':
			path = optarg;
			break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	if (!port == !path || optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (discard)
		scratch = reserve(SCRATCH_BYTES, populate);
	else
		image = reserve(image_size, populate);
	serve(path ? listen_unix(path) : listen_tcp(address, port), path);
}
