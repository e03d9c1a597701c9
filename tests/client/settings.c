// SPDX-License-Identifier: GPL-2.0
/*
 * The table of settings: what releases before have written is read as they meant it, and
 * the rows fit each other.
 */
#include <errno.h>
#include <linux/nbd-netlink.h>
#include <stdlib.h>

#include "../../client/options.h"
#include "../../client/settings.h"
#include "../../client/util.h"
#include "record.h"
#include "tap.h"

/* Every line that the release before wrote into records, byte for byte. */
static const char old_record[] =
	"index 7\n"
	"session 1311768467463790320\n"
	"keeper 81985529216486895\n"
	"pid 4711\n"
	"given 1056766\n"
	"name disk%201\n"
	"identifier vm%2517\n"
	"connections 3\n"
	"wanted-block-size 4096\n"
	"wanted-size 1048576\n"
	"timeout 11\n"
	"dead-timeout 18446744073709551615\n"
	"peer-timeout 12\n"
	"slow-timeout 13\n"
	"connect-timeout 14\n"
	"reconnect 1\n"
	"reconnect-limit 15\n"
	"write-policy 2\n"
	"socket-user 16\n"
	"readonly 1\n"
	"swap 1\n"
	"ioctl 1\n"
	"preinit 1\n"
	"no-optgo 1\n"
	"no-identity-check 1\n"
	"systemd-mark 1\n"
	"tls 1\n"
	"tls-insecure 1\n"
	"tls-cert /c\n"
	"tls-key /k\n"
	"tls-ca /a%20b\n"
	"tls-hostname h\n"
	"tls-priority NORMAL\n"
	"size 1048576\n"
	"flags 269\n"
	"has-block-sizes 1\n"
	"block-min 512\n"
	"block-preferred 4096\n"
	"block-max 33554432\n"
	"block-size 4096\n"
	"conns 3\n"
	"current-server 0\n"
	"moving 0\n"
	"socket-owner 17\n"
	"netns 1\n"
	"mntns 0\n"
	"net-id 18\n"
	"mnt-id 19\n"
	"kept-version 20\n"
	"other-file-system none\n"
	"other-partition-table u\n"
	"server 0 99 192.0.2.1\n"
	"server 1 - /run/s\n"
	"current-address %02%00%00c%C0%00%02%01%00%00%00%00%00%00%00%00\n"
	"address 0 %02%00%00c%C0%00%02%01%00%00%00%00%00%00%00%00\n";

/* What the settings among them meant. */
static void check_old(const struct nbd_params *p)
{
	expect_number(p->given, 0x101ffe);
	expect_text(p->export_name, "disk 1");
	expect_text(p->identifier, "vm%17");
	expect_number(p->connections, 3);
	expect_number(p->block_size, 4096);
	expect_number(p->size, 1048576);
	expect_number(p->timeout, 11);
	expect(p->dead_timeout == NBD_DEAD_CONN_FOREVER);
	expect_number(p->peer_timeout, 12);
	expect_number(p->slow_timeout, 13);
	expect_number(p->connect_timeout, 14);
	expect_number(p->reconnect, NBD_RECONNECT_NEVER);
	expect_number(p->reconnect_limit, 15);
	expect_number(p->write_policy, NBD_WRITE_STRICT);
	expect_number(p->socket_user, 16);
	expect(p->readonly && p->swap && p->ioctl_mode && p->preinit && p->no_optgo &&
	       p->no_identity_check && p->systemd_mark && p->tls && p->tls_insecure);
	expect_text(p->tls_cert, "/c");
	expect_text(p->tls_key, "/k");
	expect_text(p->tls_ca, "/a b");
	expect_text(p->tls_hostname, "h");
	expect_text(p->tls_priority, "NORMAL");
}

/* The line is in @text, which begins with a line end. */
static bool has_line(const char *text, const char *line, size_t len)
{
	const char *at = text;

	while ((at = strchr(at, '\n'))) {
		at++;
		if (!strncmp(at, line, len) && at[len] == '\n')
			return true;
	}
	return false;
}

static void test_old_record(void)
{
	char *text, *with_end;
	struct nbd_record r;
	struct nbd_err err;
	const char *at;

	tap_test("settings: a record of the release before is read");
	if (record_parse(&r, old_record, strlen(old_record), &err)) {
		tap_failure(__FILE__, __LINE__, "%s", err.text);
		return;
	}
	check_old(&r.params);
	expect_number(r.pid, 4711);
	expect_number(r.export.flags, 269);
	expect_number(r.nconns, 3);
	expect_number(r.namespaces.version, 20);
	expect_text(r.other_table, "u");
	expect_number(r.addresses.n, 1);

	tap_test("settings: and every line is written as it was");
	text = record_print(&r);
	if (asprintf(&with_end, "\n%s", text) < 0)
		abort();
	for (at = old_record; *at; at += strcspn(at, "\n") + 1)
		if (!has_line(with_end, at, strcspn(at, "\n")))
			tap_failure(__FILE__, __LINE__, "not written: %.40s", at);
	free(with_end);
	free(text);
	nbd_record_free(&r);
}

/* Every option of nbdtab that the release before knew. */
static const char old_tab[] =
	"nbd0 192.0.2.1 disk port=99,socket_user=16,conns=3,readonly,bs=4096,size=1M,timeout=11,"
	"connect_timeout=14,peer_timeout=12,slow_timeout=13,dead_timeout=forever,no_persist,"
	"reconnect_limit=15,server=/run/s,write_policy=strict,queue_depth=21,read_ahead=22,swap,"
	"systemd_mark,nonetlink,preinit,tls,certfile=/c,keyfile=/k,cacertfile=/a,tlshostname=h,"
	"priority=NORMAL,identifier=vm%17,no_optgo,no_identity_check,sdp,_mine,_mine=too\n"
	"nbd1 /run/s - unix,persist,dead_timeout=7,write_policy=through,size=2G\n";

static void read_old_tab(struct nbd_command *cmd, const char *device)
{
	FILE *file = fmemopen((void *)old_tab, sizeof(old_tab) - 1, "r");
	struct nbd_err err;

	memset(cmd, 0, sizeof(*cmd));
	nbd_params_init(&cmd->params);
	cmd->tab = device;
	if (nbd_options_apply_tab(cmd, file, "tab", &err))
		tap_failure(__FILE__, __LINE__, "%s", err.text);
	fclose(file);
}

static void test_old_tab(void)
{
	struct nbd_command cmd;
	struct nbd_params *p = &cmd.params;

	tap_test("settings: an nbdtab of the release before is read");
	read_old_tab(&cmd, "nbd0");
	free(p->export_name);
	free(p->tls_ca);
	p->export_name = strdup("disk 1");
	p->tls_ca = strdup("/a b");
	p->given &= 0x101ffe;
	p->tls_insecure = true;
	check_old(p);
	expect_number(p->queue_depth, 21);
	expect_number(p->read_ahead, 22);
	expect_text(p->servers[0].port, "99");
	expect_text(p->servers[1].host, "/run/s");
	expect(cmd.sdp && !cmd.unix_socket);
	nbd_command_free(&cmd);

	read_old_tab(&cmd, "nbd1");
	expect(cmd.unix_socket && !p->export_name);
	expect_number(p->servers[0].family, NBD_UNIX);
	expect_number(p->given, NBD_GIVEN_RECONNECT | NBD_GIVEN_DEAD_TIMEOUT |
		      NBD_GIVEN_WRITE_POLICY | NBD_GIVEN_SIZE);
	expect_number(p->dead_timeout, 7);
	expect_number(p->write_policy, NBD_WRITE_THROUGH);
	expect(p->size == 2ULL << 30);
	nbd_command_free(&cmd);
}

static bool same(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

static void test_rows(void)
{
	const struct nbd_setting *a, *b, *end = nbd_settings + NBD_SETTINGS_N;

	tap_test("settings: no two rows have the same name");
	for (a = nbd_settings; a < end; a++)
		for (b = nbd_settings; b < a; b++)
			if (same(a->name, b->name) || same(a->tab, b->tab) ||
			    same(a->record, b->record) || same(a->json, b->json) ||
			    (a->letter && a->letter == b->letter) ||
			    (a->place && a->place == b->place) ||
			    (a->attribute && a->attribute == b->attribute))
				tap_failure(__FILE__, __LINE__, "-%s and -%s", a->name, b->name);

	tap_test("settings: what a record keeps is replaceable or fixed");
	nbd_for_each_setting(a)
		if (a->record && !(a->flags & NBD_REPLACEABLE) == !(a->flags & NBD_FIXED))
			tap_failure(__FILE__, __LINE__, "-%s", a->name);

	tap_test("settings: what the driver is told has a bit, and a width if it is a number");
	nbd_for_each_setting(a)
		if (a->attribute &&
		    (!a->given || (a->width ? a->kind == NBD_KIND_TEXT : a->kind != NBD_KIND_TEXT)))
			tap_failure(__FILE__, __LINE__, "-%s", a->name);

	tap_test("settings: every option has a line of help, and a value if it takes any");
	for (a = nbd_settings; a < end; a++)
		if (!a->help || (a->kind >= NBD_KIND_TEXT && !a->arg) ||
		    (a->kind >= NBD_KIND_NUMBER && a->kind != NBD_KIND_CHOICE && a->max <= a->min))
			tap_failure(__FILE__, __LINE__, "-%s", a->name);
}

/* What was given with -replace is merged or refused, and nothing else is. */
static void test_merge(void)
{
	struct nbd_params given, p;
	const struct nbd_setting *s;
	const char *value;
	struct nbd_err err;

	nbd_for_each_setting(s) {
		tap_test("settings: -replace -%s", s->name);
		nbd_params_init(&given);
		nbd_params_init(&p);
		value = !s->arg ? NULL : s->kind == NBD_KIND_CHOICE ? s->choices[1] :
			s->kind == NBD_KIND_POWER ? "4096" : "7";
		expect_number(nbd_setting_give(s, value, &given, &err), 0);
		expect_number(!nbd_settings_fixed(&given), !(s->flags & NBD_FIXED));
		expect_number(nbd_settings_merge(&p, &given, &err), 0);
		if (!(s->flags & NBD_REPLACEABLE)) {
			expect_number(p.given, 0);
		} else if (s->kind == NBD_KIND_TEXT) {
			expect_text(nbd_setting_text(s, &p), "7");
		} else {
			expect_number(nbd_setting_number(s, &p), nbd_setting_number(s, &given));
			expect_number(p.given, s->given);
		}
		nbd_params_free(&given);
		nbd_params_free(&p);
	}
}

void test_settings(void)
{
	test_old_record();
	test_old_tab();
	test_rows();
	test_merge();
}
