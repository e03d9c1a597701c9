// SPDX-License-Identifier: GPL-2.0
/* Where connections may be made again: never to two addresses at a time. */
#include <netinet/in.h>

#include "../../client/target.h"
#include "../../client/util.h"
#include "tap.h"

#define LIVE	NBD_TARGET_LIVE
#define MOVABLE	NBD_TARGET_MOVABLE
#define STUCK	(NBD_TARGET_MOVABLE | NBD_TARGET_STUCK)
#define AGAIN	(STUCK | NBD_TARGET_RELAPSED)

/*
 * An address is a letter; those known are "server:addresses", for each of three servers.
 * "?" in use is one that was not noted.
 */
static const struct {
	const char *what;
	const char *known[3];
	char in_use;
	unsigned int server;
	bool moving;
	u64 situation;
	const char *wanted;
} cases[] = {
	{ "all are lost", { "AB", "C", "" }, 'A', 0, false, MOVABLE, "ABC" },
	{ "all are lost, the second was in use", { "AB", "C", "" }, 'C', 1, false, MOVABLE,
	  "ABC" },
	{ "all are lost, the name means others by now", { "XY", "C", "" }, 'A', 0, false,
	  MOVABLE, "XYC" },
	{ "some live", { "AB", "C", "" }, 'B', 0, false, LIVE | MOVABLE, "B" },
	{ "some live, the name means others by now", { "XY", "C", "" }, 'A', 0, false,
	  LIVE | MOVABLE, "A" },
	{ "some live, the name means nothing", { "", "C", "" }, 'A', 0, false, LIVE | MOVABLE,
	  "A" },
	{ "some live, the stock driver", { "AB", "C", "" }, 'A', 0, false, LIVE, "A" },
	{ "some live, nobody knows where", { "AB", "C", "" }, '?', 0, false, LIVE | MOVABLE,
	  "AB" },
	{ "some live, nobody knows where, the stock driver", { "AB", "C", "" }, '?', 0, false,
	  LIVE, "" },
	{ "a move was begun", { "A", "C", "" }, 'A', 0, true, LIVE | MOVABLE, "A" },
	{ "a move was begun, the stock driver", { "A", "C", "" }, 'A', 0, true, LIVE, "" },
	{ "stuck", { "AB", "C", "D" }, 'B', 0, false, LIVE | STUCK, "BACD" },
	{ "stuck, the second is in use", { "AB", "C", "D" }, 'C', 1, false, LIVE | STUCK,
	  "CABD" },
	{ "stuck, the name means others by now", { "XY", "C", "" }, 'A', 0, false,
	  LIVE | STUCK, "AXYC" },
	{ "stuck and lost", { "AB", "C", "" }, 'C', 1, false, STUCK, "CAB" },
	{ "stuck and lost, the name means others by now", { "XY", "C", "" }, 'A', 0, false,
	  STUCK, "XYC" },
	{ "stuck, the stock driver", { "AB", "C", "" }, 'A', 0, false,
	  LIVE | NBD_TARGET_STUCK, "A" },
	{ "stuck again", { "AB", "C", "D" }, 'A', 0, false, LIVE | AGAIN, "CDAB" },
	{ "stuck again and lost", { "AB", "C", "D" }, 'B', 0, false, AGAIN, "CDAB" },
	{ "two servers have an address in common", { "AB", "B", "C" }, 'A', 0, false, MOVABLE,
	  "ABC" },
};

static struct nbd_address address_of(char letter, unsigned int server)
{
	struct nbd_address a = { .server = server };
	struct sockaddr_in *in = (void *)&a.sa;

	if (letter == '?')
		return a;
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = letter;
	a.len = sizeof(*in);
	return a;
}

static void fill(struct nbd_record *r, size_t i)
{
	unsigned int server;
	const char *letter;

	memset(r, 0, sizeof(*r));
	r->in_use = address_of(cases[i].in_use, cases[i].server);
	r->moving = cases[i].moving;
	r->params.nservers = ARRAY_SIZE(cases[i].known);
	for (server = 0; server < r->params.nservers; server++)
		for (letter = cases[i].known[server]; *letter; letter++)
			r->addresses.addr[r->addresses.n++] =
				address_of(*letter, server);
}

void test_target(void)
{
	char got[NBD_ADDRESSES_MAX + 1];
	struct nbd_address_list list;
	struct nbd_record r;
	unsigned int n;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		tap_test("target: %s", cases[i].what);
		fill(&r, i);
		nbd_targets(&list, &r, cases[i].situation);
		for (n = 0; n < list.n; n++)
			got[n] = ((struct sockaddr_in *)&list.addr[n].sa)->sin_addr.s_addr;
		got[n] = '\0';
		expect_text(got, cases[i].wanted);
	}
}
