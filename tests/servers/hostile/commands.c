// SPDX-License-Identifier: GPL-2.0
/* The commands of control.h. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "conn.h"
#include "control.h"
#include "export.h"
#include "handshake.h"
#include "image.h"
#include "listener.h"
#include "request.h"
#include "rules.h"
#include "scenario.h"
#include "stats.h"
#include "transmit.h"
#include "../wire.h"

struct command {
	const char *name;
	/* NULL, or what was wrong */
	const char *(*run)(struct args *args, FILE *out);
};

static const char *const on_off[] = { "off", "on", NULL };

/* The first bare word as an index in @names, or -1. */
static int word_enum(struct args *args, const char *const *names)
{
	const char *word = args_word(args, 0);
	int i;

	for (i = 0; word && names[i]; i++)
		if (!strcmp(names[i], word))
			return i;
	return -1;
}

static const char *cmd_clear(struct args *args, FILE *out)
{
	(void)args;
	(void)out;
	rules_clear();
	hs_rules_clear();
	return NULL;
}

static const char *cmd_rules(struct args *args, FILE *out)
{
	(void)args;
	hs_rules_print(out);
	rules_print(out);
	return NULL;
}

static const char *cmd_scenario(struct args *args, FILE *out)
{
	const char *name = args_word(args, 0);

	(void)out;
	return name && scenario_apply(name) ? NULL : "no such scenario";
}

static const char *cmd_stats(struct args *args, FILE *out)
{
	const char *word = args_word(args, 0);

	if (!word)
		stats_print(out);
	else if (!strcmp(word, "reset"))
		stats_reset();
	else
		return "stats or stats reset";
	return NULL;
}

static const char *cmd_get(struct args *args, FILE *out)
{
	const char *name = args_word(args, 0);
	uint64_t *value = name ? stats_find(name) : NULL;

	if (!value)
		return "no such counter";
	fprintf(out, "%llu\n", (unsigned long long)*value);
	return NULL;
}

static const char *cmd_log(struct args *args, FILE *out)
{
	const char *path = args_str(args, "path", NULL);
	bool crc = args_u64(args, "crc", 0);
	int ret;

	(void)out;
	if (!path && word_enum(args, on_off) != 0)
		return "log path=P or log off";
	ret = log_open(path, crc);
	return ret ? strerror(-ret) : NULL;
}

static const char *cmd_conns(struct args *args, FILE *out)
{
	struct conn *conn;
	struct request *req;

	(void)args;
	TAILQ_FOREACH(conn, &conns, link) {
		unsigned int n = 0;

		TAILQ_FOREACH(req, &conn->requests, link)
			n++;
		fprintf(out, "conn=%u accepted=%u listener=%u outstanding=%u%s%s%s\n",
			conn->tx_id, conn->id, conn->listener, n,
			conn->reading ? "" : " not-reading", conn->stalled ? " stalled" : "",
			conn->muted || conn->discarding ? " finished" : "");
	}
	return NULL;
}

/* Call @fn for the connection of conn=N, or for all of them. */
static const char *each_conn(struct args *args, void (*fn)(struct conn *conn, void *arg),
			     void *arg)
{
	unsigned int tx_id = args_u64(args, "conn", 0);
	struct conn *conn, *next;

	if (tx_id) {
		conn = conn_by_tx(tx_id);
		if (!conn)
			return "no such connection";
		fn(conn, arg);
		return NULL;
	}
	for (conn = TAILQ_FIRST(&conns); conn; conn = next) {
		next = TAILQ_NEXT(conn, link);
		fn(conn, arg);
	}
	return NULL;
}

static void kill_one(struct conn *conn, void *arg)
{
	conn_end(conn, *(enum ending *)arg);
}

static const char *cmd_kill(struct args *args, FILE *out)
{
	enum ending how = args_enum(args, "how", ending_names, END_RST);
	const char *all = args_word(args, 0);

	(void)out;
	if (args_has(args, "conn") == (all && !strcmp(all, "all")))
		return "kill conn=N or kill all";
	return each_conn(args, kill_one, &how);
}

static void pause_one(struct conn *conn, void *arg)
{
	(void)arg;
	conn_set_reading(conn, false);
}

static void resume_one(struct conn *conn, void *arg)
{
	(void)arg;
	conn_resume(conn);
}

static void release_one(struct conn *conn, void *arg)
{
	(void)arg;
	if (conn->tx_id)
		transmit_release(conn);
}

static const char *cmd_pause(struct args *args, FILE *out)
{
	(void)out;
	return each_conn(args, pause_one, NULL);
}

static const char *cmd_resume(struct args *args, FILE *out)
{
	(void)out;
	return each_conn(args, resume_one, NULL);
}

static const char *cmd_release(struct args *args, FILE *out)
{
	(void)out;
	return each_conn(args, release_one, NULL);
}

static void inject_reply(struct conn *conn, struct args *args)
{
	size_t payload = args_u64(args, "payload", 0);
	struct out *out = out_new(NULL, sizeof(struct nbd_reply) + payload);
	struct nbd_reply reply = {
		.magic = htobe32(args_u64(args, "magic", NBD_REPLY_MAGIC)),
		.error = htobe32(args_u64(args, "error", 0)),
		.cookie = htobe64(args_u64(args, "cookie", 0)),
	};

	memcpy(out->data, &reply, sizeof(reply));
	memset(out->data + sizeof(reply), 'j', payload);
	conn_queue(conn, out);
}

static const char *cmd_inject(struct args *args, FILE *out)
{
	struct conn *conn = args_has(args, "conn") ?
		conn_by_tx(args_u64(args, "conn", 0)) : conn_newest();
	uint8_t *data;
	size_t len;

	(void)out;
	if (!conn || !conn->tx_id)
		return "no such connection";
	data = args_hex(args, "data", &len);
	if (data)
		conn_send(conn, data, len);
	else if (args_has(args, "reply"))
		inject_reply(conn, args);
	else
		return "inject data=HEX or reply=1";
	free(data);
	return NULL;
}

static const char *cmd_accept(struct args *args, FILE *out)
{
	int on = word_enum(args, on_off);

	(void)out;
	if (on < 0)
		return "accept on or off";
	listeners_accept(on);
	return NULL;
}

static const char *cmd_listen(struct args *args, FILE *out)
{
	int on = word_enum(args, on_off);

	(void)out;
	if (on < 0)
		return "listen on or off";
	return listeners_listen(on);
}

static const char *cmd_power_loss(struct args *args, FILE *out)
{
	enum ending how = END_RST;
	uint64_t lost = image_power_loss();

	stats.lost += lost;
	fprintf(out, "%llu\n", (unsigned long long)lost);
	return each_conn(args, kill_one, &how);
}

static const char *cmd_export(struct args *args, FILE *out)
{
	const char *flags = args_str(args, "flags", NULL);
	const char *name = args_str(args, "name", NULL);

	(void)out;
	if (flags && !export_parse_flags(flags, &export.flags))
		return "unknown flag";
	if (name)
		snprintf(export.name, sizeof(export.name), "%s", name);
	export.size = args_u64(args, "size", export.size);
	image_grow(export.size);
	export.tell_blocks |= args_has(args, "min");
	export.block_min = args_u64(args, "min", export.block_min);
	export.block_pref = args_u64(args, "pref", export.block_pref);
	export.block_max = args_u64(args, "max", export.block_max);
	export.old_style_go = !args_enum(args, "go", on_off, !export.old_style_go);
	export.structured = args_enum(args, "structured", on_off, export.structured);
	return NULL;
}

static const char *cmd_limits(struct args *args, FILE *out)
{
	(void)out;
	export.limit_min = args_u64(args, "min", 0);
	export.limit_max = args_u64(args, "max", 0);
	export.limit_trim = args_u64(args, "trim", 0);
	return NULL;
}

static const char *cmd_disc(struct args *args, FILE *out)
{
	static const char *const ways[] = { "normal", "deaf", "talk", NULL };
	int way = word_enum(args, ways);

	(void)out;
	if (way < 0)
		return "disc normal, deaf or talk";
	export.deaf_disc = way == 1;
	export.talk_disc = way == 2;
	return NULL;
}

static const char *cmd_pattern(struct args *args, FILE *out)
{
	int on = word_enum(args, on_off);

	(void)out;
	if (on < 0)
		return "pattern on or off";
	export.pattern = on;
	return NULL;
}

static const char *cmd_search(struct args *args, FILE *out)
{
	size_t len;
	uint8_t *needle = args_hex(args, "data", &len);

	if (!needle || !len) {
		free(needle);
		return "search data=HEX";
	}
	fprintf(out, "%llu\n", (unsigned long long)image_search(needle, len));
	free(needle);
	return NULL;
}

static const char *cmd_crc(struct args *args, FILE *out)
{
	uint64_t from = args_u64(args, "from", 0);
	uint64_t len = args_u64(args, "len", export.size);

	fprintf(out, "%08x\n", image_crc(from, len));
	return NULL;
}

static const char *cmd_fill(struct args *args, FILE *out)
{
	uint64_t from = args_u64(args, "from", 0);
	uint64_t len = args_u64(args, "len", 0);
	uint8_t buf[4096];

	(void)out;
	memset(buf, args_u64(args, "byte", 0), sizeof(buf));
	while (len) {
		size_t n = len < sizeof(buf) ? len : sizeof(buf);

		image_write(buf, from, n, true);
		from += n;
		len -= n;
	}
	return NULL;
}

static const char *cmd_save(struct args *args, FILE *out)
{
	const char *path = args_str(args, "path", NULL);
	int ret;

	(void)out;
	if (!path)
		return "save path=P";
	ret = image_save(path);
	return ret ? strerror(-ret) : NULL;
}

static const char *cmd_ping(struct args *args, FILE *out)
{
	(void)args;
	(void)out;
	return NULL;
}

static const char *cmd_quit(struct args *args, FILE *out)
{
	(void)args;
	(void)out;
	loop_stop();
	return NULL;
}

static const struct command commands[] = {
	{ "clear", cmd_clear },
	{ "rules", cmd_rules },
	{ "scenario", cmd_scenario },
	{ "stats", cmd_stats },
	{ "get", cmd_get },
	{ "log", cmd_log },
	{ "conns", cmd_conns },
	{ "kill", cmd_kill },
	{ "pause", cmd_pause },
	{ "resume", cmd_resume },
	{ "release", cmd_release },
	{ "inject", cmd_inject },
	{ "accept", cmd_accept },
	{ "listen", cmd_listen },
	{ "power-loss", cmd_power_loss },
	{ "export", cmd_export },
	{ "limits", cmd_limits },
	{ "disc", cmd_disc },
	{ "pattern", cmd_pattern },
	{ "search", cmd_search },
	{ "crc", cmd_crc },
	{ "fill", cmd_fill },
	{ "save", cmd_save },
	{ "ping", cmd_ping },
	{ "quit", cmd_quit },
};

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static bool run_command(const struct command *cmd, struct args *args, FILE *out,
			char *error, size_t size)
{
	const char *wrong = cmd->run(args, out);

	if (!wrong && !args_done(args))
		wrong = args->error;
	if (wrong)
		snprintf(error, size, "%s", wrong);
	return !wrong;
}

bool control_run(const char *line, FILE *out, char *error, size_t size)
{
	const struct command *cmd;
	struct args args;
	bool good = false;

	if (!args_parse(&args, line)) {
		snprintf(error, size, "%s", args.error);
	} else if (rule_is_verb(args.verb)) {
		good = rule_add(line, error, size);
	} else if (hs_rule_is_verb(args.verb)) {
		good = hs_rule_add(line, error, size);
	} else {
		cmd = find_command(args.verb);
		if (cmd)
			good = run_command(cmd, &args, out, error, size);
		else
			snprintf(error, size, "no such command: %s", args.verb);
	}
	args_free(&args);
	return good;
}
