// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel driver is asked for, whichever way leads to it.
 */
#include "kernel.h"

void nbd_kernel_close(struct nbd_kernel *k)
{
	k->ops->close(k);
}

bool nbd_kernel_knows(const struct nbd_kernel *k, unsigned int attribute)
{
	return attribute < 128 &&
	       k->known[attribute / 64] >> attribute % 64 & 1;
}

int nbd_kernel_connect(struct nbd_kernel *k,
		       const struct nbd_kernel_config *config,
		       struct nbd_kernel_reply *reply, struct nbd_err *err)
{
	return k->ops->connect(k, config, reply, err);
}

int nbd_kernel_disconnect(struct nbd_kernel *k, s32 index,
			  u64 session_id, bool if_unused,
			  struct nbd_err *err)
{
	return k->ops->disconnect(k, index, session_id, if_unused, err);
}
