// SPDX-License-Identifier: GPL-2.0
/* STATUS: mainline's list of devices, and a dump with all of each. */
#include <linux/cred.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>
#include "compat.h"
#include "conn.h"
#include "device.h"
#include "index.h"
#include "netlink.h"
#include "readahead.h"
#include "session.h"
#include "slots.h"
#include "status.h"

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

int nbd_genl_status(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *reply;
	unsigned int nr;
	int index, err;
	void *head;

	err = nbd_parse_index(info, false, &index);
	if (err)
		return err;
	/* Devices that appear between the two walks need room too. */
	nr = index < 0 ? count_devices() + 16 : 1;
	reply = genlmsg_new(nla_total_size(nr * NBD_DEVICE_ITEM_SIZE), GFP_KERNEL);
	if (!reply) {
		NL_SET_ERR_MSG(info->extack, "out of memory for the list");
		return -ENOMEM;
	}
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

#define NBD_CONN_ITEM_SIZE	nla_total_size(nla_total_size(0) +			\
					       5 * nla_total_size(sizeof(u32)) +	\
					       4 * nla_total_size_64bit(sizeof(u64)))

static int put_conn_tls(struct sk_buff *skb, const struct nbd_conn_tls *tls)
{
	if (!tls->version)
		return 0;
	if (nla_put_u32(skb, NBD_CONN_TLS_VERSION, tls->version) ||
	    nla_put_u32(skb, NBD_CONN_TLS_CIPHER, tls->cipher) ||
	    nla_put_u64_64bit(skb, NBD_CONN_TLS_SENT, READ_ONCE(tls->sent), NBD_CONN_PAD) ||
	    nla_put_u64_64bit(skb, NBD_CONN_TLS_RECEIVED, READ_ONCE(tls->received),
			      NBD_CONN_PAD))
		return -EMSGSIZE;
	return 0;
}

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
	    (conn && conn->rx.framing.structured && nla_put_flag(skb, NBD_CONN_STRUCTURED)) ||
	    nla_put_u32(skb, NBD_CONN_STATE, conn ? NBD_CONN_LIVE : NBD_CONN_DEAD) ||
	    nla_put_u64_64bit(skb, NBD_CONN_REQUESTS, requests, NBD_CONN_PAD) ||
	    nla_put_u64_64bit(skb, NBD_CONN_REPLIES, replies, NBD_CONN_PAD) ||
	    nla_put_u32(skb, NBD_CONN_INFLIGHT, inflight) ||
	    (conn && put_conn_tls(skb, &conn->tls)))
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

static int put_params(struct sk_buff *skb, const struct nbd_session_params *p)
{
	if (nbd_put_u64(skb, NBD_ATTR_SIZE_BYTES, p->size) ||
	    nbd_put_u64(skb, NBD_ATTR_BLOCK_SIZE_BYTES, p->blksize) ||
	    nbd_put_u64(skb, NBD_ATTR_TIMEOUT, p->timeout) ||
	    nbd_put_u64(skb, NBD_ATTR_DEAD_CONN_TIMEOUT, p->dead_timeout) ||
	    nbd_put_u64(skb, NBD_ATTR_SLOW_TIMEOUT, p->slow_timeout) ||
	    nbd_put_u64(skb, NBD_ATTR_SERVER_FLAGS, p->flags) ||
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
	if (nbd_put_u64(skb, NBD_ATTR_KEEPER, keeper) ||
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
	    nbd_put_u64(skb, NBD_ATTR_SINCE_MS, jiffies64_to_msecs(jiffies - since)) ||
	    nbd_put_u64(skb, NBD_ATTR_SESSION_ID, session->id) ||
	    nla_put_u32(skb, NBD_ATTR_PID, pid_vnr(session->pid)) ||
	    nla_put_u32(skb, NBD_ATTR_QUEUE_DEPTH, session->nbd->tag_set.queue_depth) ||
	    nla_put_u32(skb, NBD_ATTR_READ_AHEAD, nbd_read_ahead_now(session->nbd)) ||
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
int nbd_genl_dump_start(struct netlink_callback *cb)
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

int nbd_genl_dump(struct sk_buff *skb, struct netlink_callback *cb)
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
