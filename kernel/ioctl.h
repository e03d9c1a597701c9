/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctl interface: what SET_* calls prepare, and DO_IT, which attaches it.
 *
 * A setup exists from the first SET_* or DO_IT call until the last close of the disk, or
 * until that is replaced. Its sockets belong to the process that gave the first one, until
 * they are cleared or it has ended; sizes, flags and timeout are anybody's.
 */
#ifndef _NBD_IOCTL_H
#define _NBD_IOCTL_H

#include "compat.h"

struct nbd_device;

int nbd_ioctl(struct block_device *bdev, NBD_IOCTL_MODE mode, unsigned int cmd,
	      unsigned long arg);

/* Forgets what was prepared. */
void nbd_setup_drop(struct nbd_device *nbd);

#endif /* _NBD_IOCTL_H */
