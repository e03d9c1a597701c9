/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fixed newstyle negotiation: honest unless a handshake rule applies. A rule
 * is a line
 *
 *	VERB [conn=N] [after=N] [count=N] [VERB'S OWN=...]
 *
 * conn is the ordinal of the accepted connection, 1 for the first one that comes
 * after the rule was made; after and count are as in
 * rules.h, but count is 0 (always) by default. Verbs:
 *
 *	hs.greeting [magic=N] [version=N] [flags=N] [text=T | data=HEX]
 *			alter or replace what is sent first
 *	hs.cut at=N [then=T]	end the server's bytes of the handshake after N
 *	hs.drip [n=N] [t=T]	N bytes (1) at a time, T apart
 *	hs.zeroes n=N		padding of NBD_OPT_EXPORT_NAME's answer
 *	hs.info [size=N] [flags=N] [min=N] [pref=N] [max=N] [noexport=1]
 *			what is told about the export
 *	hs.ignore opt=O		no answer to that option
 *	hs.reply opt=O [place=before|instead|after] [magic=N] [echo=N] [type=N]
 *			[len=N] [text=T | data=HEX] [fill=N] [repeat=N] [flood=1] [then=T]
 *			one more reply, or another: fill adds N bytes of 'x' to the
 *			payload, len is the length told (default: the true one),
 *			repeat=0 repeats it for ever, flood=1 sends 'x' for ever after it
 *
 * opt is export_name, abort, list, starttls, info, go, structured, list_meta,
 * set_meta, extended or any.
 */
#ifndef NBD_TEST_HANDSHAKE_H
#define NBD_TEST_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "conn.h"

/* Greet the new connection; it becomes transmit.c's when negotiated. */
void handshake_begin(struct conn *conn);

bool hs_rule_is_verb(const char *verb);
/* As rule_add(). */
bool hs_rule_add(const char *line, char *error, size_t size);
void hs_rules_clear(void);
void hs_rules_print(FILE *out);

#endif /* NBD_TEST_HANDSHAKE_H */
