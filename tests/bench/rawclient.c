// SPDX-License-Identifier: GPL-2.0
/*
 * What the same bytes cost on a bare socket: an NBD client that does nothing but
 * send requests and take replies. One sendmsg() for a batch of requests, one recv()
 * for all replies that are there, no block layer, no copy beyond the socket's.
 * Prints the requests per second of -n requests.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../servers/wire.h"

#define DEPTH_MAX	256
#define IN_BYTES	(1U << 20)
/* The cookie tells whether payload follows a reply. */
#define COOKIE_READ	1

static int fd;
static uint64_t export_size;
static uint32_t block_size = 4096;
static unsigned int depth = 32, batch = 1, write_percent;
static bool sequential;
static uint64_t wanted = 100000;

static uint64_t started, finished;
static uint8_t *payload;		/* of WRITEs */
static uint8_t *in;			/* received and not yet parsed: in[0..in_len) */
static size_t in_len;
static size_t payload_left;		/* of the READ whose payload is being received */

/* --- negotiation --- */

static void read_full(void *buf, size_t len)
{
	if (len && recv(fd, buf, len, MSG_WAITALL) != (ssize_t)len)
		errx(1, "the server closed the connection");
}

static void take_option_replies(void)
{
	struct nbd_option_reply head;
	struct nbd_info_export info;
	uint8_t data[4096];
	uint32_t type, len;

	do {
		read_full(&head, sizeof(head));
		type = be32toh(head.type);
		len = be32toh(head.length);
		if (be64toh(head.magic) != NBD_REP_MAGIC || len > sizeof(data) ||
		    (type & NBD_REP_ERROR))
			errx(1, "negotiation failed with reply type %#x", type);
		read_full(data, len);
		memcpy(&info, data, sizeof(info));
		if (type == NBD_REP_INFO && len == sizeof(info) &&
		    be16toh(info.type) == NBD_INFO_EXPORT)
			export_size = be64toh(info.size);
	} while (type != NBD_REP_ACK);
}

static void negotiate(void)
{
	struct nbd_greeting greeting;
	struct {
		uint32_t flags;
		struct nbd_option head;
		uint32_t name_len;
		uint16_t infos;
	} __packed go = {
		.flags = htobe32(NBD_HS_FIXED_NEWSTYLE | NBD_HS_NO_ZEROES),
		.head = {
			.magic = htobe64(NBD_OPTS_MAGIC),
			.option = htobe32(NBD_OPT_GO),
			.length = htobe32(6),
		},
	};

	read_full(&greeting, sizeof(greeting));
	if (be64toh(greeting.magic) != NBD_INIT_MAGIC)
		errx(1, "not an NBD server");
	if (send(fd, &go, sizeof(go), 0) != sizeof(go))
		err(1, "send");
	take_option_replies();
	if (export_size < block_size)
		errx(1, "the export is too small");
}

/* --- transmission --- */

static void parse_input(void)
{
	struct nbd_reply reply;
	size_t pos = 0;

	for (;;) {
		size_t n = payload_left < in_len - pos ? payload_left : in_len - pos;

		pos += n;
		payload_left -= n;
		if (payload_left || in_len - pos < sizeof(reply))
			break;
		memcpy(&reply, in + pos, sizeof(reply));
		pos += sizeof(reply);
		if (be32toh(reply.magic) != NBD_REPLY_MAGIC || reply.error)
			errx(1, "bad reply: magic %#x error %u", be32toh(reply.magic),
			     be32toh(reply.error));
		if (be64toh(reply.cookie) & COOKIE_READ)
			payload_left = block_size;
		finished++;
	}
	memmove(in, in + pos, in_len - pos);
	in_len -= pos;
}

static void receive(void)
{
	ssize_t n = recv(fd, in + in_len, IN_BYTES - in_len, 0);

	if (n <= 0)
		err(1, "the server closed the connection");
	in_len += n;
	parse_input();
}

/* Send all of @msg. Replies are taken meanwhile, or both sides could wait for ever. */
static void send_all(struct msghdr *msg)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };

	while (msg->msg_iovlen) {
		ssize_t n = sendmsg(fd, msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			if (poll(&poll_fd, 1, -1) > 0 && (poll_fd.revents & POLLIN))
				receive();
			continue;
		}
		if (n < 0)
			err(1, "send");
		while (n && (size_t)n >= msg->msg_iov->iov_len) {
			n -= msg->msg_iov->iov_len;
			msg->msg_iov++;
			msg->msg_iovlen--;
		}
		if (n) {
			msg->msg_iov->iov_base = (uint8_t *)msg->msg_iov->iov_base + n;
			msg->msg_iov->iov_len -= n;
		}
	}
}

static uint32_t next_random(void)
{
	static uint32_t state = 1;

	state = state * 1664525 + 1013904223;
	return state >> 8;
}

static uint64_t next_offset(void)
{
	uint64_t blocks = export_size / block_size;

	return (sequential ? started : next_random()) % blocks * block_size;
}

static void send_requests(unsigned int n)
{
	static struct nbd_request wire[DEPTH_MAX];
	static struct iovec iov[2 * DEPTH_MAX];
	struct msghdr msg = { .msg_iov = iov };
	unsigned int i;

	for (i = 0; i < n; i++, started++) {
		bool write = next_random() % 100 < write_percent;

		wire[i] = (struct nbd_request) {
			.magic = htobe32(NBD_REQUEST_MAGIC),
			.type = htobe32(write ? NBD_CMD_WRITE : NBD_CMD_READ),
			.cookie = htobe64(started << 1 | (write ? 0 : COOKIE_READ)),
			.from = htobe64(next_offset()),
			.len = htobe32(block_size),
		};
		iov[msg.msg_iovlen++] = (struct iovec) { &wire[i], sizeof(wire[i]) };
		if (write)
			iov[msg.msg_iovlen++] = (struct iovec) { payload, block_size };
	}
	send_all(&msg);
}

/* How many requests may be sent now. */
static unsigned int may_send(void)
{
	uint64_t free_slots = depth - (started - finished);
	uint64_t left = wanted - started;

	if (free_slots >= left)
		return left;
	return free_slots >= batch ? free_slots - free_slots % batch : 0;
}

static void run(void)
{
	while (finished < wanted) {
		unsigned int n = may_send();

		if (n)
			send_requests(n);
		if (finished < started)
			receive();
	}
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void connect_unix(const char *path)
{
	struct sockaddr_un addr;

	if (!unix_address(&addr, path))
		errx(1, "%s: too long", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (void *)&addr, sizeof(addr)) < 0)
		err(1, "%s", path);
}

static void connect_tcp(unsigned int port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port),
	};
	int one = 1;

	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (void *)&addr, sizeof(addr)) < 0)
		err(1, "port %u", port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static const char usage[] =
"usage: rawclient [OPTION...] -p PORT | -u PATH\n"
"  -n N        requests to time (100000)\n"
"  -q N        queue depth, up to 256 (32)\n"
"  -b N        send N requests at a time, when that many replies are there (1)\n"
"  -s N        bytes of a request (4096)\n"
"  -w PERCENT  writes among the requests (0)\n"
"  -S          sequential offsets, not random ones\n"
"Prints \"iops N seconds S\".\n";

static void parse_options(int argc, char **argv)
{
	unsigned int port = 0;
	const char *path = NULL;
	int opt;

	while ((opt = getopt(argc, argv, "n:q:b:s:w:Sp:u:")) != -1)
		switch (opt) {
		case 'n':
			wanted = strtoull(optarg, NULL, 0);
			break;
		case 'q':
			depth = strtoul(optarg, NULL, 0);
			break;
		case 'b':
			batch = strtoul(optarg, NULL, 0);
			break;
		case 's':
			block_size = strtoul(optarg, NULL, 0);
			break;
		case 'w':
			write_percent = strtoul(optarg, NULL, 0);
			break;
		case 'S':
			sequential = true;
			break;
		case 'p':
			port = strtoul(optarg, NULL, 0);
			break;
		case 'u':
			path = optarg;
			break;
		default:
			port = 0;
			path = NULL;
			optind = argc + 1;
		}
	if (!port == !path || optind != argc || !depth || depth > DEPTH_MAX || !batch ||
	    batch > depth || !wanted || block_size < 512) {
		fputs(usage, stderr);
		exit(2);
	}
	if (path)
		connect_unix(path);
	else
		connect_tcp(port);
}

int main(int argc, char **argv)
{
	double begin;

	parse_options(argc, argv);
	negotiate();
	payload = malloc(block_size);
	in = malloc(IN_BYTES);
	if (!payload || !in)
		err(1, "malloc");
	memset(payload, 0xa5, block_size);
	begin = now();
	run();
	begin = now() - begin;
	printf("iops %.0f seconds %.6f\n", wanted / begin, begin);
	return 0;
}
