// SPDX-License-Identifier: GPL-2.0
/* CONNECT, DISCONNECT and RECONFIGURE: each is parsed, checked, and only then done. */
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <net/genetlink.h>
#include "compat.h"
#include "control.h"
#include "device.h"
#include "index.h"
#include "leave.h"
#include "netlink.h"
#include "readahead.h"
#include "session.h"
#include "slots.h"
#include "socket.h"

static const struct nla_policy nbd_sock_policy[NBD_SOCK_MAX + 1] = {
	[NBD_SOCK_FD]			= { .type = NLA_U32 },
};

/* The sockets of a message, looked up and counted. */
struct nbd_sock_list {
	struct nbd_given *socks;
	unsigned int nr;
};

static void sock_list_put(struct nbd_sock_list *list)
{
	while (list->nr)
		nbd_socket_put(list->socks[--list->nr].file);
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
	list->socks[list->nr++].file = sock;
	return 0;
}

/* Which of the sockets have agreed to structured replies. */
static int sock_list_parse_structured(struct nbd_sock_list *list, struct genl_info *info)
{
	struct nlattr *attr = info->attrs[NBD_ATTR_STRUCTURED];
	const u8 *agreed;
	int i;

	if (!attr)
		return 0;
	if (nla_len(attr) > list->nr) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "more bytes than there are sockets");
		return -EINVAL;
	}
	agreed = nla_data(attr);
	for (i = 0; i < nla_len(attr); i++)
		list->socks[i].structured = agreed[i];
	return 0;
}

/* The secrets of their keys, which stay in the message. */
static int sock_list_parse_secrets(struct nbd_sock_list *list, struct genl_info *info)
{
	struct nlattr *attr = info->attrs[NBD_ATTR_TLS_SECRETS];
	const struct nbd_tls_secrets *secrets;
	unsigned int i, nr;

	if (!NBD_CAN_REKEY || !attr)
		return 0;
	secrets = nla_data(attr);
	nr = nla_len(attr) / sizeof(*secrets);
	if (nr > list->nr || nla_len(attr) % sizeof(*secrets)) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "no whole number of secrets, or more than there are sockets");
		return -EINVAL;
	}
	for (i = 0; i < nr; i++)
		list->socks[i].secrets = &secrets[i];
	return 0;
}

/* An answer that refuses the command repeats it. */
static void wipe_secrets(struct genl_info *info)
{
	struct nlattr *attr = info->attrs[NBD_ATTR_TLS_SECRETS];

	if (attr)
		memzero_explicit(nla_data(attr), nla_len(attr));
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
	if (!list->socks) {
		NL_SET_ERR_MSG(info->extack, "out of memory for the sockets");
		return -ENOMEM;
	}
	nla_for_each_nested(item, nest, rem) {
		err = sock_list_add(list, item, info->extack);
		if (err) {
			sock_list_put(list);
			return err;
		}
	}
	err = sock_list_parse_structured(list, info) ?: sock_list_parse_secrets(list, info);
	if (err)
		sock_list_put(list);
	return err;
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

static int parse_params(struct genl_info *info, struct nbd_session_params *params)
{
	u64 cflags = 0;
	int err;

	nbd_session_params_init(params);
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
	get_u32(info, NBD_ATTR_READ_AHEAD, &params->read_ahead);
	get_u32(info, NBD_ATTR_WRITE_POLICY, &params->policy);
	err = parse_keeper(info, &params->keeper);
	if (err)
		return err;
	if (info->attrs[NBD_ATTR_BACKEND_IDENTIFIER]) {
		params->backend = nla_strdup(info->attrs[NBD_ATTR_BACKEND_IDENTIFIER], GFP_KERNEL);
		if (!params->backend) {
			NL_SET_ERR_MSG(info->extack, "out of memory for the backend identifier");
			return -ENOMEM;
		}
	}
	return 0;
}

/*
 * The reply: the index, and of @id and @added what is not 0. The command is done even if the
 * caller does not hear of it.
 */
static void reply(struct genl_info *info, int index, u64 id, const struct nbd_added *added)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	void *head;

	if (!skb)
		return;
	head = genlmsg_put_reply(skb, info, &nbd_genl_family, 0, info->genlhdr->cmd);
	if (!head || nla_put_u32(skb, NBD_ATTR_INDEX, index) ||
	    (id && nbd_put_u64(skb, NBD_ATTR_SESSION_ID, id)) ||
	    (added && (nla_put_u32(skb, NBD_ATTR_SOCKETS_USED, added->used) ||
		       nla_put_u32(skb, NBD_ATTR_SOCKETS_CLOSED, added->closed)))) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, head);
	genlmsg_reply(skb, info);
}

static int connect_device(struct genl_info *info, int index, struct nbd_session_params *params,
			  struct nbd_sock_list *list)
{
	struct nbd_session *session;
	struct nbd_device *nbd;
	int err;

	nbd = nbd_device_claim(index, info->extack);
	if (IS_ERR(nbd))
		return PTR_ERR(nbd);
	err = nbd_device_attach(nbd, params, list->socks, list->nr, &session, info->extack);
	/* Taken over in every case. */
	list->nr = 0;
	if (err) {
		nbd_device_unclaim(nbd);
	} else {
		reply(info, nbd->index, session->id, NULL);
		nbd_session_put(session);
	}
	nbd_device_put(nbd);
	return err;
}

static int connect_command(struct sk_buff *skb, struct genl_info *info)
{
	struct nbd_session_params params = { };
	struct nbd_sock_list list;
	int index, err;

	err = require_admin(skb, info) ?: nbd_leave_refuse(info->extack) ?:
	      nbd_parse_index(info, false, &index);
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
	err = nbd_session_params_check(&params, list.nr, info->extack);
	if (!err)
		err = connect_device(info, index, &params, &list);
	sock_list_put(&list);
out:
	kfree(params.backend);
	return err;
}

int nbd_genl_connect(struct sk_buff *skb, struct genl_info *info)
{
	int err = connect_command(skb, info);

	wipe_secrets(info);
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

int nbd_genl_disconnect(struct sk_buff *skb, struct genl_info *info)
{
	struct nbd_device *nbd;
	unsigned int flags = 0;
	int index, err;
	u64 id = 0;

	err = require_admin(skb, info) ?: nbd_parse_index(info, true, &index);
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
			     struct nbd_session_params *params)
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
	return check_server_flags(session, info) ?:
	       nbd_session_params_check(params, 1, info->extack);
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
			       const struct nbd_session_params *params, struct nbd_sock_list *list)
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
	if (added.used)
		nbd_read_ahead_update(session);
	WRITE_ONCE(session->params.timeout, params->timeout);
	WRITE_ONCE(session->params.dead_timeout, params->dead_timeout);
	WRITE_ONCE(session->params.slow_timeout, params->slow_timeout);
	WRITE_ONCE(session->params.cflags, params->cflags);
	nbd_session_apply_timeouts(session);
	if (params->size != session->params.size)
		nbd_session_resize(session, params->size);
	if (info->attrs[NBD_ATTR_KEEPER])
		nbd_session_set_keeper(session, nla_get_u64(info->attrs[NBD_ATTR_KEEPER]));
	if (info->attrs[NBD_ATTR_REPLACE] || info->attrs[NBD_ATTR_SESSION_ID])
		reply(info, session->nbd->index, 0, &added);
	return 0;
}

static int reconfigure_device(struct nbd_device *nbd, struct genl_info *info,
			      struct nbd_sock_list *list)
{
	struct nbd_session *session;
	struct nbd_session_params params;

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
	return nbd_leave_refuse(info->extack) ?:
	       check_backend(session, info) ?:
	       parse_reconfigure(session, info, &params) ?:
	       check_keeper(session, info) ?:
	       check_sockets(session, info, list->nr) ?:
	       reconfigure_session(session, info, &params, list);
}

static int reconfigure_command(struct sk_buff *skb, struct genl_info *info)
{
	struct nbd_sock_list list;
	struct nbd_device *nbd;
	unsigned int noio;
	int index, err;

	err = require_admin(skb, info) ?: nbd_parse_index(info, true, &index);
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

int nbd_genl_reconfigure(struct sk_buff *skb, struct genl_info *info)
{
	int err = reconfigure_command(skb, info);

	wipe_secrets(info);
	return err;
}
