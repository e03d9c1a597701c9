// SPDX-License-Identifier: GPL-2.0
/* Generic netlink by hand, so that malformed messages can be sent too. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/nbd-netlink.h>

#include "library.h"

uint16_t nl_family, nl_group;

static int nl_fd = -1;
static uint32_t sequence;

/* --- messages --- */

struct msg *msg_new_full(uint8_t cmd, uint8_t version, uint16_t flags, uint16_t type)
{
	static struct msg msg;
	struct nlmsghdr *head = (struct nlmsghdr *)msg.buf;
	struct genlmsghdr *genl = NLMSG_DATA(head);

	memset(msg.buf, 0, NLMSG_HDRLEN + GENL_HDRLEN);
	head->nlmsg_type = type;
	head->nlmsg_flags = NLM_F_REQUEST | flags;
	genl->cmd = cmd;
	genl->version = version;
	msg.len = NLMSG_HDRLEN + GENL_HDRLEN;
	return &msg;
}

struct msg *msg_new(uint8_t cmd)
{
	return msg_new_full(cmd, NBD_GENL_VERSION, NLM_F_ACK, nl_family);
}

void msg_raw_attr(struct msg *msg, uint16_t type, uint16_t told, const void *data, size_t len)
{
	struct nlattr head = { .nla_len = told, .nla_type = type };

	memcpy(msg->buf + msg->len, &head, sizeof(head));
	msg->len += sizeof(head);
	if (len)
		memcpy(msg->buf + msg->len, data, len);
	memset(msg->buf + msg->len + len, 0, NLA_ALIGN(len) - len);
	msg->len += NLA_ALIGN(len);
}

void msg_put(struct msg *msg, uint16_t type, const void *data, size_t len)
{
	msg_raw_attr(msg, type, NLA_HDRLEN + len, data, len);
}

void msg_u32(struct msg *msg, uint16_t type, uint32_t value)
{
	msg_put(msg, type, &value, sizeof(value));
}

void msg_u64(struct msg *msg, uint16_t type, uint64_t value)
{
	msg_put(msg, type, &value, sizeof(value));
}

void msg_string(struct msg *msg, uint16_t type, const char *text)
{
	msg_put(msg, type, text, strlen(text) + 1);
}

size_t msg_nest(struct msg *msg, uint16_t type)
{
	size_t start = msg->len;

	msg_put(msg, type | NLA_F_NESTED, NULL, 0);
	return start;
}

void msg_end(struct msg *msg, size_t nest)
{
	struct nlattr *head = (struct nlattr *)(msg->buf + nest);

	head->nla_len = msg->len - nest;
}

void msg_sockets(struct msg *msg, const int *fds, unsigned int n)
{
	size_t list = msg_nest(msg, NBD_ATTR_SOCKETS);
	unsigned int i;

	for (i = 0; i < n; i++) {
		size_t item = msg_nest(msg, NBD_SOCK_ITEM);

		msg_u32(msg, NBD_SOCK_FD, fds[i]);
		msg_end(msg, item);
	}
	msg_end(msg, list);
}

/* --- answers --- */

const uint8_t *attr_next(const uint8_t **data, size_t *len, uint16_t *type, size_t *attr_len)
{
	const uint8_t *attr = *data;
	struct nlattr head;
	size_t step;

	if (*len < NLA_HDRLEN)
		return NULL;
	memcpy(&head, attr, sizeof(head));
	if (head.nla_len < NLA_HDRLEN || head.nla_len > *len)
		return NULL;
	step = NLA_ALIGN(head.nla_len);
	if (step > *len)
		step = *len;
	*data += step;
	*len -= step;
	*type = head.nla_type & NLA_TYPE_MASK;
	*attr_len = head.nla_len - NLA_HDRLEN;
	return attr + NLA_HDRLEN;
}

const uint8_t *attr_find(const uint8_t *data, size_t len, uint16_t type, size_t *attr_len)
{
	const uint8_t *attr;
	uint16_t this_type;
	size_t this_len;

	while ((attr = attr_next(&data, &len, &this_type, &this_len))) {
		if (this_type != type)
			continue;
		if (attr_len)
			*attr_len = this_len;
		return attr;
	}
	return NULL;
}

uint32_t attr_u32(const struct answer *answer, uint16_t type, uint32_t fallback)
{
	size_t len;
	const uint8_t *data = attr_find(answer->data, answer->len, type, &len);
	uint32_t value;

	if (!data || len != sizeof(value))
		return fallback;
	memcpy(&value, data, sizeof(value));
	return value;
}

/* The text of the extended ack behind the error message. */
static void take_text(struct answer *answer, const struct nlmsghdr *head)
{
	const struct nlmsgerr *error = NLMSG_DATA(head);
	size_t skip = sizeof(*error), len;
	const uint8_t *start = (const uint8_t *)error, *text;

	answer->text[0] = 0;
	if (!(head->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(head->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(error->msg.nlmsg_len - NLMSG_HDRLEN);
	if (head->nlmsg_len <= NLMSG_HDRLEN + skip)
		return;
	text = attr_find(start + skip, head->nlmsg_len - NLMSG_HDRLEN - skip,
			 NLMSGERR_ATTR_MSG, &len);
	if (text)
		snprintf(answer->text, sizeof(answer->text), "%.*s", (int)len, text);
}

/* One message of the answer. True if it was the last. */
static bool take_message(struct answer *answer, const struct nlmsghdr *head)
{
	const struct nlmsgerr *error = NLMSG_DATA(head);
	const struct genlmsghdr *genl = NLMSG_DATA(head);

	switch (head->nlmsg_type) {
	case NLMSG_ERROR:
		answer->error = error->error;
		take_text(answer, head);
		return true;
	case NLMSG_DONE:
		memcpy(&answer->error, NLMSG_DATA(head), sizeof(int));
		return true;
	default:
		answer->replies++;
		answer->cmd = genl->cmd;
		answer->data = (uint8_t *)genl + GENL_HDRLEN;
		answer->len = head->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN;
		return false;
	}
}

static void finish_header(struct msg *msg)
{
	struct nlmsghdr *head = (struct nlmsghdr *)msg->buf;

	head->nlmsg_len = msg->len;
	head->nlmsg_seq = ++sequence;
}

struct answer *nl_call(struct msg *msg)
{
	static uint8_t buffer[NL_BYTES];
	static struct answer answer;
	bool done = false;
	size_t used = 0;

	memset(&answer, 0, sizeof(answer));
	finish_header(msg);
	if (send(nl_fd, msg->buf, msg->len, 0) < 0) {
		answer.error = -errno;
		return &answer;
	}
	while (!done) {
		uint8_t *at = buffer + used;
		ssize_t n = recv(nl_fd, at, sizeof(buffer) - used, 0);
		struct nlmsghdr *head = (struct nlmsghdr *)at;

		if (n < 0) {
			answer.error = -errno;
			break;
		}
		for (; NLMSG_OK(head, n); head = NLMSG_NEXT(head, n))
			if (head->nlmsg_seq == sequence)
				done |= take_message(&answer, head);
		/* what was an answer's data must stay where it is */
		used = NLMSG_ALIGN(answer.data ? answer.data + answer.len - buffer : 0);
	}
	return &answer;
}

void nl_throw(struct msg *msg, size_t told)
{
	struct nlmsghdr *head = (struct nlmsghdr *)msg->buf;
	uint8_t buffer[8192];

	finish_header(msg);
	head->nlmsg_len = told;
	if (send(nl_fd, msg->buf, msg->len, 0) < 0)
		return;
	/* the answer is there when send() returns */
	while (recv(nl_fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		continue;
}

void say_answer(const char *step, const struct answer *answer)
{
	const char *outcome = answer->error ? errno_name(-answer->error) : "ok";

	if (answer->text[0] || answer->error)
		say(step, "%s # %s", outcome, answer->text[0] ? answer->text : "-");
	else
		say(step, "%s", outcome);
}

struct answer *nl_step(const char *step, struct msg *msg)
{
	struct answer *answer = nl_call(msg);

	say_answer(step, answer);
	return answer;
}

/* --- the family --- */

static void find_group(const struct answer *answer)
{
	size_t list_len, group_len, name_len, id_len;
	const uint8_t *list, *group, *group_name, *id;
	uint32_t value;

	list = attr_find(answer->data, answer->len, CTRL_ATTR_MCAST_GROUPS, &list_len);
	group = list ? attr_find(list, list_len, 1, &group_len) : NULL;
	if (!group)
		return;
	group_name = attr_find(group, group_len, CTRL_ATTR_MCAST_GRP_NAME, &name_len);
	id = attr_find(group, group_len, CTRL_ATTR_MCAST_GRP_ID, &id_len);
	if (!group_name || !id || strcmp((char *)group_name, NBD_GENL_MCAST_GROUP_NAME))
		return;
	memcpy(&value, id, sizeof(value));
	nl_group = value;
}

bool nl_open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	struct timeval patience = { .tv_sec = 60 };
	struct answer *answer;
	const uint8_t *id;
	struct msg *msg;
	int one = 1;

	if (nl_fd >= 0)
		close(nl_fd);
	nl_family = 0;
	nl_group = 0;
	nl_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (nl_fd < 0 || bind(nl_fd, (void *)&addr, sizeof(addr)) < 0)
		return false;
	setsockopt(nl_fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(nl_fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	setsockopt(nl_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	msg = msg_new_full(CTRL_CMD_GETFAMILY, 1, NLM_F_ACK, GENL_ID_CTRL);
	msg_string(msg, CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME);
	answer = nl_call(msg);
	id = answer->error ? NULL : attr_find(answer->data, answer->len, CTRL_ATTR_FAMILY_ID, NULL);
	if (!id)
		return false;
	memcpy(&nl_family, id, sizeof(nl_family));
	find_group(answer);
	return true;
}

/* --- what most cases need --- */

struct msg *index_msg(uint8_t cmd, uint32_t index)
{
	struct msg *msg = msg_new(cmd);

	msg_u32(msg, NBD_ATTR_INDEX, index);
	return msg;
}

struct msg *connect_msg(int index, const int *fds, unsigned int n, uint64_t size)
{
	struct msg *msg = msg_new(NBD_CMD_CONNECT);

	if (index >= 0)
		msg_u32(msg, NBD_ATTR_INDEX, index);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, size);
	msg_sockets(msg, fds, n);
	return msg;
}

int nl_connect(int index, int fd)
{
	return nl_call(connect_msg(index, &fd, 1, 1 << 20))->error;
}

int nl_disconnect(int index)
{
	return nl_call(index_msg(NBD_CMD_DISCONNECT, index))->error;
}

int nl_connected(int index)
{
	struct answer *answer = nl_call(index_msg(NBD_CMD_STATUS, index));
	size_t len, item_len;
	const uint8_t *list, *item, *connected;

	if (answer->error)
		return answer->error;
	list = attr_find(answer->data, answer->len, NBD_ATTR_DEVICE_LIST, &len);
	item = list ? attr_find(list, len, NBD_DEVICE_ITEM, &item_len) : NULL;
	connected = item ? attr_find(item, item_len, NBD_DEVICE_CONNECTED, NULL) : NULL;
	return connected ? *connected : -ENOENT;
}

struct answer *nl_status(int index)
{
	struct msg *msg = msg_new_full(NBD_CMD_STATUS, NBD_GENL_VERSION,
				       NLM_F_ACK | NLM_F_DUMP, nl_family);

	msg_u32(msg, NBD_ATTR_INDEX, index);
	return nl_call(msg);
}

unsigned int live_conns(const struct answer *answer)
{
	const uint8_t *list, *item, *state;
	size_t len, item_len;
	unsigned int n = 0;
	uint32_t value;
	uint16_t type;

	list = attr_find(answer->data, answer->len, NBD_ATTR_CONNS, &len);
	while (list && (item = attr_next(&list, &len, &type, &item_len))) {
		state = attr_find(item, item_len, NBD_CONN_STATE, NULL);
		if (!state)
			continue;
		memcpy(&value, state, sizeof(value));
		n += value == NBD_CONN_LIVE;
	}
	return n;
}

/* --- multicast --- */

int group_join(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	int group = nl_group;

	if (bind(fd, (void *)&addr, sizeof(addr)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		say("join", "%s", errno_name(errno));
	return fd;
}

void hang_up_and_wait(struct peer *peer)
{
	int group = group_join();
	struct pollfd poll_fd = { .fd = group, .events = POLLIN };

	peer_hang_up(peer);
	poll(&poll_fd, 1, 5000);
	close(group);
	/* mainline tells it a moment before the connection may be replaced */
	usleep(50000);
}

const char *group_messages(int fd, double seconds)
{
	static char text[1024];
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint8_t buffer[8192];
	size_t used = 0;

	text[0] = 0;
	while (poll(&poll_fd, 1, seconds * 1000) > 0) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
		struct nlmsghdr *head = (struct nlmsghdr *)buffer;
		struct answer answer = { 0 };

		if (n <= 0)
			break;
		take_message(&answer, head);
		/* events of our own are no part of the common interface */
		if (answer.cmd != NBD_CMD_LINK_DEAD || used > sizeof(text) - 32)
			continue;
		used += sprintf(text + used, "%slink-dead:%u", used ? " " : "",
				attr_u32(&answer, NBD_ATTR_INDEX, 9999));
	}
	return used ? text : "none";
}
