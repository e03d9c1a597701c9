/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The generic netlink family: uapi/linux/nbd-netlink.h is its manual. Handlers run in
 * parallel; none waits for a peer. control.h has those that change something, status.h
 * those that tell, event.h what is told unasked.
 */
#ifndef _NBD_NETLINK_H
#define _NBD_NETLINK_H

#include <linux/types.h>

struct genl_family;
struct genl_info;
struct sk_buff;

extern struct genl_family nbd_genl_family;

/* The multicast groups of the family, by their places in it. */
enum nbd_mcgrps {
	NBD_MCGRP_EVENTS,
};

/*
 * The index of the message, or -1 if there is none and it is not @required. -EINVAL, told
 * in info->extack.
 */
int nbd_parse_index(struct genl_info *info, bool required, int *index);

/* As nla_put_u64_64bit(), for the attributes NBD_ATTR_*. */
int nbd_put_u64(struct sk_buff *skb, int attr, u64 val);

/* Module start and end: the family; nobody is in a handler when it is gone. */
int nbd_netlink_init(void);
void nbd_netlink_exit(void);

#endif /* _NBD_NETLINK_H */
