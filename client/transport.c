// SPDX-License-Identifier: GPL-2.0
/*
 * The stream of a plain socket.
 */
#include <errno.h>
#include <sys/socket.h>

#include "transport.h"

static int socket_fd(struct nbd_transport *t)
{
	return ((struct nbd_socket_transport *)t)->fd;
}

static ssize_t socket_recv(struct nbd_transport *t, void *buf, size_t len)
{
	ssize_t n;

	do {
		n = recv(socket_fd(t), buf, len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t socket_send(struct nbd_transport *t, const void *buf,
			   size_t len)
{
	ssize_t n;

	do {
		n = send(socket_fd(t), buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static const struct nbd_transport_ops socket_ops = {
	.recv = socket_recv,
	.send = socket_send,
};

void nbd_socket_transport_init(struct nbd_socket_transport *t, int fd)
{
	t->base.ops = &socket_ops;
	t->fd = fd;
}
