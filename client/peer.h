/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whose socket it is. A path, or an abstract name, says nothing of who listens there: when
 * a server has ended, whoever may write to the folder can put another one in its place. So
 * a Unix socket's server must be root, or who served the device when the administrator
 * attached it, or the user that the administrator named.
 */
#ifndef NBD_PEER_H
#define NBD_PEER_H

#include "error.h"
#include "model.h"
#include "namespace.h"

/**
 * nbd_peer_check - may this server be believed?
 * @fd:		connected socket of any family
 * @place:	says who did at the attach
 * @params:	say who else may
 * @peer:	gets the user that listens there, 0 for what is no Unix socket
 * @err:	says who it is and what to do
 *
 * Return: 0 or -EACCES.
 */
int nbd_peer_check(int fd, const struct nbd_place *place,
		   const struct nbd_params *params, u32 *peer,
		   struct nbd_err *err);

#endif /* NBD_PEER_H */
