// SPDX-License-Identifier: GPL-2.0
/*
 * Connections for the driver.
 */
#include "handover.h"

int nbd_hand_over(struct nbd_kernel *k, nbd_kernel_call *call,
		  struct nbd_kernel_config *config, struct nbd_bringup *b,
		  unsigned int n, struct nbd_kernel_reply *reply,
		  struct nbd_err *err)
{
	int fds[NBD_CONNECTIONS_MAX];
	unsigned int i;
	int ret;

	for (i = 0; i < n; i++) {
		fds[i] = b->links[i].fd;
		config->structured[i] = b->links[i].hs.structured;
	}
	config->fds = fds;
	config->nfds = n;
	ret = call(k, config, reply, err);
	config->fds = NULL;
	config->nfds = 0;
	if (ret)
		return ret;
	if (!reply->has_sockets_used)
		reply->sockets_used = n;
	for (i = 0; i < n && i < reply->sockets_used; i++)
		nbd_link_hand_over(&b->links[i]);
	return 0;
}
