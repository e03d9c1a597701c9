// SPDX-License-Identifier: GPL-2.0
/* The generic netlink family: its policy, its commands, and what its files share. */
#include <linux/module.h>
#include <linux/nbd-netlink.h>
#include <net/genetlink.h>
#include "compat.h"
#include "control.h"
#include "device.h"
#include "netlink.h"
#include "slots.h"
#include "status.h"

static const struct nla_policy nbd_attr_policy[NBD_ATTR_EXT_MAX + 1] = {
	[NBD_ATTR_INDEX]		= { .type = NLA_U32 },
	[NBD_ATTR_SIZE_BYTES]		= { .type = NLA_U64 },
	[NBD_ATTR_BLOCK_SIZE_BYTES]	= { .type = NLA_U64 },
	[NBD_ATTR_TIMEOUT]		= { .type = NLA_U64 },
	[NBD_ATTR_SERVER_FLAGS]		= { .type = NLA_U64 },
	[NBD_ATTR_CLIENT_FLAGS]		= { .type = NLA_U64 },
	[NBD_ATTR_SOCKETS]		= { .type = NLA_NESTED },
	[NBD_ATTR_DEAD_CONN_TIMEOUT]	= { .type = NLA_U64 },
	[NBD_ATTR_DEVICE_LIST]		= { .type = NLA_NESTED },
	[NBD_ATTR_BACKEND_IDENTIFIER]	= { .type = NLA_STRING, .len = NBD_BACKEND_MAX },
	[NBD_ATTR_BLOCK_MIN]		= { .type = NLA_U32 },
	[NBD_ATTR_BLOCK_PREFERRED]	= { .type = NLA_U32 },
	[NBD_ATTR_BLOCK_MAX]		= { .type = NLA_U32 },
	[NBD_ATTR_QUEUE_DEPTH]		= { .type = NLA_U32 },
	[NBD_ATTR_SLOW_TIMEOUT]		= { .type = NLA_U64 },
	[NBD_ATTR_WRITE_POLICY]		= { .type = NLA_U32 },
	[NBD_ATTR_REPLACE]		= { .type = NLA_FLAG },
	[NBD_ATTR_IF_UNUSED]		= { .type = NLA_FLAG },
	[NBD_ATTR_SESSION_ID]		= { .type = NLA_U64 },
	[NBD_ATTR_REPLACE_NOW]		= { .type = NLA_FLAG },
	[NBD_ATTR_KEEPER]		= { .type = NLA_U64 },
	[NBD_ATTR_READ_AHEAD]		= { .type = NLA_U32 },
	[NBD_ATTR_STRUCTURED]		= { .type = NLA_BINARY, .len = NBD_CONNS_MAX },
	/* Of no type it is not told, and ignored. */
	[NBD_ATTR_TLS_SECRETS]		= { .type = NBD_CAN_REKEY ? NLA_BINARY : NLA_UNSPEC },
};

int nbd_parse_index(struct genl_info *info, bool required, int *index)
{
	u32 value;

	*index = -1;
	if (!info->attrs[NBD_ATTR_INDEX]) {
		if (!required)
			return 0;
		NL_SET_ERR_MSG(info->extack, "NBD_ATTR_INDEX is required");
		return -EINVAL;
	}
	value = nla_get_u32(info->attrs[NBD_ATTR_INDEX]);
	if (value > nbd_index_max()) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[NBD_ATTR_INDEX],
				    "there are no minor numbers for that index");
		return -EINVAL;
	}
	*index = value;
	return 0;
}

int nbd_put_u64(struct sk_buff *skb, int attr, u64 val)
{
	return nla_put_u64_64bit(skb, attr, val, NBD_ATTR_PAD);
}

static const struct genl_ops nbd_genl_ops[] = {
	{
		.cmd		= NBD_CMD_CONNECT,
		.validate	= GENL_DONT_VALIDATE_STRICT | GENL_DONT_VALIDATE_DUMP,
		.doit		= nbd_genl_connect,
	},
	{
		.cmd		= NBD_CMD_DISCONNECT,
		.validate	= GENL_DONT_VALIDATE_STRICT | GENL_DONT_VALIDATE_DUMP,
		.doit		= nbd_genl_disconnect,
	},
	{
		.cmd		= NBD_CMD_RECONFIGURE,
		.validate	= GENL_DONT_VALIDATE_STRICT | GENL_DONT_VALIDATE_DUMP,
		.doit		= nbd_genl_reconfigure,
	},
	{
		.cmd		= NBD_CMD_STATUS,
		.validate	= GENL_DONT_VALIDATE_STRICT | GENL_DONT_VALIDATE_DUMP_STRICT,
		.doit		= nbd_genl_status,
		.start		= nbd_genl_dump_start,
		.dumpit		= nbd_genl_dump,
	},
};

static const struct genl_multicast_group nbd_mcgrps[] = {
	[NBD_MCGRP_EVENTS] = { .name = NBD_GENL_MCAST_GROUP_NAME },
};

struct genl_family nbd_genl_family __ro_after_init = {
	.name		= NBD_GENL_FAMILY_NAME,
	.version	= NBD_GENL_VERSION,
	.module		= THIS_MODULE,
	.ops		= nbd_genl_ops,
	.n_ops		= ARRAY_SIZE(nbd_genl_ops),
	.resv_start_op	= NBD_CMD_STATUS + 1,
	.maxattr	= NBD_ATTR_EXT_MAX,
	.netnsok	= true,
	.parallel_ops	= true,
	.policy		= nbd_attr_policy,
	.mcgrps		= nbd_mcgrps,
	.n_mcgrps	= ARRAY_SIZE(nbd_mcgrps),
};
MODULE_ALIAS_GENL_FAMILY(NBD_GENL_FAMILY_NAME);

int nbd_netlink_init(void)
{
	return genl_register_family(&nbd_genl_family);
}

void nbd_netlink_exit(void)
{
	genl_unregister_family(&nbd_genl_family);
}
