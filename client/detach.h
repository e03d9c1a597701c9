/* SPDX-License-Identifier: GPL-2.0 */
/* Detaching. */
#ifndef NBD_DETACH_H
#define NBD_DETACH_H

#include <stdbool.h>

#include "error.h"
#include "util.h"

/**
 * nbd_detach - detach a device and wait until it is free
 * @index:	device
 * @force:	take it away from whoever uses it
 * @err:	why not; names the holders
 *
 * A device that is free already is no error. Without @force a device that is
 * mounted, stacked upon or open is left alone; who only looks at it for a
 * moment (udev) is waited for.
 *
 * Its record goes with it. What does not keep it from being detached is told on
 * standard error.
 *
 * Return: 0, -EBUSY or another negative errno.
 */
int nbd_detach(s32 index, bool force, struct nbd_err *err);

#endif /* NBD_DETACH_H */
