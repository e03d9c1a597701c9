// SPDX-License-Identifier: GPL-2.0
/* Records: what is written is what is read; what an export may become. */
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <stdlib.h>

#include "../../client/keeper.h"
#include "../../client/fit.h"
#include "../../client/settings.h"
#include "../../client/uri.h"
#include "../../client/util.h"
#include "../../client/retry.h"
#include "../../client/rundir.h"
#include "../../client/store.h"
#include "record.h"
#include "tap.h"
#include "wrapped.h"

static void fill(struct nbd_record *r)
{
	struct nbd_err err;

	memset(r, 0, sizeof(*r));
	nbd_params_init(&r->params);
	r->params.index = 7;
	r->params.given = NBD_GIVEN_TIMEOUT | NBD_GIVEN_NAME;
	r->params.export_name = strdup("a name, 100% \xc3\xa4\n");
	r->params.identifier = strdup("");
	r->params.dead_timeout = U64_MAX;
	r->params.readonly = true;
	r->params.tls_ca = strdup("/etc/ca pem");
	nbd_server_append(&r->params, "host:99", &err);
	nbd_server_append(&r->params, "nbd+unix:///?socket=%00abstract", &err);
	r->export.size = 1ULL << 62;
	r->export.flags = 0x10d;
	r->session_id = 0x123456789abcdef0;
	r->keeper = U64_MAX;
	r->block_size = 4096;
	r->nconns = 4;
	r->in_use.server = 1;
	r->in_use.len = 16;
	memcpy(&r->in_use.sa, "\2\0\52%\177\0\0\2\0\n\r%25\0", 16);
	r->namespaces.net_kept = true;
	r->namespaces.mnt = 1ULL << 63;
	r->addresses.n = 1;
	r->addresses.addr[0].server = 1;
	r->addresses.addr[0].len = 16;
	memcpy(&r->addresses.addr[0].sa, "\2\0\52%\177\0\0\1 \n\0\0\0\0\0\0", 16);
}

static int parse(struct nbd_record *r, const char *text, struct nbd_err *err)
{
	return record_parse(r, text, strlen(text), err);
}

static void test_round_trip(void)
{
	struct nbd_record a, b;
	struct nbd_err err;
	char *first, *second;

	tap_test("record: what is written is what is read");
	fill(&a);
	first = record_print(&a);
	expect_number(parse(&b, first, &err), 0);
	second = record_print(&b);
	expect_text(second, first);
	expect_text(b.params.export_name, a.params.export_name);
	expect_number(b.params.servers[1].host_len, 9);
	expect(!memcmp(&a.addresses.addr[0].sa, &b.addresses.addr[0].sa, 16));
	expect(b.session_id == a.session_id && b.namespaces.net_kept &&
	       b.namespaces.mnt == a.namespaces.mnt);
	expect(b.keeper == a.keeper);
	expect(nbd_address_same(&a.in_use, &b.in_use));
	expect_number(b.in_use.server, 1);
	nbd_record_free(&a);
	nbd_record_free(&b);
	free(first);
	free(second);
}

/* Where its servers are looked for: here if that is the same, else nowhere. */
static void test_places(void)
{
	struct nbd_namespaces elsewhere = { .net = 1, .mnt = 1 };
	struct nbd_place place;
	struct nbd_record r;
	struct nbd_err err;

	tap_test("record: the namespace that the release before has kept");
	expect_number(parse(&r, "index 1000000\nserver 0 1 h\nnetns 1\n", &err), 0);
	expect(r.namespaces.net_kept && !nbd_namespaces_know_files(&r.namespaces));
	expect_number(nbd_namespaces_open(&place, &r.namespaces, &r.params, &err), -ENOENT);
	expect_words(err.text, "network namespace");
	expect_words(err.text, "nbd-client -replace HOST /dev/nbd1000000");
	nbd_record_free(&r);

	tap_test("record: what servers need");
	expect_number(parse(&r, "index 1000000\nserver 1 - /run/s\n", &err), 0);
	expect_number(nbd_namespaces_open(&place, &r.namespaces, &r.params, &err), 0);
	expect(place.net == -1 && place.mnt == -1);
	expect_number(nbd_namespaces_open(&place, &elsewhere, &r.params, &err), -ENOENT);
	expect_words(err.text, "mount namespace");
	elsewhere.mnt = 0;
	expect_number(nbd_namespaces_open(&place, &elsewhere, &r.params, &err), 0);
	nbd_record_free(&r);
}

static const char *const damaged[] = {
	"\n",
	"index 0\n",				/* no server */
	"index 4294967295\nserver 0 1 h\n",	/* no device */
	"index x\n",
	"index\n",
	"index 0\nserver 9 1 h\n",
	"index 0\nserver 0 1\n",
	"index 0\nserver 0 1 h\ncurrent-server 1\n",
	"index 0\nserver 0 1 h\naddress 1 %02%00\n",
	"index 0\nserver 0 1 h\naddress 0 %02\n",
	"index 0\nserver 0 1 h\ncurrent-address %02\n",
	"index 0\nserver 0 1 h\nconns 999\n",
	"index 0\nserver 0 1 h\nconns 1x\n",
	"index 0\nserver 0 1 h\nsession 18446744073709551616\n",
	"index 0\nserver 0 1 h\nconnect-timeout 0\n",
};

/* What the release before has written, and whether that tells the address in use. */
static const struct {
	const char *text;
	bool known;
} old[] = {
	{ "index 0\nserver 0 1 127.0.0.1\nserver 0 1 h\naddress 0 %02%00\n", true },
	{ "index 0\nserver 0 1 127.0.0.1\nserver 0 1 h\ncurrent-server 1\naddress 1 %02%00\n",
	  false },
	{ "index 0\nserver 1 - /run/s\n", true },
	{ "index 0\nserver 0 1 ::1\n", true },
	{ "index 0\nserver 0 1 127.0.0.1\nmoving 1\n", false },
};

static void test_old(void)
{
	struct nbd_record r;
	struct nbd_err err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(old); i++) {
		tap_test("record: the address in use of an old one (%zu)", i + 1);
		expect_number(parse(&r, old[i].text, &err), 0);
		expect_number(nbd_record_knows_address(&r), old[i].known);
		nbd_record_free(&r);
	}
}

/* In no order, with unknown keys, numbers of all lengths, and an end without a newline. */
static void test_numbers(void)
{
	static const char text[] =
		"pid 5\nindex 3\nlater 7\nsession 18446744073709551615\n"
		"timeout 00000000000000000000017\n"
		"server 0 1 h\nkeeper 9999999999999999999\nconns 2\nsize 4096";
	struct nbd_record r;
	struct nbd_err err;

	tap_test("record: lines in any order");
	expect_number(parse(&r, text, &err), 0);
	expect_number(r.params.index, 3);
	expect_number(r.pid, 5);
	expect_number(r.nconns, 2);
	expect_number(r.export.size, 4096);
	expect_number(r.params.timeout, 17);
	expect(r.session_id == U64_MAX);
	expect(r.keeper == 9999999999999999999ULL);
	nbd_record_free(&r);
}

static void test_damaged(void)
{
	struct nbd_record r;
	struct nbd_err err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(damaged); i++) {
		tap_test("record: damaged in way %zu", i + 1);
		expect(parse(&r, damaged[i], &err) < 0);
		expect_words(err.text, "damaged");
	}
}

static bool unreadable;

/* A folder can be opened, but not read. */
int __wrap_nbd_rundir_open_file_at(int folder, const char *name, struct nbd_err *err)
{
	return unreadable ? open("/", O_RDONLY) : __real_nbd_rundir_open_file_at(folder, name, err);
}

/* Whoever asked for it frees it, whatever came of that. */
static void test_unreadable(void)
{
	struct nbd_record r;
	struct nbd_err err;

	tap_test("record: one that cannot be read is empty");
	memset(&r, 0xff, sizeof(r));
	unreadable = true;
	expect_number(nbd_record_read_at(AT_FDCWD, &r, 7, &err), -EISDIR);
	unreadable = false;
	expect_words(err.text, "/nbd7: Is a directory");
	expect_number(r.session_id, 0);
	expect(!r.params.export_name && !r.other_fs);
	nbd_record_free(&r);
}

static const struct {
	const char *what;
	struct nbd_export now;
	unsigned int nconns;
	const char *words;	/* NULL: accepted */
	u64 grown;
} changes[] = {
	{ "the same", { .size = 8192, .flags = 0x10d }, 4, NULL, 0 },
	{ "more features", { .size = 8192, .flags = 0x16d }, 4, NULL, 0 },
	{ "grown", { .size = 16384, .flags = 0x10d }, 4, NULL, 16384 },
	{ "grown by half a block", { .size = 10240, .flags = 0x10d }, 4, NULL,
	  8192 },
	{ "shrunk", { .size = 4096, .flags = 0x10d }, 4,
	  "shrunk from 8192 to 4096", 0 },
	{ "without FLUSH", { .size = 8192, .flags = 0x109 }, 4,
	  "relies on: FLUSH", 0 },
	{ "without FUA", { .size = 8192, .flags = 0x105 }, 4, "relies on: FUA",
	  0 },
	{ "read-only", { .size = 8192, .flags = 0x10f }, 4, "read-only", 0 },
	{ "for one connection", { .size = 8192, .flags = 0xd }, 4,
	  "several connections", 0 },
	{ "for one connection, which is all", { .size = 8192, .flags = 0xd },
	  1, NULL, 0 },
	{ "with bigger blocks", { 8192, 0x10d, true, 8192, 8192, 1 << 20 }, 4,
	  "blocks of 8192", 0 },
};

static void test_changes(void)
{
	struct nbd_record r;
	struct nbd_err err;
	size_t i;
	int ret;

	fill(&r);
	r.export.size = 8192;
	r.params.readonly = false;
	for (i = 0; i < ARRAY_SIZE(changes); i++) {
		tap_test("record: an export that comes back %s",
			 changes[i].what);
		ret = nbd_check_export(&r, changes[i].nconns, &changes[i].now,
				       &err);
		expect_number(!ret, !changes[i].words);
		if (ret)
			expect_words(err.text, changes[i].words);
		else
			expect_number(nbd_grown_size(&r, &changes[i].now),
				      changes[i].grown);
	}
	nbd_record_free(&r);
}

/* Another server may have more, and the first one comes back as it was. */
static void test_set_export(void)
{
	const struct nbd_export more = { .size = 8192 + 512, .flags = 0x16d };
	const struct nbd_export first = { .size = 8192, .flags = 0x10f };
	struct nbd_record r;
	struct nbd_err err;

	fill(&r);
	r.params.readonly = false;
	r.export = first;
	tap_test("record: back on an export with less than the last one");
	expect_number(nbd_check_export(&r, 4, &more, &err), 0);
	nbd_record_set_export(&r, &more);
	expect_number(r.export.size, 8192 + 512);
	expect_number(r.export.flags, 0x10f);
	expect_number(nbd_check_export(&r, 4, &first, &err), 0);
	nbd_record_free(&r);
}

static struct nbd_address address(unsigned int server, char last)
{
	struct nbd_address a = { .server = server, .len = 16 };

	((char *)&a.sa)[7] = last;
	return a;
}

static void test_addresses(void)
{
	struct nbd_address_list a = { .n = 2 }, b = { .n = 2 };

	a.addr[0] = address(0, 1);
	a.addr[1] = address(0, 2);
	b.addr[0] = a.addr[1];
	b.addr[1] = a.addr[0];
	tap_test("addresses: another order is no other list");
	expect(nbd_address_list_covers(&a, &b));
	expect(nbd_address_list_covers(&b, &a));
	b.addr[1] = address(0, 3);
	expect(!nbd_address_list_covers(&a, &b));

	tap_test("addresses: those of a server that has no name for a while are kept");
	a.addr[1] = address(1, 2);
	b.n = 1;
	b.addr[0] = address(0, 3);
	nbd_address_list_keep(&b, &a, 2);
	expect_number(b.n, 2);
	expect_number(b.addr[0].server, 0);
	expect_number(((char *)&b.addr[0].sa)[7], 3);
	expect_number(b.addr[1].server, 1);
	expect_number(((char *)&b.addr[1].sa)[7], 2);
}

static const struct {
	const char *what;
	mode_t type;
	struct stat st;
	const char *words;	/* NULL: believed */
} owners[] = {
	{ "a record", S_IFREG, { .st_mode = S_IFREG | 0644, .st_nlink = 1 }, NULL },
	{ "a folder", S_IFDIR, { .st_mode = S_IFDIR | 0755, .st_nlink = 3 }, NULL },
	{ "a folder that is shut", S_IFDIR, { .st_mode = S_IFDIR | 0700, .st_nlink = 2 },
	  NULL },
	{ "somebody's record", S_IFREG,
	  { .st_mode = S_IFREG | 0644, .st_nlink = 1, .st_uid = 7 }, "belongs to user 7" },
	{ "somebody's folder", S_IFDIR, { .st_mode = S_IFDIR | 0755, .st_uid = 7 },
	  "belongs to user 7" },
	{ "a record for a group", S_IFREG, { .st_mode = S_IFREG | 0664, .st_nlink = 1 },
	  "by others than root (mode 0664)" },
	{ "a folder for all", S_IFDIR, { .st_mode = S_IFDIR | 01777 },
	  "by others than root (mode 1777)" },
	{ "a record with two names", S_IFREG, { .st_mode = S_IFREG | 0644, .st_nlink = 2 },
	  "has 2 names" },
	{ "a link for a record", S_IFREG, { .st_mode = S_IFLNK | 0777, .st_nlink = 1 },
	  "a symbolic link" },
	{ "a link for a folder", S_IFDIR, { .st_mode = S_IFLNK | 0777, .st_nlink = 1 },
	  "a symbolic link" },
	{ "a FIFO for a record", S_IFREG, { .st_mode = S_IFIFO | 0644, .st_nlink = 1 },
	  "no regular file" },
};

static void test_owners(void)
{
	const char *why;
	char buf[100];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(owners); i++) {
		tap_test("record: is %s believed?", owners[i].what);
		why = nbd_distrust(&owners[i].st, owners[i].type, buf, sizeof(buf));
		expect_number(!why, !owners[i].words);
		if (why && owners[i].words)
			expect_words(why, owners[i].words);
	}
}

static const struct {
	const char *what;
	struct nbd_status status;
	u64 keeper;
	bool ours;
	enum nbd_care without;	/* when there is no such record */
	const char *words;
} cares[] = {
	{ "one that nobody keeps", { .detailed = true, .session_id = 5 }, 0, true,
	  NBD_CARE_NOBODY, "it has no record" },
	{ "one that this record keeps",
	  { .detailed = true, .session_id = 5, .keeper = 9, .keeper_lives = true,
	    .keeper_pid = 77 }, 9, true, NBD_CARE_ELSEWHERE, "where process 77 cares" },
	{ "one that was adopted",
	  { .detailed = true, .session_id = 5, .keeper = 9, .keeper_lives = true }, 8, false,
	  NBD_CARE_ELSEWHERE, "a process of another PID namespace cares" },
	{ "one that was adopted from a record of before",
	  { .detailed = true, .session_id = 5, .keeper = 9 }, 0, false, NBD_CARE_ENDED,
	  "who cared for it has ended" },
	{ "another one", { .detailed = true, .session_id = 6, .keeper = 9 }, 9, false,
	  NBD_CARE_ENDED, "to adopt it: nbd-client -replace SERVER /dev/nbd0" },
	{ "one of the stock driver", { .session_id = 0 }, 0, true, NBD_CARE_HERE, "" },
};

static void test_care(void)
{
	struct nbd_record r = { .session_id = 5 };
	char text[NBD_CARE_TEXT_MAX];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cares); i++) {
		tap_test("care: %s", cares[i].what);
		r.keeper = cares[i].keeper;
		expect(nbd_keeper_is_ours(&r, &cares[i].status) == cares[i].ours);
		expect_number(nbd_care(&cares[i].status, true), NBD_CARE_HERE);
		expect_number(nbd_care(&cares[i].status, false), cares[i].without);
		nbd_care_text(&cares[i].status, cares[i].without, text, sizeof(text));
		expect_words(text, cares[i].words);
	}
	expect(nbd_keeper_new() != nbd_keeper_new());
}

void test_record(void)
{
	s64 pause;
	int i;

	test_round_trip();
	test_places();
	test_old();
	test_numbers();
	test_damaged();
	test_unreadable();
	test_changes();
	test_set_export();
	test_addresses();
	test_owners();
	test_care();

	tap_test("record: names of records");
	expect_number(nbd_record_index("nbd12"), 12);
	expect_number(nbd_record_index(".nbd12.99"), -1);
	expect_number(nbd_record_index("/dev/nbd1"), -1);
	expect_number(nbd_record_index("nbd1p1"), -1);

	tap_test("watch: what a server's handshake is worth");
	expect(!nbd_server_relapses(0, 3000, 3));
	expect(nbd_server_relapses(5000, 8000, 3));
	expect(nbd_server_relapses(5000, 11000, 3));
	expect(!nbd_server_relapses(5000, 11001, 3));

	tap_test("watch: pauses between attempts");
	for (i = 0; i < 1000; i++) {
		pause = nbd_retry_pause(0);
		expect(pause >= 75 && pause <= 125);
		pause = nbd_retry_pause(20000);
		expect(pause >= 1500 && pause <= 2500);
		pause = nbd_retry_pause(86400000);
		expect(pause >= 6000 && pause <= NBD_RETRY_MAX_MS);
	}
}
