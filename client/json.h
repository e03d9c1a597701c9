/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writes JSON, one value after the other; commas and indentation come by
 * themselves. Any bytes may be text: what JSON or a terminal could take amiss is
 * escaped and comes out of a parser as it was. A byte 0xNN that is no UTF-8, which
 * JSON has no way to say, becomes the lone surrogate \uDCNN, as Python's
 * "surrogateescape" has it.
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
 * @used:	bytes of @buffer
 * @buffer:	what @out gets next: all of it when nothing is open any more
 */
struct nbd_json {
	FILE *out;
	unsigned int depth;
	bool first;
	size_t used;
	char buffer[4096];
};

/* The digits only; what else prints many numbers uses it, too. */
void nbd_print_number(FILE *out, u64 value);

/*
 * @key is NULL in an array and at the top, and else a word, shorter than the buffer, without
 * anything that would have to be escaped. @bracket is '{' or '['.
 */
void nbd_json_open(struct nbd_json *j, const char *key, char bracket);
/* @bracket is '}' or ']'. */
void nbd_json_close(struct nbd_json *j, char bracket);
void nbd_json_text(struct nbd_json *j, const char *key, const char *value);
/* Not terminated, and NUL bytes may be in it. */
void nbd_json_bytes(struct nbd_json *j, const char *key, const char *value,
		    size_t len);
void nbd_json_number(struct nbd_json *j, const char *key, u64 value);
void nbd_json_bool(struct nbd_json *j, const char *key, bool value);
void nbd_json_null(struct nbd_json *j, const char *key);

#endif /* NBD_JSON_H */
