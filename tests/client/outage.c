// SPDX-License-Identifier: GPL-2.0
/* What the monitor publishes of an outage. */
#include <errno.h>
#include <stdlib.h>

#include "../../client/outage.h"
#include "tap.h"

static int parse(struct nbd_outage *o, const char *text)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	int ret = nbd_outage_parse(o, f);

	fclose(f);
	return ret;
}

static char *print(const struct nbd_outage *o)
{
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	nbd_outage_print(o, f);
	fclose(f);
	return text;
}

static void fill(struct nbd_outage *o)
{
	memset(o, 0, sizeof(*o));
	o->monitor = 17;
	o->session_id = 0x123456789abcdef0;
	o->pid = 4711;
	o->attempts = 3;
	o->since = 1000000;
	o->next_try = 1000001;
	o->given_up = true;
	memset(o->why, 'w', sizeof(o->why) - 1);
	snprintf(o->server[0], sizeof(o->server[0]), "a:1: cannot connect");
	memset(o->server[NBD_SERVERS_MAX - 1], 's', sizeof(o->server[0]) - 1);
}

void test_outage(void)
{
	struct nbd_outage a, b;
	char *text, *again;

	tap_test("outage: what is published is what is read");
	fill(&a);
	text = print(&a);
	expect_number(parse(&b, text), 0);
	again = print(&b);
	expect_text(again, text);
	expect(!memcmp(&a, &b, sizeof(a)));

	tap_test("outage: half of it is refused");
	text[strlen(text) / 2] = '\0';
	expect_number(parse(&b, text), -EINVAL);
	expect_number(parse(&b, "\n"), -EINVAL);
	free(text);
	free(again);

	tap_test("outage: nothing of it steers a terminal, and no server is too many");
	expect_number(parse(&b, "why a\033[31m\tb\nserver8 x\nserver99999999999 x\nnew a\nend\n"),
		      0);
	expect_text(b.why, "a?[31m?b");
}
