/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who uses a device: mounts and swap areas, other block devices on top of it
 * (device-mapper, md, LVM), processes that have it open; its partitions
 * included. A process that serves the device, with a task in NBD_DO_IT for it,
 * is not a user of it, nor is the one in which nbd-client opens it when it is
 * attached. Which one serves it shows /proc, whatever PID namespace it
 * is of; the number that the driver tells may be another namespace's. Needs
 * root to see everything.
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
 * @served:	open files of processes that are in NBD_DO_IT for the device
 * @probed:	processes in which a client reads it for the first time, or what is left of
 *		one
 * @text:	their names, printable, separated by "; "
 */
struct nbd_holders {
	unsigned int n;
	bool lasting;
	unsigned int served;
	unsigned int probed;
	char text[768];
};

void nbd_holders_find(s32 index, struct nbd_holders *holders);

#endif /* NBD_HOLDERS_H */
