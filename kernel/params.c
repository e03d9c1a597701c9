// SPDX-License-Identifier: GPL-2.0
/* What may be asked for at attach, and what is taken where nothing is. */
#include <linux/blkdev.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/nbd.h>
#include <linux/nbd-netlink.h>
#include "event.h"
#include "params.h"
#include "slots.h"

void nbd_session_params_init(struct nbd_session_params *params)
{
	*params = (struct nbd_session_params){
		.slow_timeout = NBD_SLOW_TIMEOUT_DEFAULT,
		.read_ahead = NBD_READ_AHEAD_AUTO,
	};
}

static bool blksize_valid(u64 blksize)
{
	return blksize >= SECTOR_SIZE && blksize <= PAGE_SIZE && is_power_of_2(blksize);
}

static bool timeout_valid(u64 seconds)
{
	return seconds <= NBD_TIMEOUT_MAX;
}

static const char *params_complaint(const struct nbd_session_params *p, unsigned int nr_socks)
{
	if (!blksize_valid(p->blksize))
		return "block size is not a power of two from 512 to the page size";
	if (p->size > LLONG_MAX)
		return "size is larger than 2^63-1 bytes";
	if (!timeout_valid(p->timeout) || !timeout_valid(p->slow_timeout) ||
	    (!timeout_valid(p->dead_timeout) && p->dead_timeout != NBD_DEAD_CONN_FOREVER))
		return "timeout is too long";
	if (p->policy > NBD_WRITE_STRICT)
		return "unknown write policy";
	if (p->policy == NBD_WRITE_THROUGH && !(p->flags & NBD_FLAG_SEND_FUA))
		return "write-through needs a server that offers FUA";
	if (p->queue_depth > NBD_QUEUE_DEPTH_MAX)
		return "queue depth is too large";
	if (p->read_ahead > NBD_READ_AHEAD_MAX && p->read_ahead != NBD_READ_AHEAD_AUTO)
		return "read-ahead is too long";
	if (p->block_max && p->block_max < max_t(u64, p->blksize, PAGE_SIZE))
		return "the server's largest request is smaller than a page";
	if (!nr_socks)
		return "at least one socket is needed";
	if (nr_socks > NBD_CONNS_MAX)
		return "too many sockets";
	if (nr_socks > 1 && !(p->flags & NBD_FLAG_CAN_MULTI_CONN))
		return "the server does not support several connections for this export";
	return NULL;
}

int nbd_session_params_check(struct nbd_session_params *params, unsigned int nr_socks,
			     struct netlink_ext_ack *extack)
{
	const char *complaint;

	if (!params->blksize)
		params->blksize = NBD_BLKSIZE_DEFAULT;
	complaint = params_complaint(params, nr_socks);
	if (!complaint)
		return 0;
	nbd_extack_text(extack, complaint);
	return -EINVAL;
}
