/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The handshake rules as handshake.c looks them up; their language is described
 * in handshake.h.
 */
#ifndef NBD_TEST_HS_RULES_H
#define NBD_TEST_HS_RULES_H

#include "args.h"
#include "conn.h"

enum hs_verb {
	HS_GREETING,
	HS_CUT,
	HS_DRIP,
	HS_ZEROES,
	HS_INFO,
	HS_IGNORE,
	HS_REPLY,
};

enum hs_place {
	PLACE_BEFORE,
	PLACE_INSTEAD,
	PLACE_AFTER,
};

#define HS_ANY_OPTION	0U

/**
 * struct hs_rule - one rule
 * @conn:	accept ordinal, 0: any
 * @option:	NBD_OPT_*, or HS_ANY_OPTION
 * @place:	of HS_REPLY
 * @args:	the verb's words, to be asked with args_*()
 */
struct hs_rule {
	STAILQ_ENTRY(hs_rule) link;
	enum hs_verb verb;
	char *line;
	struct args args;
	unsigned int conn;
	uint64_t after, count;
	uint32_t option;
	enum hs_place place;
	uint64_t seen, struck;
};

/*
 * The next rule of that verb after @last (NULL: the first) that applies to
 * @conn and @option, and counts it. Returns NULL if there is none.
 */
struct hs_rule *hs_rule_next(struct hs_rule *last, struct conn *conn,
			     enum hs_verb verb, uint32_t option, enum hs_place place);

#endif /* NBD_TEST_HS_RULES_H */
