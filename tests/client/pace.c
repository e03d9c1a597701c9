// SPDX-License-Identifier: GPL-2.0
/* How a crowd of devices asks a server for connections. */
#include <arpa/inet.h>
#include <string.h>

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

static void test_crowd(void)
{
	const struct nbd_address a = server(1);
	static s64 turns[CROWD];
	bool in_order = true;
	unsigned int i;

	tap_test("pace: a crowd is let in one after the other, and soon");
	for (i = 0; i < CROWD; i++) {
		turns[i] = nbd_pace_turn(&a, 1, 1000000 + i / 512);
		in_order &= !i || turns[i] >= turns[i - 1];
	}
	expect(in_order);
	expect_number(turns[0], 1000000);
	expect_number(turns[NBD_PACE_BURST - 1], 1000000);
	expect(busiest_second(turns, CROWD) <= MOST);
	expect(turns[CROWD - 1] - turns[0] < 26000);
}

static void test_others(void)
{
	const struct nbd_address a = server(2), b = server(3);
	unsigned int i;

	tap_test("pace: nobody waits for a crowd at another server");
	for (i = 0; i < CROWD; i++)
		nbd_pace_turn(&a, 1, 2000000);
	expect_number(nbd_pace_turn(&b, 1, 2000000), 2000000);
	expect(nbd_pace_turn(&a, 1, 2000000) > 2020000);

	tap_test("pace: a crowd that has gone is forgotten");
	expect_number(nbd_pace_turn(&a, 1, 2100000), 2100000);
}

static void test_several(void)
{
	const struct nbd_address a = server(4);
	s64 turns[20];
	unsigned int i;

	tap_test("pace: several connections are as many turns");
	for (i = 0; i < ARRAY_SIZE(turns); i++)
		turns[i] = nbd_pace_turn(&a, 16, 3000000);
	expect_number(turns[0], 3000000);
	expect(turns[1] > turns[0]);
	expect(busiest_second(turns, ARRAY_SIZE(turns)) <= MOST / 16);
}

void test_pace(void)
{
	test_crowd();
	test_others();
	test_several();
}
