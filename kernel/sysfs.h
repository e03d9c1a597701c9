/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The attributes of an attached device: /sys/block/nbdX/pid and, if it was attached over
 * netlink, backend. They exist exactly while there is a session, for scripts test whether
 * they do.
 */
#ifndef _NBD_SYSFS_H
#define _NBD_SYSFS_H

struct attribute_group;
struct nbd_device;

/* For device_add_disk(). */
extern const struct attribute_group *nbd_attr_groups[];

/* After nbd_device.session has changed. */
void nbd_sysfs_update(struct nbd_device *nbd);

#endif /* _NBD_SYSFS_H */
