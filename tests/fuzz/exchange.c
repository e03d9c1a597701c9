// SPDX-License-Identifier: GPL-2.0
/*
 * A request to the driver, and all that the kernel answers to it: the policy that the
 * client asks for first, replies, dumps, errors with their texts, notices. The input's
 * first byte chooses the request; then come datagrams, each behind its length of two
 * bytes, little endian. libnl takes them for what its socket received: the linker wraps
 * the functions that would ask the kernel.
 */
#include <linux/netlink.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "../../client/kernel.h"
#include "fuzz.h"
#include "wrapped.h"

/* What is not received yet. */
static const unsigned char *input;
static size_t rest;

int __wrap_genl_connect(struct nl_sock *sock)
{
	(void)sock;
	return 0;
}

int __wrap_genl_ctrl_resolve(struct nl_sock *sock, const char *name)
{
	(void)sock;
	(void)name;
	return 30;
}

int __wrap_genl_ctrl_resolve_grp(struct nl_sock *sock, const char *family, const char *group)
{
	(void)sock;
	(void)family;
	(void)group;
	return 7;
}

int __wrap_nl_socket_set_nonblocking(const struct nl_sock *sock)
{
	(void)sock;
	return 0;
}

int __wrap_nl_socket_add_membership(struct nl_sock *sock, int group)
{
	(void)sock;
	(void)group;
	return 0;
}

int __wrap_nl_send_auto(struct nl_sock *sock, struct nl_msg *msg)
{
	(void)sock;
	return nlmsg_hdr(msg)->nlmsg_len;
}

/* The next datagram, in memory of exactly its size. */
static int receive(struct nl_sock *sock, struct sockaddr_nl *from, unsigned char **buf,
		   struct ucred **creds)
{
	size_t len;

	(void)sock;
	(void)creds;
	if (rest < 3)
		return -NLE_AGAIN;
	len = input[0] | input[1] << 8;
	input += 2;
	rest -= 2;
	if (len > rest)
		len = rest;
	if (!len)
		return -NLE_AGAIN;
	memset(from, 0, sizeof(*from));
	from->nl_family = AF_NETLINK;
	*buf = malloc(len);
	if (!*buf)
		return -NLE_NOMEM;
	memcpy(*buf, input, len);
	input += len;
	rest -= len;
	return len;
}

static int any_sequence(struct nl_msg *msg, void *arg)
{
	(void)msg;
	(void)arg;
	return NL_OK;
}

int __wrap_nl_recvmsgs(struct nl_sock *sock, struct nl_cb *cb)
{
	nl_cb_overwrite_recv(cb, receive);
	nl_cb_set(cb, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, any_sequence, NULL);
	return __real_nl_recvmsgs(sock, cb);
}

int __wrap_nl_recvmsgs_default(struct nl_sock *sock)
{
	struct nl_cb *cb = nl_socket_get_cb(sock);
	int ret = __wrap_nl_recvmsgs(sock, cb);

	nl_cb_put(cb);
	return ret;
}

static void check_status(void *arg, const struct nbd_status *s)
{
	(void)arg;
	fuzz_check(s->nlive <= s->nconns);
	fuzz_check(s->detailed || !s->nconns);
	fuzz_check_printable(s->cause);
}

static void check_notice(void *arg, const struct nbd_notice *notice)
{
	(void)arg;
	fuzz_check_printable(notice->cause);
}

static int listen_to_notices(struct nbd_kernel *k, struct nbd_err *err)
{
	struct nl_sock *sock;
	int ret = nbd_notices_open(k, &sock, err);

	if (ret)
		return ret;
	nbd_notices_read(sock, check_notice, NULL);
	nbd_notices_close(sock);
	return 0;
}

/* A refusal says why, and nothing else does. */
static void check_outcome(int ret, const struct nbd_err *err)
{
	fuzz_check(ret <= 0);
	fuzz_check(!ret == !err->text[0]);
	fuzz_check_printable(err->text);
}

static int request(struct nbd_kernel *k, unsigned int choice, struct nbd_err *err)
{
	static const int fds[] = { 3, 4 };
	static const struct nbd_params params = { .identifier = "disk" };
	const struct nbd_kernel_config config = {
		.set = ~0U, .index = 3, .fds = fds, .nfds = 2,
		.params = &params, .settings = ~0ULL,
	};
	struct nbd_kernel_reply reply;

	switch (choice % 5) {
	case 0:
		return nbd_kernel_connect(k, &config, &reply, err);
	case 1:
		return nbd_kernel_reconfigure(k, &config, &reply, err);
	case 2:
		return nbd_kernel_disconnect(k, 3, 5, true, err);
	case 3:
		return nbd_kernel_status(k, -1, check_status, NULL, err);
	default:
		return listen_to_notices(k, err);
	}
}

int fuzz_one(const unsigned char *data, size_t len)
{
	struct nbd_err err = { 0 };
	struct nbd_kernel k;

	if (!len)
		return 0;
	input = data + 1;
	rest = len - 1;
	if (nbd_kernel_open(&k, false, &err))
		__builtin_trap();
	check_outcome(request(&k, data[0], &err), &err);
	nbd_kernel_close(&k);
	return 0;
}
