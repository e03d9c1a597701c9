/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writes JSON, one value after the other; commas and indentation come by
 * themselves. Text must be UTF-8 without control characters, as
 * nbd_sanitize() makes it; quotes and backslashes are escaped.
 */
#ifndef NBD_JSON_H
#define NBD_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "util.h"

/**
 * struct nbd_json - where the writer stands
 * @out:	gets the text
 * @depth:	open objects and arrays
 * @first:	nothing is in the innermost one yet
 */
struct nbd_json {
	FILE *out;
	unsigned int depth;
	bool first;
};

/* @key is NULL in an array and at the top. @bracket is '{' or '['. */
void nbd_json_open(struct nbd_json *j, const char *key, char bracket);
/* @bracket is '}' or ']'. */
void nbd_json_close(struct nbd_json *j, char bracket);
void nbd_json_text(struct nbd_json *j, const char *key, const char *value);
void nbd_json_number(struct nbd_json *j, const char *key, u64 value);
void nbd_json_bool(struct nbd_json *j, const char *key, bool value);
void nbd_json_null(struct nbd_json *j, const char *key);

#endif /* NBD_JSON_H */
