/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel driver is asked for.
 *
 * The neutral requests and answers, and the generic netlink interface that
 * carries them (netlink.c). The legacy ioctl interface is in ioctl.h. Both
 * serve our driver and the stock one: nbd_kernel_knows() tells which
 * extension attributes the loaded driver has, as its own policy says.
 */
#ifndef NBD_KERNEL_H
#define NBD_KERNEL_H

#include <linux/nbd-netlink.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "model.h"

struct nl_sock;

/**
 * struct nbd_kernel - the driver's netlink family
 * @sock:	for requests; not shared between threads
 * @family:	number of the family
 * @group:	number of its multicast group, 0 if it has none
 * @known:	bit n: attribute n is in the policy
 */
struct nbd_kernel {
	struct nl_sock *sock;
	int family;
	int group;
	uint64_t known[2];
};

/* Presence bits of optional fields of struct nbd_kernel_config. */
#define NBD_CONFIG_SIZE			(1U << 0)
#define NBD_CONFIG_TIMEOUT		(1U << 1)
#define NBD_CONFIG_DEAD_TIMEOUT		(1U << 2)
#define NBD_CONFIG_SERVER_FLAGS		(1U << 3)
#define NBD_CONFIG_CLIENT_FLAGS		(1U << 4)
#define NBD_CONFIG_BLOCK_SIZE		(1U << 5)
#define NBD_CONFIG_BLOCK_LIMITS		(1U << 6)
#define NBD_CONFIG_QUEUE_DEPTH		(1U << 7)
#define NBD_CONFIG_SLOW_TIMEOUT		(1U << 8)
#define NBD_CONFIG_WRITE_POLICY		(1U << 9)
#define NBD_CONFIG_SESSION_ID		(1U << 10)
#define NBD_CONFIG_REPLACE		(1U << 11)

/**
 * struct nbd_kernel_config - NBD_CMD_CONNECT or NBD_CMD_RECONFIGURE
 * @set:	NBD_CONFIG_* bits of the fields to send
 * @index:	device, or NBD_INDEX_AUTO (CONNECT only)
 * @fds:	negotiated sockets; stay the caller's
 * @nfds:	how many
 * @identifier:	backend identifier, or NULL
 *
 * The others are the attributes of the same name in <linux/nbd-netlink.h>. An
 * attribute that the driver does not know is not sent.
 */
struct nbd_kernel_config {
	unsigned int set;
	int32_t index;
	const int *fds;
	unsigned int nfds;
	const char *identifier;
	uint64_t size;
	uint64_t block_size;
	uint64_t timeout;
	uint64_t dead_timeout;
	uint64_t server_flags;
	uint64_t client_flags;
	uint32_t block_min;
	uint32_t block_preferred;
	uint32_t block_max;
	uint32_t queue_depth;
	uint64_t slow_timeout;
	uint32_t write_policy;
	uint64_t session_id;
};

/**
 * struct nbd_kernel_reply - what CONNECT and RECONFIGURE answer
 * @index:		device
 * @session_id:		CONNECT: the attachment, 0 from a driver without them
 * @sockets_used:	RECONFIGURE: sockets that became connections
 * @sockets_closed:	RECONFIGURE: connections that were given up
 * @has_sockets_used:	the last two were told
 */
struct nbd_kernel_reply {
	int32_t index;
	uint64_t session_id;
	uint32_t sockets_used;
	uint32_t sockets_closed;
	bool has_sockets_used;
};

/**
 * nbd_kernel_open - reach the driver, loading it if it is missing
 * @k:		filled in; nbd_kernel_close() it
 * @load:	load the module if need be
 * @err:	says why not
 *
 * Return: 0, -ENOENT without a driver, or another negative errno.
 */
int nbd_kernel_open(struct nbd_kernel *k, bool load, struct nbd_err *err);
void nbd_kernel_close(struct nbd_kernel *k);

/* The loaded driver takes this NBD_ATTR_*. */
bool nbd_kernel_knows(const struct nbd_kernel *k, unsigned int attribute);

/* NBD_CMD_CONNECT; -EBUSY when the device is in use. */
int nbd_kernel_connect(struct nbd_kernel *k,
		       const struct nbd_kernel_config *config,
		       struct nbd_kernel_reply *reply, struct nbd_err *err);

/* NBD_CMD_RECONFIGURE; -ESTALE when the attachment is another one by now. */
int nbd_kernel_reconfigure(struct nbd_kernel *k,
			   const struct nbd_kernel_config *config,
			   struct nbd_kernel_reply *reply, struct nbd_err *err);

/**
 * nbd_kernel_disconnect - NBD_CMD_DISCONNECT
 * @k:		the driver
 * @index:	device
 * @session_id:	only if it is this attachment; 0 for any
 * @if_unused:	refuse with -EBUSY while the device is open, where the driver
 *		can tell
 * @err:	says why not
 */
int nbd_kernel_disconnect(struct nbd_kernel *k, int32_t index,
			  uint64_t session_id, bool if_unused,
			  struct nbd_err *err);

#endif /* NBD_KERNEL_H */
