// SPDX-License-Identifier: GPL-2.0
/*
 * What the driver tells: replies of NBD_CMD_STATUS and multicast messages.
 *
 * The decoders trust no length, and no text to be printable: the stock driver
 * passes on what another program gave it.
 */
#include <errno.h>
#include <linux/genetlink.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "kernel.h"
#include "netlink.h"
#include "settings.h"

static u64 get_u64(const struct nlattr *attr)
{
	return attr && nla_len(attr) >= 8 ? nla_get_u64((void *)attr) : 0;
}

static u32 get_u32(const struct nlattr *attr)
{
	return attr && nla_len(attr) >= 4 ? nla_get_u32(attr) : 0;
}

static void get_text(const struct nlattr *attr, char *text, size_t size)
{
	text[0] = '\0';
	if (attr)
		nbd_sanitize(text, size, nla_data(attr),
			     strnlen(nla_data(attr), nla_len(attr)));
}

/* Not for a terminal. */
static void get_bytes(const struct nlattr *attr, char *text, size_t size)
{
	size_t len = attr ? strnlen(nla_data(attr), nla_len(attr)) : 0;

	if (len >= size)
		len = size - 1;
	if (len)
		memcpy(text, nla_data(attr), len);
	text[len] = '\0';
}

static void decode_conn(struct nlattr *item, struct nbd_status *s)
{
	struct nlattr *tb[NBD_CONN_MAX + 1];
	struct nbd_conn_info *c;
	bool live;

	if (nla_parse_nested(tb, NBD_CONN_MAX, item, NULL))
		return;
	live = get_u32(tb[NBD_CONN_STATE]) == NBD_CONN_LIVE;
	s->nlive += live;
	if (s->nconns++ >= NBD_STATUS_CONNS_MAX)
		return;
	c = &s->conns[s->nconns - 1];
	memset(c, 0, sizeof(*c));
	c->slot = get_u32(tb[NBD_CONN_SLOT]);
	c->live = live;
	c->requests = get_u64(tb[NBD_CONN_REQUESTS]);
	c->replies = get_u64(tb[NBD_CONN_REPLIES]);
	c->inflight = get_u32(tb[NBD_CONN_INFLIGHT]);
	c->structured = tb[NBD_CONN_STRUCTURED];
	c->tls_version = get_u32(tb[NBD_CONN_TLS_VERSION]);
	c->tls_cipher = get_u32(tb[NBD_CONN_TLS_CIPHER]);
	c->tls_records = get_u64(tb[NBD_CONN_TLS_SENT]);
	if (c->tls_records < get_u64(tb[NBD_CONN_TLS_RECEIVED]))
		c->tls_records = get_u64(tb[NBD_CONN_TLS_RECEIVED]);
}

static void decode_conns(struct nlattr *conns, struct nbd_status *s)
{
	struct nlattr *item;
	int rem;

	if (!conns)
		return;
	nla_for_each_nested(item, conns, rem)
		if (nla_type(item) == NBD_CONN_ITEM)
			decode_conn(item, s);
}

static void decode_counters(struct nlattr *counters, struct nbd_status *s)
{
	struct nlattr *tb[NBD_COUNTER_MAX + 1];
	int i;

	if (!counters || nla_parse_nested(tb, NBD_COUNTER_MAX, counters, NULL))
		return;
	for (i = 1; i <= NBD_COUNTER_MAX; i++)
		if (i != NBD_COUNTER_PAD)
			s->counters[i] = get_u64(tb[i]);
}

static void decode_settings(struct nlattr *tb[], struct nbd_status *status)
{
	const struct nbd_setting *s;

	nbd_for_each_setting(s) {
		if (s->width == sizeof(u64))
			status->told[s->bit] = get_u64(tb[s->attribute]);
		else if (s->width)
			status->told[s->bit] = get_u32(tb[s->attribute]);
	}
}

/* But for the room for connections: that is most of it, and seldom needed. */
static void clear_status(struct nbd_status *s)
{
	memset(s, 0, offsetof(struct nbd_status, conns));
	memset((char *)s + offsetof(struct nbd_status, conns) + sizeof(s->conns), 0,
	       sizeof(*s) - offsetof(struct nbd_status, conns) - sizeof(s->conns));
}

bool nbd_status_decode(struct nlmsghdr *hdr, struct nbd_status *s)
{
	struct nlattr *tb[NBD_ATTR_EXT_MAX + 1];

	clear_status(s);
	if (!genlmsg_valid_hdr(hdr, 0) ||
	    genlmsg_parse(hdr, 0, tb, NBD_ATTR_EXT_MAX, NULL) ||
	    !tb[NBD_ATTR_INDEX])
		return false;
	s->detailed = true;
	s->index = get_u32(tb[NBD_ATTR_INDEX]);
	s->state = get_u32(tb[NBD_ATTR_STATE]);
	s->session_id = get_u64(tb[NBD_ATTR_SESSION_ID]);
	s->keeper = get_u64(tb[NBD_ATTR_KEEPER]);
	s->keeper_lives = tb[NBD_ATTR_KEEPER_PID];
	s->keeper_pid = get_u32(tb[NBD_ATTR_KEEPER_PID]);
	s->openers = get_u32(tb[NBD_ATTR_OPENERS]);
	s->pid = get_u32(tb[NBD_ATTR_PID]);
	s->since_ms = get_u64(tb[NBD_ATTR_SINCE_MS]);
	s->size = get_u64(tb[NBD_ATTR_SIZE_BYTES]);
	s->block_size = get_u64(tb[NBD_ATTR_BLOCK_SIZE_BYTES]);
	s->server_flags = get_u64(tb[NBD_ATTR_SERVER_FLAGS]);
	get_text(tb[NBD_ATTR_CAUSE], s->cause, sizeof(s->cause));
	get_bytes(tb[NBD_ATTR_BACKEND_IDENTIFIER], s->identifier,
		  sizeof(s->identifier));
	decode_settings(tb, s);
	decode_conns(tb[NBD_ATTR_CONNS], s);
	decode_counters(tb[NBD_ATTR_COUNTERS], s);
	s->retiring = get_u32(tb[NBD_ATTR_RETIRING]);
	s->retiring_inflight = get_u32(tb[NBD_ATTR_RETIRING_INFLIGHT]);
	return true;
}

/**
 * struct status_sink - where decoded status goes
 * @fn:		the caller's function
 * @arg:	its argument
 * @status:	room for one, too big for the stack
 */
struct status_sink {
	nbd_status_fn fn;
	void *arg;
	struct nbd_status status;
};

static void handle_dump(struct nlmsghdr *hdr, void *arg)
{
	struct status_sink *sink = arg;

	if (nbd_status_decode(hdr, &sink->status))
		sink->fn(sink->arg, &sink->status);
}

static void handle_device(struct nlattr *item, struct status_sink *sink)
{
	struct nlattr *tb[NBD_DEVICE_ATTR_MAX + 1];
	struct nbd_status *s = &sink->status;
	pid_t pid;

	if (nla_parse_nested(tb, NBD_DEVICE_ATTR_MAX, item, NULL) ||
	    !tb[NBD_DEVICE_INDEX])
		return;
	memset(s, 0, sizeof(*s));
	s->index = get_u32(tb[NBD_DEVICE_INDEX]);
	/* The stock driver calls a device connected that is only open. */
	if (!nbd_device_pid(s->index, &pid)) {
		s->state = NBD_STATE_LIVE;
		s->pid = pid;
	}
	sink->fn(sink->arg, s);
}

static void handle_list(struct nlmsghdr *hdr, void *arg)
{
	struct nlattr *tb[NBD_ATTR_MAX + 1], *item;
	int rem;

	if (!genlmsg_valid_hdr(hdr, 0) ||
	    genlmsg_parse(hdr, 0, tb, NBD_ATTR_MAX, NULL) ||
	    !tb[NBD_ATTR_DEVICE_LIST])
		return;
	nla_for_each_nested(item, tb[NBD_ATTR_DEVICE_LIST], rem)
		if (nla_type(item) == NBD_DEVICE_ITEM)
			handle_device(item, arg);
}

/* The list tells less, but is also told by the stock driver, and in other namespaces. */
static int ask_status(struct nbd_kernel *k, s32 index, bool dump,
		      struct nbd_exchange *x)
{
	struct nl_msg *msg = nbd_netlink_message(k->family, dump ? NLM_F_DUMP : 0,
						 NBD_CMD_STATUS);

	if (!msg)
		return -ENOMEM;
	x->handle = dump ? handle_dump : handle_list;
	if (index >= 0)
		nla_put_u32(msg, NBD_ATTR_INDEX, index);
	return nbd_netlink_transact(k->sock, msg, x);
}

int nbd_kernel_status(struct nbd_kernel *k, s32 index, nbd_status_fn fn,
		      void *arg, struct nbd_err *err)
{
	struct status_sink sink = { .fn = fn, .arg = arg };
	struct nbd_exchange x = { .arg = &sink };
	int ret = -EOPNOTSUPP;

	if (nbd_kernel_knows(k, NBD_ATTR_SESSION_ID))
		ret = ask_status(k, index, true, &x);
	if (ret == -EOPNOTSUPP)
		ret = ask_status(k, index, false, &x);
	if (ret)
		return nbd_fail(err, nbd_exit_of_errno(-ret), -ret,
				"the driver does not tell its status: %s%s%s",
				x.text, x.text[0] ? ": " : "", strerror(-ret));
	return 0;
}

/** struct live - connections that the driver has of one device */
struct live {
	s32 index;
	unsigned int n;
};

static void count_live(void *arg, const struct nbd_status *s)
{
	struct live *live = arg;

	if (s->index == live->index)
		live->n = s->nlive;
}

unsigned int nbd_kernel_live(struct nbd_kernel *k, s32 index)
{
	struct live live = { .index = index };

	nbd_kernel_status(k, index, count_live, &live, NULL);
	return live.n;
}

bool nbd_notice_decode(struct nlmsghdr *hdr, struct nbd_notice *n)
{
	struct nlattr *tb[NBD_ATTR_EXT_MAX + 1];
	struct genlmsghdr *genl;

	memset(n, 0, sizeof(*n));
	if (!genlmsg_valid_hdr(hdr, 0) ||
	    genlmsg_parse(hdr, 0, tb, NBD_ATTR_EXT_MAX, NULL) ||
	    !tb[NBD_ATTR_INDEX])
		return false;
	genl = nlmsg_data(hdr);
	if (genl->cmd != NBD_CMD_LINK_DEAD && genl->cmd != NBD_CMD_EVENT)
		return false;
	n->link_dead = genl->cmd == NBD_CMD_LINK_DEAD;
	n->index = get_u32(tb[NBD_ATTR_INDEX]);
	n->session_id = get_u64(tb[NBD_ATTR_SESSION_ID]);
	n->event = get_u32(tb[NBD_ATTR_EVENT]);
	n->state = get_u32(tb[NBD_ATTR_STATE]);
	n->size = get_u64(tb[NBD_ATTR_SIZE_BYTES]);
	n->keeper = get_u64(tb[NBD_ATTR_KEEPER]);
	get_text(tb[NBD_ATTR_CAUSE], n->cause, sizeof(n->cause));
	return true;
}

int nbd_notices_open(const struct nbd_kernel *k, struct nl_sock **sock,
		     struct nbd_err *err)
{
	if (k->group <= 0)
		return nbd_fail(err, NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
				"the driver announces no events");
	*sock = nl_socket_alloc();
	if (!*sock)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	nl_socket_disable_seq_check(*sock);
	if (genl_connect(*sock) || nl_socket_set_nonblocking(*sock) ||
	    nl_socket_add_membership(*sock, k->group)) {
		nl_socket_free(*sock);
		return nbd_fail(err, NBD_EXIT_FAILURE, EIO,
				"cannot listen to the driver's events: %s",
				strerror(errno));
	}
	return 0;
}

void nbd_notices_close(struct nl_sock *sock)
{
	nl_socket_free(sock);
}

int nbd_notices_fd(struct nl_sock *sock)
{
	return nl_socket_get_fd(sock);
}

/** struct notice_sink - where decoded notices go */
struct notice_sink {
	nbd_notice_fn fn;
	void *arg;
};

static int on_notice(struct nl_msg *msg, void *arg)
{
	struct notice_sink *sink = arg;
	struct nbd_notice notice;

	if (nbd_notice_decode(nlmsg_hdr(msg), &notice))
		sink->fn(sink->arg, &notice);
	return NL_OK;
}

/*
 * One reading says so when messages were lost; until everything before them is read, too, more
 * are lost without a word.
 */
int nbd_notices_read(struct nl_sock *sock, nbd_notice_fn fn, void *arg)
{
	struct notice_sink sink = { .fn = fn, .arg = arg };
	bool lost = false;
	int ret;

	nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, on_notice, &sink);
	do {
		errno = 0;
		ret = nl_recvmsgs_default(sock);
		lost |= ret && errno == ENOBUFS;
	} while (!ret || errno == ENOBUFS);
	if (ret != -NLE_AGAIN && ret != -NLE_NOMEM)
		return -EIO;
	return lost || ret == -NLE_NOMEM ? -ENOBUFS : 0;
}
