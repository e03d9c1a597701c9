// SPDX-License-Identifier: GPL-2.0
/* Tables of values: sizes, block sizes, timeouts, indices, identifiers. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>

#include "probe.h"

#define MIB	(1ULL << 20)

static const uint64_t block_sizes[] = {
	0, 1, 511, 512, 513, 1024, 2048, 3072, 4096, 8192, 65536, 1ULL << 31, 1ULL << 32,
	(1ULL << 32) + 512, 1ULL << 63, UINT64_MAX,
};

static const uint64_t byte_sizes[] = {
	0, 1, 511, 512, 1000, 1024, MIB + 512, MIB + 1, 1ULL << 40, (1ULL << 63) - 1024,
	(1ULL << 63) - 1, 1ULL << 63, UINT64_MAX - 511, UINT64_MAX,
};

static const uint64_t block_counts[] = {
	0, 1, 1ULL << 31, 1ULL << 32, 1ULL << 52, 1ULL << 53, 1ULL << 54, (1ULL << 63) - 1,
	1ULL << 63, UINT64_MAX,
};

/* --- through ioctls --- */

/* Attach what was configured on @fd, and say what disk it is. */
static void say_attached(const char *step, int fd)
{
	struct peer *peer = peer_new(PEER_UNIX);
	int events = uevents_open();
	struct doit doit;
	long ret = nbd_ioctl(fd, NBD_SET_SOCK, peer_fd(peer));

	if (ret) {
		say(step, "SET_SOCK %s", errno_name(-ret));
		return;
	}
	doit_start(&doit, fd);
	uevents_wait_change(events, 0);
	close(events);
	say(step, "accepted, %s", shape(0));
	nbd_ioctl(fd, NBD_DISCONNECT, 0);
	doit_outcome(&doit, 5);
}

static void ioctl_value(const char *step, unsigned int first, uint64_t first_value,
			unsigned int second, uint64_t second_value)
{
	int fd = must_open(0);
	long ret = first ? nbd_ioctl(fd, first, first_value) : 0;

	if (ret)
		say(step, "%s %s", ioctl_name(first), errno_name(-ret));
	if (!ret)
		ret = nbd_ioctl(fd, second, second_value);
	if (ret)
		say(step, "%s", errno_name(-ret));
	else
		say_attached(step, fd);
	close(fd);
}

static void ioctl_blksize(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(block_sizes); i++)
		ioctl_value(name("%#llx", (unsigned long long)block_sizes[i]), NBD_SET_SIZE,
			    8 * MIB, NBD_SET_BLKSIZE, block_sizes[i]);
}

static void ioctl_size(void)
{
	static const unsigned int blocks[] = { 512, 1024, 4096 };
	size_t i, b;

	for (b = 0; b < ARRAY_SIZE(blocks); b++)
		for (i = 0; i < ARRAY_SIZE(byte_sizes); i++)
			ioctl_value(name("block-%u-%#llx", blocks[b],
					 (unsigned long long)byte_sizes[i]),
				    NBD_SET_BLKSIZE, blocks[b], NBD_SET_SIZE, byte_sizes[i]);
}

static void ioctl_size_blocks(void)
{
	static const unsigned int blocks[] = { 512, 1024, 4096 };
	size_t i, b;

	for (b = 0; b < ARRAY_SIZE(blocks); b++)
		for (i = 0; i < ARRAY_SIZE(block_counts); i++)
			ioctl_value(name("block-%u-%#llx", blocks[b],
					 (unsigned long long)block_counts[i]),
				    NBD_SET_BLKSIZE, blocks[b], NBD_SET_SIZE_BLOCKS,
				    block_counts[i]);
}

/* The size first, the block size afterwards: which one wins? */
static void ioctl_orders(void)
{
	ioctl_value("bytes-then-block", NBD_SET_SIZE, 8 * MIB, NBD_SET_BLKSIZE, 4096);
	ioctl_value("blocks-then-block", NBD_SET_SIZE_BLOCKS, 8192, NBD_SET_BLKSIZE, 4096);
	ioctl_value("block-then-blocks", NBD_SET_BLKSIZE, 4096, NBD_SET_SIZE_BLOCKS, 8192);
	ioctl_value("odd-bytes-then-block", NBD_SET_SIZE, 8 * MIB + 512, NBD_SET_BLKSIZE, 4096);
	ioctl_value("bytes-then-bytes", NBD_SET_SIZE, 4 * MIB, NBD_SET_SIZE, 8 * MIB);
	ioctl_value("only-bytes", 0, 0, NBD_SET_SIZE, 8 * MIB);
}

/* A refused value changes nothing. */
static void ioctl_refused(void)
{
	int fd = must_open(0);

	nbd_ioctl(fd, NBD_SET_BLKSIZE, 4096);
	nbd_ioctl(fd, NBD_SET_SIZE, 8 * MIB);
	say_result("bad-block", nbd_ioctl(fd, NBD_SET_BLKSIZE, 3));
	say_result("bad-size", nbd_ioctl(fd, NBD_SET_SIZE, 1ULL << 63));
	say_result("bad-blocks", nbd_ioctl(fd, NBD_SET_SIZE_BLOCKS, 1ULL << 60));
	say_attached("then", fd);
	close(fd);
}

static void ioctl_blksize_compat(void)
{
	compat_calls = true;
	ioctl_blksize();
}

static void ioctl_size_compat(void)
{
	compat_calls = true;
	ioctl_size();
}

static void ioctl_size_blocks_compat(void)
{
	compat_calls = true;
	ioctl_size_blocks();
}

/* --- through netlink --- */

static void say_connected(const char *step, struct msg *msg)
{
	struct answer *answer = nl_call(msg);

	if (answer->error) {
		say_answer(step, answer);
		return;
	}
	say(step, "accepted, %s", shape(0));
	nl_disconnect(0);
	wait_free(0);
}

static struct msg *sized_msg(uint64_t size, uint64_t block)
{
	int fd = peer_fd(peer_new(PEER_UNIX));
	struct msg *msg = connect_msg(0, &fd, 1, size);

	if (block != 1)
		msg_u64(msg, NBD_ATTR_BLOCK_SIZE_BYTES, block);
	return msg;
}

static void netlink_blksize(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(block_sizes); i++)
		if (block_sizes[i] != 1)
			say_connected(name("%#llx", (unsigned long long)block_sizes[i]),
				      sized_msg(8 * MIB, block_sizes[i]));
	say_connected("absent", sized_msg(8 * MIB, 1));
}

static void netlink_size(void)
{
	static const unsigned int blocks[] = { 512, 1024, 4096 };
	size_t i, b;

	for (b = 0; b < ARRAY_SIZE(blocks); b++)
		for (i = 0; i < ARRAY_SIZE(byte_sizes); i++)
			say_connected(name("block-%u-%#llx", blocks[b],
					   (unsigned long long)byte_sizes[i]),
				      sized_msg(byte_sizes[i], blocks[b]));
}

/* RECONFIGURE of a running device. */
static void netlink_resize(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(byte_sizes); i++) {
		struct msg *msg;

		if (nl_connect(0, peer_fd(peer_new(PEER_UNIX))))
			say("connect", "failed");
		msg = index_msg(NBD_CMD_RECONFIGURE, 0);
		msg_u64(msg, NBD_ATTR_SIZE_BYTES, byte_sizes[i]);
		nl_step(name("%#llx", (unsigned long long)byte_sizes[i]), msg);
		say(name("%#llx-then", (unsigned long long)byte_sizes[i]), "%s", shape(0));
		nl_disconnect(0);
		wait_free(0);
	}
}

static void netlink_reblock(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(block_sizes); i++) {
		struct msg *msg;

		nl_connect(0, peer_fd(peer_new(PEER_UNIX)));
		msg = index_msg(NBD_CMD_RECONFIGURE, 0);
		msg_u64(msg, NBD_ATTR_BLOCK_SIZE_BYTES, block_sizes[i]);
		nl_step(name("%#llx", (unsigned long long)block_sizes[i]), msg);
		say(name("%#llx-then", (unsigned long long)block_sizes[i]), "%s", shape(0));
		nl_disconnect(0);
		wait_free(0);
	}
}

/* --- timeouts: C7 of the known bugs --- */

static const uint64_t timeouts[] = {
	0, 1, 30, 2000000, 2000001, (1ULL << 32) / 1000, (1ULL << 32) / 250 + 1, (1ULL << 32) / 100,
	1ULL << 32, 1ULL << 40, 1ULL << 63, UINT64_MAX,
};

/* The coarse clocks advance once a jiffy. */
static long long jiffies_per_second(void)
{
	struct timespec jiffy;

	clock_getres(CLOCK_MONOTONIC_COARSE, &jiffy);
	return 1000000000LL / jiffy.tv_nsec;
}

/* In the jiffies of a kernel with 250 a second, as Debian's has. */
static const char *debugfs_timeout(int index)
{
	static char text[64];
	int fd = open(name("/sys/kernel/debug/nbd/nbd%d/timeout", index), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return "-";
	text[n] = 0;
	snprintf(text, sizeof(text), "%lld", atoll(text) * 250 / jiffies_per_second());
	return text;
}

static void ioctl_timeout(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(timeouts); i++) {
		int fd = must_open(0);

		say_result(name("%#llx", (unsigned long long)timeouts[i]),
			   nbd_ioctl(fd, NBD_SET_TIMEOUT, timeouts[i]));
		nbd_ioctl(fd, NBD_SET_TIMEOUT, 0);
		close(fd);
	}
}

static void netlink_timeouts(uint16_t attribute)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(timeouts); i++) {
		int fd = peer_fd(peer_new(PEER_UNIX));
		struct msg *msg = connect_msg(0, &fd, 1, MIB);
		struct answer *answer;

		msg_u64(msg, attribute, timeouts[i]);
		answer = nl_step(name("%#llx", (unsigned long long)timeouts[i]), msg);
		if (answer->error)
			continue;
		if (attribute == NBD_ATTR_TIMEOUT)
			say(name("%#llx-jiffies", (unsigned long long)timeouts[i]), "%s",
			    debugfs_timeout(0));
		nl_disconnect(0);
		wait_free(0);
	}
}

static void netlink_timeout(void)
{
	netlink_timeouts(NBD_ATTR_TIMEOUT);
}

static void netlink_dead_timeout(void)
{
	netlink_timeouts(NBD_ATTR_DEAD_CONN_TIMEOUT);
}

/* Set in one session, not in the next. */
static void timeout_session(void)
{
	int fd = peer_fd(peer_new(PEER_UNIX));
	struct msg *msg = connect_msg(0, &fd, 1, MIB);

	msg_u64(msg, NBD_ATTR_TIMEOUT, 3);
	nl_step("connect-3", msg);
	say("first", "debugfs=%s io_timeout=%s", debugfs_timeout(0),
	    sysfs_text(0, "queue/io_timeout"));
	nl_disconnect(0);
	wait_free(0);
	nl_connect(0, peer_fd(peer_new(PEER_UNIX)));
	say("second", "debugfs=%s io_timeout=%s", debugfs_timeout(0),
	    sysfs_text(0, "queue/io_timeout"));
	nl_disconnect(0);
}

/* --- indices: V5 --- */

static void say_index(uint32_t index)
{
	char step[16];
	int fd = peer_fd(peer_new(PEER_UNIX));
	struct msg *msg = msg_new(NBD_CMD_CONNECT);
	struct answer *answer;

	snprintf(step, sizeof(step), "%#x", index);
	msg_u32(msg, NBD_ATTR_INDEX, index);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, MIB);
	msg_sockets(msg, &fd, 1);
	answer = nl_step(name("connect-%s", step), msg);
	if (!answer->error) {
		say(name("node-%s", step), "%s", node_number(index));
		nl_step(name("status-%s", step), index_msg(NBD_CMD_STATUS, index));
	}
	nl_step(name("reconfigure-%s", step), index_msg(NBD_CMD_RECONFIGURE, index));
	nl_step(name("disconnect-%s", step), index_msg(NBD_CMD_DISCONNECT, index));
	wait_free(index);
	say(name("connected-%s", step), "%d", nl_connected(index));
}

static void indices(void)
{
	static const uint32_t values[] = {
		0, 15, 16, 17, 0x7ffe, 0x7fff, 0x8000, 0xffff, 0x10000, 0xfffff, 0x100000,
		0x7fffffff, 0x80000000, 0xffffffff,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++)
		say_index(values[i]);
}

/* --- backend identifiers: V6 --- */

static int connect_backend(const char *text, size_t len)
{
	int fd = peer_fd(peer_new(PEER_UNIX));
	struct msg *msg = connect_msg(0, &fd, 1, MIB);

	msg_put(msg, NBD_ATTR_BACKEND_IDENTIFIER, text, len);
	return nl_call(msg)->error;
}

static void say_backend_length(size_t len)
{
	char *text = malloc(len + 1), *read_back = malloc(70000);
	int fd, error;
	ssize_t n;

	memset(text, 'b', len);
	text[len] = 0;
	error = connect_backend(text, len + 1);
	say(name("length-%zu", len), "%s", error ? errno_name(-error) : "ok");
	if (!error) {
		fd = open("/sys/block/nbd0/backend", O_RDONLY);
		n = result(read(fd, read_back, 70000));
		say(name("length-%zu-read", len), "%zd", n);
		close(fd);
		nl_disconnect(0);
		wait_free(0);
	}
	free(text);
	free(read_back);
}

static void backend_lengths(void)
{
	static const size_t lengths[] = { 0, 1, 100, 1022, 1023 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		say_backend_length(lengths[i]);
}

/* Longer than the page that sysfs gives. */
static void backend_overflow(void)
{
	static const size_t lengths[] = { 1024, 4094, 4095, 4096, 8192, 65000 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		say_backend_length(lengths[i]);
}

static void reconfigure_with(const char *step, const char *backend)
{
	struct msg *msg = index_msg(NBD_CMD_RECONFIGURE, 0);

	if (backend)
		msg_string(msg, NBD_ATTR_BACKEND_IDENTIFIER, backend);
	nl_step(step, msg);
}

static void backend_rules(void)
{
	connect_backend("image", 6);
	say("attribute", "%s", sysfs_text(0, "backend"));
	reconfigure_with("same", "image");
	reconfigure_with("different", "imagf");
	reconfigure_with("prefix", "imag");
	reconfigure_with("longer", "image2");
	reconfigure_with("empty", "");
	reconfigure_with("missing", NULL);
	nl_disconnect(0);
	wait_free(0);
	say("gone", "%s", sysfs_text(0, "backend"));
	connect_backend("image", 5);
	say("without-nul", "%s", sysfs_text(0, "backend"));
	reconfigure_with("same-to-without-nul", "image");
	nl_disconnect(0);
	wait_free(0);
	connect_backend("", 1);
	say("empty-attribute", "'%s'", sysfs_text(0, "backend"));
	reconfigure_with("missing-to-empty", NULL);
	reconfigure_with("empty-to-empty", "");
	nl_disconnect(0);
	wait_free(0);
	nl_connect(0, peer_fd(peer_new(PEER_UNIX)));
	say("none-attribute", "'%s'", sysfs_text(0, "backend"));
	reconfigure_with("any-to-none", "image");
	reconfigure_with("missing-to-none", NULL);
	nl_disconnect(0);
}

const struct probe_case value_cases[] = {
	{ "value-ioctl-blksize", ioctl_blksize, 0, 60 },
	{ "value-ioctl-blksize-compat", ioctl_blksize_compat, 0, 60 },
	{ "value-ioctl-size", ioctl_size, 0, 120 },
	{ "value-ioctl-size-compat", ioctl_size_compat, 0, 120 },
	{ "value-ioctl-blocks", ioctl_size_blocks, 0, 120 },
	{ "value-ioctl-blocks-compat", ioctl_size_blocks_compat, 0, 120 },
	{ "value-ioctl-orders", ioctl_orders, 0, 60 },
	{ "value-ioctl-refused", ioctl_refused, 0, 0 },
	{ "value-ioctl-timeout", ioctl_timeout, 0, 0 },
	{ "value-netlink-blksize", netlink_blksize, 0, 60 },
	{ "value-netlink-size", netlink_size, 0, 120 },
	{ "value-netlink-resize", netlink_resize, 0, 60 },
	{ "value-netlink-reblock", netlink_reblock, 0, 60 },
	{ "value-netlink-timeout", netlink_timeout, 0, 60 },
	{ "value-netlink-dead-timeout", netlink_dead_timeout, 0, 60 },
	{ "value-timeout-session", timeout_session, 0, 0 },
	{ "value-index", indices, 0, 120 },
	{ "value-backend-length", backend_lengths, 0, 0 },
	{ "value-backend-overflow", backend_overflow, CASE_UNSAFE, 0 },
	{ "value-backend-rules", backend_rules, 0, 0 },
	{ NULL, NULL, 0, 0 },
};
