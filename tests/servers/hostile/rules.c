// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"
#include "stats.h"
#include "../wire.h"

struct rule {
	STAILQ_ENTRY(rule) link;
	char *line;
	struct args args;
	const struct verb *verb;

	unsigned int conn, listener;	/* 0: any */
	int type;			/* -1: any but DISC */
	bool ranged, fua;
	uint64_t start, end;
	uint32_t min_len;
	uint64_t after, every, count;

	uint64_t seen, struck;
};

static STAILQ_HEAD(rule_list, rule) rules = STAILQ_HEAD_INITIALIZER(rules);

static const char *const type_names[] = {
	"read", "write", "disc", "flush", "trim", "cache", "zeroes", "any", NULL
};

static const char *const alien_names[] = {
	"none", "unused", "tag", "queue", "generation", "completed", "otherconn",
	"zero", "ones", "bit", NULL
};

static const char *const kill_names[] = { "header", "payload", "reply", NULL };
static const char *const reorder_names[] = { "reverse", "shuffle", "interleave", NULL };
static const char *const split_names[] = { "forward", "reverse", "odd", NULL };

struct verb {
	const char *name;
	/* read the verb's words and add what they ask for to @fx */
	void (*apply)(struct args *args, struct effects *fx);
};

static void apply_hold(struct args *args, struct effects *fx)
{
	fx->hold_ns += args_ns(args, "t", 0);
}

static void apply_never(struct args *args, struct effects *fx)
{
	(void)args;
	fx->never = true;
}

static void apply_err(struct args *args, struct effects *fx)
{
	fx->has_error = true;
	fx->error = args_u64(args, "e", NBD_EIO);
	fx->execute_anyway = args_u64(args, "exec", 0);
}

static void apply_errdata(struct args *args, struct effects *fx)
{
	apply_err(args, fx);
	fx->error_with_data = true;
}

static void apply_magic(struct args *args, struct effects *fx)
{
	fx->has_magic = true;
	fx->magic = args_u64(args, "value", NBD_REQUEST_MAGIC);
}

static void apply_garbage(struct args *args, struct effects *fx)
{
	fx->garbage = args_u64(args, "n", 16);
}

static void apply_structured(struct args *args, struct effects *fx)
{
	(void)args;
	fx->structured = true;
}

static void apply_simple(struct args *args, struct effects *fx)
{
	(void)args;
	fx->simple = true;
}

static void apply_split(struct args *args, struct effects *fx)
{
	fx->split = args_u64(args, "n", 2);
	fx->split_order = args_enum(args, "order", split_names, SPLIT_FORWARD);
	if (!fx->split || fx->split > CHUNKS_MAX)
		fx->split = CHUNKS_MAX;
}

static struct chunk_spec *next_chunk(struct args *args, struct effects *fx)
{
	static struct chunk_spec surplus;
	struct chunk_spec *c = &surplus;

	if (fx->n_chunks < CHUNKS_MAX)
		c = &fx->chunks[fx->n_chunks++];
	memset(c, 0, sizeof(*c));
	c->flags = args_u64(args, "flags", 0);
	return c;
}

static void apply_piece(struct args *args, struct effects *fx)
{
	struct chunk_spec *c = next_chunk(args, fx);

	c->piece = true;
	c->at = args_u64(args, "at", 0);
	c->n = args_u64(args, "n", 512);
}

static void apply_chunk(struct args *args, struct effects *fx)
{
	struct chunk_spec *c = next_chunk(args, fx);
	uint8_t *data = args_hex(args, "data", &c->data_len);

	c->type = args_u64(args, "kind", 0);
	c->has_len = args_has(args, "len");
	c->len = args_u64(args, "len", 0);
	c->fill = args_u64(args, "fill", 0);
	if (c->data_len > sizeof(c->data))
		c->data_len = sizeof(c->data);
	if (data)
		memcpy(c->data, data, c->data_len);
	free(data);
}

static void apply_alien(struct args *args, struct effects *fx)
{
	fx->alien = args_enum(args, "kind", alien_names, ALIEN_UNUSED);
	fx->alien_bit = args_u64(args, "bit", 0) % 64;
	fx->alien_add = args_u64(args, "add", 0);
}

static void apply_misdirect(struct args *args, struct effects *fx)
{
	(void)args;
	fx->misdirect = true;
}

static void apply_dup(struct args *args, struct effects *fx)
{
	fx->copies = args_u64(args, "n", 2);
}

static void apply_cut(struct args *args, struct effects *fx)
{
	fx->cut = true;
	fx->cut_at = args_u64(args, "at", 0);
	fx->cut_then = args_enum(args, "then", ending_names, END_FIN);
}

static void apply_oob(struct args *args, struct effects *fx)
{
	fx->cut = true;
	fx->cut_at = args_u64(args, "at", 0);
	fx->cut_then = END_OOB;
}

static void apply_scm(struct args *args, struct effects *fx)
{
	apply_oob(args, fx);
	fx->cut_then = END_SCM;
}

static void apply_extra(struct args *args, struct effects *fx)
{
	fx->extra = args_u64(args, "n", 1);
	fx->extra_then = args_enum(args, "then", ending_names, END_NONE);
}

static void apply_payload(struct args *args, struct effects *fx)
{
	fx->payload = args_u64(args, "n", 512);
}

static void apply_drip(struct args *args, struct effects *fx)
{
	fx->drip = args_u64(args, "n", 1);
	fx->drip_ns = args_ns(args, "t", 0);
}

static void apply_early(struct args *args, struct effects *fx)
{
	fx->early = true;
	fx->early_then = args_enum(args, "then", ending_names, END_NONE);
}

static void apply_end(struct args *args, struct effects *fx)
{
	fx->kill = args_enum(args, "how", ending_names, END_RST);
	fx->kill_at = args_enum(args, "at", kill_names, KILL_HEADER);
}

static void apply_noread(struct args *args, struct effects *fx)
{
	fx->noread = true;
	fx->noread_ns = args_ns(args, "t", 0);
}

static void apply_slowread(struct args *args, struct effects *fx)
{
	fx->slowread = args_u64(args, "n", 4096);
	fx->slowread_ns = args_ns(args, "t", NSEC_PER_SEC);
}

static void apply_late(struct args *args, struct effects *fx)
{
	fx->late_ns = args_ns(args, "t", NSEC_PER_SEC);
}

static void apply_reorder(struct args *args, struct effects *fx)
{
	fx->reorder = args_u64(args, "n", 8);
	fx->shuffle = args_enum(args, "mode", reorder_names, 0) == 1;
	fx->interleave = args_enum(args, "mode", reorder_names, 0) == 2;
	fx->reorder_ns = args_ns(args, "t", 20 * NSEC_PER_MSEC);
}

static const struct verb verbs[] = {
	{ "hold", apply_hold },
	{ "never", apply_never },
	{ "err", apply_err },
	{ "errdata", apply_errdata },
	{ "magic", apply_magic },
	{ "garbage", apply_garbage },
	{ "structured", apply_structured },
	{ "simple", apply_simple },
	{ "split", apply_split },
	{ "piece", apply_piece },
	{ "chunk", apply_chunk },
	{ "alien", apply_alien },
	{ "misdirect", apply_misdirect },
	{ "dup", apply_dup },
	{ "cut", apply_cut },
	{ "oob", apply_oob },
	{ "scm", apply_scm },
	{ "extra", apply_extra },
	{ "payload", apply_payload },
	{ "drip", apply_drip },
	{ "early", apply_early },
	{ "end", apply_end },
	{ "noread", apply_noread },
	{ "slowread", apply_slowread },
	{ "late", apply_late },
	{ "reorder", apply_reorder },
};

static const struct verb *find_verb(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

bool rule_is_verb(const char *verb)
{
	return find_verb(verb);
}

static void parse_match(struct args *args, struct rule *rule)
{
	static const int any = ARRAY_SIZE(type_names) - 2;

	rule->conn = args_u64(args, "conn", 0);
	rule->listener = args_u64(args, "listener", 0);
	rule->type = args_enum(args, "type", type_names, any);
	if (rule->type == any)
		rule->type = -1;
	rule->ranged = args_has(args, "lba");
	rule->start = args_u64(args, "lba", 0);
	rule->end = args_u64(args, "end", rule->start + 1);
	rule->min_len = args_u64(args, "minlen", 0);
	rule->fua = args_u64(args, "fua", 0);
	rule->after = args_u64(args, "after", 0);
	rule->every = args_u64(args, "every", 1);
	rule->count = args_u64(args, "count", 1);
	if (!rule->every)
		rule->every = 1;
}

static void rule_free(struct rule *rule)
{
	args_free(&rule->args);
	free(rule->line);
	free(rule);
}

bool rule_add(const char *line, char *error, size_t size)
{
	struct rule *rule = calloc(1, sizeof(*rule));
	struct effects checked = { 0 };
	bool good;

	if (!rule)
		err(1, "rule");
	rule->line = strdup(line);
	args_parse(&rule->args, line);
	rule->verb = find_verb(rule->args.verb);
	parse_match(&rule->args, rule);
	rule->verb->apply(&rule->args, &checked);
	good = args_done(&rule->args);
	if (good) {
		STAILQ_INSERT_TAIL(&rules, rule, link);
	} else {
		snprintf(error, size, "%s", rule->args.error);
		rule_free(rule);
	}
	return good;
}

void rules_clear(void)
{
	struct rule *rule;

	while ((rule = STAILQ_FIRST(&rules))) {
		STAILQ_REMOVE_HEAD(&rules, link);
		rule_free(rule);
	}
}

void rules_print(FILE *out)
{
	struct rule *rule;

	STAILQ_FOREACH(rule, &rules, link)
		fprintf(out, "%s # matched %llu, struck %llu\n", rule->line,
			(unsigned long long)rule->seen, (unsigned long long)rule->struck);
}

static bool touches(const struct rule *rule, const struct request_key *key)
{
	return key->len && key->offset < rule->end &&
	       key->offset + key->len > rule->start;
}

static bool matches(const struct rule *rule, const struct request_key *key)
{
	if (rule->conn && rule->conn != key->conn->tx_id)
		return false;
	if (rule->listener && rule->listener != key->conn->listener)
		return false;
	if (rule->type < 0 ? key->type == NBD_CMD_DISC : rule->type != key->type)
		return false;
	if (rule->ranged && !touches(rule, key))
		return false;
	return key->len >= rule->min_len && (!rule->fua || key->fua);
}

/* Counts a matching request; true if the rule strikes. */
static bool strikes(struct rule *rule)
{
	uint64_t n = rule->seen++;

	if (n < rule->after || (n - rule->after + 1) % rule->every)
		return false;
	if (rule->count && rule->struck == rule->count)
		return false;
	rule->struck++;
	return true;
}

void rules_match(const struct request_key *key, struct effects *effects)
{
	struct rule *rule;

	memset(effects, 0, sizeof(*effects));
	STAILQ_FOREACH(rule, &rules, link)
		if (matches(rule, key) && strikes(rule)) {
			rule->verb->apply(&rule->args, effects);
			stats.fired++;
			log_line(key->conn->tx_id, "fire %s", rule->line);
		}
}
