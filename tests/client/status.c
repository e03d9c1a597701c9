// SPDX-License-Identifier: GPL-2.0
/* What -status prints, of devices and records that are made up here. */
#include <errno.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <fcntl.h>
#include <stdlib.h>

#include "../../client/outage.h"
#include "../../client/presence.h"
#include "../../client/settings.h"
#include "../../client/size.h"
#include "../../client/status.h"
#include "../../client/util.h"
#include "record.h"
#include "tap.h"
#include "wrapped.h"

#define DEVICES 3

static struct {
	bool plays;		/* the functions below are ours */
	int fails;		/* the driver, behind the first device */
	bool outage;		/* the second device has one */
	unsigned int asked;	/* how often outages were looked for */
} world;

/* --- what is played --- */

int __wrap_nbd_kernel_open(struct nbd_kernel *k, bool load, struct nbd_err *err)
{
	return world.plays ? 0 : __real_nbd_kernel_open(k, load, err);
}

void __wrap_nbd_kernel_close(struct nbd_kernel *k)
{
	if (!world.plays)
		__real_nbd_kernel_close(k);
}

pid_t __wrap_nbd_monitor_pid(void)
{
	return world.plays ? 99 : __real_nbd_monitor_pid();
}

int __wrap_nbd_rundir_open(struct nbd_err *err)
{
	return world.plays ? open("/", O_PATH) : __real_nbd_rundir_open(err);
}

/* A live one, one without a connection, and one that nobody has noted down. */
static void make_status(struct nbd_status *s, s32 index)
{
	const struct nbd_setting *setting;

	memset(s, 0, sizeof(*s));
	s->index = index;
	s->detailed = true;
	s->state = index == 1 ? NBD_STATE_WAITING : NBD_STATE_LIVE;
	s->session_id = 10 + index;
	s->keeper = 20 + index;
	s->keeper_pid = 99;
	s->keeper_lives = true;
	s->pid = 1000;
	s->since_ms = 1049 + index;
	s->size = 3ULL << (20 + index);
	s->block_size = 512;
	s->nconns = 1;
	s->nlive = index != 1;
	s->conns[0].live = s->nlive;
	if (index == 1)
		strcpy(s->cause, "connection reset");
	nbd_for_each_setting(setting)
		if (setting->width)
			s->told[setting->bit] = setting->initial;
	s->told[nbd_setting_of_tab("read_ahead")->bit] = 128;
	s->counters[NBD_COUNTER_CONNECTS] = 1 + index;
}

int __wrap_nbd_kernel_status(struct nbd_kernel *k, s32 index, nbd_status_fn fn, void *arg,
			     struct nbd_err *err)
{
	struct nbd_status status;
	s32 i;

	if (!world.plays)
		return __real_nbd_kernel_status(k, index, fn, arg, err);
	for (i = 0; i < DEVICES; i++) {
		if (i && world.fails)
			return nbd_fail(err, NBD_EXIT_FAILURE, world.fails, "as told");
		make_status(&status, i);
		fn(arg, &status);
	}
	return 0;
}

int __wrap_nbd_record_read_at(int folder, struct nbd_record *r, s32 index, struct nbd_err *err)
{
	static const char text[] =
		"index %d\nsession %d\nkeeper %d\npid 1000\nconns 1\nconnect-timeout 10\n"
		"server 0 10809 server%d\n";
	char record[256];

	if (!world.plays)
		return __real_nbd_record_read_at(folder, r, index, err);
	if (index == 2)
		return -ENOENT;
	sprintf(record, text, index, 10 + index, 20 + index, index);
	return record_parse(r, record, strlen(record), err);
}

int __wrap_nbd_outage_read(s32 index, struct nbd_outage *o)
{
	if (!world.plays)
		return __real_nbd_outage_read(index, o);
	world.asked++;
	memset(o, 0, sizeof(*o));
	if (!world.outage)
		return -ENOENT;
	o->monitor = 99;
	o->session_id = 10 + index;
	o->pid = 1000;
	o->given_up = true;
	o->attempts = 7;
	strcpy(o->why, "refused");
	strcpy(o->server[0], "refused, too");
	return 0;
}

/* --- the tests --- */

/* What is printed; free() it. */
static char *status(s32 index, bool json, int *ret, struct nbd_err *err)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	*ret = nbd_print_status(index, json, out, err);
	fclose(out);
	return text;
}

static const char first[] =
	"/dev/nbd0: live for 1.0 s, 3 MiB, 1 of 1 connections, open 0 times\n"
	"  the default export at server0:10809\n";
static const char second[] =
	"/dev/nbd1: waiting for 1.1 s, 6 MiB, 0 of 1 connections, open 0 times\n"
	"  because: connection reset\n"
	"  the default export at server1:10809\n";
static const char third[] =
	"/dev/nbd2: live for 1.1 s, 12 MiB, 1 of 1 connections, open 0 times\n"
	"  its record is in another /run/nbd (of a container?), where process 99 cares for it; ";
static const char counted[] =
	"  reads 128 KiB ahead\n"
	"  counted: 0 resent, 0 slow, 0 timed out, 0 connections lost, 2 connections made, ";

static void test_all(void)
{
	struct nbd_err err;
	char *text, *at;
	int ret;

	tap_test("status: all devices, in their order");
	world.asked = 0;
	text = status(-1, false, &ret, &err);
	expect_number(ret, 0);
	expect(!strncmp(text, first, strlen(first)));
	at = strstr(text, second);
	expect(at);
	expect(at && strstr(at, third));
	expect(at && strstr(at, counted));
	free(text);

	tap_test("status: only what has lost a connection can have an outage");
	expect_number(world.asked, 1);
	world.outage = true;
	text = status(-1, false, &ret, &err);
	expect_words(text, "server1:10809\n    last error: refused, too\n  not reconnected for ");
	expect_words(text, "  7 attempts of process 99 have failed, and no more are made\n");
	expect(!strstr(text, "server0:10809\n    last error"));
	free(text);
	world.outage = false;

	tap_test("status: one device");
	text = status(1, false, &ret, &err);
	expect_number(ret, 0);
	expect(!strncmp(text, second, strlen(second)));
	expect(!strstr(text, "/dev/nbd0"));
	free(text);

	tap_test("status: one that is not attached");
	text = status(7, true, &ret, &err);
	expect_number(ret, -ENODEV);
	expect_text(err.text, "/dev/nbd7 is not attached");
	expect_text(text, "");
	free(text);
}

static void test_programs(void)
{
	struct nbd_err err;
	char *text;
	int ret;

	tap_test("status: for programs");
	world.outage = true;
	text = status(-1, true, &ret, &err);
	expect_number(ret, 0);
	expect_words(text,
		     "{\n  \"monitor\": true,\n  \"monitor_pid\": 99,\n  \"devices\": [\n    {\n"
		     "      \"device\": \"/dev/nbd0\",\n      \"index\": 0,\n");
	expect_words(text, "\n          \"requests\": 0,\n");
	expect_words(text, "\n      \"server\": \"server1:10809\",\n");
	expect_words(text, "            \"server\": \"server1:10809\",\n"
		     "            \"error\": \"refused, too\"\n          }\n"
		     "        ]\n      }\n    },\n");
	expect_words(text, "\n      \"care\": \"elsewhere\",\n      \"keeper_pid\": 99\n    }\n"
		     "  ]\n}\n");
	free(text);
	world.outage = false;

	tap_test("status: nothing is printed if not all of it is known");
	world.fails = EIO;
	text = status(-1, true, &ret, &err);
	expect_number(ret, -EIO);
	expect_text(text, "");
	free(text);
	text = status(-1, false, &ret, &err);
	expect_number(ret, -EIO);
	expect_text(text, "");
	free(text);
	world.fails = 0;
}

static const struct {
	u64 bytes;
	const char *text;
} sizes[] = {
	{ 0, "0 bytes" },
	{ 1023, "1023 bytes" },
	{ 1024, "1 KiB" },
	{ 1536, "1.5 KiB" },
	{ 1025, "1.0 KiB" },
	{ 1023 << 10, "1023 KiB" },
	{ 1 << 20, "1 MiB" },
	{ (1 << 20) + 1024, "1.0 MiB" },
	{ (1ULL << 50) - 1, "1024.0 TiB" },
	{ 1ULL << 60, "1 EiB" },
	{ 15ULL << 60, "15 EiB" },
	{ U64_MAX, "16 EiB" },
};

static void expect_size(u64 bytes, const char *wanted)
{
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	nbd_print_size(bytes, out);
	fclose(out);
	expect_text(text, wanted);
	free(text);
}

/* By what printf() makes of the same number. */
static void check_size(u64 bytes)
{
	double n = bytes, unit = 1;
	unsigned int i;
	char text[32];

	for (i = 0; i < 6 && n / unit >= 1024; i++)
		unit *= 1024;
	if (i)
		snprintf(text, sizeof(text), "%.*f %ciB", n / unit == (u64)(n / unit) ? 0 : 1,
			 n / unit, " KMGTPE"[i]);
	else
		snprintf(text, sizeof(text), "%llu bytes", bytes);
	expect_size(bytes, text);
}

static void test_sizes(void)
{
	unsigned int shift, tenth;
	size_t i;
	u64 n;

	tap_test("status: sizes");
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		expect_size(sizes[i].bytes, sizes[i].text);

	tap_test("status: sizes of all magnitudes");
	for (shift = 0; shift < 64; shift++) {
		n = 1ULL << shift;
		check_size(n - 1);
		check_size(n);
		check_size(n + 1);
		check_size(n + n / 2);
		/* Where tenths are rounded. */
		for (tenth = 1; tenth < 40; tenth++)
			check_size(n + n / 40 * tenth);
		for (i = 0; i < 100; i++)
			check_size((((u64)random() << 32) ^ random()) & (n | (n - 1)));
	}
}

void test_status(void)
{
	world.plays = true;
	test_all();
	test_programs();
	world.plays = false;
	test_sizes();
}
