// SPDX-License-Identifier: GPL-2.0
/*
 * scenarios DEVICE CONTROL CONNECTIONS <LIST: plays the hostile server's scenarios of
 * the transmission phase (LIST is `hostile --list transmission`) against an attached
 * device whose connections are restored by somebody else, and judges each by its
 * promised outcome (tests/servers/hostile/scenario.h):
 *
 * - the request that meets it ends in time, as promised, with the right data; one that
 *   does not is the end of the device and the program;
 * - a connection is dropped if that was promised, and only then, with one line in the
 *   kernel's log for each; if the request timeout was not to be waited for, not by that;
 * - afterwards the device has all its connections again, and the place serves;
 * - requests elsewhere, which a thread makes all the time, always succeed and are right.
 *
 * One line for each scenario that failed; the exit status is 1 then.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <linux/nbd-netlink.h>

#include "../library/library.h"
#include "control.h"

#define TARGET		(1U << 20)
/* The longest request there. */
#define LENGTH		(512U << 10)
/* How many of them "reads" are. */
#define READS		16
/* Seconds for the request that meets a scenario. */
#define PATIENCE	30
/* Where the thread works, in pieces. */
#define ELSEWHERE	(8U << 20)
#define PIECE		(16U << 10)
#define PIECES		64

struct scenario {
	char name[64], io[16], outcome[32];
	int conns;
	unsigned int length;
};

static int device_fd, log_fd, device_index;
static unsigned int wanted_conns, failed, played;
static double scale;

/* Held by the thread while it has requests, and to keep it from having any. */
static pthread_mutex_t traffic = PTHREAD_MUTEX_INITIALIZER;
static uint8_t *content, *got, *junk;
static uint64_t pieces_done;
static bool stop, elsewhere_broken;
/* When it must have ended; 0: it has. */
static double request_deadline;

/* --- what the driver says --- */

struct status {
	uint64_t deaths, timeouts;
	unsigned int live;
};

static uint64_t get_counter(const struct answer *answer, uint16_t type)
{
	const uint8_t *counters, *counter;
	uint64_t value;
	size_t len;

	counters = attr_find(answer->data, answer->len, NBD_ATTR_COUNTERS, &len);
	counter = counters ? attr_find(counters, len, type, NULL) : NULL;
	if (!counter)
		errx(1, "STATUS says nothing of the device");
	memcpy(&value, counter, sizeof(value));
	return value;
}

static struct status get_status(void)
{
	struct answer *answer = nl_status(device_index);

	return (struct status){
		.deaths = get_counter(answer, NBD_COUNTER_CONN_DEATHS),
		.timeouts = get_counter(answer, NBD_COUNTER_TIMEDOUT),
		.live = live_conns(answer),
	};
}

static bool all_live(void *arg)
{
	(void)arg;
	return get_status().live == wanted_conns;
}

static bool more_deaths(void *arg)
{
	return get_status().deaths > *(uint64_t *)arg;
}

/*
 * The kernel lets ten lines of a kind pass in five seconds. When it printed the last ten,
 * also for devices before this one, in seconds of its clock; a ring.
 */
static double line_times[10];
static unsigned int next_line;

static bool is_lost_line(const char *record)
{
	return strstr(record, ";block nbd") && strstr(record, ": connection ") &&
	       strstr(record, " lost: ");
}

/* Lines of the driver's about lost connections since the last call; the monitor's differ. */
static unsigned int lost_lines(void)
{
	unsigned long long when;
	char record[8192];
	unsigned int n = 0;
	ssize_t len;

	while ((len = read(log_fd, record, sizeof(record) - 1)) > 0 ||
	       (len < 0 && errno == EPIPE)) {
		record[len > 0 ? len : 0] = 0;
		if (!is_lost_line(record) || sscanf(record, "%*u,%*u,%llu", &when) != 1)
			continue;
		line_times[next_line++ % ARRAY_SIZE(line_times)] = when / 1e6;
		n++;
	}
	return n;
}

/*
 * True if the kernel has printed so many lines shortly before @since, or after it, that it
 * may have dropped one that was due after @since.
 */
static bool log_overrun(double since)
{
	double oldest = line_times[next_line % ARRAY_SIZE(line_times)];

	return oldest && since - oldest < 6;
}

/* Deaths whose lines were looked for, when, and the lines since then. */
static uint64_t deaths_told;
static double lines_told_at;
static unsigned int lines_since;

/* --- I/O --- */

static uint8_t *buffer(size_t len)
{
	void *p;

	if (posix_memalign(&p, 4096, len))
		err(1, "buffer");
	return p;
}

static void fill(uint8_t *p, size_t len, uint32_t stamp)
{
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = (stamp * 2654435761U + i * 40503U) >> 13;
}

/* 0 or -errno. */
static long transfer(bool write, uint8_t *data, size_t len, off_t at)
{
	long ret = result(write ? pwrite(device_fd, data, len, at) :
			  pread(device_fd, data, len, at));

	if (ret < 0)
		return ret;
	return ret == (long)len ? 0 : -ENODATA;
}

/* What was written to a piece a round ago is there, then something new. */
static void work_on_piece(unsigned int i, uint8_t *data, uint8_t *back)
{
	static uint32_t stamps[PIECES];

	if (stamps[i]) {
		fill(data, PIECE, stamps[i]);
		if (transfer(false, back, PIECE, ELSEWHERE + i * PIECE) ||
		    memcmp(data, back, PIECE))
			elsewhere_broken = true;
	}
	stamps[i] = pieces_done + 1;
	fill(data, PIECE, stamps[i]);
	if (transfer(true, data, PIECE, ELSEWHERE + i * PIECE))
		elsewhere_broken = true;
}

static void *work_elsewhere(void *arg)
{
	uint8_t *data = buffer(PIECE), *back = buffer(PIECE);

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST) && !elsewhere_broken) {
		pthread_mutex_lock(&traffic);
		work_on_piece(pieces_done++ % PIECES, data, back);
		pthread_mutex_unlock(&traffic);
		usleep(1000);
	}
	return NULL;
}

/*
 * Many reads at a time of all that @len bytes hold; 0 or the last -errno. In an order in
 * which none continues the one before, for those would be merged.
 */
static long read_many(size_t len)
{
	struct iocb blocks[READS] = { 0 }, *list[READS];
	struct io_event events[READS];
	aio_context_t context = 0;
	size_t piece = len / READS;
	unsigned int i, place;
	long ret = 0;

	for (i = 0; i < READS; i++) {
		place = i < READS / 2 ? 2 * i : 2 * (i - READS / 2) + 1;
		blocks[i].aio_lio_opcode = IOCB_CMD_PREAD;
		blocks[i].aio_fildes = device_fd;
		blocks[i].aio_buf = (uintptr_t)got + place * piece;
		blocks[i].aio_nbytes = piece;
		blocks[i].aio_offset = TARGET + place * piece;
		list[i] = &blocks[i];
	}
	if (syscall(SYS_io_setup, READS, &context) ||
	    syscall(SYS_io_submit, context, READS, list) != READS ||
	    syscall(SYS_io_getevents, context, READS, READS, events, NULL) != READS)
		err(1, "reads at a time");
	for (i = 0; i < READS; i++)
		if (events[i].res != (long)piece)
			ret = events[i].res < 0 ? events[i].res : -ENODATA;
	syscall(SYS_io_destroy, context);
	return ret;
}

/* The request that meets the scenario; 0 or -errno. */
static long provoke(const struct scenario *s)
{
	uint64_t range[2] = { TARGET, s->length };
	const char *io = s->io;

	if (!strcmp(io, "read"))
		return transfer(false, got, s->length, TARGET);
	if (!strcmp(io, "reads"))
		return read_many(s->length);
	if (!strcmp(io, "write"))
		return transfer(true, junk, s->length, TARGET);
	if (!strcmp(io, "flush"))
		return result(fsync(device_fd));
	if (!strcmp(io, "trim"))
		return result(ioctl(device_fd, BLKDISCARD, range));
	if (!strcmp(io, "zeroes"))
		return result(fallocate(device_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					TARGET, s->length));
	return 0;
}

/* A request that does not end would not let the program end: this ends both. */
static void *watch_request(void *arg)
{
	double deadline;

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		__atomic_load(&request_deadline, &deadline, __ATOMIC_SEQ_CST);
		if (deadline && now() > deadline) {
			complain("the request does not end");
			nl_disconnect(device_index);
			_exit(1);
		}
		usleep(100000);
	}
	return NULL;
}

static void expect_end(double deadline)
{
	__atomic_store(&request_deadline, &deadline, __ATOMIC_SEQ_CST);
}

/* --- verdicts --- */

/* Before 6.11 the block layer has no word for EINVAL. */
static bool system_knows_einval(void)
{
	unsigned int major, minor;
	struct utsname name;

	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		err(1, "uname");
	return major > 6 || (major == 6 && minor >= 11);
}

static int promised_errno(const char *outcome)
{
	static const int errors[] = { EIO, EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP };
	size_t i;

	if (!strcmp(outcome, "EINVAL") && !system_knows_einval())
		outcome = "EIO";
	for (i = 0; i < ARRAY_SIZE(errors); i++)
		if (!strcmp(outcome, errno_name(errors[i])))
			return errors[i];
	return 0;
}

/* The system takes "not supported" for an answer to what is only a hint. */
static bool result_right(const struct scenario *s, long ret)
{
	int promised = promised_errno(s->outcome);

	if (!strcmp(s->outcome, "either"))
		return !ret || ret == -EIO;
	if (promised == EOPNOTSUPP && !ret)
		return strncmp(s->io, "read", 4) && strcmp(s->io, "write");
	return ret == -promised;
}

static bool target_is_written(void *length)
{
	size_t len = *(size_t *)length;

	return !transfer(false, got, len, TARGET) && !memcmp(got, junk, len);
}

static bool data_right(const struct scenario *s, long ret)
{
	size_t len = s->length;

	if (ret)
		return true;
	if (!strncmp(s->io, "read", 4))
		return !memcmp(got, content, len);
	/* A server that acknowledges what it never takes cannot be told from a good one. */
	if (strcmp(s->io, "write") || !strncmp(s->name, "early-", 6))
		return true;
	/* It writes when the payload comes; a read on another connection may overtake that. */
	if (!strcmp(s->name, "early"))
		return until(target_is_written, &len, 5 * scale);
	return target_is_written(&len);
}

static bool drop_promised(const struct scenario *s)
{
	return !strcmp(s->outcome, "drop") || !strcmp(s->outcome, "timeout") ||
	       !strcmp(s->name, "poison") || !strncmp(s->name, "mute-", 5) ||
	       !strcmp(s->name, "error-payload");
}

/*
 * The line comes at the end of a connection's burial, after the counter, which is therefore
 * read after the log, and once: *@deaths is how many there were then since the last call.
 */
static bool enough_lines(void *deaths)
{
	lines_since += lost_lines();
	*(uint64_t *)deaths = get_status().deaths - deaths_told;
	return lines_since >= *(uint64_t *)deaths;
}

static bool enough_lines_or_overrun(void *deaths)
{
	return enough_lines(deaths) || log_overrun(lines_told_at);
}

/*
 * One line for each connection that died since the last call: some die between two
 * scenarios, when the server is told to behave.
 */
static bool check_lines(void)
{
	uint64_t deaths;
	bool enough = until(enough_lines_or_overrun, &deaths, 5 * scale);
	bool overrun = log_overrun(lines_told_at);
	unsigned int lines = lines_since;

	deaths_told += deaths;
	lines_since = 0;
	lines_told_at = now();
	if (overrun || (enough && lines == deaths))
		return true;
	return complain("%u lines in the log for %u lost connections", lines,
			(unsigned int)deaths);
}

/* A connection is lost now, or is not, as promised; told in the log, line for line. */
static bool check_drop(const struct scenario *s, struct status before)
{
	struct status status;
	uint64_t deaths;

	if (drop_promised(s) && !until(more_deaths, &before.deaths, 12 * scale))
		return complain("no connection was dropped");
	if (!until(all_live, NULL, 20 * scale))
		return complain("the connections do not come back");
	status = get_status();
	deaths = status.deaths - before.deaths;
	if (deaths && !drop_promised(s) && strcmp(s->outcome, "either"))
		return complain("%u connections were dropped", (unsigned int)deaths);
	if (!strcmp(s->outcome, "drop") && deaths <= status.timeouts - before.timeouts)
		return complain("only the request timeout dropped a connection");
	return check_lines();
}

/* What the next one will find there: the part that the last one used is new. */
static bool renew_target(size_t len)
{
	fill(content, len, ++played);
	if (transfer(true, content, len, TARGET) ||
	    transfer(false, got, len, TARGET) || memcmp(got, content, len))
		return complain("the place does not serve any more");
	return true;
}

/*
 * A long write goes out in parts, of which the socket takes the first whole, beside short
 * requests, and while some are expected: NBD_MIXED_TIME after the last one.
 */
static bool must_go_out_whole(const struct scenario *s)
{
	return !strcmp(s->name, "unsent");
}

static bool play(const struct scenario *s)
{
	/* what ends without a request must be noticed without one */
	bool quiet = must_go_out_whole(s) ||
		     (!strcmp(s->io, "idle") && !strcmp(s->outcome, "drop"));
	struct status before;
	bool good;
	long ret;

	if (quiet)
		pthread_mutex_lock(&traffic);
	if (must_go_out_whole(s))
		usleep(300000);
	fill(junk, s->length, ~played);
	before = get_status();
	good = tell_server("scenario %s", s->name);
	expect_end(now() + PATIENCE * scale);
	ret = provoke(s);
	expect_end(0);
	if (good && !result_right(s, ret))
		good = complain("ended with %s, promised: %s",
				ret ? errno_name(-ret) : "success", s->outcome);
	if (good && !data_right(s, ret))
		good = complain("wrong data");
	/* before the server is told to behave, for some come by themselves */
	good = good && check_drop(s, before);
	if (quiet)
		pthread_mutex_unlock(&traffic);
	if (!tell_server("clear") || !until(all_live, NULL, 20 * scale))
		return complain("the device does not recover");
	if (elsewhere_broken)
		return complain("a request elsewhere failed, or its data was wrong");
	return renew_target(s->length) && good;
}

static bool next_scenario(struct scenario *s)
{
	char line[512];

	while (fgets(line, sizeof(line), stdin))
		if (sscanf(line, "%63s transmission %15s %d %31s %u", s->name, s->io, &s->conns,
			   s->outcome, &s->length) == 5 && s->conns <= (int)wanted_conns) {
			if (s->length > LENGTH)
				errx(1, "%s: too long", s->name);
			return true;
		}
	return false;
}

static void start(char **argv)
{
	scale = time_scale();
	device_fd = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
	log_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (device_fd < 0 || log_fd < 0 || sscanf(argv[1], "/dev/nbd%d", &device_index) != 1)
		err(1, "%s", argv[1]);
	connect_control(argv[2]);
	wanted_conns = atoi(argv[3]);
	if (!nl_open())
		errx(1, "the family cannot be found");
	content = buffer(LENGTH);
	got = buffer(LENGTH);
	junk = buffer(LENGTH);
}

int main(int argc, char **argv)
{
	struct scenario s;
	pthread_t thread, watch;

	if (argc != 4) {
		fprintf(stderr, "usage: scenarios DEVICE CONTROL CONNECTIONS <LIST\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	start(argv);
	lost_lines();
	deaths_told = get_status().deaths;
	lines_told_at = now();
	if (!renew_target(LENGTH) || pthread_create(&thread, NULL, work_elsewhere, NULL) ||
	    pthread_create(&watch, NULL, watch_request, NULL))
		return 1;
	while (next_scenario(&s)) {
		current = s.name;
		failed += !play(&s);
	}
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	pthread_join(watch, NULL);
	printf("scenarios: %u failed; %llu requests elsewhere\ntally: %u hostile scenarios\n",
	       failed, (unsigned long long)pieces_done, played - 1);
	return failed || played < 2;
}
