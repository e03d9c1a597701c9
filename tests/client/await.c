// SPDX-License-Identifier: GPL-2.0
/* How long servers are waited for, what is told meanwhile, and which failures may pass. */
#include <linux/nbd-netlink.h>

#include "../../client/await.h"
#include "../../client/clock.h"
#include "tap.h"

/* Asked @seconds after the waiting has begun. */
static bool lasts(struct nbd_patience *p, const char *reason, s64 seconds, char *text)
{
	return nbd_patience_lasts(p, reason, p->begun + seconds * 1000, text,
				  NBD_ERR_TEXT_MAX);
}

static void test_time(void)
{
	char text[NBD_ERR_TEXT_MAX];
	struct nbd_patience p;

	tap_test("await: one attempt without -wait");
	nbd_patience_begin(&p, 0, 5000);
	expect(!lasts(&p, "refused", 0, text));
	expect_text(text, "");

	tap_test("await: until the time is over");
	nbd_patience_begin(&p, 10, 5000);
	expect(lasts(&p, "refused", 0, text));
	expect(lasts(&p, "refused", 8, text));
	expect(!lasts(&p, "refused", 9, text));
	expect(!lasts(&p, "refused", 20, text));

	tap_test("await: for ever");
	nbd_patience_begin(&p, NBD_DEAD_CONN_FOREVER, 5000);
	expect(lasts(&p, "refused", 0, text));
	expect_words(text, "as long as it takes");
	expect(lasts(&p, "refused", 100000000, text));
}

static void test_messages(void)
{
	char text[NBD_ERR_TEXT_MAX];
	struct nbd_patience p;
	unsigned int told = 0, i;

	tap_test("await: the first failure is told");
	nbd_patience_begin(&p, 180, 5000);
	expect(lasts(&p, "a: refused", 0, text));
	expect_text(text, "a: refused; trying again each second, after 0 s so far for 180 s more");

	tap_test("await: the same is told every half minute");
	for (i = 1; i < 170; i++) {
		expect(lasts(&p, "a: refused", i, text));
		told += text[0] != '\0';
		expect_number(text[0] != '\0', i % 30 == 0);
	}
	expect_number(told, 5);

	tap_test("await: another reason is told at once");
	expect(lasts(&p, "a: no route", 170, text));
	expect_words(text, "a: no route; trying again each second");
	expect_words(text, "after 170 s so far for 10 s more");
	expect(lasts(&p, "a: no route", 171, text));
	expect_text(text, "");
}

static void test_failures(void)
{
	static const enum nbd_exit passing[] = {
		NBD_EXIT_CONNECT, NBD_EXIT_EXPORT, NBD_EXIT_TIMEOUT,
	};
	struct nbd_err err = { 0 };
	unsigned int i, n = 0;

	tap_test("await: what may pass");
	for (i = 0; i < ARRAY_SIZE(passing); i++) {
		err.status = passing[i];
		expect(nbd_err_may_pass(&err));
	}
	tap_test("await: nothing else may pass");
	for (i = NBD_EXIT_OK; i <= NBD_EXIT_UNSUPPORTED; i++) {
		err.status = i;
		n += nbd_err_may_pass(&err);
	}
	expect_number(n, ARRAY_SIZE(passing));
}

/* Of several servers one may come, whatever is wrong with the others. */
static void test_servers(void)
{
	struct nbd_bringup b = {
		.state = NBD_BRINGUP_FAILED,
		.err.status = NBD_EXIT_TLS,
		.links[0] = { .state = NBD_LINK_FAILED, .err.status = NBD_EXIT_TLS },
	};

	tap_test("await: no server that may come");
	expect(!nbd_bringup_passing(&b));
	b.links[3].state = NBD_LINK_FAILED;
	b.links[3].err.status = NBD_EXIT_UNFIT;
	expect(!nbd_bringup_passing(&b));

	tap_test("await: one server that may come");
	b.links[2].state = NBD_LINK_FAILED;
	b.links[2].err.status = NBD_EXIT_CONNECT;
	expect(nbd_bringup_passing(&b) == &b.links[2].err);

	tap_test("await: a failure after the race is that of the winner alone");
	b.nlinks = 1;
	expect(!nbd_bringup_passing(&b));
}

void test_await(void)
{
	test_time();
	test_messages();
	test_failures();
	test_servers();
}
