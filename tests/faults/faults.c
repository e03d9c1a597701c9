// SPDX-License-Identifier: GPL-2.0
/*
 * faults OPERATION [STRIDE]: does the operation again and again, and lets the 1st,
 * 2nd, 3rd ... allocation in it fail, until one run meets no fault: every allocation
 * site that the calling task reaches, one at a time. With STRIDE every STRIDE-th only.
 *
 * After each failure the state must be the one before or the one wanted, nothing between;
 * a device that is attached serves data; and the next try, without a fault, works.
 *
 * faults storm ROUNDS: attaches, reads, writes, loses the connection, gets another one
 * and detaches, while the kernel lets allocations fail as the caller has told it to.
 * Errors are in order; what hangs is not. faults check: all of it, without an error.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/nbd.h>
#include <linux/nbd-netlink.h>

#include "../uapi/probe.h"

#define DEVICE		4
/* Does not exist when the module is loaded. */
#define NEW_DEVICE	40
#define BLOCK		4096
#define BACKEND		"faults"
/* Seconds that a call may take without a server's help. */
#define PATIENCE	20
#define SITES_MAX	20000
/* Connections that are offered to a request that waits. */
#define OFFERS		40

static const char *operation;
static unsigned int site, injected;
static enum peer_kind kind;
static const char *module_path;

static void __attribute__((__noreturn__)) __printf(1, 2) broken(const char *fmt, ...)
{
	va_list ap;

	printf("faults: %s, allocation %u: ", operation, site);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	/* not in the way of who comes next */
	nl_disconnect(DEVICE);
	nl_disconnect(NEW_DEVICE);
	exit(1);
}

/* --- fault injection --- */

static int fail_nth_open(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", (int)syscall(SYS_gettid));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

/* The @nth allocation of this task from here on fails; 0: none. */
static void fail_nth_set(int fd, unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	if (pwrite(fd, text, len, 0) != len)
		err(1, "fail-nth");
}

/* Whether the fault came; there is none any more. */
static bool fail_nth_end(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		err(1, "fail-nth");
	if (atoi(text))
		fail_nth_set(fd, 0);
	return !atoi(text);
}

/* --- I/O in a task of its own, which may wait for ever --- */

struct transfer {
	pthread_t thread;
	int index;
	bool write;
	unsigned int nth;
	bool fault, done;
	long ret;
};

static void *transfer_thread(void *arg)
{
	struct transfer *t = arg;
	int fd, nth = -1;
	void *buffer;

	fd = open_device(t->index, O_RDWR | O_DIRECT);
	if (fd >= 0 && !posix_memalign(&buffer, BLOCK, BLOCK)) {
		memset(buffer, 0x5a, BLOCK);
		if (t->nth) {
			nth = fail_nth_open();
			fail_nth_set(nth, t->nth);
		}
		t->ret = result(t->write ? pwrite(fd, buffer, BLOCK, 65536) :
				pread(fd, buffer, BLOCK, 65536));
		t->fault = nth >= 0 && fail_nth_end(nth);
		free(buffer);
		close(fd);
	} else {
		t->ret = fd;
	}
	if (nth >= 0)
		close(nth);
	__atomic_store_n(&t->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static bool transfer_done(void *arg)
{
	struct transfer *t = arg;

	return __atomic_load_n(&t->done, __ATOMIC_SEQ_CST);
}

/* RECONFIGURE with that socket, as whoever attached the device may send it. */
static struct msg *reconnect_msg(int index, struct peer *peer)
{
	struct msg *msg = index_msg(NBD_CMD_RECONFIGURE, index);
	int fd = peer_fd(peer);

	msg_sockets(msg, &fd, 1);
	msg_string(msg, NBD_ATTR_BACKEND_IDENTIFIER, BACKEND);
	return msg;
}

static int reconnect(int index, struct peer *peer)
{
	return nl_call(reconnect_msg(index, peer))->error;
}

/*
 * One block. If it waits because the connection was given up, another one is offered,
 * again and again: memory may be short for that, too.
 */
static void transfer(struct transfer *t)
{
	unsigned int n = 0;

	t->done = false;
	t->fault = false;
	if (pthread_create(&t->thread, NULL, transfer_thread, t))
		errx(1, "thread");
	while (!until(transfer_done, t, n ? 0.5 : 1)) {
		if (n++ == OFFERS)
			broken("%s waits for ever, though there are connections",
			       t->write ? "a write" : "a read");
		reconnect(t->index, peer_new(kind));
	}
	pthread_join(t->thread, NULL);
	/* The device may be served by one of them: they live as long as the program. */
}

static long transfer_now(int index, bool write)
{
	struct transfer t = { .index = index, .write = write };

	transfer(&t);
	return t.ret;
}

/* --- the operations --- */

static struct msg *connect_two(int index, struct peer *a, struct peer *b, uint64_t flags)
{
	int fds[] = { peer_fd(a), peer_fd(b) };
	struct msg *msg = connect_msg(index, fds, 2, 1 << 20);

	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, NBD_FLAG_HAS_FLAGS | NBD_FLAG_CAN_MULTI_CONN);
	msg_u64(msg, NBD_ATTR_DEAD_CONN_TIMEOUT, NBD_DEAD_CONN_FOREVER);
	if (flags)
		msg_u64(msg, NBD_ATTR_CLIENT_FLAGS, flags);
	msg_string(msg, NBD_ATTR_BACKEND_IDENTIFIER, BACKEND);
	return msg;
}

static void must_detach(int index)
{
	int error = nl_disconnect(index);

	/* an answer may not find memory, either */
	if (error && error != -ENOBUFS && error != -EINVAL)
		broken("DISCONNECT: %s", errno_name(-error));
	if (!wait_free(index))
		broken("the device is not free after DISCONNECT");
}

/* An attached device serves, and can be detached; a free one can be attached. */
static void check_usable(int index)
{
	struct peer *a = peer_new(kind), *b = peer_new(kind);
	long ret;

	if (is_free(index)) {
		ret = nl_call(connect_two(index, a, b, 0))->error;
		if (ret)
			broken("the next CONNECT fails: %s", errno_name(-ret));
	}
	ret = transfer_now(index, false);
	if (ret != BLOCK)
		broken("the device does not serve: %s", errno_name(-ret));
	must_detach(index);
	peer_free(a);
	peer_free(b);
}

/*
 * The error of an operation that failed, or 0; an error that no lack of memory explains
 * is a wrong one.
 */
static void check_error(long error)
{
	switch (-error) {
	case 0:
	case ENOMEM:
	case ENOBUFS:	/* netlink could not send its answer, or the question */
	case EAGAIN:
	case EMSGSIZE:	/* likewise */
	case EINTR:
		return;
	default:
		if (error < 0)
			broken("fails with %s", errno_name(-error));
	}
}

/* device_add() says EINVAL when there was no memory for the device's name. */
static void check_new_device_error(long error)
{
	if (error != -EINVAL)
		check_error(error);
}

/* The answer to @msg; *@fault says whether the fault came. */
static int call_with_fault(int nth_fd, struct msg *msg, bool *fault)
{
	int error;

	fail_nth_set(nth_fd, site);
	error = nl_call(msg)->error;
	*fault = fail_nth_end(nth_fd);
	return error;
}

/* An operation: returns whether the fault came. @nth_fd is where it is asked for. */
static bool op_connect(int nth_fd)
{
	struct peer *a = peer_new(kind), *b = peer_new(kind);
	struct msg *msg = connect_two(DEVICE, a, b, 0);
	bool fault;
	int error;

	error = call_with_fault(nth_fd, msg, &fault);
	check_error(error);
	if (error && error != -ENOBUFS && !is_free(DEVICE))
		broken("CONNECT failed, but the device is attached");
	if (!error && is_free(DEVICE))
		broken("CONNECT succeeded, but the device is free");
	check_usable(DEVICE);
	peer_free(a);
	peer_free(b);
	return fault;
}

static bool op_create(int nth_fd)
{
	struct peer *a = peer_new(kind), *b = peer_new(kind);
	struct msg *msg = connect_two(NEW_DEVICE, a, b, NBD_CFLAG_DESTROY_ON_DISCONNECT);
	bool fault;
	int error;

	error = call_with_fault(nth_fd, msg, &fault);
	check_new_device_error(error);
	if (!error || error == -ENOBUFS)
		nl_disconnect(NEW_DEVICE);
	if (!error && node_exists(NEW_DEVICE))
		broken("the device was not removed");
	/* What is left of a failure is a whole device, or none. */
	peer_free(a);
	peer_free(b);
	check_usable(NEW_DEVICE);
	a = peer_new(kind);
	b = peer_new(kind);
	error = nl_call(connect_two(NEW_DEVICE, a, b, NBD_CFLAG_DESTROY_ON_DISCONNECT))->error;
	if (error || nl_disconnect(NEW_DEVICE) || node_exists(NEW_DEVICE))
		broken("the device cannot be removed: %s", errno_name(-error));
	peer_free(a);
	peer_free(b);
	return fault;
}

static void attach(struct peer *a, struct peer *b)
{
	int error = nl_call(connect_two(DEVICE, a, b, 0))->error;

	if (error)
		broken("CONNECT: %s", errno_name(-error));
}

static bool op_disconnect(int nth_fd)
{
	struct peer *a = peer_new(kind), *b = peer_new(kind);
	bool fault;
	int error;

	attach(a, b);
	fail_nth_set(nth_fd, site);
	error = nl_disconnect(DEVICE);
	fault = fail_nth_end(nth_fd);
	check_error(error);
	if (!error && !is_free(DEVICE))
		broken("DISCONNECT succeeded, but the device is attached");
	check_usable(DEVICE);
	peer_free(a);
	peer_free(b);
	return fault;
}

/* The new connection meets the fault: in the slot of one that died, or in place of all. */
static bool op_reconfigure(int nth_fd, bool replace)
{
	struct peer *a = peer_new(kind), *b = peer_new(kind), *c = peer_new(kind);
	struct msg *msg;
	bool fault;
	int error;

	attach(a, b);
	if (!replace)
		hang_up_and_wait(a);
	msg = reconnect_msg(DEVICE, c);
	if (replace)
		msg_put(msg, NBD_ATTR_REPLACE, NULL, 0);
	error = call_with_fault(nth_fd, msg, &fault);
	check_error(error);
	if (!replace && error == -ENOMEM && reconnect(DEVICE, c))
		broken("the next RECONFIGURE fails");
	check_usable(DEVICE);
	peer_free(a);
	peer_free(b);
	peer_free(c);
	return fault;
}

static bool op_reconnect(int nth_fd)
{
	return op_reconfigure(nth_fd, false);
}

static bool op_replace(int nth_fd)
{
	return op_reconfigure(nth_fd, true);
}

static bool op_status(int nth_fd)
{
	struct peer *a = peer_new(kind), *b = peer_new(kind);
	bool fault;

	attach(a, b);
	fail_nth_set(nth_fd, site);
	check_error(nl_call(msg_new(NBD_CMD_STATUS))->error);
	check_error(nl_call(msg_new_full(NBD_CMD_STATUS, NBD_GENL_VERSION,
					 NLM_F_ACK | NLM_F_DUMP, nl_family))->error);
	fault = fail_nth_end(nth_fd);
	check_usable(DEVICE);
	peer_free(a);
	peer_free(b);
	return fault;
}

static bool op_transfer(bool write)
{
	struct transfer t = { .index = DEVICE, .write = write, .nth = site };
	struct peer *a = peer_new(kind), *b = peer_new(kind);

	attach(a, b);
	/* Not the look for partitions. */
	transfer_now(DEVICE, false);
	transfer(&t);
	check_error(t.ret < 0 ? t.ret : 0);
	check_usable(DEVICE);
	peer_free(a);
	peer_free(b);
	return t.fault;
}

static bool op_read(int nth_fd)
{
	(void)nth_fd;
	return op_transfer(false);
}

static bool op_write(int nth_fd)
{
	(void)nth_fd;
	return op_transfer(true);
}

/* What was set up through ioctls attaches, and goes again. */
static void serve_through_ioctls(int fd)
{
	struct doit doit;

	doit_start(&doit, fd);
	if (!wait_size(DEVICE, 2048))
		broken("DO_IT does not attach: %s", doit_outcome(&doit, 0));
	nbd_ioctl(fd, NBD_DISCONNECT, 0);
	if (!strcmp(doit_outcome(&doit, PATIENCE), "still running"))
		broken("DO_IT does not return");
}

/* The classic order of ioctls, all under one count. */
static bool op_ioctls(int nth_fd)
{
	struct peer *a = peer_new(kind);
	int fd = must_open(DEVICE);
	bool fault;
	long ret;

	fail_nth_set(nth_fd, site);
	ret = nbd_ioctl(fd, NBD_SET_BLKSIZE, 512);
	if (!ret)
		ret = nbd_ioctl(fd, NBD_SET_SIZE_BLOCKS, 2048);
	if (!ret)
		ret = nbd_ioctl(fd, NBD_SET_SOCK, peer_fd(a));
	fault = fail_nth_end(nth_fd);
	check_error(ret);
	if (!ret)
		serve_through_ioctls(fd);
	nbd_ioctl(fd, NBD_CLEAR_SOCK, 0);
	close(fd);
	peer_free(a);
	check_usable(DEVICE);
	return fault;
}

static void do_nothing(int signal)
{
	(void)signal;
}

/* DO_IT itself: it may return at once, or serve. What it refused is still set up. */
static bool op_do_it(int nth_fd)
{
	struct sigaction action = { .sa_handler = do_nothing };
	struct peer *a = peer_new(kind);
	int fd = must_open(DEVICE);
	bool fault;
	long ret;

	ioctl_setup(fd, peer_fd(a), 512, NBD_FLAG_HAS_FLAGS);
	sigaction(SIGALRM, &action, NULL);
	ualarm(300000, 50000);
	fail_nth_set(nth_fd, site);
	ret = nbd_ioctl(fd, NBD_DO_IT, 0);
	fault = fail_nth_end(nth_fd);
	ualarm(0, 0);
	check_error(ret);
	if (ret == -ENOMEM)
		serve_through_ioctls(fd);
	nbd_ioctl(fd, NBD_CLEAR_SOCK, 0);
	close(fd);
	peer_free(a);
	check_usable(DEVICE);
	return fault;
}

/* With two devices, for what is allocated for a third is the same; DEVICE is made later. */
static long load(int module)
{
	return result(syscall(SYS_finit_module, module, "nbds_max=2", 0));
}

static bool op_load(int nth_fd)
{
	int module = open(module_path, O_RDONLY | O_CLOEXEC);
	bool fault;
	long ret;

	if (module < 0)
		err(1, "%s", module_path);
	syscall(SYS_delete_module, "nbd", 0);
	fail_nth_set(nth_fd, site);
	ret = load(module);
	fault = fail_nth_end(nth_fd);
	check_new_device_error(ret);
	if (ret < 0 && !access("/sys/module/nbd", F_OK))
		broken("the module was not loaded, but is there");
	if (ret < 0)
		ret = load(module);
	close(module);
	if (ret < 0)
		broken("the next load fails: %s", errno_name(-ret));
	if (!nl_open())
		broken("loaded, but there is no family");
	check_usable(DEVICE);
	if (result(syscall(SYS_delete_module, "nbd", 0)))
		broken("the module cannot be unloaded");
	return fault;
}

static const struct {
	const char *name;
	bool (*run)(int nth_fd);
} operations[] = {
	{ "load", op_load },
	{ "connect", op_connect },
	{ "create", op_create },
	{ "status", op_status },
	{ "read", op_read },
	{ "write", op_write },
	{ "reconnect", op_reconnect },
	{ "replace", op_replace },
	{ "disconnect", op_disconnect },
	{ "ioctls", op_ioctls },
	{ "do_it", op_do_it },
};

static void sweep(bool (*run)(int nth_fd), unsigned int stride)
{
	int fd = fail_nth_open();

	for (site = 1; site < SITES_MAX; site += stride) {
		if (!run(fd))
			break;
		injected++;
	}
	if (site >= SITES_MAX)
		broken("there is no end of allocations");
	close(fd);
	printf("faults: %s\ntally: %u allocations refused\n", operation, injected);
}

/* --- at random --- */

/* One life of a device; with @strict nothing may fail. */
static unsigned int one_life(bool strict)
{
	struct peer *a, *b, *c;
	unsigned int failures = 0;
	long ret;

	kind = site % 2 ? PEER_UNIX : PEER_TCP;
	a = peer_new(kind);
	b = peer_new(kind);
	c = peer_new(kind);
	ret = nl_call(connect_two(DEVICE, a, b, 0))->error;
	failures += !!ret;
	if (!is_free(DEVICE)) {
		failures += transfer_now(DEVICE, true) != BLOCK;
		failures += transfer_now(DEVICE, false) != BLOCK;
		peer_hang_up(a);
		failures += !!reconnect(DEVICE, c);
		failures += transfer_now(DEVICE, true) != BLOCK;
	}
	while (!is_free(DEVICE))
		nl_disconnect(DEVICE);
	if (strict && failures)
		broken("%u operations failed", failures);
	peer_free(a);
	peer_free(b);
	peer_free(c);
	return failures;
}

static void storm(unsigned int rounds, bool strict)
{
	unsigned int failures = 0;

	for (site = 1; site <= rounds; site++)
		failures += one_life(strict);
	printf("faults: %u failures\ntally: %u lives of a device short of memory\n", failures,
	       rounds);
}

int main(int argc, char **argv)
{
	unsigned long number = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
	size_t i;

	operation = argc > 1 ? argv[1] : "";
	module_path = getenv("MODULE");
	kind = getenv("TCP") ? PEER_TCP : PEER_UNIX;
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(operation, "load") && !nl_open())
		errx(1, "the family cannot be found");
	if (!strcmp(operation, "storm") || !strcmp(operation, "check")) {
		storm(number, !strcmp(operation, "check"));
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(operations); i++)
		if (!strcmp(operations[i].name, operation)) {
			sweep(operations[i].run, number);
			return 0;
		}
	errx(2, "usage: faults OPERATION [STRIDE]");
}
