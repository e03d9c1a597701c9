/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The netlink commands that change something. Each is parsed and checked whole before
 * anything is changed, and may be refused with any errno of its entry in
 * uapi/linux/nbd-netlink.h, told in info->extack. They need CAP_SYS_ADMIN in the initial
 * user namespace.
 */
#ifndef _NBD_CONTROL_H
#define _NBD_CONTROL_H

struct genl_info;
struct sk_buff;

int nbd_genl_connect(struct sk_buff *skb, struct genl_info *info);
int nbd_genl_disconnect(struct sk_buff *skb, struct genl_info *info);
int nbd_genl_reconfigure(struct sk_buff *skb, struct genl_info *info);

#endif /* _NBD_CONTROL_H */
