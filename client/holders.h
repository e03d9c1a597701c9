/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who uses a device: mounts and swap areas, other block devices on top of it
 * (device-mapper, md, LVM), processes that have it open; its partitions
 * included. The process that serves the device (NBD_DO_IT) is not a user of
 * it. Needs root to see everything.
 */
#ifndef NBD_HOLDERS_H
#define NBD_HOLDERS_H

#include <stdbool.h>

#include "util.h"

/**
 * struct nbd_holders - the users of a device
 * @n:		how many were found
 * @lasting:	a mount, a swap area or another device is among them: waiting
 *		a moment will not help
 * @served:	a process is in NBD_DO_IT for the device
 * @text:	their names, printable, separated by "; "
 */
struct nbd_holders {
	unsigned int n;
	bool lasting;
	bool served;
	char text[768];
};

void nbd_holders_find(s32 index, struct nbd_holders *holders);

#endif /* NBD_HOLDERS_H */
