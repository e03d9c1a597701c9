/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Attaching through the ioctl interface (-nonetlink): a process stays in NBD_DO_IT for as long as
 * the device is attached. Our driver lets the monitor replace lost connections under it; with the
 * stock driver NBD_DO_IT ends, I/O fails, and the process attaches the device again.
 */
#ifndef NBD_SERVE_H
#define NBD_SERVE_H

#include <stdio.h>

#include "bringup.h"
#include "kernel.h"
#include "record.h"

/**
 * nbd_serve - attach and serve a device
 * @record:	the attachment; gets its session where there are sessions
 * @b:		its connections, up
 * @config:	what nbd_fit() said
 * @out:	gets the classic lines
 * @err:	why not
 *
 * Returns in the caller when the device can be used, while another process
 * serves it; with params.nofork when the device was detached.
 *
 * Return: 0 or a negative errno.
 */
int nbd_serve(struct nbd_record *record, struct nbd_bringup *b,
	      struct nbd_kernel_config *config, FILE *out, struct nbd_err *err);

#endif /* NBD_SERVE_H */
