// SPDX-License-Identifier: GPL-2.0
/* The netlink commands: what they need, and where they may not be mixed with ioctls. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>

#include "probe.h"

#define MIB	(1ULL << 20)
#define MULTI	(NBD_FLAG_HAS_FLAGS | NBD_FLAG_CAN_MULTI_CONN)

static int new_fd(void)
{
	return peer_fd(peer_new(PEER_UNIX));
}

static void family(void)
{
	struct msg *msg = msg_new_full(CTRL_CMD_GETFAMILY, 1, NLM_F_ACK, GENL_ID_CTRL);
	struct answer *answer;
	const uint8_t *ops;
	size_t len;
	uint32_t i;

	msg_string(msg, CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME);
	answer = nl_call(msg);
	say("version", "%u", attr_u32(answer, CTRL_ATTR_VERSION, 0));
	say("header-size", "%u", attr_u32(answer, CTRL_ATTR_HDRSIZE, 99));
	say("group", "%s", nl_group ? NBD_GENL_MCAST_GROUP_NAME : "none");
	ops = attr_find(answer->data, answer->len, CTRL_ATTR_OPS, &len);
	for (i = 1; ops; i++) {
		size_t op_len;
		const uint8_t *op = attr_find(ops, len, i, &op_len);
		struct answer one = { .data = (uint8_t *)op, .len = op_len };

		if (!op)
			break;
		say(name("command-%u", attr_u32(&one, CTRL_ATTR_OP_ID, 0)), "flags %#x",
		    attr_u32(&one, CTRL_ATTR_OP_FLAGS, 0));
	}
}

/* Which attributes CONNECT needs. */
static void needs(void)
{
	struct msg *msg = msg_new(NBD_CMD_CONNECT);
	int fd = new_fd();

	nl_step("nothing", msg);
	msg = index_msg(NBD_CMD_CONNECT, 0);
	msg_sockets(msg, &fd, 1);
	nl_step("no-size", msg);
	msg = index_msg(NBD_CMD_CONNECT, 0);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, MIB);
	nl_step("no-sockets", msg);
	nl_step("no-sockets-in-list", connect_msg(0, NULL, 0, MIB));
	say("after", "%s", shape(0));
	msg = index_msg(NBD_CMD_DISCONNECT, 0);
	nl_step("disconnect-free", msg);
	nl_step("disconnect-nothing", msg_new(NBD_CMD_DISCONNECT));
	nl_step("reconfigure-nothing", msg_new(NBD_CMD_RECONFIGURE));
	nl_step("reconfigure-free", index_msg(NBD_CMD_RECONFIGURE, 0));
	nl_step("status-nothing", msg_new(NBD_CMD_STATUS));
	nl_step("disconnect-absent", index_msg(NBD_CMD_DISCONNECT, 999));
	nl_step("reconfigure-absent", index_msg(NBD_CMD_RECONFIGURE, 999));
	nl_step("status-absent", index_msg(NBD_CMD_STATUS, 999));
}

static void lifecycle(void)
{
	int events = uevents_open(), fd;
	struct peer *peer = peer_new(PEER_TCP);
	struct answer *answer;
	struct msg *msg;

	fd = peer_fd(peer);
	msg = connect_msg(0, &fd, 1, MIB);
	msg_u64(msg, NBD_ATTR_BLOCK_SIZE_BYTES, 4096);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY);
	answer = nl_step("connect", msg);
	say("reply", "command %u index %u", answer->cmd,
	    attr_u32(answer, NBD_ATTR_INDEX, 9999));
	say("up", "%s events %s", shape(0), uevents_count(events, 0));
	say("pid", "%s", sysfs_number(0, "pid") == getpid() ? "the caller" : "another");
	say("backend", "'%s'", sysfs_text(0, "backend"));
	say_result("read", read_block(0, 0, 4096));
	say_result("write", write_block(0, 0, 4096));
	say("status", "%d", nl_connected(0));
	uevents_count(events, 0);
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 0));
	say("free", wait_free(0) ? "yes" : "no");
	say("server-saw-end", "%s", peer_saw_end(peer) ? "yes" : "no");
	say("disc-messages", "%u", peer_count(peer, NBD_CMD_DISC));
	say("down", "%s events %s", shape(0), uevents_count(events, 0));
	say("status-down", "%d", nl_connected(0));
	nl_step("disconnect-again", index_msg(NBD_CMD_DISCONNECT, 0));
	fd = new_fd();
	nl_step("connect-again", connect_msg(0, &fd, 1, MIB));
	say("read-write-again", "%s", shape(0));
}

/* The disk's events of each operation: counted without partitions' help. */
static void event_counts(void)
{
	int events = uevents_open(), fd = new_fd();
	struct msg *msg;

	nl_call(connect_msg(0, &fd, 1, MIB));
	say("connect", "%s", uevents_count(events, 0));
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, 2 * MIB);
	nl_call(msg);
	say("grow", "%s", uevents_count(events, 0));
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, 2 * MIB);
	nl_call(msg);
	say("same-size", "%s", uevents_count(events, 0));
	nl_disconnect(0);
	say("disconnect", "%s", uevents_count(events, 0));
}

static void busy(void)
{
	int fd = new_fd(), node;

	nl_step("first", connect_msg(0, &fd, 1, MIB));
	fd = new_fd();
	nl_step("second", connect_msg(0, &fd, 1, MIB));
	say_result("first-still-reads", read_block(0, 0, 4096));
	node = must_open(0);
	nl_step("disconnect-open", index_msg(NBD_CMD_DISCONNECT, 0));
	say("open-after-disconnect", "sectors %lld", sysfs_size(0));
	fd = new_fd();
	nl_step("connect-while-open", connect_msg(0, &fd, 1, MIB));
	close(node);
	nl_disconnect(0);
	wait_free(0);
	node = must_open(1);
	fd = new_fd();
	nl_step("connect-merely-open", connect_msg(1, &fd, 1, MIB));
	say("merely-open", "%s", shape(1));
	close(node);
}

/* CONNECT that may choose. */
static void choose(void)
{
	int fds[4], i, node, seen = 0;
	struct answer *answer;

	for (i = 0; i < 4; i++) {
		fds[i] = new_fd();
		answer = nl_step(name("any-%d", i), connect_msg(-1, &fds[i], 1, MIB));
		seen |= 1 << attr_u32(answer, NBD_ATTR_INDEX, 31);
	}
	say("indices", "%#x", seen);
	nl_disconnect(1);
	wait_free(1);
	fds[1] = new_fd();
	answer = nl_call(connect_msg(-1, &fds[1], 1, MIB));
	say("lowest-free", "%u", attr_u32(answer, NBD_ATTR_INDEX, 9999));
	for (i = 0; i < 4; i++)
		nl_disconnect(i);
	for (i = 0; i < 4; i++)
		wait_free(i);
	/* a node that somebody has merely opened */
	node = must_open(0);
	fds[0] = new_fd();
	answer = nl_call(connect_msg(-1, &fds[0], 1, MIB));
	say("beside-an-open-one", "%u", attr_u32(answer, NBD_ATTR_INDEX, 9999));
	close(node);
}

/* One message tells all of a device, however many connections it has. */
static void dump_many(void)
{
	enum { CONNS = 700 };
	struct rlimit limit = { .rlim_cur = 4096, .rlim_max = 4096 };
	unsigned int told = 0, i;
	int fds[CONNS], pair[2];
	struct answer *answer;
	const uint8_t *conns;
	struct msg *msg;
	size_t len, item;
	uint16_t type;

	setrlimit(RLIMIT_NOFILE, &limit);
	for (i = 0; i < CONNS && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair); i++)
		fds[i] = pair[0];
	msg = connect_msg(0, fds, i, MIB);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	nl_step("seven-hundred", msg);
	answer = nl_status(0);
	conns = attr_find(answer->data, answer->len, NBD_ATTR_CONNS, &len);
	while (conns && attr_next(&conns, &len, &type, &item))
		told++;
	say("dump", "%s, %u connections", answer->error ? errno_name(-answer->error) : "ok", told);
	nl_disconnect(0);
	wait_free(0);
}

static void connections(void)
{
	int fds[3], i;
	struct msg *msg;

	for (i = 0; i < 3; i++)
		fds[i] = new_fd();
	nl_step("three-without-multi", connect_msg(0, fds, 3, MIB));
	msg = connect_msg(0, fds, 3, MIB);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	nl_step("three-with-multi", msg);
	say("up", "%s", shape(0));
	say_result("read", read_block(0, 0, 4096));
	nl_disconnect(0);
	wait_free(0);
	dump_many();
}

/* --- mixing the interfaces: V8 --- */

static const unsigned int settings[] = {
	NBD_SET_SOCK, NBD_SET_BLKSIZE, NBD_SET_SIZE, NBD_SET_SIZE_BLOCKS, NBD_SET_TIMEOUT,
	NBD_SET_FLAGS, NBD_DO_IT, NBD_CLEAR_QUE, NBD_PRINT_DEBUG, _IO(0xab, 11),
};

static void ioctls_on_netlink(void)
{
	int fd = new_fd(), node;
	size_t i;

	nl_step("connect", connect_msg(0, &fd, 1, MIB));
	node = must_open(0);
	for (i = 0; i < ARRAY_SIZE(settings); i++)
		step_ioctl(node, settings[i],
			   settings[i] == NBD_SET_SOCK ? (unsigned long)new_fd() : 1024);
	say("after", "%s", shape(0));
	say_result("read", read_block(0, 0, 4096));
	close(node);
	nl_disconnect(0);
}

static void ioctl_disconnect(void)
{
	struct peer *peer = peer_new(PEER_UNIX);
	int fd = peer_fd(peer), node;

	nl_step("connect", connect_msg(0, &fd, 1, MIB));
	node = must_open(0);
	step_ioctl(node, NBD_DISCONNECT, 0);
	say("server-saw-end", "%s", peer_saw_end(peer) ? "yes" : "no");
	say("disc-messages", "%u", peer_count(peer, NBD_CMD_DISC));
	say("status", "%d", nl_connected(0));
	say_result("read", read_block(0, 0, 4096));
	close(node);
	say("closed", "sectors %lld", sysfs_size(0));
	nl_step("netlink-disconnect", index_msg(NBD_CMD_DISCONNECT, 0));
	say("free", wait_free(0) ? "yes" : "no");
}

static void ioctl_clear(void)
{
	struct peer *peer = peer_new(PEER_UNIX);
	int fd = peer_fd(peer), node;

	nl_step("connect", connect_msg(0, &fd, 1, MIB));
	node = must_open(0);
	step_ioctl(node, NBD_CLEAR_SOCK, 0);
	say("server-saw-end", "%s", peer_saw_end(peer) ? "yes" : "no");
	say_result("read", read_block(0, 0, 4096));
	close(node);
	say("free", wait_free(0) ? "yes" : "no");
	fd = new_fd();
	nl_step("connect-again", connect_msg(0, &fd, 1, MIB));
}

static void netlink_on_ioctl(void)
{
	struct peer *peer = peer_new(PEER_UNIX);
	int node = must_open(0), fd = new_fd();
	struct doit doit;
	struct msg *msg;

	ioctl_setup(node, peer_fd(peer), 1024, MULTI);
	nl_step("connect-set-up", connect_msg(0, &fd, 1, MIB));
	nl_step("reconfigure-set-up", index_msg(NBD_CMD_RECONFIGURE, 0));
	doit_start(&doit, node);
	wait_size(0, 2048);
	nl_step("connect-running", connect_msg(0, &fd, 1, MIB));
	nl_step("reconfigure-running", index_msg(NBD_CMD_RECONFIGURE, 0));
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, 2 * MIB);
	nl_step("resize-running", msg);
	say("then", "%s", shape(0));
	say("status", "%d", nl_connected(0));
	nl_step("disconnect-running", index_msg(NBD_CMD_DISCONNECT, 0));
	say("doit", "%s", doit_outcome(&doit, 5));
	close(node);
	say("free", wait_free(0) ? "yes" : "no");
}

/* An old descriptor after the netlink session it was opened in. */
static void old_descriptor(void)
{
	int fd = new_fd(), node;
	struct doit doit;

	nl_step("connect", connect_msg(0, &fd, 1, MIB));
	node = must_open(0);
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 0));
	step_ioctl(node, NBD_SET_BLKSIZE, 512);
	step_ioctl(node, NBD_SET_SIZE, MIB);
	step_ioctl(node, NBD_SET_SOCK, new_fd());
	doit_start(&doit, node);
	say("doit", "%s", doit_outcome(&doit, 1));
	step_ioctl(node, NBD_CLEAR_SOCK, 0);
	say("doit-after-clear", "%s", doit_outcome(&doit, 5));
	close(node);
	say("free", wait_free(0) ? "yes" : "no");
	fd = new_fd();
	nl_step("connect-again", connect_msg(0, &fd, 1, MIB));
}

/* --- without the capability --- */

static void unprivileged(void)
{
	int fd = new_fd(), other = new_fd();

	nl_step("connect-as-root", connect_msg(0, &fd, 1, MIB));
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) || !nl_open())
		say("setuid", "%s", errno_name(errno));
	nl_step("connect", connect_msg(1, &other, 1, MIB));
	nl_step("connect-malformed", msg_new(NBD_CMD_CONNECT));
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 0));
	nl_step("reconfigure", index_msg(NBD_CMD_RECONFIGURE, 0));
	nl_step("status", index_msg(NBD_CMD_STATUS, 0));
	nl_step("status-all", msg_new(NBD_CMD_STATUS));
	say("join-group", "%s", group_join() >= 0 ? "tried" : "no socket");
	say("still-up", "%s", shape(0));
}

const struct probe_case netlink_cases[] = {
	{ "netlink-family", family, 0, 0 },
	{ "netlink-needs", needs, 0, 0 },
	{ "netlink-lifecycle", lifecycle, 0, 0 },
	{ "netlink-events", event_counts, 0, 0 },
	{ "netlink-busy", busy, 0, 0 },
	{ "netlink-choose", choose, 0, 0 },
	{ "netlink-connections", connections, 0, 0 },
	{ "mixed-ioctls-on-netlink", ioctls_on_netlink, 0, 0 },
	{ "mixed-ioctl-disconnect", ioctl_disconnect, 0, 0 },
	{ "mixed-ioctl-clear", ioctl_clear, 0, 0 },
	{ "mixed-netlink-on-ioctl", netlink_on_ioctl, 0, 0 },
	{ "mixed-old-descriptor", old_descriptor, 0, 0 },
	{ "netlink-unprivileged", unprivileged, 0, 0 },
	{ NULL, NULL, 0, 0 },
};
