/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The legacy ioctl interface of one device: nbd_kernel_connect(), nbd_kernel_disconnect()
 * and nbd_kernel_close() (kernel.h) through its node, and NBD_DO_IT.
 */
#ifndef NBD_IOCTL_H
#define NBD_IOCTL_H

#include "error.h"
#include "kernel.h"
#include "util.h"

/**
 * nbd_ioctl_open - reach the driver through a device
 * @k:		filled in; nbd_kernel_close() it, on failure it may be
 * @index:	the device
 * @err:	says why not
 *
 * The device is open until @k is closed.
 *
 * Return: 0 or a negative errno.
 */
int nbd_ioctl_open(struct nbd_kernel *k, s32 index, struct nbd_err *err);

/*
 * NBD_DO_IT: returns when the attachment that nbd_kernel_connect() has prepared is over, with
 * 0 or a positive errno. The connections are given up then; the device is still open.
 */
int nbd_ioctl_serve(struct nbd_kernel *k);

#endif /* NBD_IOCTL_H */
