/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Connections for the driver: from those who make them to those who tell it.
 */
#ifndef NBD_HANDOVER_H
#define NBD_HANDOVER_H

#include "bringup.h"
#include "error.h"
#include "kernel.h"

/** typedef nbd_kernel_call - nbd_kernel_connect() or nbd_kernel_reconfigure() */
typedef int nbd_kernel_call(struct nbd_kernel *k,
			    const struct nbd_kernel_config *config,
			    struct nbd_kernel_reply *reply, struct nbd_err *err);

/**
 * nbd_hand_over - give connections to the driver
 * @k:		the driver
 * @call:	what takes them
 * @config:	all but the connections
 * @b:		up
 * @n:		give the first @n of its connections
 * @reply:	filled in, @sockets_used also where the driver does not tell it
 * @err:	says why not
 *
 * Those that the driver has taken are closed here without a word to the server. The others,
 * and all of them on failure, remain @b's.
 *
 * Return: 0 or a negative errno.
 */
int nbd_hand_over(struct nbd_kernel *k, nbd_kernel_call *call,
		  struct nbd_kernel_config *config, struct nbd_bringup *b,
		  unsigned int n, struct nbd_kernel_reply *reply,
		  struct nbd_err *err);

#endif /* NBD_HANDOVER_H */
