// SPDX-License-Identifier: GPL-2.0
/*
 * faults OPERATION [STRIDE]: does the operation again and again, and lets the 1st,
 * 2nd, 3rd ... allocation in it fail, until one run meets no fault: every allocation
 * site that the calling task reaches, one at a time. With STRIDE every STRIDE-th only.
 *
 * After each failure the state must be the one before or the one wanted, nothing between;
 * a device that is attached serves data; and the next try, without a fault, works.
 *
 * faults failslab|fail_page_alloc [STRIDE]: the same over a device's whole life, whichever
 * task allocates. The caller has told the injector whose allocations it counts.
 *
 * faults storm ROUNDS: attaches, reads, writes, loses the connection, gets another one
 * and detaches, while the kernel lets allocations fail as the caller has told it to.
 * Errors are in order; what hangs is not. faults check: all of it, without an error.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/nbd.h>
#include <linux/nbd-netlink.h>

#include "../library/library.h"

#define DEVICE		4
/* Does not exist when the module is loaded. */
#define NEW_DEVICE	40
#define BLOCK		4096
#define BACKEND		"faults"
#define FLAGS		(NBD_FLAG_HAS_FLAGS | NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_FLUSH | \
			 NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES)
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

enum request {
	READ,
	WRITE,
	FLUSH,
	TRIM,
	ZEROES,
};

static const char *const request_names[] = { "read", "write", "flush", "trim", "write of zeroes" };

struct transfer {
	pthread_t thread;
	int index;
	enum request request;
	unsigned int nth;
	bool fault, done;
	long ret;
};

/* The request at one block, 0 or -errno. */
static long do_request(int fd, enum request request, void *buffer)
{
	uint64_t range[] = { 65536, BLOCK };
	long ret = 0;

	switch (request) {
	case READ:
		ret = pread(fd, buffer, BLOCK, range[0]);
		break;
	case WRITE:
		ret = pwrite(fd, buffer, BLOCK, range[0]);
		break;
	case FLUSH:
		return result(fsync(fd));
	case TRIM:
		return result(ioctl(fd, BLKDISCARD, range));
	case ZEROES:
		return result(ioctl(fd, BLKZEROOUT, range));
	}
	if (ret >= 0 && ret != BLOCK)
		return -ENODATA;
	return ret < 0 ? -errno : 0;
}

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
		t->ret = do_request(fd, t->request, buffer);
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

/* Allocations are refused to the driver alone, not to netlink itself. */
static bool only_driver;

/* The answer's error. What the driver refuses it must say in a sentence. */
static int call(struct msg *msg, const char *what)
{
	const struct answer *answer = nl_call(msg);

	if (only_driver && answer->error && !answer->text[0])
		broken("%s: %s, and no sentence", what, errno_name(-answer->error));
	return answer->error;
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
	return call(reconnect_msg(index, peer), "RECONFIGURE");
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
			broken("a %s waits for ever, though there are connections",
			       request_names[t->request]);
		reconnect(t->index, peer_new(kind));
	}
	pthread_join(t->thread, NULL);
	/* The device may be served by one of them: they live as long as the program. */
}

static long transfer_now(int index, enum request request)
{
	struct transfer t = { .index = index, .request = request };

	transfer(&t);
	return t.ret;
}

/* --- the operations --- */

static struct msg *connect_two(int index, struct peer *a, struct peer *b, uint64_t flags)
{
	int fds[] = { peer_fd(a), peer_fd(b) };
	struct msg *msg = connect_msg(index, fds, 2, 1 << 20);

	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, FLAGS);
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
	ret = transfer_now(index, READ);
	if (ret)
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

static void attach(struct peer *a, struct peer *b, uint64_t flags)
{
	int error = nl_call(connect_two(DEVICE, a, b, flags))->error;

	if (error)
		broken("CONNECT: %s", errno_name(-error));
}

static bool op_disconnect(int nth_fd)
{
	struct peer *a = peer_new(kind), *b = peer_new(kind);
	bool fault;
	int error;

	attach(a, b, 0);
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

/* The last close detaches: it cannot be refused. */
static bool op_close(int nth_fd)
{
	struct peer *a = peer_new(kind), *b = peer_new(kind);
	bool fault;
	int fd;

	attach(a, b, NBD_CFLAG_DISCONNECT_ON_CLOSE);
	fd = must_open(DEVICE);
	/* somebody else may look for partitions still, and would be the last */
	settle(DEVICE);
	fail_nth_set(nth_fd, site);
	close(fd);
	fault = fail_nth_end(nth_fd);
	if (!wait_free(DEVICE))
		broken("the last close did not detach the device");
	check_usable(DEVICE);
	peer_free(a);
	peer_free(b);
	return fault;
}

/* A detach that removes the device, too. */
static bool op_destroy(int nth_fd)
{
	struct peer *a = peer_new(kind), *b = peer_new(kind);
	bool fault;
	int error;

	error = nl_call(connect_two(NEW_DEVICE, a, b, NBD_CFLAG_DESTROY_ON_DISCONNECT))->error;
	if (error)
		broken("CONNECT: %s", errno_name(-error));
	fail_nth_set(nth_fd, site);
	error = nl_disconnect(NEW_DEVICE);
	fault = fail_nth_end(nth_fd);
	check_error(error);
	if (error && node_exists(NEW_DEVICE))
		error = nl_disconnect(NEW_DEVICE);
	if (node_exists(NEW_DEVICE))
		broken("the device was not removed: %s", errno_name(-error));
	peer_free(a);
	peer_free(b);
	return fault;
}

static void check_live(unsigned int wanted, const char *when)
{
	unsigned int live = live_conns(nl_status(DEVICE));

	if (live != wanted)
		broken("%u connections are live %s, not %u", live, when, wanted);
}

/* A connection for the slot of one that died, or in place of all. */
static struct msg *another_msg(struct peer *peer, bool replace)
{
	struct msg *msg = reconnect_msg(DEVICE, peer);

	if (replace)
		msg_put(msg, NBD_ATTR_REPLACE, NULL, 0);
	return msg;
}

static bool op_reconfigure(int nth_fd, bool replace)
{
	struct peer *a = peer_new(kind), *b = peer_new(kind), *c = peer_new(kind);
	bool fault;
	int error;

	attach(a, b, 0);
	if (!replace)
		hang_up_and_wait(a);
	error = call_with_fault(nth_fd, another_msg(c, replace), &fault);
	check_error(error);
	if (error == -ENOMEM) {
		check_live(replace ? 2 : 1, "after a refusal");
		error = nl_call(another_msg(c, replace))->error;
		if (error)
			broken("the next RECONFIGURE fails: %s", errno_name(-error));
	}
	if (!error)
		check_live(replace ? 1 : 2, "after a RECONFIGURE");
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

	attach(a, b, 0);
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

static bool op_transfer(enum request request)
{
	static const unsigned int types[] = {
		NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_FLUSH, NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES,
	};
	struct transfer t = { .index = DEVICE, .request = request, .nth = site };
	struct peer *a = peer_new(kind), *b = peer_new(kind);
	unsigned int before;

	attach(a, b, 0);
	/* Not the look for partitions. */
	transfer_now(DEVICE, READ);
	before = peer_count(a, types[request]) + peer_count(b, types[request]);
	transfer(&t);
	check_error(t.ret);
	if (!t.ret && peer_count(a, types[request]) + peer_count(b, types[request]) == before)
		broken("no %s reached the server", request_names[request]);
	check_usable(DEVICE);
	peer_free(a);
	peer_free(b);
	return t.fault;
}

static bool op_read(int nth_fd)
{
	(void)nth_fd;
	return op_transfer(READ);
}

static bool op_write(int nth_fd)
{
	(void)nth_fd;
	return op_transfer(WRITE);
}

static bool op_flush(int nth_fd)
{
	(void)nth_fd;
	return op_transfer(FLUSH);
}

static bool op_trim(int nth_fd)
{
	(void)nth_fd;
	return op_transfer(TRIM);
}

static bool op_zeroes(int nth_fd)
{
	(void)nth_fd;
	return op_transfer(ZEROES);
}

static void must_return(struct doit *doit)
{
	if (!strcmp(doit_outcome(doit, PATIENCE), "still running"))
		broken("DO_IT does not return");
}

/* What was set up through ioctls attaches, and goes again. */
static void serve_through_ioctls(int fd)
{
	struct doit doit;

	doit_start(&doit, fd);
	if (!wait_size(DEVICE, 2048))
		broken("DO_IT does not attach: %s", doit_outcome(&doit, 0));
	nbd_ioctl(fd, NBD_DISCONNECT, 0);
	must_return(&doit);
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

/* A call that ends DO_IT: if it is refused, the next one does. */
static bool op_ioctl_detach(int nth_fd, unsigned int cmd)
{
	struct peer *a = peer_new(kind);
	int fd = must_open(DEVICE);
	struct doit doit;
	bool fault;
	long ret;

	ioctl_setup(fd, peer_fd(a), 512, NBD_FLAG_HAS_FLAGS);
	doit_start(&doit, fd);
	if (!wait_size(DEVICE, 2048))
		broken("DO_IT does not attach: %s", doit_outcome(&doit, 0));
	fail_nth_set(nth_fd, site);
	ret = nbd_ioctl(fd, cmd, 0);
	fault = fail_nth_end(nth_fd);
	check_error(ret);
	if (ret)
		ret = nbd_ioctl(fd, cmd, 0);
	if (ret)
		broken("the next %s fails: %s", ioctl_name(cmd), errno_name(-ret));
	must_return(&doit);
	nbd_ioctl(fd, NBD_CLEAR_SOCK, 0);
	close(fd);
	peer_free(a);
	check_usable(DEVICE);
	return fault;
}

static bool op_ioctl_disconnect(int nth_fd)
{
	return op_ioctl_detach(nth_fd, NBD_DISCONNECT);
}

static bool op_ioctl_clear(int nth_fd)
{
	return op_ioctl_detach(nth_fd, NBD_CLEAR_SOCK);
}

/* sock_create_kern() says ENFILE when there was no memory for a socket. */
static void check_load_error(long error)
{
	if (error != -ENFILE)
		check_new_device_error(error);
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
	check_load_error(ret);
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
	ret = result(syscall(SYS_delete_module, "nbd", 0));
	if (ret < 0)
		broken("the module cannot be unloaded: %s", errno_name(-ret));
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
	{ "flush", op_flush },
	{ "trim", op_trim },
	{ "zeroes", op_zeroes },
	{ "reconnect", op_reconnect },
	{ "replace", op_replace },
	{ "disconnect", op_disconnect },
	{ "close", op_close },
	{ "destroy", op_destroy },
	{ "ioctls", op_ioctls },
	{ "do_it", op_do_it },
	{ "ioctl_disconnect", op_ioctl_disconnect },
	{ "ioctl_clear", op_ioctl_clear },
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

/* One life of a device on connections of @kind; with @strict nothing may fail. */
static unsigned int one_life(bool strict)
{
	struct peer *a, *b, *c;
	unsigned int failures = 0;
	enum request request;
	long ret;

	a = peer_new(kind);
	b = peer_new(kind);
	c = peer_new(kind);
	ret = call(connect_two(DEVICE, a, b, 0), "CONNECT");
	failures += !!ret;
	if (!is_free(DEVICE)) {
		for (request = READ; request <= ZEROES; request++)
			failures += !!transfer_now(DEVICE, request);
		peer_hang_up(a);
		failures += !!reconnect(DEVICE, c);
		failures += !!transfer_now(DEVICE, WRITE);
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

	for (site = 1; site <= rounds; site++) {
		kind = site % 2 ? PEER_UNIX : PEER_TCP;
		failures += one_life(strict);
	}
	printf("faults: %u failures\ntally: %u lives of a device short of memory\n", failures,
	       rounds);
}

/* --- one at a time, in whichever task: the driver's own do most of the I/O --- */

static const char *injector;

static long injector_file(const char *name, const char *text)
{
	char path[64], value[16] = "";
	int fd, len;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", injector, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	len = text ? write(fd, text, strlen(text)) : read(fd, value, sizeof(value) - 1);
	if (len < 0)
		err(1, "%s", path);
	close(fd);
	return atol(value);
}

static void injector_set(const char *name, long number)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", number);
	injector_file(name, text);
}

static bool injector_used(void)
{
	return !injector_file("times", NULL);
}

/*
 * The @nth allocation that the injector counts from here on will fail, and no other. It
 * counts pages down from a number that can be set. Its count of the others, of which every
 * @nth fails, can not: here the status is asked for until that fails.
 */
static void refuse_nth(unsigned int nth)
{
	unsigned int calls;

	injector_set("times", 1);
	injector_set("probability", 100);
	if (!strcmp(injector, "fail_page_alloc")) {
		injector_set("space", nth - 1);
		return;
	}
	injector_set("interval", nth);
	for (calls = 0; nth > 1 && !injector_used(); calls++) {
		if (calls > nth)
			errx(1, "STATUS does not allocate");
		nl_call(msg_new(NBD_CMD_STATUS));
	}
	injector_set("times", 1);
}

static void sweep_anywhere(unsigned int stride)
{
	bool used = true;

	for (site = 1; used; site += stride) {
		if (site >= SITES_MAX)
			broken("there is no end of allocations");
		refuse_nth(site);
		one_life(false);
		used = injector_used();
		injector_set("probability", 0);
		injected += used;
		one_life(true);
	}
	if (!injected)
		broken("no allocation was refused");
	printf("faults: %s\ntally: %u allocations refused\n", injector, injected);
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
	if (!strcmp(operation, "failslab") || !strcmp(operation, "fail_page_alloc")) {
		injector = operation;
		only_driver = true;
		sweep_anywhere(number);
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(operations); i++)
		if (!strcmp(operations[i].name, operation)) {
			sweep(operations[i].run, number);
			return 0;
		}
	errx(2, "usage: faults OPERATION [STRIDE]");
}
