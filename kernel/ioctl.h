/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctl interface: what SET_* calls prepare, and DO_IT, which attaches it.
 *
 * A setup exists from the first SET_* call until the last close of the device. It
 * belongs to the process that gave the first socket, until that socket is cleared.
 */
#ifndef _NBD_IOCTL_H
#define _NBD_IOCTL_H

#include "compat.h"

struct nbd_device;

int nbd_ioctl(struct block_device *bdev, NBD_IOCTL_MODE mode, unsigned int cmd,
	      unsigned long arg);

/* The last close: forgets what was prepared. */
void nbd_setup_drop(struct nbd_device *nbd);

#endif /* _NBD_IOCTL_H */
