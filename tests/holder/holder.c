// SPDX-License-Identifier: GPL-2.0
/*
 *	holder [--all] [--other] tcp|unix before|setup|running [NAME...]
 *
 * plays the abuses of holder.h, all or the named ones, on /dev/nbd0: as root and as nobody in
 * turn, with --other the other way round, with --all both. One line for each; status 1 if one
 * went wrong.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>

#include "../library/library.h"
#include "holder.h"

#define DEVICE_BYTES	(1 << 20)
#define LONG_BYTES	(512 << 10)
#define NOBODY		65534
#define ROUNDS		2
/* Seconds on a machine of usual speed: for one request, for all to go on. */
#define REQUEST_LIMIT	1
#define LIMIT		40
/* For a call that may wait. */
#define CALL_LIMIT	0.6
#define LOSSES_MAX	8

/* A thread that writes and compares. */
struct io {
	pthread_t thread;
	off_t at;
	size_t len;
	bool tolerant, stop, ended;
	unsigned int rounds;
	char complaint[128];
};

static struct io ios[2];
static struct peer *peers[LOSSES_MAX + 2];
static unsigned int n_peers, losses;
static enum peer_kind kind;
/* How much slower than usual this machine is: TIME_SCALE. */
static unsigned int slowness = 1;
static int kmsg;

/* --- I/O --- */

static bool io_round(struct io *io, int fd, uint32_t *data, uint32_t *back)
{
	uint32_t seed = io->rounds * 2654435761U;
	size_t i;

	for (i = 0; i < io->len / sizeof(*data); i++)
		data[i] = seed + i;
	if (pwrite(fd, data, io->len, io->at) != (ssize_t)io->len ||
	    pread(fd, back, io->len, io->at) != (ssize_t)io->len) {
		if (!io->tolerant)
			snprintf(io->complaint, sizeof(io->complaint), "I/O: %s", strerror(errno));
		return false;
	}
	for (i = 0; i < io->len / sizeof(*data) && data[i] == back[i]; i++)
		;
	if (i == io->len / sizeof(*data))
		return true;
	snprintf(io->complaint, sizeof(io->complaint), "wrong data at %zu of %zu: %#x, not %#x",
		 i * sizeof(*data), io->len, back[i], data[i]);
	return false;
}

static void *io_thread(void *arg)
{
	struct io *io = arg;
	void *data, *back;
	int fd = open_device(0, O_RDWR | O_DIRECT);

	if (fd < 0 || posix_memalign(&data, 4096, io->len) || posix_memalign(&back, 4096, io->len))
		err(1, "I/O thread");
	while (!__atomic_load_n(&io->stop, __ATOMIC_SEQ_CST) && io_round(io, fd, data, back))
		__atomic_add_fetch(&io->rounds, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&io->stop, true, __ATOMIC_SEQ_CST);
	free(data);
	free(back);
	close(fd);
	__atomic_store_n(&io->ended, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static void io_start(bool tolerant)
{
	unsigned int i;

	memset(ios, 0, sizeof(ios));
	ios[0].len = LONG_BYTES;
	ios[1].len = 4096;
	ios[1].at = LONG_BYTES;
	for (i = 0; i < ARRAY_SIZE(ios); i++) {
		ios[i].tolerant = tolerant;
		if (pthread_create(&ios[i].thread, NULL, io_thread, &ios[i]))
			errx(1, "thread");
	}
}

static unsigned int rounds(unsigned int i)
{
	return __atomic_load_n(&ios[i].rounds, __ATOMIC_SEQ_CST);
}

/* --- the device --- */

static struct peer *peer_next(void)
{
	if (n_peers == ARRAY_SIZE(peers))
		errx(1, "connections die without end");
	peers[n_peers] = peer_new(kind);
	return peers[n_peers++];
}

static int attach(struct peer *peer)
{
	int fd = peer_fd(peer);
	struct msg *msg = connect_msg(0, &fd, 1, DEVICE_BYTES);

	msg_u64(msg, NBD_ATTR_TIMEOUT, REQUEST_LIMIT * slowness);
	msg_u64(msg, NBD_ATTR_DEAD_CONN_TIMEOUT, 10 * LIMIT * slowness);
	return nl_call(msg)->error;
}

static bool detach_all(void)
{
	bool good = true;

	nl_disconnect(0);
	if (!wait_free(0)) {
		printf(" still attached");
		good = false;
	}
	while (n_peers)
		peer_free(peers[--n_peers]);
	return good;
}

/* A new socket in place of one that was lost. */
static void mend(void)
{
	struct msg *msg;
	int fd;

	if (live_conns(nl_status(0)))
		return;
	losses++;
	fd = peer_fd(peer_next());
	msg = index_msg(NBD_CMD_RECONFIGURE, 0);
	msg_sockets(msg, &fd, 1);
	nl_call(msg);
}

/* What is under way ends, too: a connection may be lost even now. */
static bool io_stop(void)
{
	bool good = true;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ios); i++)
		__atomic_store_n(&ios[i].stop, true, __ATOMIC_SEQ_CST);
	for (i = 0; i < ARRAY_SIZE(ios); i++) {
		while (!__atomic_load_n(&ios[i].ended, __ATOMIC_SEQ_CST)) {
			if (!ios[i].tolerant)
				mend();
			usleep(20000);
		}
		pthread_join(ios[i].thread, NULL);
		if (*ios[i].complaint) {
			printf(" %s", ios[i].complaint);
			good = false;
		}
	}
	return good;
}

/* Everything was written and read once more than when this began, at least. */
static bool goes_on(void)
{
	unsigned int base[] = { rounds(0), rounds(1) };
	double end = now() + LIMIT * slowness;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ios); i++) {
		while (rounds(i) < base[i] + ROUNDS) {
			mend();
			if (__atomic_load_n(&ios[i].stop, __ATOMIC_SEQ_CST))
				return false;
			if (now() > end) {
				printf(" I/O hangs");
				return false;
			}
			usleep(20000);
		}
	}
	return true;
}

/* Lines about lost connections since the last call. */
static unsigned int lines_of_losses(void)
{
	unsigned int lines = 0;
	char record[2048];
	ssize_t n;

	while ((n = read(kmsg, record, sizeof(record) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		record[n > 0 ? n : 0] = 0;
		lines += strstr(record, "nbd0: connection ") && strstr(record, " lost: ");
	}
	return lines;
}

/* --- abuses --- */

struct attempt {
	pid_t pid;
	long *ret;
};

static void attempt_begin(struct attempt *attempt, const struct abuse *abuse, int fd, bool nobody)
{
	attempt->ret = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (attempt->ret == MAP_FAILED)
		err(1, "shared result");
	*attempt->ret = -EINPROGRESS;
	fflush(stdout);
	attempt->pid = fork();
	if (attempt->pid < 0)
		err(1, "fork");
	if (attempt->pid)
		return;
	if (nobody && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
		       setresuid(NOBODY, NOBODY, NOBODY)))
		_exit(2);
	*attempt->ret = abuse->run(fd);
	_exit(0);
}

static bool attempt_is_over(void *arg)
{
	struct attempt *attempt = arg;
	siginfo_t info = { };

	return !waitid(P_PID, attempt->pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid;
}

/* Whether it ended in a while or waits for something; whatever holds it then is let go. */
static long attempt_end(struct attempt *attempt)
{
	long ret;

	kill(attempt->pid, SIGKILL);
	waitpid(attempt->pid, NULL, 0);
	ret = *attempt->ret;
	munmap(attempt->ret, sizeof(long));
	return ret;
}

static bool try_running(const struct abuse *abuse, bool nobody)
{
	struct attempt attempt;
	int way = kind == PEER_TCP ? ON_TCP : ON_UNIX;
	struct peer *peer = peer_next();
	bool good;
	long ret;

	if (attach(peer)) {
		printf(" cannot attach");
		return false;
	}
	io_start(false);
	good = goes_on();
	attempt_begin(&attempt, abuse, peer_fd(peer), nobody);
	until(attempt_is_over, &attempt, CALL_LIMIT);
	good = goes_on() && good;
	ret = attempt_end(&attempt);
	printf(" %s", ret < 0 ? errno_name(-ret) : "done");
	if (ret >= 0 && abuse->refused & way) {
		printf(", which must not be possible");
		good = false;
	}
	/* Once more, without anybody who holds it. */
	return goes_on() && good;
}

static bool try_before(const struct abuse *abuse, bool nobody)
{
	struct peer *peer = peer_next();
	struct attempt attempt;
	bool good = true;
	long ret;

	attempt_begin(&attempt, abuse, peer_fd(peer), nobody);
	until(attempt_is_over, &attempt, CALL_LIMIT);
	ret = attach(peer);
	printf(" %s", ret ? errno_name(-ret) : "attached");
	if (!ret) {
		io_start(false);
		good = goes_on();
	}
	attempt_end(&attempt);
	return good;
}

static bool has_rounds_or_ended(void *arg)
{
	struct doit *doit = arg;
	unsigned int i;

	if (__atomic_load_n(&doit->done, __ATOMIC_SEQ_CST))
		return true;
	for (i = 0; i < ARRAY_SIZE(ios); i++)
		if (rounds(i) < ROUNDS && !__atomic_load_n(&ios[i].stop, __ATOMIC_SEQ_CST))
			return false;
	return true;
}

static bool attached_or_ended(void *arg)
{
	struct doit *doit = arg;

	return __atomic_load_n(&doit->done, __ATOMIC_SEQ_CST) || !is_free(0);
}

static bool try_setup(const struct abuse *abuse, bool nobody)
{
	struct peer *peer = peer_next();
	int node = must_open(0);
	struct attempt attempt;
	const char *outcome;
	struct doit doit;

	ioctl_setup(node, peer_fd(peer), 4096, NBD_FLAG_HAS_FLAGS);
	nbd_ioctl(node, NBD_SET_TIMEOUT, REQUEST_LIMIT * slowness);
	attempt_begin(&attempt, abuse, peer_fd(peer), nobody);
	until(attempt_is_over, &attempt, CALL_LIMIT);
	doit_start(&doit, node);
	until(attached_or_ended, &doit, LIMIT * slowness);
	io_start(true);
	until(has_rounds_or_ended, &doit, LIMIT * slowness);
	nbd_ioctl(node, NBD_DISCONNECT, 0);
	outcome = doit_outcome(&doit, LIMIT * slowness);
	printf(" %s", outcome);
	nbd_ioctl(node, NBD_CLEAR_SOCK, 0);
	attempt_end(&attempt);
	close(node);
	return strcmp(outcome, "still running");
}

static bool (*try)(const struct abuse *abuse, bool nobody);

static bool play(const struct abuse *abuse, bool nobody)
{
	unsigned int lines;
	bool good;

	losses = 0;
	lines_of_losses();
	printf("%s %s:", abuse->name, nobody ? "nobody" : "root");
	good = try(abuse, nobody);
	if (ios[0].thread)
		good = io_stop() && good;
	memset(ios, 0, sizeof(ios));
	good = detach_all() && good;
	lines = lines_of_losses();
	if (try != try_setup && lines > losses) {
		printf(", %u lines", lines);
		good = false;
	}
	printf(", %u lost%s\n", losses, good ? "" : ": WRONG");
	return good;
}

static bool selected(const struct abuse *abuse, char **names)
{
	if (!(abuse->on & (kind == PEER_TCP ? ON_TCP : ON_UNIX)))
		return false;
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, abuse->name))
			return true;
	return false;
}

/* A device of new sockets is as good as ever. */
static bool device_works(void)
{
	bool good;

	if (attach(peer_next())) {
		printf("cannot attach in the end\n");
		return false;
	}
	io_start(false);
	good = goes_on();
	good = io_stop() && good;
	return detach_all() && good;
}

static void parse_when(const char *when)
{
	if (!strcmp(when, "before"))
		try = try_before;
	else if (!strcmp(when, "setup"))
		try = try_setup;
	else if (!strcmp(when, "running"))
		try = try_running;
	else
		errx(2, "when is '%s'?", when);
}

int main(int argc, char **argv)
{
	const struct abuse *const tables[] = { option_abuses, call_abuses };
	unsigned int tried = 0, wrong = 0, table;
	bool all = false, nobody = false;
	const struct abuse *abuse;

	for (; argc > 1 && argv[1][0] == '-'; argc--, argv++) {
		all |= !strcmp(argv[1], "--all");
		nobody |= !strcmp(argv[1], "--other");
	}
	if (argc < 3)
		errx(2, "usage: holder [--all] [--other] tcp|unix before|setup|running [NAME...]");
	kind = strcmp(argv[1], "tcp") ? PEER_UNIX : PEER_TCP;
	parse_when(argv[2]);
	if (getenv("TIME_SCALE"))
		slowness = strtoul(getenv("TIME_SCALE"), NULL, 10) ?: 1;
	peer_share_image();
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0 || lseek(kmsg, 0, SEEK_END) < 0 || !nl_open())
		errx(1, "kernel log or driver");
	signal(SIGPIPE, SIG_IGN);
	for (table = 0; table < ARRAY_SIZE(tables); table++) {
		for (abuse = tables[table]; abuse->name; abuse++) {
			if (!selected(abuse, argv + 3))
				continue;
			tried += 1 + all;
			wrong += !play(abuse, nobody);
			nobody = !nobody;
			if (all) {
				wrong += !play(abuse, nobody);
				nobody = !nobody;
			}
		}
	}
	printf("tally: %u abuses of a socket\n", tried);
	return wrong || !device_works();
}
