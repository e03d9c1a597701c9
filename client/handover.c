// SPDX-License-Identifier: GPL-2.0
/*
 * Connections for the driver.
 */
#include <string.h>

#include "handover.h"

int nbd_hand_over(struct nbd_kernel *k, nbd_kernel_call *call,
		  struct nbd_kernel_config *config, struct nbd_bringup *b,
		  unsigned int n, struct nbd_kernel_reply *reply,
		  struct nbd_err *err)
{
	struct nbd_tls_secrets secrets[NBD_CONNECTIONS_MAX];
	int fds[NBD_CONNECTIONS_MAX];
	unsigned int i;
	int ret;

	for (i = 0; i < n; i++) {
		fds[i] = b->links[i].fd;
		config->structured[i] = b->links[i].hs.structured;
		secrets[i] = b->links[i].secrets;
	}
	config->fds = fds;
	config->nfds = n;
	config->secrets = b->params->tls ? secrets : NULL;
	ret = call(k, config, reply, err);
	config->fds = NULL;
	config->nfds = 0;
	config->secrets = NULL;
	explicit_bzero(secrets, sizeof(secrets));
	if (ret)
		return ret;
	if (!reply->has_sockets_used)
		reply->sockets_used = n;
	for (i = 0; i < n && i < reply->sockets_used; i++)
		nbd_link_hand_over(&b->links[i]);
	return 0;
}
