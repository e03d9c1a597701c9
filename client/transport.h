/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A byte stream whose calls never block, between the handshake or the probe and
 * whatever carries it: a socket, a fuzzer's input.
 */
#ifndef NBD_TRANSPORT_H
#define NBD_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

struct nbd_transport;

/**
 * struct nbd_transport_ops - one kind of stream
 * @recv:	bytes received, 0 at the end of the stream, -EAGAIN when it
 *		would block, or another negative errno
 * @send:	bytes taken, at least 1, -EAGAIN, or another negative errno
 */
struct nbd_transport_ops {
	ssize_t (*recv)(struct nbd_transport *t, void *buf, size_t len);
	ssize_t (*send)(struct nbd_transport *t, const void *buf, size_t len);
};

/**
 * struct nbd_transport - base of a stream
 * @ops:	what it can do
 */
struct nbd_transport {
	const struct nbd_transport_ops *ops;
};

/**
 * struct nbd_socket_transport - the stream is a socket
 * @base:	for negotiate.c and probe.c
 * @fd:		owned by whoever set it; whether it is non-blocking does not matter
 */
struct nbd_socket_transport {
	struct nbd_transport base;
	int fd;
};

void nbd_socket_transport_init(struct nbd_socket_transport *t, int fd);

#endif /* NBD_TRANSPORT_H */
