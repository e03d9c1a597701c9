/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Read-ahead of an attached device: what was asked for, or what its distance from the server
 * needs (distance.h). Whoever sets it in sysfs has the last word until the device is detached.
 *
 * The distance is the shortest round trip that TCP has seen on any of the connections by the
 * time that each was handed over: what the server takes to answer is not in it. To a proxy on
 * this machine it is short, however far the server is behind that.
 *
 * Files that are open keep what they were opened with.
 */
#ifndef _NBD_READAHEAD_H
#define _NBD_READAHEAD_H

#include <linux/types.h>

struct nbd_device;
struct nbd_session;

/* The limits of the queue are set; nbd_device.lock is held, as for the next. */
void nbd_read_ahead_begin(struct nbd_session *session);

/* Connections were added. */
void nbd_read_ahead_update(struct nbd_session *session);

/* KiB, as it is now, whoever has set it. */
u32 nbd_read_ahead_now(struct nbd_device *nbd);

#endif /* _NBD_READAHEAD_H */
