/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parameters of a session: what is asked for at attach, over netlink or by ioctls.
 */
#ifndef _NBD_PARAMS_H
#define _NBD_PARAMS_H

#include <linux/types.h>

struct netlink_ext_ack;

/* Bytes, where none is given; mainline's. */
#define NBD_BLKSIZE_DEFAULT	1024

/**
 * struct nbd_session_params - what is asked for at attach
 * @size:		bytes
 * @blksize:		logical block size in bytes
 * @block_preferred:	the server's preferred block size in bytes, 0 unknown
 * @block_max:		largest payload in bytes, 0 unknown
 * @flags:		NBD_FLAG_*
 * @cflags:		NBD_CFLAG_*
 * @timeout:		seconds until a request is failed over, 0 never
 * @dead_timeout:	seconds without connection until requests fail,
 *			NBD_DEAD_CONN_FOREVER never
 * @slow_timeout:	seconds until a request counts as slow, 0 never
 * @policy:		enum nbd_write_policy
 * @queue_depth:	requests a hardware queue, 0 as it is
 * @read_ahead:		KiB, or NBD_READ_AHEAD_AUTO
 * @backend:		identifier or NULL; owned
 * @netlink:		attached over netlink, not ioctl
 * @keeper:		who makes lost connections again from the start, or 0
 */
struct nbd_session_params {
	u64 size;
	u64 blksize;
	u32 block_preferred;
	u32 block_max;
	u64 flags;
	u32 cflags;
	u64 timeout;
	u64 dead_timeout;
	u64 slow_timeout;
	u32 policy;
	u32 queue_depth;
	u32 read_ahead;
	char *backend;
	bool netlink;
	u64 keeper;
};

/* Nobody has asked for any: not a value of NBD_ATTR_READ_AHEAD. */
#define NBD_READ_AHEAD_AUTO	U32_MAX

/* Fills in the defaults. */
void nbd_session_params_init(struct nbd_session_params *params);

/*
 * Refuses what cannot be: -EINVAL, told in @extack; makes the default of a block size of
 * 0. @nr_socks is how many connections there are to be.
 */
int nbd_session_params_check(struct nbd_session_params *params, unsigned int nr_socks,
			     struct netlink_ext_ack *extack);

#endif /* _NBD_PARAMS_H */
