/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The generic netlink family: uapi/linux/nbd-netlink.h is its manual. Each command
 * is parsed and checked whole before anything is changed. Handlers run in parallel;
 * none waits for a peer.
 */
#ifndef _NBD_NETLINK_H
#define _NBD_NETLINK_H

int nbd_netlink_init(void);
void nbd_netlink_exit(void);

#endif /* _NBD_NETLINK_H */
