// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "handshake.h"
#include "hs_rules.h"
#include "stats.h"
#include "../wire.h"

static STAILQ_HEAD(hs_rule_list, hs_rule) rules = STAILQ_HEAD_INITIALIZER(rules);

/* The words that each verb knows besides conn, after and count. */
static const struct {
	const char *name;
	const char *words[12];
} verbs[] = {
	[HS_GREETING] = { "hs.greeting", { "magic", "version", "flags", "text", "data" } },
	[HS_CUT] = { "hs.cut", { "at", "then" } },
	[HS_DRIP] = { "hs.drip", { "n", "t" } },
	[HS_ZEROES] = { "hs.zeroes", { "n" } },
	[HS_INFO] = { "hs.info", { "size", "flags", "min", "pref", "max", "noexport" } },
	[HS_IGNORE] = { "hs.ignore", { "opt" } },
	[HS_REPLY] = { "hs.reply", { "opt", "place", "magic", "echo", "type", "len", "text",
				     "data", "fill", "repeat", "flood", "then" } },
};

static const char *const option_names[] = {
	"any", "export_name", "abort", "list", "peek", "starttls", "info", "go",
	"structured", "list_meta", "set_meta", "extended", NULL
};

static const char *const place_names[] = { "before", "instead", "after", NULL };

static int find_verb(const char *name)
{
	int i;

	for (i = 0; i <= HS_REPLY; i++)
		if (!strcmp(verbs[i].name, name))
			return i;
	return -1;
}

bool hs_rule_is_verb(const char *verb)
{
	return find_verb(verb) >= 0;
}

/* Numbers of the verb's own are read when the rule strikes; check them now. */
static void check_words(struct hs_rule *rule)
{
	static const char *const numbers[] = {
		"magic", "version", "flags", "at", "n", "size", "min", "pref", "max",
		"noexport", "echo", "type", "len", "fill", "repeat", "flood", NULL
	};
	size_t i, len;

	for (i = 0; i < 12 && verbs[rule->verb].words[i]; i++)
		args_has(&rule->args, verbs[rule->verb].words[i]);
	for (i = 0; numbers[i]; i++)
		args_u64(&rule->args, numbers[i], 0);
	args_ns(&rule->args, "t", 0);
	args_enum(&rule->args, "then", ending_names, 0);
	free(args_hex(&rule->args, "data", &len));
}

static void rule_free(struct hs_rule *rule)
{
	args_free(&rule->args);
	free(rule->line);
	free(rule);
}

bool hs_rule_add(const char *line, char *error, size_t size)
{
	struct hs_rule *rule = calloc(1, sizeof(*rule));
	bool good;

	if (!rule)
		err(1, "rule");
	rule->line = strdup(line);
	args_parse(&rule->args, line);
	rule->verb = find_verb(rule->args.verb);
	rule->conn = args_u64(&rule->args, "conn", 0);
	if (rule->conn)
		rule->conn += conn_last_id();
	rule->after = args_u64(&rule->args, "after", 0);
	rule->count = args_u64(&rule->args, "count", 0);
	rule->option = args_enum(&rule->args, "opt", option_names, HS_ANY_OPTION);
	rule->place = args_enum(&rule->args, "place", place_names, PLACE_INSTEAD);
	check_words(rule);
	good = args_done(&rule->args);
	if (good) {
		STAILQ_INSERT_TAIL(&rules, rule, link);
	} else {
		snprintf(error, size, "%s", rule->args.error);
		rule_free(rule);
	}
	return good;
}

void hs_rules_clear(void)
{
	struct hs_rule *rule;
	struct conn *conn;

	TAILQ_FOREACH(conn, &conns, link) {
		conn->hs_cut = NULL;
		conn->hs_drip = NULL;
	}
	while ((rule = STAILQ_FIRST(&rules))) {
		STAILQ_REMOVE_HEAD(&rules, link);
		rule_free(rule);
	}
}

void hs_rules_print(FILE *out)
{
	struct hs_rule *rule;

	STAILQ_FOREACH(rule, &rules, link)
		fprintf(out, "%s # matched %llu, struck %llu\n", rule->line,
			(unsigned long long)rule->seen, (unsigned long long)rule->struck);
}

static bool strikes(struct hs_rule *rule)
{
	if (rule->seen++ < rule->after)
		return false;
	if (rule->count && rule->struck == rule->count)
		return false;
	rule->struck++;
	stats.fired++;
	return true;
}

struct hs_rule *hs_rule_next(struct hs_rule *last, struct conn *conn,
			     enum hs_verb verb, uint32_t option, enum hs_place place)
{
	struct hs_rule *rule = last ? STAILQ_NEXT(last, link) : STAILQ_FIRST(&rules);

	for (; rule; rule = STAILQ_NEXT(rule, link)) {
		if (rule->verb != verb || (rule->conn && rule->conn != conn->id))
			continue;
		if (rule->option != HS_ANY_OPTION && rule->option != option)
			continue;
		if (verb == HS_REPLY && rule->place != place)
			continue;
		if (strikes(rule))
			return rule;
	}
	return NULL;
}
