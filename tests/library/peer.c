// SPDX-License-Identifier: GPL-2.0
/* The far end of a connection: a memory image, served in a thread. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/nbd.h>

#include "library.h"

#define IMAGE_BYTES	PEER_IMAGE_BYTES
#define KEPT_MAX	256

struct peer {
	int fd, driver_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool hold, ended;
	unsigned int counts[16];
	struct nbd_request kept[KEPT_MAX];
	unsigned int n_kept;
};

static uint8_t own_image[IMAGE_BYTES];
static uint8_t *image = own_image;

uint8_t *peer_share_image(void)
{
	image = mmap(NULL, IMAGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (image == MAP_FAILED)
		err(1, "shared image");
	return image;
}

static bool receive(int fd, void *buf, size_t len)
{
	return !len || recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

/* Bytes of the image at the request's place; NULL if they do not exist. */
static uint8_t *place(const struct nbd_request *req)
{
	uint64_t from = be64toh(req->from);
	uint32_t len = be32toh(req->len);

	return from > IMAGE_BYTES || len > IMAGE_BYTES - from ? NULL : image + from;
}

static void reply(struct peer *peer, const struct nbd_request *req)
{
	struct nbd_reply head = {
		.magic = htobe32(NBD_REPLY_MAGIC),
		.cookie = req->cookie,
	};
	bool is_read = (be32toh(req->type) & 0xffff) == NBD_CMD_READ;
	uint8_t *data = place(req);

	if (is_read && !data)
		head.error = htobe32(EINVAL);
	send(peer->fd, &head, sizeof(head), MSG_NOSIGNAL | (is_read ? MSG_MORE : 0));
	if (is_read && data)
		send(peer->fd, data, be32toh(req->len), MSG_NOSIGNAL);
}

/* Count the request; true if it is to be answered now. */
static bool note(struct peer *peer, const struct nbd_request *req)
{
	uint16_t type = be32toh(req->type);
	bool keep;

	pthread_mutex_lock(&peer->lock);
	peer->counts[type % 16]++;
	keep = peer->hold && type != NBD_CMD_DISC && peer->n_kept < KEPT_MAX;
	if (keep)
		peer->kept[peer->n_kept++] = *req;
	pthread_cond_broadcast(&peer->changed);
	pthread_mutex_unlock(&peer->lock);
	return !keep;
}

static bool receive_payload(struct peer *peer, const struct nbd_request *req)
{
	static uint8_t sink[IMAGE_BYTES];
	uint32_t len = be32toh(req->len);
	uint8_t *data = place(req);

	if (len > IMAGE_BYTES)
		return false;
	return receive(peer->fd, data ? data : sink, len);
}

static void *serve(void *arg)
{
	struct peer *peer = arg;
	struct nbd_request req;

	while (receive(peer->fd, &req, sizeof(req))) {
		uint16_t type = be32toh(req.type);

		if (be32toh(req.magic) != NBD_REQUEST_MAGIC)
			break;
		if (type == NBD_CMD_WRITE && !receive_payload(peer, &req))
			break;
		if (note(peer, &req) && type != NBD_CMD_DISC)
			reply(peer, &req);
		if (type == NBD_CMD_DISC)
			break;
	}
	shutdown(peer->fd, SHUT_RDWR);
	pthread_mutex_lock(&peer->lock);
	peer->ended = true;
	pthread_cond_broadcast(&peer->changed);
	pthread_mutex_unlock(&peer->lock);
	return NULL;
}

static void tcp_pair(int fds[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&addr, len) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (void *)&addr, &len) < 0 ||
	    connect(fds[0], (void *)&addr, len) < 0)
		err(1, "TCP on the loopback interface");
	fds[1] = accept(listener, NULL, NULL);
	close(listener);
}

struct peer *peer_new(enum peer_kind kind)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	int fds[2];

	if (!peer)
		err(1, "peer");
	if (kind == PEER_TCP)
		tcp_pair(fds);
	else if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		err(1, "socketpair");
	peer->driver_fd = fds[0];
	peer->fd = fds[1];
	pthread_mutex_init(&peer->lock, NULL);
	pthread_cond_init(&peer->changed, NULL);
	if (pthread_create(&peer->thread, NULL, serve, peer))
		errx(1, "thread");
	return peer;
}

void peer_free(struct peer *peer)
{
	shutdown(peer->fd, SHUT_RDWR);
	pthread_join(peer->thread, NULL);
	close(peer->fd);
	close(peer->driver_fd);
	pthread_mutex_destroy(&peer->lock);
	pthread_cond_destroy(&peer->changed);
	free(peer);
}

int peer_fd(struct peer *peer)
{
	return peer->driver_fd;
}

void peer_hold(struct peer *peer, bool hold)
{
	unsigned int i, n;

	pthread_mutex_lock(&peer->lock);
	peer->hold = hold;
	n = hold ? 0 : peer->n_kept;
	if (!hold)
		peer->n_kept = 0;
	pthread_mutex_unlock(&peer->lock);
	for (i = 0; i < n; i++)
		reply(peer, &peer->kept[i]);
}

void peer_hang_up(struct peer *peer)
{
	shutdown(peer->fd, SHUT_RDWR);
}

unsigned int peer_count(struct peer *peer, unsigned int type)
{
	return peer->counts[type % 16];
}

static void deadline_in(struct timespec *ts, unsigned int seconds)
{
	clock_gettime(CLOCK_REALTIME, ts);
	ts->tv_sec += seconds;
}

static bool holds(const struct peer *peer, uint64_t offset)
{
	unsigned int i;

	for (i = 0; i < peer->n_kept; i++)
		if (be64toh(peer->kept[i].from) == offset)
			return true;
	return false;
}

bool peer_wait_held(struct peer *peer, uint64_t offset)
{
	struct timespec deadline;
	bool there;

	deadline_in(&deadline, 10);
	pthread_mutex_lock(&peer->lock);
	while (!holds(peer, offset) && !peer->ended)
		if (pthread_cond_timedwait(&peer->changed, &peer->lock, &deadline))
			break;
	there = holds(peer, offset);
	pthread_mutex_unlock(&peer->lock);
	return there;
}

bool peer_saw_end(struct peer *peer)
{
	struct timespec deadline;
	bool ended;

	deadline_in(&deadline, 5);
	pthread_mutex_lock(&peer->lock);
	while (!peer->ended)
		if (pthread_cond_timedwait(&peer->changed, &peer->lock, &deadline))
			break;
	ended = peer->ended;
	pthread_mutex_unlock(&peer->lock);
	return ended;
}
