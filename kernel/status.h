/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The netlink command STATUS. It takes no lock of a device: it is asked for just when one
 * does not come back.
 */
#ifndef _NBD_STATUS_H
#define _NBD_STATUS_H

struct genl_info;
struct netlink_callback;
struct sk_buff;

/* Mainline's list: of one device, or of all. */
int nbd_genl_status(struct sk_buff *skb, struct genl_info *info);

/*
 * A dump has one message a device. Start sees to it that each finds room; of connections
 * that are added between the two only so many.
 */
int nbd_genl_dump_start(struct netlink_callback *cb);
int nbd_genl_dump(struct sk_buff *skb, struct netlink_callback *cb);

#endif /* _NBD_STATUS_H */
