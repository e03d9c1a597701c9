// SPDX-License-Identifier: GPL-2.0
/*
 * The driver's generic netlink interface.
 */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <string.h>

#include "kernel.h"
#include "module.h"
#include "netlink.h"
#include "settings.h"

/* The extended acknowledgment, which begins @skip bytes behind the header of @hdr. */
static void take_extack(struct nbd_exchange *x, struct nlmsghdr *hdr,
			size_t skip)
{
	struct nlattr *attr;

	if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS) ||
	    NLMSG_HDRLEN + skip > hdr->nlmsg_len)
		return;
	attr = nla_find((struct nlattr *)((char *)nlmsg_data(hdr) + skip),
			hdr->nlmsg_len - NLMSG_HDRLEN - skip,
			NLMSGERR_ATTR_MSG);
	if (attr)
		nbd_sanitize(x->text, sizeof(x->text), nla_data(attr),
			     strnlen(nla_data(attr), nla_len(attr)));
}

/* The end of the answer; @error is 0 or -errno, or else no kernel's. */
static void end_exchange(struct nbd_exchange *x, int error)
{
	x->error = error <= 0 && error >= -4095 ? -error : EPROTO;
	x->done = true;
}

static int on_error(struct sockaddr_nl *nla, struct nlmsgerr *e, void *arg)
{
	struct nlmsghdr *hdr = (void *)((char *)e - NLMSG_HDRLEN);
	struct nbd_exchange *x = arg;
	size_t skip = sizeof(*e);

	(void)nla;
	end_exchange(x, e->error);
	if (!(hdr->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(e->msg.nlmsg_len) - sizeof(e->msg);
	take_extack(x, hdr, skip);
	return NL_STOP;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	(void)msg;
	end_exchange(arg, 0);
	return NL_STOP;
}

/* A dump tells at its end, and only there, that it failed. */
static int on_finish(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *hdr = nlmsg_hdr(msg);
	int error = 0;

	if (nlmsg_datalen(hdr) >= (int)sizeof(error))
		memcpy(&error, nlmsg_data(hdr), sizeof(error));
	end_exchange(arg, error);
	if (error)
		take_extack(arg, hdr, sizeof(error));
	return NL_STOP;
}

static int on_message(struct nl_msg *msg, void *arg)
{
	struct nbd_exchange *x = arg;

	if (x->handle)
		x->handle(nlmsg_hdr(msg), x->arg);
	return NL_OK;
}

/* Devices came or went during the dump; the messages that came are right. */
static int on_interrupted(struct nl_msg *msg, void *arg)
{
	(void)msg;
	(void)arg;
	return NL_OK;
}

static int receive_answer(struct nl_sock *sock, struct nbd_exchange *x)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_CUSTOM);
	int ret = 0;

	if (!cb)
		return -ENOMEM;
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, x);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, x);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, x);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_message, x);
	nl_cb_set(cb, NL_CB_DUMP_INTR, NL_CB_CUSTOM, on_interrupted, x);
	while (!x->done && ret >= 0)
		ret = nl_recvmsgs(sock, cb);
	nl_cb_put(cb);
	if (!x->done)
		return -EIO;
	return -x->error;
}

int nbd_netlink_transact(struct nl_sock *sock, struct nl_msg *msg,
			 struct nbd_exchange *x)
{
	int ret = nl_send_auto(sock, msg);

	x->done = false;
	x->error = 0;
	x->text[0] = '\0';
	/* It may have secrets. */
	explicit_bzero(nlmsg_data(nlmsg_hdr(msg)), nlmsg_datalen(nlmsg_hdr(msg)));
	nlmsg_free(msg);
	return ret < 0 ? -EIO : receive_answer(sock, x);
}

struct nl_msg *nbd_netlink_message(int family, int flags, int command)
{
	struct nl_msg *msg = nlmsg_alloc_size(16384);

	if (!msg)
		return NULL;
	if (!genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0,
			 flags | NLM_F_ACK, command, NBD_GENL_VERSION)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/**
 * struct policy_dump - the family's policies, as the controller tells them
 * @top:	bit n: policy n is one of a command, not of a nest
 * @known:	attributes by policy number; few policies are expected
 */
#define POLICIES_MAX 32
struct policy_dump {
	unsigned int top;
	u64 known[POLICIES_MAX][2];
};

static void take_op_policies(struct policy_dump *dump, struct nlattr *ops)
{
	struct nlattr *op, *which;
	int rem;

	nla_for_each_nested(op, ops, rem) {
		which = nla_find(nla_data(op), nla_len(op), CTRL_ATTR_POLICY_DO);
		if (which && nla_len(which) >= 4 &&
		    nla_get_u32(which) < POLICIES_MAX)
			dump->top |= 1U << nla_get_u32(which);
	}
}

static void take_policies(struct policy_dump *dump, struct nlattr *policies)
{
	struct nlattr *policy, *attr;
	int rem, rem2;

	nla_for_each_nested(policy, policies, rem) {
		if (nla_type(policy) >= POLICIES_MAX)
			continue;
		nla_for_each_nested(attr, policy, rem2) {
			int type = nla_type(attr);

			if (type < 128)
				dump->known[nla_type(policy)][type / 64] |=
					1ULL << type % 64;
		}
	}
}

static void handle_policy(struct nlmsghdr *hdr, void *arg)
{
	struct nlattr *tb[CTRL_ATTR_MAX + 1];

	if (genlmsg_parse(hdr, 0, tb, CTRL_ATTR_MAX, NULL))
		return;
	if (tb[CTRL_ATTR_OP_POLICY])
		take_op_policies(arg, tb[CTRL_ATTR_OP_POLICY]);
	if (tb[CTRL_ATTR_POLICY])
		take_policies(arg, tb[CTRL_ATTR_POLICY]);
}

/* A kernel that cannot tell its policy has none of our extensions. */
static void ask_policy(struct nbd_kernel *k)
{
	struct policy_dump dump = { 0 };
	struct nbd_exchange x = { .handle = handle_policy, .arg = &dump };
	struct nl_msg *msg;
	unsigned int i;

	memset(k->known, 0, sizeof(k->known));
	k->known[0] = (1ULL << __NBD_ATTR_MAX) - 1;
	msg = nbd_netlink_message(GENL_ID_CTRL, NLM_F_DUMP, CTRL_CMD_GETPOLICY);
	if (!msg)
		return;
	nla_put_u16(msg, CTRL_ATTR_FAMILY_ID, k->family);
	if (nbd_netlink_transact(k->sock, msg, &x))
		return;
	for (i = 0; i < POLICIES_MAX; i++) {
		if (!(dump.top >> i & 1))
			continue;
		k->known[0] |= dump.known[i][0];
		k->known[1] |= dump.known[i][1];
	}
}

static int put_sockets(struct nl_msg *msg, const int *fds, unsigned int n)
{
	struct nlattr *nest = nla_nest_start(msg, NBD_ATTR_SOCKETS);
	struct nlattr *item;
	unsigned int i;

	if (!nest)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		item = nla_nest_start(msg, NBD_SOCK_ITEM);
		if (!item || nla_put_u32(msg, NBD_SOCK_FD, fds[i]))
			return -ENOMEM;
		nla_nest_end(msg, item);
	}
	nla_nest_end(msg, nest);
	return 0;
}

/* The message has room for every attribute, so that no put can fail. */
static void put_u64_if(const struct nbd_kernel *k, struct nl_msg *msg,
		       bool wanted, int attribute, u64 value)
{
	if (wanted && nbd_kernel_knows(k, attribute))
		nla_put_u64(msg, attribute, value);
}

static void put_u32_if(const struct nbd_kernel *k, struct nl_msg *msg,
		       bool wanted, int attribute, u32 value)
{
	if (wanted && nbd_kernel_knows(k, attribute))
		nla_put_u32(msg, attribute, value);
}

static void put_setting(const struct nbd_setting *s, struct nl_msg *msg,
			const struct nbd_params *params)
{
	if (s->kind == NBD_KIND_TEXT) {
		if (nbd_setting_text(s, params))
			nla_put_string(msg, s->attribute, nbd_setting_text(s, params));
	} else if (s->width == sizeof(u64)) {
		nla_put_u64(msg, s->attribute, nbd_setting_number(s, params));
	} else {
		nla_put_u32(msg, s->attribute, nbd_setting_number(s, params));
	}
}

static void put_settings(const struct nbd_kernel *k, struct nl_msg *msg,
			 const struct nbd_kernel_config *c)
{
	const struct nbd_setting *s;

	nbd_for_each_setting(s)
		if (s->attribute && c->settings & s->given && !(s->flags & NBD_WORKED_OUT) &&
		    nbd_kernel_knows(k, s->attribute))
			put_setting(s, msg, c->params);
}

static void put_config(const struct nbd_kernel *k, struct nl_msg *msg,
		       const struct nbd_kernel_config *c)
{
	bool limits = c->set & NBD_CONFIG_BLOCK_LIMITS;

	put_settings(k, msg, c);
	put_u64_if(k, msg, c->set & NBD_CONFIG_SIZE, NBD_ATTR_SIZE_BYTES,
		   c->size);
	put_u64_if(k, msg, c->set & NBD_CONFIG_BLOCK_SIZE,
		   NBD_ATTR_BLOCK_SIZE_BYTES, c->block_size);
	put_u64_if(k, msg, c->set & NBD_CONFIG_DEAD_TIMEOUT,
		   NBD_ATTR_DEAD_CONN_TIMEOUT, c->dead_timeout);
	put_u64_if(k, msg, c->set & NBD_CONFIG_SERVER_FLAGS,
		   NBD_ATTR_SERVER_FLAGS, c->server_flags);
	put_u64_if(k, msg, c->set & NBD_CONFIG_SESSION_ID,
		   NBD_ATTR_SESSION_ID, c->session_id);
	put_u64_if(k, msg, c->set & NBD_CONFIG_KEEPER && c->keeper,
		   NBD_ATTR_KEEPER, c->keeper);
	put_u32_if(k, msg, limits, NBD_ATTR_BLOCK_MIN, c->block_min);
	put_u32_if(k, msg, limits, NBD_ATTR_BLOCK_PREFERRED,
		   c->block_preferred);
	put_u32_if(k, msg, limits, NBD_ATTR_BLOCK_MAX, c->block_max);
	if (c->set & NBD_CONFIG_REPLACE &&
	    nbd_kernel_knows(k, NBD_ATTR_REPLACE))
		nla_put_flag(msg, NBD_ATTR_REPLACE);
	if (c->set & NBD_CONFIG_REPLACE_NOW &&
	    nbd_kernel_knows(k, NBD_ATTR_REPLACE_NOW))
		nla_put_flag(msg, NBD_ATTR_REPLACE_NOW);
}

static void handle_reply(struct nlmsghdr *hdr, void *arg)
{
	struct nlattr *tb[NBD_ATTR_EXT_MAX + 1];
	struct nbd_kernel_reply *reply = arg;

	if (genlmsg_parse(hdr, 0, tb, NBD_ATTR_EXT_MAX, NULL))
		return;
	if (tb[NBD_ATTR_INDEX] && nla_len(tb[NBD_ATTR_INDEX]) >= 4)
		reply->index = nla_get_u32(tb[NBD_ATTR_INDEX]);
	if (tb[NBD_ATTR_SESSION_ID] && nla_len(tb[NBD_ATTR_SESSION_ID]) >= 8)
		reply->session_id = nla_get_u64(tb[NBD_ATTR_SESSION_ID]);
	if (tb[NBD_ATTR_SOCKETS_USED] &&
	    nla_len(tb[NBD_ATTR_SOCKETS_USED]) >= 4) {
		reply->sockets_used = nla_get_u32(tb[NBD_ATTR_SOCKETS_USED]);
		reply->has_sockets_used = true;
	}
}

/* A refusal in words: the device, the driver's own sentence or the errno's. */
static int driver_refused(s32 index, const char *what, int error,
			  const struct nbd_exchange *x, struct nbd_err *err)
{
	const char *hint = "";
	char device[32] = "";

	if (index >= 0)
		snprintf(device, sizeof(device), "/dev/nbd%d: ", index);
	if (error == EPERM && !x->text[0])
		hint = ": root (CAP_SYS_ADMIN) may do that";
	else if (error == EBUSY && !x->text[0])
		hint = ": the device is in use";
	return nbd_fail(err, nbd_exit_of_errno(error), error,
			"%sthe driver refused to %s: %s%s%s%s", device, what,
			x->text, x->text[0] ? ": " : "", strerror(error), hint);
}

static int configure(struct nbd_kernel *k, int command, const char *what,
		     const struct nbd_kernel_config *config,
		     struct nbd_kernel_reply *reply, struct nbd_err *err)
{
	struct nbd_exchange x = { .handle = handle_reply, .arg = reply };
	struct nl_msg *msg = nbd_netlink_message(k->family, 0, command);
	int ret;

	memset(reply, 0, sizeof(*reply));
	reply->index = config->index;
	if (!msg)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	if (config->index >= 0)
		nla_put_u32(msg, NBD_ATTR_INDEX, config->index);
	if (config->nfds && put_sockets(msg, config->fds, config->nfds)) {
		nlmsg_free(msg);
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	}
	if (config->nfds && nbd_kernel_knows(k, NBD_ATTR_STRUCTURED))
		nla_put(msg, NBD_ATTR_STRUCTURED, config->nfds, config->structured);
	if (config->secrets && nbd_kernel_knows(k, NBD_ATTR_TLS_SECRETS))
		nla_put(msg, NBD_ATTR_TLS_SECRETS, config->nfds * sizeof(*config->secrets),
			config->secrets);
	put_config(k, msg, config);
	ret = nbd_netlink_transact(k->sock, msg, &x);
	if (ret)
		return driver_refused(config->index, what, -ret, &x, err);
	return 0;
}

static int netlink_connect(struct nbd_kernel *k,
			   const struct nbd_kernel_config *config,
			   struct nbd_kernel_reply *reply, struct nbd_err *err)
{
	return configure(k, NBD_CMD_CONNECT, "attach the device", config,
			 reply, err);
}

int nbd_kernel_reconfigure(struct nbd_kernel *k,
			   const struct nbd_kernel_config *config,
			   struct nbd_kernel_reply *reply, struct nbd_err *err)
{
	return configure(k, NBD_CMD_RECONFIGURE, "change the device", config,
			 reply, err);
}

static int netlink_disconnect(struct nbd_kernel *k, s32 index,
			      u64 session_id, bool if_unused,
			      struct nbd_err *err)
{
	struct nl_msg *msg = nbd_netlink_message(k->family, 0, NBD_CMD_DISCONNECT);
	struct nbd_exchange x = { 0 };
	int ret;

	if (!msg)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	nla_put_u32(msg, NBD_ATTR_INDEX, index);
	put_u64_if(k, msg, session_id, NBD_ATTR_SESSION_ID, session_id);
	if (if_unused && nbd_kernel_knows(k, NBD_ATTR_IF_UNUSED))
		nla_put_flag(msg, NBD_ATTR_IF_UNUSED);
	ret = nbd_netlink_transact(k->sock, msg, &x);
	if (ret)
		return driver_refused(index, "detach the device", -ret, &x, err);
	return 0;
}

static void netlink_close(struct nbd_kernel *k)
{
	nl_socket_free(k->sock);
	k->sock = NULL;
}

static const struct nbd_kernel_ops netlink_ops = {
	.connect = netlink_connect,
	.disconnect = netlink_disconnect,
	.close = netlink_close,
};

static struct nl_sock *open_socket(void)
{
	struct nl_sock *sock = nl_socket_alloc();
	int on = 1;

	if (!sock)
		return NULL;
	if (genl_connect(sock)) {
		nl_socket_free(sock);
		return NULL;
	}
	nl_socket_enable_msg_peek(sock);
	setsockopt(nl_socket_get_fd(sock), SOL_NETLINK, NETLINK_EXT_ACK, &on,
		   sizeof(on));
	setsockopt(nl_socket_get_fd(sock), SOL_NETLINK, NETLINK_CAP_ACK, &on,
		   sizeof(on));
	return sock;
}

int nbd_kernel_open(struct nbd_kernel *k, bool load, struct nbd_err *err)
{
	int ret;

	memset(k, 0, sizeof(*k));
	k->ops = &netlink_ops;
	k->device = -1;
	k->sock = open_socket();
	if (!k->sock)
		return nbd_fail(err, NBD_EXIT_NO_DRIVER, EPROTONOSUPPORT,
				"cannot open a generic netlink socket: %s",
				strerror(errno));
	k->family = genl_ctrl_resolve(k->sock, NBD_GENL_FAMILY_NAME);
	if (k->family < 0 && load) {
		ret = nbd_module_load(err);
		if (ret) {
			nbd_kernel_close(k);
			return ret;
		}
		k->family = genl_ctrl_resolve(k->sock, NBD_GENL_FAMILY_NAME);
	}
	if (k->family < 0) {
		nbd_kernel_close(k);
		return nbd_fail(err, NBD_EXIT_NO_DRIVER, ENOENT,
				"the kernel's nbd driver is not loaded, or has no netlink interface");
	}
	k->group = genl_ctrl_resolve_grp(k->sock, NBD_GENL_FAMILY_NAME,
					 NBD_GENL_MCAST_GROUP_NAME);
	ask_policy(k);
	return 0;
}
