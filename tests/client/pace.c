// SPDX-License-Identifier: GPL-2.0
/* How a crowd of devices asks a server for connections. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "../../client/clock.h"
#include "../../client/pace.h"
#include "tap.h"

#define CROWD	4096
/* What a server may see in any second. */
#define MOST	200

static struct nbd_address server(unsigned int port)
{
	struct nbd_address a = { .len = sizeof(struct sockaddr_in) };
	struct sockaddr_in *in = (void *)&a.sa;

	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

/* The most turns within a second; @turns is in order. */
static unsigned int busiest_second(const s64 *turns, unsigned int n)
{
	unsigned int first = 0, i, most = 0;

	for (i = 0; i < n; i++) {
		while (turns[i] - turns[first] >= 1000)
			first++;
		if (i - first + 1 > most)
			most = i - first + 1;
	}
	return most;
}

/** struct device - one that wants its connections */
struct device {
	struct nbd_turn turn;
	s64 begun;	/* when it was let in, 0 if it was not */
};

static struct device crowd[CROWD];

static void join(struct device *d, const struct nbd_address *a, unsigned int n, s64 now)
{
	memset(d, 0, sizeof(*d));
	nbd_pace_join(&d->turn, a, n, now);
}

/* The last ones are looked at first, which must not help them. */
static unsigned int look_at(struct device *devices, unsigned int n, s64 now)
{
	unsigned int i, begun = 0;

	for (i = n; i--; ) {
		if (devices[i].begun || !nbd_pace_begin(&devices[i].turn, now))
			continue;
		devices[i].begun = now;
		begun++;
	}
	return begun;
}

/* When one of them may begin. */
static s64 time_to_look(const struct device *devices, unsigned int n)
{
	s64 wake = NBD_NEVER;
	unsigned int i;

	for (i = 0; i < n; i++)
		if (!devices[i].begun)
			wake = nbd_min_time(wake, nbd_pace_when(&devices[i].turn));
	return wake;
}

/*
 * Devices that are looked at when one may begin, but after @step ms at the earliest, and not at
 * all for @stall ms; when all are in.
 */
static s64 let_in(struct device *devices, unsigned int n, s64 now, unsigned int step,
		  unsigned int stall)
{
	const s64 begin = now, end = now + 100000;
	unsigned int left = n - look_at(devices, n, now);
	s64 wake;

	while (left && now < end) {
		wake = time_to_look(devices, n);
		if (wake < now + step)
			wake = now + step;
		now = now - begin < 2000 && wake - begin >= 2000 ? wake + stall : wake;
		left -= look_at(devices, n, now);
	}
	expect_number(left, 0);
	return now - begin;
}

static int by_time(const void *a, const void *b)
{
	const s64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* In connections. */
static unsigned int busiest(const struct device *devices, unsigned int n)
{
	static s64 turns[CROWD];
	unsigned int i, k, all = 0;

	for (i = 0; i < n; i++)
		for (k = 0; k < devices[i].turn.n && all < CROWD; k++)
			turns[all++] = devices[i].begun;
	qsort(turns, all, sizeof(*turns), by_time);
	return busiest_second(turns, all);
}

/* Nobody was let in long before somebody who joined earlier. */
static bool in_order(const struct device *devices, unsigned int n, s64 slack)
{
	s64 latest = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (devices[i].begun + slack < latest)
			return false;
		if (devices[i].begun > latest)
			latest = devices[i].begun;
	}
	return true;
}

static void join_crowd(const struct nbd_address *a, s64 now)
{
	unsigned int i;

	for (i = 0; i < CROWD; i++)
		join(&crowd[i], a, 1, now + i / 512);
}

static void leave_crowd(void)
{
	unsigned int i;

	for (i = 0; i < CROWD; i++)
		nbd_pace_leave(&crowd[i].turn);
}

/*
 * All join at @then, and are in, in their order and no faster than they may, before @limit ms
 * have passed; for @step and @stall see let_in().
 */
static void expect_let_in(const struct nbd_address *a, s64 then, s64 step, s64 stall, s64 limit)
{
	s64 took;

	join_crowd(a, then);
	took = let_in(crowd, CROWD, then + 10, step, stall);
	expect(in_order(crowd, CROWD, step));
	expect(busiest(crowd, CROWD) <= MOST);
	expect(took < limit);
}

static void test_crowd(void)
{
	const struct nbd_address a = server(1);

	tap_test("pace: a crowd is let in one after the other, and soon");
	expect_let_in(&a, 1000000, 1, 0, 26000);
	expect_number(crowd[0].begun, 1000010);
	expect_number(crowd[NBD_PACE_BURST - 1].begun, 1000010);
}

static void test_stalls(void)
{
	const struct nbd_address a = server(5);

	tap_test("pace: a process that stood still does not let all in at once");
	expect_let_in(&a, 4000000, 1, 3000, 29000);

	tap_test("pace: one that is busy all the time lets in as many");
	expect_let_in(&a, 4200000, 100, 0, 26000);
}

static void test_others(void)
{
	const struct nbd_address a = server(2), b = server(3);
	struct device d;

	tap_test("pace: nobody waits for a crowd at another server");
	join_crowd(&a, 2000000);
	join(&d, &b, 1, 2000000);
	expect(nbd_pace_begin(&d.turn, 2000000));
	join(&d, &a, 1, 2000000);
	expect(!nbd_pace_begin(&d.turn, 2000000));

	tap_test("pace: a crowd that has gone is forgotten");
	leave_crowd();
	nbd_pace_leave(&d.turn);
	nbd_pace_leave(&d.turn);
	join(&d, &a, 1, 2000001);
	expect(nbd_pace_begin(&d.turn, 2000001));

	tap_test("pace: who leaves holds nobody up");
	join_crowd(&a, 2100000);
	nbd_pace_leave(&crowd[0].turn);
	nbd_pace_leave(&crowd[CROWD / 2].turn);
	nbd_pace_leave(&crowd[CROWD - 1].turn);
	expect(let_in(crowd + 1, CROWD / 2 - 1, 2100010, 1, 0) < 13000);
	expect(let_in(crowd + CROWD / 2 + 1, CROWD / 2 - 2, 2113010, 1, 0) < 13000);

	tap_test("pace: who is behind those that leave is asked at once");
	join_crowd(&a, 2200000);
	join(&d, &a, 1, 2200010);
	expect_number(look_at(crowd, CROWD, 2200010), NBD_PACE_BURST);
	expect(nbd_pace_when(&d.turn) > 2220000);
	leave_crowd();
	expect(nbd_pace_when(&d.turn) <= 2200016);
	expect(nbd_pace_begin(&d.turn, 2200016));
}

static void test_several(void)
{
	const struct nbd_address a = server(4);
	unsigned int i;

	tap_test("pace: several connections are as many turns");
	for (i = 0; i < 20; i++)
		join(&crowd[i], &a, 16, 3000000);
	let_in(crowd, 20, 3000000, 1, 0);
	expect_number(crowd[0].begun, 3000000);
	expect(crowd[1].begun > 3000000);
	expect(busiest(crowd, 20) <= MOST);
}

/* Every third one needs more than it has joined for by now, and the next one fewer. */
static void test_changes(void)
{
	const unsigned int n = 90, joined = 4, most = 16;
	const struct nbd_address a = server(6);
	unsigned int i;

	tap_test("pace: who needs more by now has more turns, and waits for few behind it");
	for (i = 0; i < n; i++)
		join(&crowd[i], &a, joined, 5000000);
	for (i = 0; i < n; i += 3) {
		crowd[i].turn.n = most;
		crowd[i + 1].turn.n = 1;
	}
	let_in(crowd, n, 5000000, 1, 0);
	/* For those that go first, and then for its own. */
	expect(in_order(crowd, n, 2 * most * 1000 / NBD_PACE_RATE));
	expect(busiest(crowd, n) <= MOST);

	tap_test("pace: a crowd that needs less by now is in as soon as any");
	for (i = 0; i < CROWD; i++)
		join(&crowd[i], &a, most, 5100000);
	for (i = 0; i < CROWD; i++)
		crowd[i].turn.n = 1;
	expect(let_in(crowd, CROWD, 5100000, 1, 0) < 26000);
	expect(in_order(crowd, CROWD, 1));
	expect(busiest(crowd, CROWD) <= MOST);
}

void test_pace(void)
{
	test_crowd();
	test_stalls();
	test_others();
	test_several();
	test_changes();
}
