// SPDX-License-Identifier: GPL-2.0
/* Netlink messages: sensible, random, and bent after they were built. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <linux/nbd.h>
#include <linux/nbd-netlink.h>

#include "kfuzz.h"

static void put_random_attr(struct msg *msg)
{
	static const uint16_t u32s[] = {
		NBD_ATTR_BLOCK_MIN, NBD_ATTR_BLOCK_PREFERRED, NBD_ATTR_BLOCK_MAX,
		NBD_ATTR_QUEUE_DEPTH, NBD_ATTR_WRITE_POLICY, NBD_ATTR_READ_AHEAD,
	};
	static const uint16_t u64s[] = {
		NBD_ATTR_SIZE_BYTES, NBD_ATTR_BLOCK_SIZE_BYTES, NBD_ATTR_TIMEOUT,
		NBD_ATTR_SERVER_FLAGS, NBD_ATTR_CLIENT_FLAGS, NBD_ATTR_DEAD_CONN_TIMEOUT,
		NBD_ATTR_SLOW_TIMEOUT, NBD_ATTR_SESSION_ID, NBD_ATTR_KEEPER,
	};
	static const uint16_t flags[] = {
		NBD_ATTR_REPLACE, NBD_ATTR_REPLACE_NOW, NBD_ATTR_IF_UNUSED,
	};
	uint8_t noise[64];
	unsigned int i;

	switch (random_below(6)) {
	case 0:
		msg_u32(msg, u32s[random_below(ARRAY_SIZE(u32s))], random_value());
		break;
	case 1:
	case 2:
		msg_u64(msg, u64s[random_below(ARRAY_SIZE(u64s))], random_value());
		break;
	case 3:
		msg_put(msg, flags[random_below(ARRAY_SIZE(flags))], NULL, 0);
		break;
	case 4:
		msg_string(msg, NBD_ATTR_BACKEND_IDENTIFIER, one_in(2) ? "one" : "another");
		break;
	default:
		for (i = 0; i < sizeof(noise); i++)
			noise[i] = random_u64();
		/* any type but the index, which must not become the spared one */
		msg_put(msg, NBD_ATTR_INDEX + 1 + random_below(NBD_ATTR_EXT_MAX + 8), noise,
			random_below(sizeof(noise)));
	}
}

static void put_sockets(struct msg *msg)
{
	unsigned int i, n = one_in(50) ? 200 : 1 + random_below(4);
	struct nbd_tls_secrets secrets[5] = { 0 };
	uint8_t agreed[5] = { 0 };
	int fds[200];

	for (i = 0; i < n; i++)
		fds[i] = random_fd();
	msg_sockets(msg, fds, n);
	/* Their servers know simple replies only: those connections will not last. */
	for (i = 0; i < n && i < sizeof(agreed); i++)
		agreed[i] = one_in(2);
	if (one_in(8))
		msg_put(msg, NBD_ATTR_STRUCTURED, agreed, random_below(sizeof(agreed) + 1));
	if (one_in(8))
		msg_put(msg, NBD_ATTR_TLS_SECRETS, secrets, one_in(4) ?
			random_below(sizeof(secrets) + 1) : sizeof(*secrets));
}

/* A CONNECT or RECONFIGURE that may well succeed. */
static void put_sensible(struct msg *msg)
{
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, 1 << 20);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, NBD_FLAG_HAS_FLAGS | NBD_FLAG_CAN_MULTI_CONN |
		(one_in(2) ? NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_TRIM : 0));
	/* so that not every look for partitions waits for the watchdog */
	msg_u64(msg, NBD_ATTR_TIMEOUT, 1);
	if (one_in(4))
		msg_u64(msg, NBD_ATTR_CLIENT_FLAGS, random_below(4));
	put_sockets(msg);
}

static struct msg *build_message(void)
{
	/* attaching and detaching take the longest by far */
	static const uint8_t cmds[] = {
		NBD_CMD_CONNECT, NBD_CMD_DISCONNECT, NBD_CMD_RECONFIGURE, NBD_CMD_RECONFIGURE,
		NBD_CMD_RECONFIGURE, NBD_CMD_RECONFIGURE, NBD_CMD_STATUS, NBD_CMD_STATUS,
	};
	uint8_t cmd = one_in(20) ? random_u64() : cmds[random_below(ARRAY_SIZE(cmds))];
	uint16_t flags = NLM_F_ACK;
	struct msg *msg;
	unsigned int i;

	if (cmd == NBD_CMD_STATUS && one_in(2))
		flags |= NLM_F_DUMP;
	msg = msg_new_full(cmd, one_in(20) ? random_u64() : NBD_GENL_VERSION, flags, nl_family);
	if (!one_in(10))
		msg_u32(msg, NBD_ATTR_INDEX, random_index());
	if ((cmd == NBD_CMD_CONNECT || cmd == NBD_CMD_RECONFIGURE) && !one_in(4))
		put_sensible(msg);
	for (i = one_in(2) ? 0 : random_below(6); i; i--)
		put_random_attr(msg);
	return msg;
}

static bool spares(const struct msg *msg);

/* Bends some bytes behind the headers. */
static void bend(struct msg *msg)
{
	static uint8_t before[NL_BYTES];
	const size_t start = NLMSG_HDRLEN + GENL_HDRLEN;
	unsigned int i;

	if (msg->len == start)
		return;
	memcpy(before, msg->buf, msg->len);
	for (i = 1 + random_below(8); i; i--)
		msg->buf[start + random_below(msg->len - start)] = random_u64();
	if (!spares(msg))
		memcpy(msg->buf, before, msg->len);
}

/*
 * The index that the kernel would read is one to play with, not that of the device under
 * I/O. Read as its parser does: up to the first attribute that does not fit, and the last
 * one counts.
 */
static bool spares(const struct msg *msg)
{
	size_t at = NLMSG_HDRLEN + GENL_HDRLEN;
	struct nlattr head;
	uint32_t index = FIRST_INDEX, value;

	while (at + sizeof(head) <= msg->len) {
		memcpy(&head, msg->buf + at, sizeof(head));
		if (head.nla_len < sizeof(head) || head.nla_len > msg->len - at)
			break;
		if ((head.nla_type & NLA_TYPE_MASK) == NBD_ATTR_INDEX &&
		    head.nla_len >= sizeof(head) + sizeof(value)) {
			memcpy(&value, msg->buf + at + sizeof(head), sizeof(value));
			index = value;
		}
		at += NLA_ALIGN(head.nla_len);
	}
	/* A new device for each bent index would be too many in the end. */
	return (index >= FIRST_INDEX && index < FIRST_INDEX + INDICES) || index >= NO_INDEX;
}

static bool changes_something(const struct msg *msg)
{
	const struct genlmsghdr *genl = (const void *)(msg->buf + NLMSG_HDRLEN);

	return genl->cmd == NBD_CMD_CONNECT || genl->cmd == NBD_CMD_DISCONNECT ||
	       genl->cmd == NBD_CMD_RECONFIGURE;
}

/* A header that lies about the length, so there may be no answer. */
static void throw_cut(struct msg *msg)
{
	if (msg->len <= NLMSG_HDRLEN + GENL_HDRLEN)
		return;
	nl_throw(msg, random_below(msg->len));
}

void fuzz_message(void)
{
	struct msg *msg = build_message();
	const struct answer *answer;

	if (one_in(3))
		bend(msg);
	if (one_in(50)) {
		throw_cut(msg);
		return;
	}
	answer = nl_call(msg);
	if (answer->error == -EAGAIN)
		broken("no answer to a netlink message");
	if (!privileged && !answer->error && changes_something(msg))
		broken("nobody was allowed command %u",
		       ((struct genlmsghdr *)(msg->buf + NLMSG_HDRLEN))->cmd);
	note_outcome(answer->error);
}
