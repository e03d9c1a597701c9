// SPDX-License-Identifier: GPL-2.0
/* Malformed netlink messages. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <unistd.h>
#include <linux/nbd-netlink.h>

#include "probe.h"

#define MIB	(1ULL << 20)

static int new_fd(void)
{
	return peer_fd(peer_new(PEER_UNIX));
}

/* A CONNECT of device 0 without its socket list. */
static struct msg *bare_connect(void)
{
	struct msg *msg = index_msg(NBD_CMD_CONNECT, 0);

	msg_u64(msg, NBD_ATTR_SIZE_BYTES, MIB);
	return msg;
}

static void finish(const char *step, struct msg *msg)
{
	if (!nl_step(step, msg)->error) {
		nl_disconnect(0);
		wait_free(0);
	}
}

static void commands(void)
{
	unsigned int cmd;

	for (cmd = 0; cmd < 9; cmd++)
		if (cmd != NBD_CMD_CONNECT && cmd != NBD_CMD_DISCONNECT)
			nl_step(name("command-%u", cmd), msg_new(cmd));
	nl_step("command-64", msg_new(64));
	nl_step("command-255", msg_new(255));
}

static void headers(void)
{
	nl_step("version-0", msg_new_full(NBD_CMD_STATUS, 0, NLM_F_ACK, nl_family));
	nl_step("version-255", msg_new_full(NBD_CMD_STATUS, 255, NLM_F_ACK, nl_family));
	nl_step("dump-connect", msg_new_full(NBD_CMD_CONNECT, 1, NLM_F_ACK | NLM_F_DUMP,
					     nl_family));
	nl_step("dump-disconnect", msg_new_full(NBD_CMD_DISCONNECT, 1, NLM_F_ACK | NLM_F_DUMP,
						nl_family));
	nl_step("flags-all", msg_new_full(NBD_CMD_STATUS, 1, NLM_F_ACK | 0x0c00, nl_family));
}

/* One attribute of STATUS or RECONFIGURE that is not as it should be. */
static void attributes(void)
{
	uint64_t zeroes[8] = { 0 };
	struct msg *msg;
	unsigned int len;

	for (len = 0; len <= 8; len++) {
		msg = msg_new(NBD_CMD_STATUS);
		msg_put(msg, NBD_ATTR_INDEX, zeroes, len);
		nl_step(name("index-of-%u", len), msg);
	}
	for (len = 0; len <= 16; len += 4) {
		int fd = new_fd();

		msg = index_msg(NBD_CMD_CONNECT, 0);
		msg_put(msg, NBD_ATTR_SIZE_BYTES, zeroes, len);
		msg_sockets(msg, &fd, 1);
		finish(name("size-of-%u", len), msg);
	}
	msg = msg_new(NBD_CMD_STATUS);
	msg_raw_attr(msg, NBD_ATTR_INDEX, 3, zeroes, 4);
	nl_step("length-below-header", msg);
	msg = msg_new(NBD_CMD_STATUS);
	msg_raw_attr(msg, NBD_ATTR_INDEX, 0, zeroes, 4);
	nl_step("length-zero", msg);
	msg = msg_new(NBD_CMD_STATUS);
	msg_raw_attr(msg, NBD_ATTR_INDEX, 65535, zeroes, 4);
	nl_step("length-beyond-message", msg);
	msg = msg_new(NBD_CMD_STATUS);
	msg_u32(msg, NBD_ATTR_INDEX, 999);
	msg_u32(msg, NBD_ATTR_INDEX, 0);
	nl_step("twice", msg);
	msg = index_msg(NBD_CMD_STATUS, 0);
	msg->len += 3;
	nl_step("trailing-bytes", msg);
}

/* Attributes that nobody knows. */
static void unknown(void)
{
	static const uint16_t types[] = { 0, 11, 12, 30, 63, 1000, 0x3fff };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		struct msg *msg = index_msg(NBD_CMD_STATUS, 0);

		msg_u32(msg, types[i], 1);
		nl_step(name("type-%u", types[i]), msg);
	}
}

static void socket_list(void)
{
	int fd = new_fd();
	struct msg *msg;
	size_t list, item;
	uint32_t junk = 0xdeadbeef;

	msg = bare_connect();
	msg_u32(msg, NBD_ATTR_SOCKETS, fd);
	finish("list-of-number", msg);

	msg = bare_connect();
	list = msg_nest(msg, NBD_ATTR_SOCKETS);
	item = msg_nest(msg, 7);
	msg_u32(msg, NBD_SOCK_FD, fd);
	msg_end(msg, item);
	msg_end(msg, list);
	finish("wrong-item", msg);

	msg = bare_connect();
	list = msg_nest(msg, NBD_ATTR_SOCKETS);
	item = msg_nest(msg, NBD_SOCK_ITEM);
	msg_end(msg, item);
	msg_end(msg, list);
	finish("item-without-fd", msg);

	msg = bare_connect();
	list = msg_nest(msg, NBD_ATTR_SOCKETS);
	item = msg_nest(msg, NBD_SOCK_ITEM);
	msg_put(msg, NBD_SOCK_FD, &fd, 2);
	msg_end(msg, item);
	msg_end(msg, list);
	finish("fd-of-two-bytes", msg);

	msg = bare_connect();
	list = msg_nest(msg, NBD_ATTR_SOCKETS);
	item = msg_nest(msg, NBD_SOCK_ITEM);
	msg_u64(msg, NBD_SOCK_FD, fd);
	msg_end(msg, item);
	msg_end(msg, list);
	finish("fd-of-eight-bytes", msg);

	msg = bare_connect();
	list = msg_nest(msg, NBD_ATTR_SOCKETS);
	item = msg_nest(msg, NBD_SOCK_ITEM);
	msg_u32(msg, NBD_SOCK_FD, fd);
	msg_u32(msg, 99, 1);
	msg_end(msg, item);
	msg_end(msg, list);
	finish("item-with-unknown", msg);

	msg = bare_connect();
	list = msg_nest(msg, NBD_ATTR_SOCKETS);
	msg_raw_attr(msg, NBD_SOCK_ITEM, 200, &junk, 4);
	msg_end(msg, list);
	finish("item-too-long", msg);

	msg = bare_connect();
	list = msg_nest(msg, NBD_ATTR_SOCKETS);
	item = msg_nest(msg, NBD_SOCK_ITEM);
	msg_u32(msg, NBD_SOCK_FD, new_fd());
	msg_end(msg, item);
	msg_end(msg, list);
	/* three bytes more in the list than its items have */
	((uint16_t *)(msg->buf + list))[0] += 3;
	msg->len += 4;
	finish("list-with-trailing-bytes", msg);
}

/* The NLA_F_NESTED flag is left out, as old clients do. */
static void no_nested_flag(void)
{
	struct msg *msg = bare_connect();
	uint8_t list[12];
	uint16_t head[2] = { 12, NBD_SOCK_ITEM }, inner[2] = { 8, NBD_SOCK_FD };
	int fd = new_fd();

	memcpy(list, head, 4);
	memcpy(list + 4, inner, 4);
	memcpy(list + 8, &fd, 4);
	msg_put(msg, NBD_ATTR_SOCKETS, list, sizeof(list));
	finish("connect", msg);
}

static void thousands(void)
{
	struct msg *msg = bare_connect();
	int *fds = calloc(4000, sizeof(int)), i;

	for (i = 0; i < 4000; i++)
		fds[i] = -1;
	msg_sockets(msg, fds, 4000);
	finish("bad-fds", msg);
	msg = bare_connect();
	for (i = 0; i < 4000; i++)
		fds[i] = 0;
	msg_sockets(msg, fds, 4000);
	finish("no-sockets", msg);
	say("after", "%s", shape(0));
	free(fds);
}

static void strings(void)
{
	int fd = new_fd();
	struct msg *msg = connect_msg(0, &fd, 1, MIB);

	msg_put(msg, NBD_ATTR_BACKEND_IDENTIFIER, "a\0b", 4);
	finish("nul-inside", msg);
	fd = new_fd();
	msg = connect_msg(0, &fd, 1, MIB);
	msg_put(msg, NBD_ATTR_BACKEND_IDENTIFIER, "", 0);
	finish("no-bytes", msg);
}

/* A byte for each socket, and no more. */
static void structured(void)
{
	static const uint8_t agreed[] = { 0, 1 };
	int fd = new_fd();
	struct msg *msg = connect_msg(0, &fd, 1, MIB);

	msg_put(msg, NBD_ATTR_STRUCTURED, agreed, 2);
	finish("more-bytes-than-sockets", msg);
	fd = new_fd();
	msg = connect_msg(0, &fd, 1, MIB);
	msg_put(msg, NBD_ATTR_STRUCTURED, agreed, 1);
	finish("a-byte-for-each", msg);
	fd = new_fd();
	msg = connect_msg(0, &fd, 1, MIB);
	msg_put(msg, NBD_ATTR_STRUCTURED, NULL, 0);
	finish("no-bytes", msg);
}

/* Those of a socket, whole, and no more; known where the kernel can use them. */
static void secrets(void)
{
	static const struct nbd_tls_secrets none[2];
	int fd = new_fd();
	struct msg *msg = connect_msg(0, &fd, 1, MIB);

	msg_put(msg, NBD_ATTR_TLS_SECRETS, none, sizeof(none));
	finish("more-than-sockets", msg);
	fd = new_fd();
	msg = connect_msg(0, &fd, 1, MIB);
	msg_put(msg, NBD_ATTR_TLS_SECRETS, none, sizeof(*none) - 1);
	finish("not-whole", msg);
	fd = new_fd();
	msg = connect_msg(0, &fd, 1, MIB);
	msg_put(msg, NBD_ATTR_TLS_SECRETS, none, sizeof(*none));
	finish("of-no-tls", msg);
}

const struct probe_case message_cases[] = {
	{ "message-commands", commands, 0, 0 },
	{ "message-headers", headers, 0, 0 },
	{ "message-attributes", attributes, 0, 0 },
	{ "message-unknown", unknown, 0, 0 },
	{ "message-socket-list", socket_list, 0, 0 },
	{ "message-no-nested-flag", no_nested_flag, 0, 0 },
	{ "message-thousands", thousands, 0, 0 },
	{ "message-strings", strings, 0, 0 },
	{ "message-structured", structured, 0, 0 },
	{ "message-secrets", secrets, 0, 0 },
	{ NULL, NULL, 0, 0 },
};
