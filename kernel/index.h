/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The table of devices. A device is in it from its making until its disk is gone, and is
 * not found any more when it is dying. It is claimed (nbd_device.busy) by who attaches it
 * or sets it up through ioctls, until that is undone or the detach has ended.
 */
#ifndef _NBD_INDEX_H
#define _NBD_INDEX_H

#include <linux/mutex.h>
#include <linux/types.h>

struct nbd_device;
struct netlink_ext_ack;

/* Protects the table, and busy, dying and changes of disk of the devices in it. Innermost. */
extern struct mutex nbd_index_mutex;

/* The device of that index with a reference, or NULL. */
struct nbd_device *nbd_device_find(int index);
/* The one with the lowest index that is at least @index, the same. */
struct nbd_device *nbd_device_next(int index);

/*
 * A device for a new session, marked busy, with a reference: that of @index, made
 * if it does not exist, or any free one for -1. One that is being detached is waited
 * for, but not for ever. ERR_PTR, told in @extack: -EBUSY; -ENOSPC if no index is free;
 * -ENOMEM, or what else keeps a disk from being made; -EINTR while waiting for a detach or
 * for the removal of the same index.
 */
struct nbd_device *nbd_device_claim(int index, struct netlink_ext_ack *extack);
void nbd_device_unclaim(struct nbd_device *nbd);

/* Marks a device that an ioctl user sets up; false if it is taken. */
bool nbd_device_try_claim(struct nbd_device *nbd);

/*
 * Puts a new device into the table, at @index or any for -1. Its index, which is also set, or
 * -EEXIST, -ENOSPC, -ENOMEM.
 */
int nbd_index_reserve(struct nbd_device *nbd, int index);
/* Takes it out: the index can be had again. */
void nbd_index_free(int index);

/* Module end: the table is empty. */
void nbd_index_exit(void);

#endif /* _NBD_INDEX_H */
