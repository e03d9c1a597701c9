// SPDX-License-Identifier: GPL-2.0
/* The ioctls: each alone on a fresh device, and the life of a device. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/hdreg.h>
#include <linux/nbd.h>

#include "probe.h"

#define FLAGS	(NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_TRIM)
#define MULTI	(FLAGS | NBD_FLAG_CAN_MULTI_CONN)

static const unsigned int all_ioctls[] = {
	NBD_SET_SOCK, NBD_SET_BLKSIZE, NBD_SET_SIZE, NBD_DO_IT, NBD_CLEAR_SOCK, NBD_CLEAR_QUE,
	NBD_PRINT_DEBUG, NBD_SET_SIZE_BLOCKS, NBD_DISCONNECT, NBD_SET_TIMEOUT, NBD_SET_FLAGS,
	_IO(0xab, 11), _IO(0xab, 255),
};

/* Each ioctl on a device that was never configured, opened for it alone. */
static void fresh(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all_ioctls); i++) {
		unsigned long arg = all_ioctls[i] == NBD_SET_SOCK ? (unsigned long)-1 : 0;
		int fd = must_open(0);

		step_ioctl(fd, all_ioctls[i], arg);
		close(fd);
	}
	say("after", "%s", shape(0));
}

/* They are ioctls of a disk: another driver's or a terminal's are refused. */
static void foreign(void)
{
	static const struct {
		const char *name;
		unsigned int cmd;
	} ioctls[] = {
		{ "TCGETS", 0x5401 }, { "FIONREAD", 0x541b }, { "LOOP_SET_FD", 0x4c00 },
		{ "CDROMEJECT", 0x5309 }, { "HDIO_GET_IDENTITY", 0x030d },
		{ "BLKRRPART", BLKRRPART }, { "BLKFLSBUF", BLKFLSBUF },
		{ "SG_IO", 0x2285 }, { "other-0xac", _IO(0xac, 0) },
	};
	char buffer[1024];
	size_t i;
	int fd = must_open(0);

	for (i = 0; i < ARRAY_SIZE(ioctls); i++)
		say_result(ioctls[i].name, result(ioctl(fd, ioctls[i].cmd, buffer)));
	close(fd);
}

/* Sets up one connection and runs DO_IT until the disk is there. */
static struct peer *start(int fd, int index, struct doit *doit, unsigned long flags)
{
	struct peer *peer = peer_new(PEER_UNIX);

	ioctl_setup(fd, peer_fd(peer), 1024, flags);
	doit_start(doit, fd);
	if (!wait_size(index, 2048))
		say("start", "no size");
	settle(index);
	return peer;
}

static void lifecycle(void)
{
	int events = uevents_open(), fd = must_open(0);
	struct peer *peer = peer_new(PEER_UNIX);
	struct doit doit;

	step_ioctl(fd, NBD_SET_BLKSIZE, 4096);
	step_ioctl(fd, NBD_SET_SIZE_BLOCKS, 256);
	step_ioctl(fd, NBD_SET_FLAGS, FLAGS);
	step_ioctl(fd, NBD_SET_TIMEOUT, 10);
	say("before-sock", "%s", shape(0));
	step_ioctl(fd, NBD_SET_SOCK, peer_fd(peer));
	say("before-doit", "%s events %s", shape(0), uevents_count(events, 0));
	doit_start(&doit, fd);
	say("up", wait_size(0, 2048) ? "yes" : "no");
	say("running", "%s events %s", shape(0), uevents_count(events, 0));
	say("pid", "%s", sysfs_number(0, "pid") == doit.tid ? "the task in DO_IT" :
	    sysfs_number(0, "pid") == getpid() ? "its process" : "another");
	say("backend", "%s", sysfs_text(0, "backend"));
	say_result("write", write_block(0, 0, 4096));
	say_result("read", read_block(0, 0, 4096));
	say_result("read-end", read_block(0, (1 << 20) - 4096, 4096));
	uevents_count(events, 0);
	step_ioctl(fd, NBD_DISCONNECT, 0);
	say("doit", "%s", doit_outcome(&doit, 5));
	peer_saw_end(peer);
	say("disc-messages", "%u", peer_count(peer, NBD_CMD_DISC));
	say("returned", "%s events %s", shape(0), uevents_count(events, 0));
	step_ioctl(fd, NBD_CLEAR_SOCK, 0);
	say("cleared", "%s events %s", shape(0), uevents_count(events, 0));
	close(fd);
	say("closed", "%s events %s", shape(0), uevents_count(events, 0));
}

static void hang_up(void)
{
	int fd = must_open(0);
	struct doit doit;
	struct peer *peer = start(fd, 0, &doit, FLAGS);

	peer_hang_up(peer);
	say("doit", "%s", doit_outcome(&doit, 5));
	say("returned", "%s", shape(0));
	step_ioctl(fd, NBD_CLEAR_SOCK, 0);
	say("cleared", "%s", shape(0));
	close(fd);
}

/* A hang-up while a request is in flight. */
static void *read_later(void *arg)
{
	*(long *)arg = read_block(0, 8192, 4096);
	return NULL;
}

static void hang_up_busy(void)
{
	int fd = must_open(0);
	struct doit doit;
	struct peer *peer = start(fd, 0, &doit, FLAGS);
	pthread_t reader;
	long ret = 1;

	peer_hold(peer, true);
	pthread_create(&reader, NULL, read_later, &ret);
	peer_wait_held(peer, 8192);
	peer_hang_up(peer);
	say("doit", "%s", doit_outcome(&doit, 5));
	step_ioctl(fd, NBD_CLEAR_SOCK, 0);
	pthread_join(reader, NULL);
	say_result("read", ret);
	close(fd);
}

/* No answer for longer than the timeout, no other connection. */
static void timeout(void)
{
	int fd = must_open(0);
	struct doit doit;
	struct peer *peer = peer_new(PEER_UNIX);
	double begin;
	long ret;

	say_result("set-timeout", nbd_ioctl(fd, NBD_SET_TIMEOUT, 1));
	ioctl_setup(fd, peer_fd(peer), 1024, FLAGS);
	doit_start(&doit, fd);
	wait_size(0, 2048);
	settle(0);
	peer_hold(peer, true);
	begin = now();
	ret = read_block(0, 8192, 4096);
	say_result("read", ret);
	say("after-seconds", "%s", now() - begin < 0.9 ? "less than the timeout" :
	    now() - begin < 5 ? "about the timeout" : "much later");
	say("doit", "%s", doit_outcome(&doit, 10));
	step_ioctl(fd, NBD_CLEAR_SOCK, 0);
	close(fd);
}

static void signalled(bool restart)
{
	int fd = must_open(0);
	struct doit doit;
	struct peer *peer = start(fd, 0, &doit, FLAGS);

	doit_signal(&doit, restart);
	say("doit", "%s", doit_outcome(&doit, 5));
	say("server-saw-end", "%s", peer_saw_end(peer) ? "yes" : "no");
	step_ioctl(fd, NBD_CLEAR_SOCK, 0);
	say("doit-after-clear", "%s", doit_outcome(&doit, 5));
	close(fd);
}

static void signal_plain(void)
{
	signalled(false);
}

static void signal_restart(void)
{
	signalled(true);
}

static void clear_running(void)
{
	int fd = must_open(0);
	struct doit doit;
	struct peer *peer = start(fd, 0, &doit, FLAGS);

	step_ioctl(fd, NBD_CLEAR_SOCK, 0);
	say("doit", "%s", doit_outcome(&doit, 5));
	say("server-saw-end", "%s", peer_saw_end(peer) ? "yes" : "no");
	say("disc-messages", "%u", peer_count(peer, NBD_CMD_DISC));
	say("after", "%s", shape(0));
	close(fd);
}

static void four_sockets(void)
{
	int fd = must_open(0);
	struct doit doit;
	struct peer *peers[4];
	unsigned int i;

	nbd_ioctl(fd, NBD_SET_SIZE, 1 << 20);
	nbd_ioctl(fd, NBD_SET_FLAGS, MULTI);
	for (i = 0; i < 4; i++) {
		peers[i] = peer_new(PEER_TCP);
		step_ioctl(fd, NBD_SET_SOCK, peer_fd(peers[i]));
	}
	doit_start(&doit, fd);
	say("up", wait_size(0, 2048) ? "yes" : "no");
	say_result("read", read_block(0, 0, 4096));
	peer_hang_up(peers[0]);
	say_result("read-with-three", read_block(0, 4096, 4096));
	step_ioctl(fd, NBD_DISCONNECT, 0);
	say("doit", "%s", doit_outcome(&doit, 5));
	for (i = 0; i < 4; i++) {
		peer_saw_end(peers[i]);
		say(name("disc-messages-%u", i), "%u", peer_count(peers[i], NBD_CMD_DISC));
	}
	close(fd);
}

/* More connections than the server allows. */
static void two_without_multi(void)
{
	int fd = must_open(0);

	nbd_ioctl(fd, NBD_SET_SIZE, 1 << 20);
	nbd_ioctl(fd, NBD_SET_FLAGS, FLAGS);
	step_ioctl(fd, NBD_SET_SOCK, peer_fd(peer_new(PEER_UNIX)));
	step_ioctl(fd, NBD_SET_SOCK, peer_fd(peer_new(PEER_UNIX)));
	step_ioctl(fd, NBD_DO_IT, 0);
	say("after", "%s", shape(0));
	close(fd);
}

static void *set_sock_elsewhere(void *arg)
{
	int *fds = arg;

	return (void *)nbd_ioctl(fds[0], NBD_SET_SOCK, fds[1]);
}

static void set_sock_by_another(void)
{
	int fd = must_open(0), fds[2] = { fd, peer_fd(peer_new(PEER_UNIX)) };
	pthread_t other;
	void *ret;

	step_ioctl(fd, NBD_SET_SOCK, peer_fd(peer_new(PEER_UNIX)));
	pthread_create(&other, NULL, set_sock_elsewhere, fds);
	pthread_join(other, &ret);
	say_result("another-task", (long)ret);
	step_ioctl(fd, NBD_CLEAR_SOCK, 0);
	pthread_create(&other, NULL, set_sock_elsewhere, fds);
	pthread_join(other, &ret);
	say_result("another-task-after-clear", (long)ret);
	close(fd);
}

static void set_sock_running(void)
{
	int fd = must_open(0);
	struct doit doit;

	start(fd, 0, &doit, MULTI);
	step_ioctl(fd, NBD_SET_SOCK, peer_fd(peer_new(PEER_UNIX)));
	say_result("read", read_block(0, 0, 4096));
	step_ioctl(fd, NBD_DISCONNECT, 0);
	say("doit", "%s", doit_outcome(&doit, 5));
	close(fd);
}

/* Every setting while the device runs, and what became of it. */
static void set_running(void)
{
	int fd = must_open(0);
	struct doit doit;

	start(fd, 0, &doit, FLAGS);
	say_result("blksize-4096", nbd_ioctl(fd, NBD_SET_BLKSIZE, 4096));
	say("then", "%s", shape(0));
	say_result("blksize-same", nbd_ioctl(fd, NBD_SET_BLKSIZE, 1024));
	say("and-then", "%s", shape(0));
	say_result("size-grow", nbd_ioctl(fd, NBD_SET_SIZE, 2 << 20));
	say("grown", "%s", shape(0));
	say_result("size-shrink", nbd_ioctl(fd, NBD_SET_SIZE, 1 << 20));
	say("shrunk", "%s", shape(0));
	say_result("flags-ro", nbd_ioctl(fd, NBD_SET_FLAGS, FLAGS | NBD_FLAG_READ_ONLY));
	say("flagged", "%s", shape(0));
	say_result("write-after-flags", write_block(0, 0, 4096));
	say_result("flags-back", nbd_ioctl(fd, NBD_SET_FLAGS, FLAGS));
	say_result("timeout", nbd_ioctl(fd, NBD_SET_TIMEOUT, 5));
	step_ioctl(fd, NBD_CLEAR_QUE, 0);
	step_ioctl(fd, NBD_PRINT_DEBUG, 0);
	say_result("read", read_block(0, 0, 4096));
	step_ioctl(fd, NBD_DISCONNECT, 0);
	say("doit", "%s", doit_outcome(&doit, 5));
	close(fd);
}

static void doit_twice(void)
{
	int fd = must_open(0);
	struct doit first, second;

	start(fd, 0, &first, FLAGS);
	doit_start(&second, fd);
	say("second", "%s", doit_outcome(&second, 2));
	say_result("read", read_block(0, 0, 4096));
	step_ioctl(fd, NBD_DISCONNECT, 0);
	say("first", "%s", doit_outcome(&first, 5));
	close(fd);
}

/* The persistent client: DO_IT again after it returned, alone and with another opener. */
static void doit_again(bool other_opener)
{
	int fd = must_open(0), other = other_opener ? open_device(0, O_RDONLY) : -1;
	struct doit doit;
	struct peer *peer = start(fd, 0, &doit, FLAGS);

	peer_hang_up(peer);
	say("doit", "%s", doit_outcome(&doit, 5));
	say("returned", "%s", shape(0));
	say_result("set-sock-at-once", nbd_ioctl(fd, NBD_SET_SOCK, peer_fd(peer_new(PEER_UNIX))));
	step_ioctl(fd, NBD_CLEAR_SOCK, 0);
	say("cleared", "%s", shape(0));
	peer = peer_new(PEER_UNIX);
	say_result("set-sock", nbd_ioctl(fd, NBD_SET_SOCK, peer_fd(peer)));
	say_result("set-size", nbd_ioctl(fd, NBD_SET_SIZE, 1 << 20));
	doit_start(&doit, fd);
	say("up-again", wait_size(0, 2048) ? "yes" : "no");
	say_result("read", read_block(0, 0, 4096));
	step_ioctl(fd, NBD_DISCONNECT, 0);
	say("doit-again", "%s", doit_outcome(&doit, 5));
	close(fd);
	if (other >= 0)
		close(other);
}

static void doit_again_alone(void)
{
	doit_again(false);
}

static void doit_again_shared(void)
{
	doit_again(true);
}

/* What another opener sees when DO_IT has returned. */
static void other_opener(void)
{
	int fd = must_open(0), other;
	struct doit doit;
	struct peer *peer = start(fd, 0, &doit, FLAGS);

	other = open_device(0, O_RDONLY);
	peer_hang_up(peer);
	say("doit", "%s", doit_outcome(&doit, 5));
	say("returned", "%s", shape(0));
	say_result("read", read_block(0, 0, 4096));
	close(fd);
	say("owner-closed", "%s", shape(0));
	close(other);
	say("all-closed", "%s", shape(0));
}

/* The owner of the setup is killed while another process has the device open. */
static void owner_killed(void)
{
	int other = must_open(0);
	pid_t pid = fork();

	if (!pid) {
		int fd = must_open(0);

		say_result("owner-set-sock",
			   nbd_ioctl(fd, NBD_SET_SOCK, peer_fd(peer_new(PEER_UNIX))));
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);
	say_result("other-set-sock",
		   nbd_ioctl(other, NBD_SET_SOCK, peer_fd(peer_new(PEER_UNIX))));
	step_ioctl(other, NBD_CLEAR_SOCK, 0);
	say_result("after-clear",
		   nbd_ioctl(other, NBD_SET_SOCK, peer_fd(peer_new(PEER_UNIX))));
	close(other);
}

/* A process with the descriptor, but without the capability. */
static void unprivileged(void)
{
	int fd = must_open(0);
	size_t i;

	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		say("setuid", "%s", errno_name(errno));
	for (i = 0; i < ARRAY_SIZE(all_ioctls); i++)
		step_ioctl(fd, all_ioctls[i], 0);
	close(fd);
}

/* A descriptor that is open for reading only, as root. */
static void read_only_fd(void)
{
	int fd = open_device(0, O_RDONLY);

	step_ioctl(fd, NBD_SET_BLKSIZE, 1024);
	step_ioctl(fd, NBD_SET_SIZE, 1 << 20);
	step_ioctl(fd, NBD_SET_SOCK, peer_fd(peer_new(PEER_UNIX)));
	step_ioctl(fd, NBD_CLEAR_SOCK, 0);
	close(fd);
}

/* Set up, then closed without DO_IT: nothing of it may be left for the next one. */
static void abandoned(void)
{
	int fd = must_open(0);

	ioctl_setup(fd, peer_fd(peer_new(PEER_UNIX)), 4096, FLAGS);
	close(fd);
	say("closed", "%s", shape(0));
	fd = must_open(0);
	step_ioctl(fd, NBD_DO_IT, 0);
	close(fd);
}

static void no_size(void)
{
	int fd = must_open(0);
	struct doit doit;

	step_ioctl(fd, NBD_SET_SOCK, peer_fd(peer_new(PEER_UNIX)));
	doit_start(&doit, fd);
	say("doit", "%s", doit_outcome(&doit, 1));
	say("running", "%s", shape(0));
	step_ioctl(fd, NBD_DISCONNECT, 0);
	say("doit-ended", "%s", doit_outcome(&doit, 5));
	close(fd);
}

/* A server that never closes after DISC. */
static void deaf_server(void)
{
	int fd = must_open(0), pair[2];
	struct doit doit;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return;
	/* partitions would be read from a server that does not answer */
	nbd_ioctl(fd, NBD_SET_FLAGS, FLAGS);
	step_ioctl(fd, NBD_SET_SOCK, pair[0]);
	doit_start(&doit, fd);
	usleep(300000);
	step_ioctl(fd, NBD_DISCONNECT, 0);
	say("doit", "%s", doit_outcome(&doit, 2));
	step_ioctl(fd, NBD_CLEAR_SOCK, 0);
	say("doit-after-clear", "%s", doit_outcome(&doit, 5));
	close(fd);
}

/* The same through the 32-bit entry. */
static void lifecycle_compat(void)
{
	compat_calls = true;
	lifecycle();
}

static void fresh_compat(void)
{
	compat_calls = true;
	fresh();
}

static void unprivileged_compat(void)
{
	compat_calls = true;
	unprivileged();
}

const struct probe_case ioctl_cases[] = {
	{ "ioctl-fresh", fresh, 0, 0 },
	{ "ioctl-fresh-compat", fresh_compat, 0, 0 },
	{ "ioctl-foreign", foreign, 0, 0 },
	{ "ioctl-lifecycle", lifecycle, 0, 0 },
	{ "ioctl-lifecycle-compat", lifecycle_compat, 0, 0 },
	{ "ioctl-hang-up", hang_up, 0, 0 },
	{ "ioctl-hang-up-busy", hang_up_busy, 0, 0 },
	{ "ioctl-timeout", timeout, 0, 0 },
	{ "ioctl-signal", signal_plain, 0, 0 },
	{ "ioctl-signal-restart", signal_restart, 0, 0 },
	{ "ioctl-clear-running", clear_running, 0, 0 },
	{ "ioctl-deaf-server", deaf_server, 0, 0 },
	{ NULL, NULL, 0, 0 },
};

const struct probe_case setup_cases[] = {
	{ "setup-four-sockets", four_sockets, 0, 0 },
	{ "setup-two-without-multi", two_without_multi, 0, 0 },
	{ "setup-by-another", set_sock_by_another, 0, 0 },
	{ "setup-sock-running", set_sock_running, 0, 0 },
	{ "setup-set-running", set_running, 0, 0 },
	{ "setup-doit-twice", doit_twice, 0, 0 },
	{ "setup-doit-again", doit_again_alone, 0, 0 },
	{ "setup-doit-again-shared", doit_again_shared, 0, 0 },
	{ "setup-other-opener", other_opener, 0, 0 },
	{ "setup-owner-killed", owner_killed, 0, 0 },
	{ "setup-unprivileged", unprivileged, 0, 0 },
	{ "setup-unprivileged-compat", unprivileged_compat, 0, 0 },
	{ "setup-read-only-fd", read_only_fd, 0, 0 },
	{ "setup-abandoned", abandoned, 0, 0 },
	{ "setup-no-size", no_size, 0, 0 },
	{ NULL, NULL, 0, 0 },
};
