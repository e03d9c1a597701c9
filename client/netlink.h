/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests to the driver's netlink family: what netlink.c and notice.c share.
 */
#ifndef NBD_NETLINK_H
#define NBD_NETLINK_H

#include <stdbool.h>

struct nl_msg;
struct nl_sock;
struct nlmsghdr;

/**
 * struct nbd_exchange - one request and what came back
 * @error:	0 or a positive errno from the kernel
 * @text:	the kernel's sentence about it, sanitized; empty if none
 * @done:	the answer is complete
 * @handle:	called for each message of the answer; NULL to ignore them
 * @arg:	for @handle
 */
struct nbd_exchange {
	int error;
	char text[256];
	bool done;
	void (*handle)(struct nlmsghdr *hdr, void *arg);
	void *arg;
};

/* A request with room for every attribute; NULL without memory. */
struct nl_msg *nbd_netlink_message(int family, int flags, int command);

/* Sends @msg, frees it, waits for the end of the answer; 0 or -errno. */
int nbd_netlink_transact(struct nl_sock *sock, struct nl_msg *msg,
			 struct nbd_exchange *x);

#endif /* NBD_NETLINK_H */
