// SPDX-License-Identifier: GPL-2.0
/* Client flags, reconnecting, what waits and what is told when connections die. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>

#include "probe.h"

#define MIB	(1ULL << 20)
#define MULTI	(NBD_FLAG_HAS_FLAGS | NBD_FLAG_CAN_MULTI_CONN)
/* Not one of those that the module makes when it is loaded. */
#define EXTRA	20

static int new_fd(void)
{
	return peer_fd(peer_new(PEER_UNIX));
}

static struct msg *flags_msg(int index, uint64_t client_flags)
{
	int fd = new_fd();
	struct msg *msg = connect_msg(index, &fd, 1, MIB);

	msg_u64(msg, NBD_ATTR_CLIENT_FLAGS, client_flags);
	return msg;
}

static struct msg *reflag_msg(int index, uint64_t client_flags)
{
	struct msg *msg = index_msg(NBD_CMD_RECONFIGURE, index);

	msg_u64(msg, NBD_ATTR_CLIENT_FLAGS, client_flags);
	return msg;
}

static bool node_is_gone(void *arg)
{
	return !node_exists(*(int *)arg);
}

/* Exists still after the time in which it would have gone. */
static const char *exists(int index)
{
	if (!until(node_is_gone, &index, 0.5))
		return "there";
	/* the last of it may go a little later than its name */
	usleep(300000);
	return "gone";
}

static void destroy(void)
{
	int events = uevents_open(), node;

	say("before", exists(EXTRA));
	nl_step("connect", flags_msg(EXTRA, NBD_CFLAG_DESTROY_ON_DISCONNECT));
	say("connected", exists(EXTRA));
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, EXTRA));
	say("disconnected", exists(EXTRA));
	say("events", "%s", uevents_count(events, EXTRA));
	say("status", "%s", nl_connected(EXTRA) == -ENOENT ? "not listed" : "listed");
	/* without the flag it stays */
	nl_step("connect-plain", flags_msg(EXTRA, 0));
	nl_step("disconnect-plain", index_msg(NBD_CMD_DISCONNECT, EXTRA));
	say("plain", exists(EXTRA));
	/* while it is open */
	nl_step("connect-open", flags_msg(EXTRA, NBD_CFLAG_DESTROY_ON_DISCONNECT));
	node = must_open(EXTRA);
	nl_step("disconnect-open", index_msg(NBD_CMD_DISCONNECT, EXTRA));
	say("while-open", exists(EXTRA));
	close(node);
	say("after-close", exists(EXTRA));
}

/* The flag is taken back, or set later. */
static void destroy_toggle(void)
{
	nl_step("connect", flags_msg(EXTRA, NBD_CFLAG_DESTROY_ON_DISCONNECT));
	nl_step("clear", reflag_msg(EXTRA, 0));
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, EXTRA));
	say("cleared", exists(EXTRA));
	nl_step("connect-plain", flags_msg(EXTRA, 0));
	nl_step("set", reflag_msg(EXTRA, NBD_CFLAG_DESTROY_ON_DISCONNECT));
	nl_step("set-again", reflag_msg(EXTRA, NBD_CFLAG_DESTROY_ON_DISCONNECT));
	nl_step("disconnect-set", index_msg(NBD_CMD_DISCONNECT, EXTRA));
	say("set-later", exists(EXTRA));
}

/* On a device that was made when the module was loaded. */
static void destroy_first(void)
{
	nl_step("connect", flags_msg(7, NBD_CFLAG_DESTROY_ON_DISCONNECT));
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 7));
	say("node", exists(7));
	nl_step("connect-again", flags_msg(7, 0));
	say("node-again", exists(7));
	nl_step("disconnect-again", index_msg(NBD_CMD_DISCONNECT, 7));
	say("node-at-last", exists(7));
}

/* A connect that fails changes nothing. */
static void destroy_failing(void)
{
	int bad = -1;
	struct msg *msg = connect_msg(6, &bad, 1, MIB);

	say("before", exists(6));
	msg_u64(msg, NBD_ATTR_CLIENT_FLAGS, NBD_CFLAG_DESTROY_ON_DISCONNECT);
	nl_step("connect-bad", msg);
	say("after", exists(6));
	nl_step("connect-good", flags_msg(6, 0));
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 6));
	say("at-last", exists(6));
}

/* The device-level "disconnect requested" of an old session: L6. */
static void destroy_reconnect(void)
{
	nl_step("connect-plain", flags_msg(8, 0));
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 8));
	wait_free(8);
	nl_step("connect-destroy", flags_msg(8, NBD_CFLAG_DESTROY_ON_DISCONNECT));
	nl_step("connect-second", flags_msg(8, 0));
	nl_step("disconnect-again", index_msg(NBD_CMD_DISCONNECT, 8));
	say("node", exists(8));
	nl_step("connect-restored", flags_msg(8, 0));
	nl_step("disconnect-restored", index_msg(NBD_CMD_DISCONNECT, 8));
}

static void disconnect_on_close(void)
{
	int first, second;

	nl_step("connect", flags_msg(0, NBD_CFLAG_DISCONNECT_ON_CLOSE));
	say("never-opened", "%s", shape(0));
	first = must_open(0);
	second = must_open(0);
	close(first);
	usleep(100000);
	say("one-left", "%s", shape(0));
	close(second);
	say("all-closed", wait_free(0) ? "disconnected" : "connected");
	nl_step("connect-again", flags_msg(0, 0));
	close(must_open(0));
	usleep(100000);
	say("without-flag", "%s", shape(0));
	nl_step("set", reflag_msg(0, NBD_CFLAG_DISCONNECT_ON_CLOSE));
	first = must_open(0);
	nl_step("clear", reflag_msg(0, 0));
	close(first);
	usleep(100000);
	say("set-and-cleared", "%s", shape(0));
	nl_step("set-again", reflag_msg(0, NBD_CFLAG_DISCONNECT_ON_CLOSE));
	close(must_open(0));
	say("set-later", wait_free(0) ? "disconnected" : "connected");
}

#define ATTEMPTS	50

/* What looks free can be attached, though the detach that nobody waits for goes on a while. */
static void connect_when_free(void)
{
	unsigned int i, connected = 0;
	int node = must_open(0);
	struct msg *msg;
	double begin;

	for (i = 0; i < ATTEMPTS; i++) {
		msg = flags_msg(0, NBD_CFLAG_DISCONNECT_ON_CLOSE);
		close(node);
		begin = now();
		while (!is_free(0) && now() - begin < 5)
			;
		connected += !nl_call(msg)->error;
		node = must_open(0);
	}
	close(node);
	say("connected", "%u of %u", connected, ATTEMPTS);
}

/* Both flags. */
static void both_flags(void)
{
	nl_step("connect", flags_msg(EXTRA, NBD_CFLAG_DISCONNECT_ON_CLOSE |
				     NBD_CFLAG_DESTROY_ON_DISCONNECT));
	close(must_open(EXTRA));
	say("after-close", exists(EXTRA));
	nl_step("unknown-flags", flags_msg(0, ~3ULL));
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 0));
}

/* --- death and reconnect --- */

struct reader {
	pthread_t thread;
	uint64_t offset;
	long ret;
	bool done;
	double took;
};

static void *read_one(void *arg)
{
	struct reader *reader = arg;
	double begin = now();

	reader->ret = read_block(0, reader->offset, 4096);
	reader->took = now() - begin;
	__atomic_store_n(&reader->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static void reader_start(struct reader *reader, uint64_t offset)
{
	memset(reader, 0, sizeof(*reader));
	reader->offset = offset;
	pthread_create(&reader->thread, NULL, read_one, reader);
}

static bool reader_is_done(void *arg)
{
	return __atomic_load_n(&((struct reader *)arg)->done, __ATOMIC_SEQ_CST);
}

static const char *reader_outcome(struct reader *reader, double seconds)
{
	if (!until(reader_is_done, reader, seconds))
		return "waits";
	pthread_join(reader->thread, NULL);
	return reader->ret ? errno_name(-reader->ret) : "ok";
}

static struct msg *dead_msg(int fd, uint64_t seconds)
{
	struct msg *msg = connect_msg(0, &fd, 1, MIB);

	msg_u64(msg, NBD_ATTR_DEAD_CONN_TIMEOUT, seconds);
	return msg;
}

static struct msg *resock_msg(int fd)
{
	struct msg *msg = index_msg(NBD_CMD_RECONFIGURE, 0);

	msg_sockets(msg, &fd, 1);
	return msg;
}

/* The only connection dies and nothing is to wait. */
static void dead_at_once(void)
{
	struct peer *peer = peer_new(PEER_UNIX);
	struct reader reader;

	nl_step("connect", dead_msg(peer_fd(peer), 0));
	settle(0);
	hang_up_and_wait(peer);
	reader_start(&reader, 0);
	say("read", "%s", reader_outcome(&reader, 5));
	say("shape", "%s", shape(0));
	say("status", "%d", nl_connected(0));
	nl_step("reconfigure", resock_msg(new_fd()));
	reader_start(&reader, 4096);
	say("read-after-reconfigure", "%s", reader_outcome(&reader, 5));
}

/* It waits, a new socket comes, and it goes on. */
static void dead_reconnect(void)
{
	struct peer *peer = peer_new(PEER_UNIX);
	struct reader reader;
	int group = group_join();

	nl_step("connect", dead_msg(peer_fd(peer), 20));
	settle(0);
	peer_hang_up(peer);
	say("told", "%s", group_messages(group, 0.5));
	reader_start(&reader, 0);
	say("read-first", "%s", reader_outcome(&reader, 0.5));
	nl_step("reconfigure", resock_msg(new_fd()));
	say("read-then", "%s", reader_outcome(&reader, 5));
	say("told-more", "%s", group_messages(group, 0.3));
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 0));
	say("told-on-disconnect", "%s", group_messages(group, 0.3));
}

/* How often group_messages() says that a connection of nbd0 died. */
static unsigned int count_dead(const char *messages)
{
	unsigned int n = 0;

	while ((messages = strstr(messages, "link-dead:0"))) {
		messages++;
		n++;
	}
	return n;
}

/*
 * Many connections die at once. It is told for each, here and in a network namespace that is
 * not the one of who attached; from there they can be replaced as soon as it is told.
 */
static void dead_elsewhere(void)
{
	struct peer *peers[64];
	int fds[64], here, there, i;
	struct msg *msg;

	for (i = 0; i < 64; i++) {
		peers[i] = peer_new(PEER_UNIX);
		fds[i] = peer_fd(peers[i]);
	}
	msg = connect_msg(0, fds, 64, MIB);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	msg_u64(msg, NBD_ATTR_DEAD_CONN_TIMEOUT, 20);
	nl_step("connect", msg);
	settle(0);
	here = group_join();
	if (unshare(CLONE_NEWNET)) {
		say("unshare", "%s", errno_name(errno));
		return;
	}
	say("family-there", nl_open() ? "yes" : "no");
	there = nl_family ? group_join() : -1;
	for (i = 0; i < 64; i++)
		peer_hang_up(peers[i]);
	say("told-here", "%u", count_dead(group_messages(here, 0.5)));
	if (there < 0)
		return;
	say("told-there", "%u", count_dead(group_messages(there, 0.5)));
	for (i = 0; i < 64; i++)
		fds[i] = new_fd();
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	msg_sockets(msg, fds, 64);
	nl_step("reconfigure-there", msg);
	say_result("read", read_block(0, 0, 4096));
}

/* The wait ends. */
static void dead_expiry(void)
{
	struct peer *peer = peer_new(PEER_UNIX);
	struct reader first, second;

	nl_step("connect", dead_msg(peer_fd(peer), 2));
	settle(0);
	hang_up_and_wait(peer);
	reader_start(&first, 0);
	reader_start(&second, 4096);
	say("first", "%s", reader_outcome(&first, 10));
	say("second", "%s", reader_outcome(&second, 10));
	say("took", "%s", first.took < 1.5 ? "less" : first.took < 4 ? "as told" : "more");
	say("second-took", "%s",
	    second.took < 1.5 ? "less" : second.took < 4 ? "as told" : "more");
	reader_start(&first, 8192);
	say("later", "%s", reader_outcome(&first, 5));
	nl_step("reconfigure", resock_msg(new_fd()));
	reader_start(&first, 12288);
	say("after-reconfigure", "%s", reader_outcome(&first, 5));
}

/* Requests in flight when the only connection dies; a reconnect takes them over. */
static void dead_in_flight(void)
{
	struct peer *peer = peer_new(PEER_UNIX);
	struct reader reader;
	double begin;

	nl_step("connect", dead_msg(peer_fd(peer), 60));
	settle(0);
	peer_hold(peer, true);
	reader_start(&reader, 65536);
	peer_wait_held(peer, 65536);
	hang_up_and_wait(peer);
	begin = now();
	nl_step("reconfigure", resock_msg(new_fd()));
	say("read", "%s", reader_outcome(&reader, 40));
	say("took", "%s", now() - begin < 1 ? "at once" : "until a timer");
}

/* One of two dies with a request in flight. */
static void one_of_two(void)
{
	struct peer *a = peer_new(PEER_UNIX), *b = peer_new(PEER_UNIX);
	int fds[2] = { peer_fd(a), peer_fd(b) }, group = group_join();
	struct msg *msg = connect_msg(0, fds, 2, MIB);
	struct reader reader;

	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	nl_step("connect", msg);
	settle(0);
	peer_hold(a, true);
	peer_hold(b, true);
	reader_start(&reader, 65536);
	usleep(300000);
	peer_hang_up(a);
	peer_hang_up(b);
	say("told", "%s", group_messages(group, 0.5));
	say("read", "%s", reader_outcome(&reader, 45));
}

static void kill_in_flight(bool by_ioctl)
{
	struct peer *peer = peer_new(PEER_UNIX);
	int fd = peer_fd(peer), node;
	struct reader reader;
	double begin;

	nl_step("connect", connect_msg(0, &fd, 1, MIB));
	node = must_open(0);
	settle(0);
	peer_hold(peer, true);
	reader_start(&reader, 65536);
	peer_wait_held(peer, 65536);
	begin = now();
	if (by_ioctl)
		step_ioctl(node, NBD_CLEAR_SOCK, 0);
	else
		nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 0));
	say("returned", "%s", now() - begin < 2 ? "at once" : "late");
	say("read", "%s", reader_outcome(&reader, 5));
	close(node);
	say("free", wait_free(0) ? "yes" : "no");
}

static void disconnect_in_flight(void)
{
	kill_in_flight(false);
}

static void clear_in_flight(void)
{
	kill_in_flight(true);
}

/* Disconnect while requests wait for a connection. */
static void disconnect_waiting(void)
{
	struct peer *peer = peer_new(PEER_UNIX);
	struct reader reader;
	double begin;

	nl_step("connect", dead_msg(peer_fd(peer), 3600));
	settle(0);
	hang_up_and_wait(peer);
	reader_start(&reader, 0);
	say("read", "%s", reader_outcome(&reader, 0.3));
	begin = now();
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 0));
	say("returned", "%s", now() - begin < 2 ? "at once" : "late");
	say("read-then", "%s", reader_outcome(&reader, 5));
}

/* CLEAR_SOCK there waits for the whole of the dead timeout in mainline. */
static void clear_waiting(void)
{
	struct peer *peer = peer_new(PEER_UNIX);
	struct reader reader;
	int node;
	double begin;

	nl_step("connect", dead_msg(peer_fd(peer), 5));
	settle(0);
	node = must_open(0);
	hang_up_and_wait(peer);
	reader_start(&reader, 0);
	say("read", "%s", reader_outcome(&reader, 0.3));
	begin = now();
	step_ioctl(node, NBD_CLEAR_SOCK, 0);
	say("returned", "%s", now() - begin < 2 ? "at once" : "late");
	say("read-then", "%s", reader_outcome(&reader, 10));
	close(node);
}

/* --- RECONFIGURE: R4, V9 --- */

static void reconfigure_alone(void)
{
	int fd = new_fd(), bad = -1;
	struct msg *msg;

	nl_step("connect", connect_msg(0, &fd, 1, MIB));
	nl_step("nothing", index_msg(NBD_CMD_RECONFIGURE, 0));
	nl_step("socket-none-dead", resock_msg(new_fd()));
	say_result("read", read_block(0, 0, 4096));
	nl_step("bad-socket", resock_msg(bad));
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_TIMEOUT, 9);
	nl_step("timeout", msg);
	say("io-timeout", "%s", sysfs_text(0, "queue/io_timeout"));
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_TIMEOUT, 0);
	nl_step("timeout-0", msg);
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_DEAD_CONN_TIMEOUT, 9);
	nl_step("dead-timeout", msg);
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY);
	nl_step("server-flags-ro", msg);
	say("then", "%s", shape(0));
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, NBD_FLAG_HAS_FLAGS);
	nl_step("server-flags-same", msg);
	nl_step("client-flags-unknown", reflag_msg(0, ~3ULL));
}

/* Half of what is asked for is wrong: all or nothing? */
static void reconfigure_half(void)
{
	int fd = new_fd(), fds[2];
	struct msg *msg;
	struct peer *peer = peer_new(PEER_UNIX);

	fd = peer_fd(peer);
	nl_step("connect", dead_msg(fd, 60));
	hang_up_and_wait(peer);
	fds[0] = new_fd();
	fds[1] = -1;
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, 2 * MIB);
	msg_u64(msg, NBD_ATTR_TIMEOUT, 9);
	msg_sockets(msg, fds, 2);
	nl_step("good-and-bad-socket", msg);
	say("size", "%lld", sysfs_size(0));
	say("io-timeout", "%s", sysfs_text(0, "queue/io_timeout"));
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, 1ULL << 63);
	msg_u64(msg, NBD_ATTR_TIMEOUT, 11);
	nl_step("bad-size-good-timeout", msg);
	say("io-timeout-then", "%s", sysfs_text(0, "queue/io_timeout"));
}

/* More sockets than dead connections. */
static void reconfigure_surplus(void)
{
	struct peer *a = peer_new(PEER_UNIX), *b = peer_new(PEER_UNIX), *fresh[3];
	int fds[3] = { peer_fd(a), peer_fd(b) }, i;
	struct msg *msg = connect_msg(0, fds, 2, MIB);

	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	nl_step("connect", msg);
	hang_up_and_wait(a);
	for (i = 0; i < 3; i++) {
		fresh[i] = peer_new(PEER_UNIX);
		fds[i] = peer_fd(fresh[i]);
	}
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_sockets(msg, fds, 3);
	nl_step("three-for-one", msg);
	say_result("read", read_block(0, 0, 4096));
	hang_up_and_wait(b);
	say_result("read-on-the-new-one", read_block(0, 4096, 4096));
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 0));
	for (i = 0; i < 3; i++) {
		if (!i)
			peer_saw_end(fresh[i]);
		say(name("fresh-%d-disc", i), "%u", peer_count(fresh[i], NBD_CMD_DISC));
	}
}

/* Two connections, one dead, and a server that keeps a cache for each. */
static void reconfigure_multi(void)
{
	struct peer *a = peer_new(PEER_UNIX), *b = peer_new(PEER_UNIX);
	int fds[2] = { peer_fd(a), peer_fd(b) };
	struct msg *msg = connect_msg(0, fds, 2, MIB);

	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	nl_step("connect", msg);
	hang_up_and_wait(a);
	fds[0] = new_fd();
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_sockets(msg, fds, 1);
	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, NBD_FLAG_HAS_FLAGS);
	nl_step("without", msg);
	nl_step("disconnect", index_msg(NBD_CMD_DISCONNECT, 0));
}

static uint64_t session_id(const struct answer *answer)
{
	size_t len;
	const uint8_t *data = attr_find(answer->data, answer->len, NBD_ATTR_SESSION_ID, &len);
	uint64_t id = 0;

	if (data && len == sizeof(id))
		memcpy(&id, data, sizeof(id));
	return id;
}

/* RECONFIGURE with new sockets, and what it says became of them and of the others. */
static void step_sockets(const char *step, struct msg *msg, struct peer **peers, unsigned int n)
{
	struct answer *answer;
	unsigned int i;
	int fds[8];

	for (i = 0; i < n; i++) {
		peers[i] = peer_new(PEER_UNIX);
		fds[i] = peer_fd(peers[i]);
	}
	if (n)
		msg_sockets(msg, fds, n);
	answer = nl_step(step, msg);
	if (!answer->replies) {
		say(name("%s-reply", step), "none");
		return;
	}
	say(name("%s-reply", step), "%u: command %u index %u used %u closed %u", answer->replies,
	    answer->cmd, attr_u32(answer, NBD_ATTR_INDEX, 9999),
	    attr_u32(answer, NBD_ATTR_SOCKETS_USED, 9999),
	    attr_u32(answer, NBD_ATTR_SOCKETS_CLOSED, 9999));
}

static struct msg *session_msg(uint64_t id)
{
	struct msg *msg = index_msg(NBD_CMD_RECONFIGURE, 0);

	msg_u64(msg, NBD_ATTR_SESSION_ID, id);
	return msg;
}

static struct msg *replace_msg(uint64_t id)
{
	struct msg *msg = id ? session_msg(id) : index_msg(NBD_CMD_RECONFIGURE, 0);

	msg_put(msg, NBD_ATTR_REPLACE, NULL, 0);
	return msg;
}

/* What RECONFIGURE says of the sockets that it used and the connections that it closed. */
static void reconfigure_reply(void)
{
	struct peer *a = peer_new(PEER_UNIX), *b = peer_new(PEER_UNIX), *fresh[8];
	int fds[2] = { peer_fd(a), peer_fd(b) };
	struct msg *msg = connect_msg(0, fds, 2, MIB);
	uint64_t id;

	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, MULTI);
	id = session_id(nl_step("connect", msg));
	step_sockets("not-asked", index_msg(NBD_CMD_RECONFIGURE, 0), fresh, 1);
	step_sockets("no-sockets", session_msg(id), fresh, 0);
	step_sockets("none-dead", session_msg(id), fresh, 1);
	hang_up_and_wait(a);
	step_sockets("one-dead", session_msg(id), &a, 1);
	hang_up_and_wait(a);
	step_sockets("three-for-one", session_msg(id), fresh, 3);
	hang_up_and_wait(b);
	hang_up_and_wait(fresh[0]);
	step_sockets("one-for-two", session_msg(id), fresh, 1);
	step_sockets("three-for-the-other", session_msg(id), fresh, 3);
	step_sockets("replace-two-by-one", replace_msg(id), fresh, 1);
	step_sockets("replace-one-by-four", replace_msg(0), fresh, 4);
	hang_up_and_wait(fresh[1]);
	step_sockets("replace-one-dead-of-four", replace_msg(id), fresh, 2);
	hang_up_and_wait(fresh[0]);
	hang_up_and_wait(fresh[1]);
	step_sockets("replace-all-dead", replace_msg(0), fresh, 3);
	step_sockets("other-session", session_msg(id + 1), fresh, 1);
}

static struct msg *keeper_msg(uint64_t keeper)
{
	struct msg *msg = index_msg(NBD_CMD_RECONFIGURE, 0);

	msg_u64(msg, NBD_ATTR_KEEPER, keeper);
	return msg;
}

/* Of two that believe to be the keeper of a device one is refused. */
static void keeper(void)
{
	struct peer *fresh = peer_new(PEER_UNIX);
	int fd = new_fd(), other = peer_fd(fresh);
	struct msg *msg = connect_msg(0, &fd, 1, MIB);

	msg_u64(msg, NBD_ATTR_KEEPER, 7);
	nl_step("connect", msg);
	nl_step("same", keeper_msg(7));
	nl_step("other", keeper_msg(8));
	nl_step("none", keeper_msg(0));
	msg = keeper_msg(8);
	msg_put(msg, NBD_ATTR_REPLACE, NULL, 0);
	msg_sockets(msg, &other, 1);
	nl_step("adopted", msg);
	nl_step("former", keeper_msg(7));
	nl_step("present", keeper_msg(8));
}

static void resize(void)
{
	int fd = new_fd(), node, events = uevents_open();
	struct msg *msg;

	nl_step("connect", connect_msg(0, &fd, 1, MIB));
	node = must_open(0);
	uevents_count(events, 0);
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, 4 * MIB);
	nl_step("grow", msg);
	say("grown", "%s events %s", shape(0), uevents_count(events, 0));
	say("seen-by-opener", "%lld", (long long)lseek(node, 0, SEEK_END));
	say_result("read-new-part", read_block(0, 3 * MIB, 4096));
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, MIB / 2);
	nl_step("shrink", msg);
	say("shrunk", "%s events %s", shape(0), uevents_count(events, 0));
	say_result("read-cut-part", read_block(0, MIB, 4096));
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, 0);
	nl_step("zero", msg);
	say("zeroed", "%s", shape(0));
	close(node);
}

/* STATUS on devices of every kind. */
static void status(void)
{
	struct answer *answer;
	size_t len = 0;
	int fd = new_fd(), node;

	say("free", "%d", nl_connected(0));
	node = must_open(0);
	say("merely-open", "%d", nl_connected(0));
	close(node);
	nl_call(connect_msg(0, &fd, 1, MIB));
	say("connected", "%d", nl_connected(0));
	say("absent", "%d", nl_connected(900));
	answer = nl_call(msg_new(NBD_CMD_STATUS));
	attr_find(answer->data, answer->len, NBD_ATTR_DEVICE_LIST, &len);
	say("all", "%s, %s", answer->error ? errno_name(-answer->error) : "ok",
	    len >= 8 * 20 ? "many devices" : "few");
	nl_disconnect(0);
}

const struct probe_case lifetime_cases[] = {
	{ "flags-destroy", destroy, 0, 0 },
	{ "flags-destroy-toggle", destroy_toggle, 0, 0 },
	{ "flags-destroy-first", destroy_first, 0, 0 },
	{ "flags-destroy-failing", destroy_failing, 0, 0 },
	{ "flags-destroy-reconnect", destroy_reconnect, 0, 0 },
	{ "flags-disconnect-on-close", disconnect_on_close, 0, 0 },
	{ "flags-connect-when-free", connect_when_free, 0, 60 },
	{ "flags-both", both_flags, 0, 0 },
	{ "dead-at-once", dead_at_once, 0, 0 },
	{ "dead-reconnect", dead_reconnect, 0, 0 },
	{ "dead-elsewhere", dead_elsewhere, 0, 0 },
	{ "dead-expiry", dead_expiry, 0, 0 },
	{ "dead-in-flight", dead_in_flight, 0, 60 },
	{ "dead-one-of-two", one_of_two, 0, 60 },
	{ "disconnect-in-flight", disconnect_in_flight, 0, 0 },
	{ "disconnect-waiting", disconnect_waiting, 0, 0 },
	{ "clear-in-flight", clear_in_flight, 0, 0 },
	{ "clear-waiting", clear_waiting, 0, 0 },
	{ "reconfigure-alone", reconfigure_alone, 0, 0 },
	{ "reconfigure-half", reconfigure_half, 0, 0 },
	{ "reconfigure-surplus", reconfigure_surplus, 0, 0 },
	{ "reconfigure-multi", reconfigure_multi, 0, 0 },
	{ "reconfigure-reply", reconfigure_reply, 0, 0 },
	{ "reconfigure-keeper", keeper, 0, 0 },
	{ "reconfigure-size", resize, 0, 0 },
	{ "status", status, 0, 0 },
	{ NULL, NULL, 0, 0 },
};
