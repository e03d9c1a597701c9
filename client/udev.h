/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Links in /dev/disk: what udev's rule (system/59-nbd.rules.in) asks, and that udev has
 * made them before a device is said to be ready.
 */
#ifndef NBD_UDEV_H
#define NBD_UDEV_H

#include <stdio.h>

#include "error.h"
#include "util.h"

struct nbd_params;

/**
 * nbd_udev_print - properties of an attached device, for the rule
 * @index:	device
 * @out:	gets "NAME=VALUE" lines
 *
 * ID_PATH, "nbd-HOST:PORT-NAME", if the record here is of what is attached; NBD_IDENTIFIER if
 * the driver has one. Both are encoded as names of links, a slash included.
 */
void nbd_udev_print(s32 index, FILE *out);

/*
 * The links that a device will have once it is attached with @p, each with a blank in front.
 * Those of what is on it, as of its UUID and label, nobody knows before.
 */
void nbd_udev_print_links(const struct nbd_params *p, FILE *out);

/*
 * Has udev look at the device and its partitions once more, now that the record is there,
 * and waits until it has. Does nothing where udev does not run, or has no such rule. That
 * udev takes too long is told on standard error.
 */
void nbd_udev_refresh(s32 index);

#endif /* NBD_UDEV_H */
