// SPDX-License-Identifier: GPL-2.0
/*
 * Connections to servers on this machine that play a part: which address
 * wins, what is reported, and that every wait ends in time.
 */
#include <errno.h>
#include <linux/nbd.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../client/bringup.h"
#include "../../client/clock.h"
#include "../../client/lookup.h"
#include "../../client/record.h"
#include "../../client/settings.h"
#include "../../client/uri.h"
#include "tap.h"

/** enum part - what a server does */
enum part {
	GOOD,			/* serves NBD_OPT_GO, then waits */
	NO_MULTI_CONN,		/* the same, without CAN_MULTI_CONN */
	DIFFERENT,		/* a new size with each connection */
	ONE_ONLY,		/* good once, then hangs up */
	SILENT,			/* accepts and says nothing */
	ONE_TALKS,		/* good once, then accepts and says nothing */
	SLOW,			/* good after SLOW_MS */
	SLAMS,			/* accepts and closes */
	DROPS_GO,		/* hangs up on NBD_OPT_GO, knows EXPORT_NAME */
};

/* Longer than any head start, shorter than the time to connect. */
#define SLOW_MS 700

/** struct server - a child process that listens on a port of 127.0.0.1 */
struct server {
	pid_t pid;
	unsigned int port;
};

static void put(int fd, const char *bytes, size_t len)
{
	if (write(fd, bytes, len) != (ssize_t)len)
		_exit(0);
}

#define PUT(fd, bytes) put(fd, bytes, sizeof(bytes) - 1)

static void greet(int fd)
{
	PUT(fd, "NBDMAGICIHAVEOPT\0\3");
}

/* Reads the client's flags and one option; returns the option. */
static int read_option(int fd)
{
	unsigned char head[20], data[64];
	size_t len;

	if (recv(fd, head, sizeof(head), MSG_WAITALL) != sizeof(head))
		return -1;
	len = head[19];
	if (len && recv(fd, data, len, MSG_WAITALL) != (ssize_t)len)
		return -1;
	return head[15];
}

static void offer(int fd, int megabytes, int flags)
{
	char info[] = "\0\3\xe8\x89\x04\x55\x65\xa9\0\0\0\7\0\0\0\3\0\0\0\14"
		      "\0\0\0\0\0\0\0\0\0\0\0\0";

	info[27] = megabytes << 4;
	info[30] = flags >> 8;
	info[31] = flags;
	put(fd, info, 32);
	PUT(fd, "\0\3\xe8\x89\x04\x55\x65\xa9\0\0\0\7\0\0\0\1\0\0\0\0");
}

static void offer_old(int fd)
{
	PUT(fd, "\0\0\0\0\0\20\0\0\1\1");
}

static void play(enum part part, int fd, int number)
{
	int option;

	if (part == SILENT || (part == ONE_TALKS && number))
		return;
	if (part == SLOW)
		poll(NULL, 0, SLOW_MS);
	if (part == SLAMS || (part == ONE_ONLY && number)) {
		close(fd);
		return;
	}
	greet(fd);
	option = read_option(fd);
	if (part == DROPS_GO && option == 7)
		close(fd);
	else if (option == 1)
		offer_old(fd);
	else
		offer(fd, part == DIFFERENT ? 1 + number : 1,
		      part == NO_MULTI_CONN ? 1 : 0x101);
}

static void start(struct server *s, enum part part)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0), number = 0;

	expect(!bind(fd, (void *)&in, sizeof(in)) && !listen(fd, 16));
	expect(!getsockname(fd, (void *)&in, &len));
	s->port = ntohs(in.sin_port);
	fflush(stdout);
	s->pid = fork();
	if (s->pid) {
		close(fd);
		return;
	}
	for (;;)
		play(part, accept(fd, NULL, NULL), number++);
}

static void stop(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

/** struct outcome - what became of it */
struct outcome {
	int ret;
	struct nbd_err err;
	unsigned int nlinks;
	unsigned int server;
	u64 size;
	s64 ms;
};

/** struct purpose - what the connections are for, beyond the first attach */
struct purpose {
	const struct nbd_record *record;	/* it has lost connections */
	bool urgent;
	bool distrust;
	bool one_server;	/* all addresses are of the same */
};

static struct outcome bring_up(const struct nbd_params *params,
			       const struct nbd_address_list *list,
			       unsigned int wanted, const struct purpose *purpose)
{
	struct nbd_bringup *b = calloc(1, sizeof(*b));
	struct outcome o = { .ms = nbd_now_ms() };

	nbd_bringup_start(b, NBD_GOAL_GO, false, params, NULL, list, wanted,
			  &nbd_here);
	if (purpose->record)
		nbd_bringup_reconnect(b, purpose->record, purpose->urgent);
	if (purpose->distrust)
		nbd_bringup_distrust(b);
	o.ret = nbd_bringup_wait(b);
	o.err = b->err;
	o.nlinks = b->nlinks;
	o.server = b->address.server;
	o.size = b->export.size;
	o.ms = nbd_now_ms() - o.ms;
	nbd_bringup_close(b);
	free(b);
	return o;
}

/* As connect_to(), with a purpose. */
static struct outcome connect_for(const struct purpose *purpose,
				  const struct server *servers, int n,
				  unsigned int wanted)
{
	struct nbd_address_list list;
	struct nbd_params params;
	struct outcome o;
	unsigned int i;
	char text[32];

	nbd_params_init(&params);
	params.connect_timeout = 1;
	while (n--) {
		snprintf(text, sizeof(text), "127.0.0.1:%u", servers++->port);
		expect(!nbd_server_append(&params, text, &o.err));
	}
	expect(!nbd_resolve_servers(&params, &nbd_here, &list, &o.err));
	for (i = 0; i < list.n && purpose->one_server; i++)
		list.addr[i].server = 0;
	o = bring_up(&params, &list, wanted, purpose);
	nbd_params_free(&params);
	return o;
}

/* Connects to the servers, in order, for @wanted connections. */
static struct outcome connect_to(const struct server *servers, int n,
				 unsigned int wanted)
{
	return connect_for(&(struct purpose){ 0 }, servers, n, wanted);
}

static void expect_failure(enum part part, unsigned int wanted,
			   enum nbd_exit status, const char *words)
{
	struct outcome o;
	struct server s;

	start(&s, part);
	o = connect_to(&s, 1, wanted);
	stop(&s);
	expect(o.ret < 0);
	expect_number(o.err.status, status);
	expect_words(o.err.text, words);
	expect_words(o.err.text, "127.0.0.1:");
	expect(o.ms < 3000);
}

/* As a name may have it: without the link, the system cannot know where that is. */
static void test_link_local(void)
{
	struct nbd_address_list list = { .n = 1, .addr[0].len = sizeof(struct sockaddr_in6) };
	struct sockaddr_in6 *in6 = (void *)&list.addr[0].sa;
	struct nbd_params params;
	struct outcome o;

	tap_test("bringup: a link-local address without a link");
	nbd_params_init(&params);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(10809);
	in6->sin6_addr.s6_addr[0] = 0xfe;
	in6->sin6_addr.s6_addr[1] = 0x80;
	in6->sin6_addr.s6_addr[15] = 1;
	o = bring_up(&params, &list, 1, &(struct purpose){ 0 });
	expect(o.ret < 0);
	expect_words(o.err.text, "name is missing, as in fe80::1%eth0");
	nbd_params_free(&params);
}

static void test_failures(void)
{
	struct server gone;
	struct outcome o;

	tap_test("bringup: a refused connection");
	start(&gone, GOOD);
	stop(&gone);
	o = connect_to(&gone, 1, 1);
	expect_number(o.err.status, NBD_EXIT_CONNECT);
	expect_words(o.err.text, "Connection refused: is a server running");

	tap_test("bringup: a silent server");
	expect_failure(SILENT, 1, NBD_EXIT_TIMEOUT, "greeting");

	tap_test("bringup: a server that closes at once");
	expect_failure(SLAMS, 1, NBD_EXIT_CONNECT, "greeting");

	tap_test("bringup: several connections, but the server says no");
	expect_failure(NO_MULTI_CONN, 2, NBD_EXIT_UNFIT, "-connections 1");

	tap_test("bringup: several connections, several exports");
	start(&gone, DIFFERENT);
	o = connect_to(&gone, 1, 3);
	stop(&gone);
	expect_number(o.err.status, NBD_EXIT_UNFIT);
	expect_words(o.err.text, "different exports");

	tap_test("bringup: several connections, one is not granted");
	expect_failure(ONE_ONLY, 2, NBD_EXIT_CONNECT, "ended the connection");
}

static void test_successes(void)
{
	struct server s[2];
	struct outcome o;

	tap_test("bringup: as many connections as asked for");
	start(&s[0], GOOD);
	o = connect_to(s, 1, 5);
	expect_number(o.ret, 0);
	expect_number(o.nlinks, 5);
	expect_number(o.size, 1 << 20);
	stop(&s[0]);

	tap_test("bringup: what was not asked for is not missed");
	start(&s[0], ONE_ONLY);
	o = connect_to(s, 1, NBD_CONNECTIONS_AUTO);
	expect_number(o.ret, 0);
	expect_number(o.nlinks, 1);
	stop(&s[0]);

	tap_test("bringup: one connection unasked without CAN_MULTI_CONN");
	start(&s[0], NO_MULTI_CONN);
	o = connect_to(s, 1, NBD_CONNECTIONS_AUTO);
	expect_number(o.nlinks, 1);
	stop(&s[0]);

	tap_test("bringup: a server that hangs up on NBD_OPT_GO");
	start(&s[0], DROPS_GO);
	o = connect_to(s, 1, 1);
	expect_number(o.ret, 0);
	expect_number(o.size, 1 << 20);
	stop(&s[0]);

	tap_test("bringup: the second server when the first is gone");
	start(&s[0], GOOD);
	stop(&s[0]);
	start(&s[1], GOOD);
	o = connect_to(s, 2, 2);
	expect_number(o.ret, 0);
	expect_number(o.server, 1);
	expect(o.ms < 400);
	stop(&s[1]);

	tap_test("bringup: the second server when the first is silent");
	start(&s[0], SILENT);
	start(&s[1], GOOD);
	o = connect_to(s, 2, 2);
	expect_number(o.ret, 0);
	expect_number(o.server, 1);
	expect(o.ms >= 950 && o.ms < 3000);
	stop(&s[0]);

	tap_test("bringup: the first server when it is slow");
	start(&s[0], SLOW);
	o = connect_to(s, 2, 1);
	expect_number(o.ret, 0);
	expect_number(o.server, 0);
	stop(&s[0]);

	tap_test("bringup: the first server when both are well");
	start(&s[0], GOOD);
	o = connect_to(s, 2, 2);
	expect_number(o.server, 0);
	stop(&s[0]);
	stop(&s[1]);
}

/* Which of them is asked while another one has not answered yet. */
static void test_races(void)
{
	const struct purpose distrust = { .distrust = true };
	const struct purpose one_server = { .one_server = true };
	struct server s[4];
	struct outcome o;

	start(&s[0], SILENT);
	start(&s[1], GOOD);
	start(&s[2], SLOW);
	start(&s[3], GOOD);

	tap_test("bringup: the second address of a server when the first is silent");
	o = connect_for(&one_server, s, 2, 2);
	expect_number(o.ret, 0);
	expect_number(o.nlinks, 2);
	expect(o.ms >= 200 && o.ms < 950);

	tap_test("bringup: the second server when the first has been silent for long");
	o = connect_for(&distrust, s, 2, 2);
	expect_number(o.ret, 0);
	expect_number(o.server, 1);
	expect(o.ms >= 400 && o.ms < 950);

	tap_test("bringup: the first server when it answers after all");
	o = connect_for(&distrust, &s[1], 2, 2);
	expect_number(o.server, 0);
	expect(o.ms < 400);

	tap_test("bringup: no race between the other servers");
	stop(&s[1]);
	o = connect_for(&distrust, &s[1], 3, 1);
	expect_number(o.ret, 0);
	expect_number(o.server, 1);
	stop(&s[0]);
	stop(&s[2]);
	stop(&s[3]);
}

static void test_reconnects(void)
{
	struct nbd_record record = {
		.export = { .size = 1 << 20, .flags = 0x101 },
		.block_size = 512,
		.nconns = 3,
	};
	const struct purpose urgent = { .record = &record, .urgent = true };
	const struct purpose rest = { .record = &record };
	struct server s[2];
	struct outcome o;

	tap_test("bringup: reconnect with what can be had");
	start(&s[0], ONE_ONLY);
	o = connect_for(&urgent, s, 1, 3);
	expect_number(o.ret, 0);
	expect_number(o.nlinks, 1);
	stop(&s[0]);

	tap_test("bringup: reconnect with what can be had soon");
	start(&s[0], ONE_TALKS);
	o = connect_for(&urgent, s, 1, 3);
	expect_number(o.ret, 0);
	expect_number(o.nlinks, 1);
	expect(o.ms < 950);
	stop(&s[0]);

	tap_test("bringup: reconnect to the second server when the first does not fit");
	start(&s[0], NO_MULTI_CONN);
	start(&s[1], GOOD);
	o = connect_for(&rest, s, 2, 3);
	expect_number(o.ret, 0);
	expect_number(o.server, 1);
	expect_number(o.nlinks, 3);
	expect(o.ms < 400);
	stop(&s[1]);

	tap_test("bringup: reconnect to nothing that fits");
	start(&s[1], SLAMS);
	record.export.size = 2 << 20;
	o = connect_for(&rest, s, 2, 3);
	expect(o.ret < 0);
	expect_number(o.err.status, NBD_EXIT_UNFIT);
	expect_words(o.err.text, "refused to reconnect");
	expect_words(o.err.text, "shrunk");
	stop(&s[0]);
	stop(&s[1]);
}

void test_bringup(void)
{
	test_failures();
	test_link_local();
	test_successes();
	test_races();
	test_reconnects();
}
