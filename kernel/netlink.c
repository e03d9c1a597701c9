// SPDX-License-Identifier: GPL-2.0
#include <linux/blkdev.h>
#include <linux/cred.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>
#include "compat.h"
#include "conn.h"
#include "device.h"
#include "event.h"
#include "netlink.h"
#include "session.h"
#include "socket.h"

static struct genl_family nbd_genl_family;

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
};

static const struct nla_policy nbd_sock_policy[NBD_SOCK_MAX + 1] = {
	[NBD_SOCK_FD]			= { .type = NLA_U32 },
};

enum nbd_mcgrps {
	NBD_MCGRP_EVENTS,
};

/* The sockets of a message, looked up and counted. */
struct nbd_sock_list {
	struct file **socks;
	unsigned int nr;
};

static void sock_list_put(struct nbd_sock_list *list)
{
	while (list->nr)
		nbd_socket_put(list->socks[--list->nr]);
	kfree(list->socks);
	list->socks = NULL;
}

static int sock_list_count(struct nlattr *nest)
{
	struct nlattr *attr;
	int rem, nr = 0;

	nla_for_each_nested(attr, nest, rem)
		nr++;
	return nr;
}

static int sock_list_add(struct nbd_sock_list *list, struct nlattr *item,
			 struct netlink_ext_ack *extack)
{
	struct nlattr *attrs[NBD_SOCK_MAX + 1];
	struct file *sock;
	int err;

	if (nla_type(item) != NBD_SOCK_ITEM) {
		NL_SET_ERR_MSG_ATTR(extack, item, "sockets must be in NBD_SOCK_ITEM nests");
		return -EINVAL;
	}
	err = nla_parse_nested_deprecated(attrs, NBD_SOCK_MAX, item, nbd_sock_policy, extack);
	if (err)
		return -EINVAL;
	if (!attrs[NBD_SOCK_FD])
		return 0;
	sock = nbd_socket_get((int)nla_get_u32(attrs[NBD_SOCK_FD]), extack);
	if (IS_ERR(sock))
		return PTR_ERR(sock);
	list->socks[list->nr++] = sock;
	return 0;
}

/* All sockets of the message, or none and an error. */
static int sock_list_parse(struct nbd_sock_list *list, struct genl_info *info)
{
	struct nlattr *nest = info->attrs[NBD_ATTR_SOCKETS];
	struct nlattr *item;
	int rem, nr, err;

	*list = (struct nbd_sock_list){ };
	if (!nest)
		return 0;
	nr = sock_list_count(nest);
	if (nr > NBD_CONNS_MAX) {
		NL_SET_ERR_MSG_ATTR(info->extack, nest, "too many sockets");
		return -EINVAL;
	}
	if (!nr)
		return 0;
	list->socks = kcalloc(nr, sizeof(*list->socks), GFP_KERNEL);
	if (!list->socks)
		return -ENOMEM;
	nla_for_each_nested(item, nest, rem) {
		err = sock_list_add(list, item, info->extack);
		if (err) {
			sock_list_put(list);
			return err;
		}
	}
	return 0;
}

static void get_u64(struct genl_info *info, int attr, u64 *val)
{
	if (info->attrs[attr])
		*val = nla_get_u64(info->attrs[attr]);
}

static void get_u32(struct genl_info *info, int attr, u32 *val)
{
	if (info->attrs[attr])
		*val = nla_get_u32(info->attrs[attr]);
}

static int parse_keeper(struct genl_info *info, u64 *keeper)
{
	*keeper = 0;
	get_u64(info, NBD_ATTR_KEEPER, keeper);
	if (*keeper || !info->attrs[NBD_ATTR_KEEPER])
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[NBD_ATTR_KEEPER], "no keeper has number 0");
	return -EINVAL;
}

static int require_admin(struct sk_buff *skb, struct genl_info *info)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(info->extack, "needs CAP_SYS_ADMIN in the initial user namespace");
	return -EPERM;
}

/* The index of the message, or -1 if there is none and it is not required. */
static int parse_index(struct genl_info *info, bool required, int *index)
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

static int parse_params(struct genl_info *info, struct nbd_params *params)
{
	u64 cflags = 0;

	nbd_params_init(params);
	params->netlink = true;
	if (!info->attrs[NBD_ATTR_SIZE_BYTES]) {
		NL_SET_ERR_MSG(info->extack, "NBD_ATTR_SIZE_BYTES is required");
		return -EINVAL;
	}
	get_u64(info, NBD_ATTR_SIZE_BYTES, &params->size);
	get_u64(info, NBD_ATTR_BLOCK_SIZE_BYTES, &params->blksize);
	get_u64(info, NBD_ATTR_TIMEOUT, &params->timeout);
	get_u64(info, NBD_ATTR_DEAD_CONN_TIMEOUT, &params->dead_timeout);
	get_u64(info, NBD_ATTR_SLOW_TIMEOUT, &params->slow_timeout);
	get_u64(info, NBD_ATTR_SERVER_FLAGS, &params->flags);
	get_u64(info, NBD_ATTR_CLIENT_FLAGS, &cflags);
	params->cflags = cflags;
	get_u32(info, NBD_ATTR_BLOCK_PREFERRED, &params->block_preferred);
	get_u32(info, NBD_ATTR_BLOCK_MAX, &params->block_max);
	get_u32(info, NBD_ATTR_QUEUE_DEPTH, &params->queue_depth);
	get_u32(info, NBD_ATTR_WRITE_POLICY, &params->policy);
	if (info->attrs[NBD_ATTR_BACKEND_IDENTIFIER]) {
		params->backend = nla_strdup(info->attrs[NBD_ATTR_BACKEND_IDENTIFIER], GFP_KERNEL);
		if (!params->backend)
			return -ENOMEM;
	}
	return 0;
}

static int put_u64(struct sk_buff *skb, int attr, u64 val)
{
	return nla_put_u64_64bit(skb, attr, val, NBD_ATTR_PAD);
}

static int reply_connect(struct genl_info *info, struct nbd_device *nbd,
			 struct nbd_session *session)
{
	struct sk_buff *skb;
	void *head;

	skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	head = genlmsg_put_reply(skb, info, &nbd_genl_family, 0, NBD_CMD_CONNECT);
	if (!head || nla_put_u32(skb, NBD_ATTR_INDEX, nbd->index) ||
	    put_u64(skb, NBD_ATTR_SESSION_ID, session->id)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return genlmsg_reply(skb, info);
}

static int connect_device(struct genl_info *info, int index, struct nbd_params *params,
			  struct nbd_sock_list *list)
{
	struct nbd_session *session;
	struct nbd_device *nbd;
	u64 keeper;
	int err;

	err = parse_keeper(info, &keeper);
	if (err)
		return err;
	nbd = nbd_device_claim(index, info->extack);
	if (IS_ERR(nbd))
		return PTR_ERR(nbd);
	err = nbd_device_attach(nbd, params, list->socks, list->nr, &session, info->extack);
	/* Taken over in every case. */
	list->nr = 0;
	if (err) {
		nbd_device_unclaim(nbd);
	} else {
		if (keeper)
			nbd_session_set_keeper(session, keeper);
		/* The device is attached even if the caller does not hear of it. */
		reply_connect(info, nbd, session);
		nbd_session_put(session);
	}
	nbd_device_put(nbd);
	return err;
}

static int nbd_genl_connect(struct sk_buff *skb, struct genl_info *info)
{
	struct nbd_params params = { };
	struct nbd_sock_list list;
	int index, err;

	err = require_admin(skb, info) ?: parse_index(info, false, &index);
	if (err)
		return err;
	if (!info->attrs[NBD_ATTR_SOCKETS]) {
		NL_SET_ERR_MSG(info->extack, "NBD_ATTR_SOCKETS is required");
		return -EINVAL;
	}
	err = parse_params(info, &params);
	if (err)
		goto out;
	err = sock_list_parse(&list, info);
	if (err)
		goto out;
	err = nbd_params_check(&params, list.nr, info->extack);
	if (!err)
		err = connect_device(info, index, &params, &list);
	sock_list_put(&list);
out:
	kfree(params.backend);
	return err;
}

static struct nbd_device *find_device(struct genl_info *info, int index)
{
	struct nbd_device *nbd = nbd_device_find(index);

	if (!nbd)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[NBD_ATTR_INDEX],
				    "there is no such device");
	return nbd;
}

static int nbd_genl_disconnect(struct sk_buff *skb, struct genl_info *info)
{
	struct nbd_device *nbd;
	unsigned int flags = 0;
	int index, err;
	u64 id = 0;

	err = require_admin(skb, info) ?: parse_index(info, true, &index);
	if (err)
		return err;
	nbd = find_device(info, index);
	if (!nbd)
		return -EINVAL;
	if (info->attrs[NBD_ATTR_IF_UNUSED])
		flags |= NBD_DETACH_IF_UNUSED;
	get_u64(info, NBD_ATTR_SESSION_ID, &id);
	err = nbd_device_detach(nbd, id, flags);
	if (err == -EBUSY)
		NL_SET_ERR_MSG(info->extack, "device is open");
	else if (err == -ESTALE)
		NL_SET_ERR_MSG(info->extack, "that attachment is over");
	nbd_device_put(nbd);
	return err;
}

static int check_backend(struct nbd_session *session, struct genl_info *info)
{
	struct nlattr *attr = info->attrs[NBD_ATTR_BACKEND_IDENTIFIER];

	if (!session->params.backend)
		return 0;
	if (!attr) {
		NL_SET_ERR_MSG(info->extack, "the device's backend identifier is required");
		return -EINVAL;
	}
	if (nla_strcmp(attr, session->params.backend)) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "backend identifier does not match");
		return -EINVAL;
	}
	return 0;
}

/* Two monitors that have noted down the same attachment must not both reconnect it. */
static int check_keeper(struct nbd_session *session, struct genl_info *info)
{
	u64 keeper, now;
	int pid, err = parse_keeper(info, &keeper);

	if (err || !keeper || info->attrs[NBD_ATTR_REPLACE])
		return err;
	now = nbd_session_keeper(session, &pid);
	if (!now || now == keeper)
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[NBD_ATTR_KEEPER],
			    "somebody else keeps the device by now");
	return -ESTALE;
}

/* What the running device relies on: it was told so at attach. */
#define NBD_FLAGS_RELIED_ON	(NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM | \
				 NBD_FLAG_SEND_WRITE_ZEROES)

static int check_server_flags(struct nbd_session *session, struct genl_info *info)
{
	u64 had = session->params.flags, has = had;

	get_u64(info, NBD_ATTR_SERVER_FLAGS, &has);
	if (had & ~has & NBD_FLAGS_RELIED_ON ||
	    (has & NBD_FLAG_READ_ONLY && !(had & NBD_FLAG_READ_ONLY))) {
		NL_SET_ERR_MSG(info->extack, "new server lacks what the device relies on");
		return -EINVAL;
	}
	return 0;
}

/* What a RECONFIGURE changes, checked before anything is. */
static int parse_reconfigure(struct nbd_session *session, struct genl_info *info,
			     struct nbd_params *params)
{
	u64 cflags = session->params.cflags;
	u64 blksize = session->params.blksize;
	u64 id = session->id;

	*params = session->params;
	get_u64(info, NBD_ATTR_SESSION_ID, &id);
	if (id != session->id) {
		NL_SET_ERR_MSG(info->extack, "that attachment is over");
		return -ESTALE;
	}
	get_u64(info, NBD_ATTR_SIZE_BYTES, &params->size);
	get_u64(info, NBD_ATTR_BLOCK_SIZE_BYTES, &blksize);
	get_u64(info, NBD_ATTR_TIMEOUT, &params->timeout);
	get_u64(info, NBD_ATTR_DEAD_CONN_TIMEOUT, &params->dead_timeout);
	get_u64(info, NBD_ATTR_SLOW_TIMEOUT, &params->slow_timeout);
	get_u64(info, NBD_ATTR_CLIENT_FLAGS, &cflags);
	params->cflags = cflags;
	if (blksize != params->blksize) {
		NL_SET_ERR_MSG(info->extack, "block size of an attached device cannot be changed");
		return -EINVAL;
	}
	return check_server_flags(session, info) ?: nbd_params_check(params, 1, info->extack);
}

static int reply_reconfigure(struct genl_info *info, struct nbd_device *nbd,
			     const struct nbd_added *added)
{
	struct sk_buff *skb;
	void *head;

	skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	head = genlmsg_put_reply(skb, info, &nbd_genl_family, 0, NBD_CMD_RECONFIGURE);
	if (!head || nla_put_u32(skb, NBD_ATTR_INDEX, nbd->index) ||
	    nla_put_u32(skb, NBD_ATTR_SOCKETS_USED, added->used) ||
	    nla_put_u32(skb, NBD_ATTR_SOCKETS_CLOSED, added->closed)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return genlmsg_reply(skb, info);
}

/*
 * Several connections rely on one cache behind all of them: a flush on one covers what
 * was written on another.
 */
static bool lacks_multi_conn(struct nbd_session *session, struct genl_info *info, unsigned int nr)
{
	u64 has = session->params.flags;
	unsigned int slots = nr;

	if (!nr || !(has & NBD_FLAG_CAN_MULTI_CONN))
		return false;
	if (!info->attrs[NBD_ATTR_REPLACE]) {
		rcu_read_lock();
		slots = rcu_dereference(session->slots)->nr;
		rcu_read_unlock();
	}
	get_u64(info, NBD_ATTR_SERVER_FLAGS, &has);
	return slots > 1 && !(has & NBD_FLAG_CAN_MULTI_CONN);
}

static int check_sockets(struct nbd_session *session, struct genl_info *info, unsigned int nr)
{
	if (lacks_multi_conn(session, info, nr)) {
		NL_SET_ERR_MSG(info->extack, "new server does not support several connections");
		return -EINVAL;
	}
	if (!info->attrs[NBD_ATTR_REPLACE] && info->attrs[NBD_ATTR_REPLACE_NOW]) {
		NL_SET_ERR_MSG(info->extack, "nothing is to be replaced now");
		return -EINVAL;
	}
	if (!info->attrs[NBD_ATTR_REPLACE])
		return 0;
	if (!nr) {
		NL_SET_ERR_MSG(info->extack, "nothing to replace the connections with");
		return -EINVAL;
	}
	if (nr > 1 && !(session->params.flags & NBD_FLAG_CAN_MULTI_CONN)) {
		NL_SET_ERR_MSG(info->extack,
			       "the server does not support several connections for this export");
		return -EINVAL;
	}
	return 0;
}

static enum nbd_takeover takeover_wanted(struct genl_info *info)
{
	if (info->attrs[NBD_ATTR_REPLACE_NOW])
		return NBD_REPLACE_NOW;
	return info->attrs[NBD_ATTR_REPLACE] ? NBD_REPLACE : NBD_FILL_DEAD;
}

/* Sockets first: whatever follows may need a connection. */
static int reconfigure_session(struct nbd_session *session, struct genl_info *info,
			       const struct nbd_params *params, struct nbd_sock_list *list)
{
	struct nbd_added added = { };
	int err = 0;

	if (list->nr) {
		err = nbd_session_add_socks(session, list->socks, list->nr,
					    takeover_wanted(info), &added, info->extack);
		list->nr = 0;
	}
	if (err)
		return err;
	WRITE_ONCE(session->params.timeout, params->timeout);
	WRITE_ONCE(session->params.dead_timeout, params->dead_timeout);
	WRITE_ONCE(session->params.slow_timeout, params->slow_timeout);
	WRITE_ONCE(session->params.cflags, params->cflags);
	nbd_session_apply_timeouts(session);
	if (params->size != session->params.size)
		nbd_session_resize(session, params->size);
	if (info->attrs[NBD_ATTR_KEEPER])
		nbd_session_set_keeper(session, nla_get_u64(info->attrs[NBD_ATTR_KEEPER]));
	/* It is done even if the caller does not hear of it. */
	if (info->attrs[NBD_ATTR_REPLACE] || info->attrs[NBD_ATTR_SESSION_ID])
		reply_reconfigure(info, session->nbd, &added);
	return 0;
}

static int reconfigure_device(struct nbd_device *nbd, struct genl_info *info,
			      struct nbd_sock_list *list)
{
	struct nbd_session *session;
	struct nbd_params params;

	lockdep_assert_held(&nbd->lock);

	session = rcu_dereference_protected(nbd->session, lockdep_is_held(&nbd->lock));
	/* An ioctl attachment is its DO_IT task's, unless the caller knows it by name. */
	if (!session || (!session->params.netlink && !info->attrs[NBD_ATTR_SESSION_ID])) {
		NL_SET_ERR_MSG(info->extack, "device is not attached over netlink");
		return -EINVAL;
	}
	if (READ_ONCE(session->state) == NBD_STATE_CLOSING) {
		NL_SET_ERR_MSG(info->extack, "device is being detached");
		return -ESHUTDOWN;
	}
	return check_backend(session, info) ?:
	       parse_reconfigure(session, info, &params) ?:
	       check_keeper(session, info) ?:
	       check_sockets(session, info, list->nr) ?:
	       reconfigure_session(session, info, &params, list);
}

static int nbd_genl_reconfigure(struct sk_buff *skb, struct genl_info *info)
{
	struct nbd_sock_list list;
	struct nbd_device *nbd;
	unsigned int noio;
	int index, err;

	err = require_admin(skb, info) ?: parse_index(info, true, &index);
	if (err)
		return err;
	nbd = find_device(info, index);
	if (!nbd)
		return -EINVAL;
	/* Memory may be full of dirty pages that wait for the very connections to come. */
	noio = memalloc_noio_save();
	err = sock_list_parse(&list, info);
	if (!err) {
		err = mutex_lock_killable(&nbd->lock);
		if (!err) {
			err = reconfigure_device(nbd, info, &list);
			mutex_unlock(&nbd->lock);
		}
		sock_list_put(&list);
	}
	memalloc_noio_restore(noio);
	nbd_device_put(nbd);
	return err;
}

static bool device_connected(struct nbd_device *nbd)
{
	return rcu_access_pointer(nbd->session);
}

/* One entry of mainline's list. */
static int put_device_item(struct sk_buff *skb, struct nbd_device *nbd)
{
	struct nlattr *nest = nla_nest_start_noflag(skb, NBD_DEVICE_ITEM);

	if (!nest)
		return -EMSGSIZE;
	if (nla_put_u32(skb, NBD_DEVICE_INDEX, nbd->index) ||
	    nla_put_u8(skb, NBD_DEVICE_CONNECTED, device_connected(nbd))) {
		nla_nest_cancel(skb, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(skb, nest);
	return 0;
}

#define NBD_DEVICE_ITEM_SIZE	(nla_total_size(nla_total_size(sizeof(u32)) + \
					       nla_total_size(sizeof(u8))))

static int put_device_list(struct sk_buff *skb, int index)
{
	struct nlattr *list = nla_nest_start_noflag(skb, NBD_ATTR_DEVICE_LIST);
	struct nbd_device *nbd;
	int i = max(index, 0);
	int err = 0;

	if (!list)
		return -EMSGSIZE;
	while (!err && (nbd = nbd_device_next(i))) {
		if (index < 0 || nbd->index == index)
			err = put_device_item(skb, nbd);
		i = nbd->index + 1;
		nbd_device_put(nbd);
		if (index >= 0)
			break;
	}
	if (!err && skb_tail_pointer(skb) - (u8 *)list > U16_MAX)
		err = -EMSGSIZE;
	if (!err)
		nla_nest_end(skb, list);
	return err;
}

static unsigned int count_devices(void)
{
	struct nbd_device *nbd;
	unsigned int nr = 0;
	int i = 0;

	while ((nbd = nbd_device_next(i))) {
		nr++;
		i = nbd->index + 1;
		nbd_device_put(nbd);
	}
	return nr;
}

static int nbd_genl_status(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *reply;
	unsigned int nr;
	int index, err;
	void *head;

	err = parse_index(info, false, &index);
	if (err)
		return err;
	/* Devices that appear between the two walks need room too. */
	nr = index < 0 ? count_devices() + 16 : 1;
	reply = genlmsg_new(nla_total_size(nr * NBD_DEVICE_ITEM_SIZE), GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	head = genlmsg_put_reply(reply, info, &nbd_genl_family, 0, NBD_CMD_STATUS);
	err = head ? put_device_list(reply, index) : -EMSGSIZE;
	if (err) {
		NL_SET_ERR_MSG(info->extack, "too many devices for one message, use a dump");
		nlmsg_free(reply);
		return err;
	}
	genlmsg_end(reply, head);
	return genlmsg_reply(reply, info);
}

#define NBD_CONN_ITEM_SIZE	nla_total_size(3 * nla_total_size(sizeof(u32)) + \
					       2 * nla_total_size_64bit(sizeof(u64)))

static int put_conn(struct sk_buff *skb, unsigned int slot, struct nbd_conn *conn)
{
	struct nlattr *nest = nla_nest_start(skb, NBD_CONN_ITEM);
	u64 requests = 0, replies = 0;
	u32 inflight = 0;

	if (!nest)
		return -EMSGSIZE;
	if (conn) {
		requests = READ_ONCE(conn->requests);
		replies = READ_ONCE(conn->replies);
		inflight = READ_ONCE(conn->inflight);
	}
	if (nla_put_u32(skb, NBD_CONN_SLOT, slot) ||
	    nla_put_u32(skb, NBD_CONN_STATE, conn ? NBD_CONN_LIVE : NBD_CONN_DEAD) ||
	    nla_put_u64_64bit(skb, NBD_CONN_REQUESTS, requests, NBD_CONN_PAD) ||
	    nla_put_u64_64bit(skb, NBD_CONN_REPLIES, replies, NBD_CONN_PAD) ||
	    nla_put_u32(skb, NBD_CONN_INFLIGHT, inflight))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_conns(struct sk_buff *skb, struct nbd_session *session)
{
	struct nlattr *nest = nla_nest_start(skb, NBD_ATTR_CONNS);
	struct nbd_slots *slots;
	unsigned int i;
	int err = 0;

	if (!nest)
		return -EMSGSIZE;
	rcu_read_lock();
	slots = rcu_dereference(session->slots);
	for (i = 0; !err && i < slots->nr; i++)
		err = put_conn(skb, i, rcu_dereference(slots->conn[i]));
	rcu_read_unlock();
	if (!err)
		nla_nest_end(skb, nest);
	return err;
}

static int put_retiring(struct sk_buff *skb, struct nbd_session *session)
{
	unsigned int inflight, nr = nbd_session_retiring(session, &inflight);

	if (nla_put_u32(skb, NBD_ATTR_RETIRING, nr) ||
	    nla_put_u32(skb, NBD_ATTR_RETIRING_INFLIGHT, inflight))
		return -EMSGSIZE;
	return 0;
}

static int put_counters(struct sk_buff *skb, struct nbd_counters *c)
{
	const struct {
		int attr;
		atomic64_t *counter;
	} table[] = {
		{ NBD_COUNTER_RESENT, &c->resent },
		{ NBD_COUNTER_SLOW, &c->slow },
		{ NBD_COUNTER_TIMEDOUT, &c->timedout },
		{ NBD_COUNTER_CONN_DEATHS, &c->conn_deaths },
		{ NBD_COUNTER_CONNECTS, &c->connects },
		{ NBD_COUNTER_SERVER_ERRORS, &c->server_errors },
		{ NBD_COUNTER_FAILED, &c->failed },
	};
	struct nlattr *nest = nla_nest_start(skb, NBD_ATTR_COUNTERS);
	unsigned int i;

	if (!nest)
		return -EMSGSIZE;
	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (nla_put_u64_64bit(skb, table[i].attr, atomic64_read(table[i].counter),
				      NBD_COUNTER_PAD))
			return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int put_params(struct sk_buff *skb, const struct nbd_params *p)
{
	if (put_u64(skb, NBD_ATTR_SIZE_BYTES, p->size) ||
	    put_u64(skb, NBD_ATTR_BLOCK_SIZE_BYTES, p->blksize) ||
	    put_u64(skb, NBD_ATTR_TIMEOUT, p->timeout) ||
	    put_u64(skb, NBD_ATTR_DEAD_CONN_TIMEOUT, p->dead_timeout) ||
	    put_u64(skb, NBD_ATTR_SLOW_TIMEOUT, p->slow_timeout) ||
	    put_u64(skb, NBD_ATTR_SERVER_FLAGS, p->flags) ||
	    put_u64(skb, NBD_ATTR_CLIENT_FLAGS, p->cflags) ||
	    nla_put_u32(skb, NBD_ATTR_BLOCK_PREFERRED, p->block_preferred) ||
	    nla_put_u32(skb, NBD_ATTR_BLOCK_MAX, p->block_max) ||
	    nla_put_u32(skb, NBD_ATTR_WRITE_POLICY, p->policy))
		return -EMSGSIZE;
	if (p->backend)
		return nla_put_string(skb, NBD_ATTR_BACKEND_IDENTIFIER, p->backend);
	return 0;
}

static int put_keeper(struct sk_buff *skb, struct nbd_session *session)
{
	int pid;
	u64 keeper = nbd_session_keeper(session, &pid);

	if (!keeper)
		return 0;
	if (put_u64(skb, NBD_ATTR_KEEPER, keeper) ||
	    (pid >= 0 && nla_put_u32(skb, NBD_ATTR_KEEPER_PID, pid)))
		return -EMSGSIZE;
	return 0;
}

static int put_session(struct sk_buff *skb, struct nbd_session *session)
{
	unsigned long since;
	char cause[NBD_CAUSE_LEN];
	u32 state;

	spin_lock_bh(&session->lock);
	state = session->state;
	since = session->since;
	strscpy(cause, session->cause, sizeof(cause));
	spin_unlock_bh(&session->lock);

	if (nla_put_u32(skb, NBD_ATTR_STATE, state) ||
	    put_u64(skb, NBD_ATTR_SINCE_MS, jiffies64_to_msecs(jiffies - since)) ||
	    put_u64(skb, NBD_ATTR_SESSION_ID, session->id) ||
	    nla_put_u32(skb, NBD_ATTR_PID, pid_vnr(session->pid)) ||
	    nla_put_u32(skb, NBD_ATTR_QUEUE_DEPTH, session->nbd->tag_set.queue_depth) ||
	    put_params(skb, &session->params))
		return -EMSGSIZE;
	if (cause[0] && nla_put_string(skb, NBD_ATTR_CAUSE, cause))
		return -EMSGSIZE;
	return put_keeper(skb, session) ?:
	       put_conns(skb, session) ?:
	       put_retiring(skb, session) ?:
	       put_counters(skb, &session->counters);
}

/* Room for all that put_status() tells, but for the connections. */
#define NBD_STATUS_SIZE		(NBD_BACKEND_MAX + NBD_CAUSE_LEN + 1024)

/* The attachment is over, but the device is not free yet: see device.h. */
static int put_ending(struct sk_buff *skb)
{
	if (nla_put_u32(skb, NBD_ATTR_STATE, NBD_STATE_CLOSING) ||
	    nla_put_string(skb, NBD_ATTR_CAUSE, "pages that were written to it are held back"))
		return -EMSGSIZE;
	return 0;
}

/* Takes no lock of the device: it is asked for just when one does not come back. */
static int put_status(struct sk_buff *skb, struct nbd_device *nbd)
{
	struct nbd_session *session;
	bool ending;
	u32 users;
	int err;

	users = nbd_device_users(nbd, &ending);
	session = nbd_device_session(nbd);
	if (nla_put_u32(skb, NBD_ATTR_INDEX, nbd->index) ||
	    nla_put_u32(skb, NBD_ATTR_OPENERS, users))
		err = -EMSGSIZE;
	else if (session)
		err = put_session(skb, session);
	else if (ending)
		err = put_ending(skb);
	else
		err = nla_put_u32(skb, NBD_ATTR_STATE, NBD_STATE_FREE);
	if (session)
		nbd_session_put(session);
	return err;
}

static int dump_device(struct sk_buff *skb, struct netlink_callback *cb, struct nbd_device *nbd)
{
	void *head;

	head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			   &nbd_genl_family, NLM_F_MULTI, NBD_CMD_STATUS);
	if (!head)
		return -EMSGSIZE;
	if (put_status(skb, nbd)) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

static unsigned int count_conns(struct nbd_device *nbd)
{
	struct nbd_session *session;
	unsigned int nr = 0;

	session = nbd_device_session(nbd);
	if (session) {
		rcu_read_lock();
		nr = rcu_dereference(session->slots)->nr;
		rcu_read_unlock();
		nbd_session_put(session);
	}
	return nr;
}

/* The connections of the device that has most, of those with an index in [first, end). */
static unsigned int most_conns(int first, int end)
{
	struct nbd_device *nbd;
	unsigned int most = 0;

	while (first < end) {
		nbd = nbd_device_next(first);
		if (!nbd)
			break;
		if (nbd->index < end)
			most = max(most, count_conns(nbd));
		first = min(nbd->index, INT_MAX - 1) + 1;
		nbd_device_put(nbd);
	}
	return most;
}

/*
 * cb->args[0] is the next index, cb->args[1] the last one plus one. A device is told in
 * one message, and netlink gives a dump no more room than a page, unless it is asked for.
 * In another user namespace there are no dumps, as from mainline: what servers and devices
 * are called is not for everybody in a container.
 */
static int nbd_genl_dump_start(struct netlink_callback *cb)
{
	struct nlattr **attrs = nbd_dump_attrs(cb);
	unsigned int conns;

	if (current_user_ns() != &init_user_ns) {
		NL_SET_ERR_MSG(cb->extack, "dumps are for the initial user namespace");
		return -EOPNOTSUPP;
	}
	cb->args[1] = INT_MAX;
	if (attrs && attrs[NBD_ATTR_INDEX]) {
		cb->args[0] = min_t(u32, nla_get_u32(attrs[NBD_ATTR_INDEX]), INT_MAX - 1);
		cb->args[1] = cb->args[0] + 1;
	}
	/* Connections that are added before the dump need room too. */
	conns = most_conns(cb->args[0], cb->args[1]) + 16;
	cb->min_dump_alloc = NBD_STATUS_SIZE + conns * NBD_CONN_ITEM_SIZE;
	return 0;
}

static int nbd_genl_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nbd_device *nbd;
	int err = 0;

	while (!err && cb->args[0] < cb->args[1]) {
		nbd = nbd_device_next(cb->args[0]);
		if (!nbd || nbd->index >= cb->args[1])
			cb->args[0] = cb->args[1];
		else
			err = dump_device(skb, cb, nbd);
		if (!err && nbd && cb->args[0] < cb->args[1])
			cb->args[0] = nbd->index + 1;
		if (nbd)
			nbd_device_put(nbd);
	}
	return skb->len ?: err;
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

static struct genl_family nbd_genl_family __ro_after_init = {
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

/* Begins a message to the group; NULL if it cannot be had. */
static struct sk_buff *event_new(struct nbd_session *session, int cmd, void **head)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);

	if (!skb)
		return NULL;
	*head = genlmsg_put(skb, 0, 0, &nbd_genl_family, 0, cmd);
	if (!*head || nla_put_u32(skb, NBD_ATTR_INDEX, session->nbd->index)) {
		nlmsg_free(skb);
		return NULL;
	}
	return skb;
}

static void event_send(struct sk_buff *skb, void *head)
{
	genlmsg_end(skb, head);
	/* Nobody listening is no error. */
	genlmsg_multicast_allns(&nbd_genl_family, skb, 0, NBD_MCGRP_EVENTS);
}

/**
 * struct nbd_event_arg - what an event carries besides device and session
 * @event:	enum nbd_event
 * @slot:	connection, or -1
 * @cause:	or NULL
 * @size:	or 0
 * @keeper:	or 0
 */
struct nbd_event_arg {
	enum nbd_event event;
	int slot;
	const char *cause;
	u64 size;
	u64 keeper;
};

static void event_emit(struct nbd_session *session, const struct nbd_event_arg *arg)
{
	void *head;
	struct sk_buff *skb = event_new(session, NBD_CMD_EVENT, &head);

	if (!skb)
		return;
	if (put_u64(skb, NBD_ATTR_SESSION_ID, session->id) ||
	    nla_put_u32(skb, NBD_ATTR_EVENT, arg->event) ||
	    nla_put_u32(skb, NBD_ATTR_STATE, READ_ONCE(session->state)) ||
	    (arg->slot >= 0 && nla_put_u32(skb, NBD_ATTR_CONN_SLOT, arg->slot)) ||
	    (arg->cause && nla_put_string(skb, NBD_ATTR_CAUSE, arg->cause)) ||
	    (arg->size && put_u64(skb, NBD_ATTR_SIZE_BYTES, arg->size)) ||
	    (arg->keeper && put_u64(skb, NBD_ATTR_KEEPER, arg->keeper))) {
		nlmsg_free(skb);
		return;
	}
	event_send(skb, head);
}

void nbd_event_attached(struct nbd_session *session)
{
	event_emit(session, &(struct nbd_event_arg){ .event = NBD_EVENT_ATTACHED, .slot = -1 });
}

void nbd_event_detached(struct nbd_session *session)
{
	event_emit(session, &(struct nbd_event_arg){ .event = NBD_EVENT_DETACHED, .slot = -1 });
}

void nbd_event_conn_up(struct nbd_session *session, unsigned int slot)
{
	event_emit(session, &(struct nbd_event_arg){ .event = NBD_EVENT_CONN_UP, .slot = slot });
}

void nbd_event_state(struct nbd_session *session)
{
	event_emit(session, &(struct nbd_event_arg){ .event = NBD_EVENT_STATE, .slot = -1 });
}

void nbd_event_resized(struct nbd_session *session)
{
	struct nbd_event_arg arg = {
		.event = NBD_EVENT_RESIZED,
		.slot = -1,
		.size = session->params.size,
	};

	event_emit(session, &arg);
}

void nbd_event_keeper(struct nbd_session *session, u64 keeper)
{
	struct nbd_event_arg arg = {
		.event = NBD_EVENT_KEEPER,
		.slot = -1,
		.keeper = keeper,
	};

	event_emit(session, &arg);
}

void nbd_event_conn_dead(struct nbd_session *session, struct nbd_conn *conn)
{
	struct nbd_event_arg arg = {
		.event = NBD_EVENT_CONN_DEAD,
		.slot = conn->slot,
		.cause = conn->cause,
	};
	struct sk_buff *skb = NULL;
	void *head;

	/*
	 * A connection that was given up on purpose is not news to mainline's listeners; nor
	 * is a server that hangs up because it was told NBD_CMD_DISC.
	 */
	if (conn->err != -ECANCELED && READ_ONCE(session->state) != NBD_STATE_CLOSING)
		skb = event_new(session, NBD_CMD_LINK_DEAD, &head);
	if (skb)
		event_send(skb, head);
	event_emit(session, &arg);
}

int nbd_netlink_init(void)
{
	return genl_register_family(&nbd_genl_family);
}

void nbd_netlink_exit(void)
{
	genl_unregister_family(&nbd_genl_family);
}
