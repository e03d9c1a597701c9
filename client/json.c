// SPDX-License-Identifier: GPL-2.0
/*
 * Writes JSON.
 */
#include <string.h>

#include "decimal.h"
#include "error.h"
#include "json.h"

void nbd_print_number(FILE *out, u64 value)
{
	char digits[NBD_DIGITS], *end = digits + sizeof(digits), *first;

	for (first = nbd_decimal(value, end); first < end; first++)
		putc_unlocked(*first, out);
}

static void flush(struct nbd_json *j)
{
	fwrite(j->buffer, 1, j->used, j->out);
	j->used = 0;
}

/* Room for so many bytes that are put at once, no more than the buffer has. */
static inline void make_room(struct nbd_json *j, size_t len)
{
	if (len > sizeof(j->buffer) - j->used)
		flush(j);
}

/* A value is complete; a lone one is all that there is. */
static void end(struct nbd_json *j)
{
	if (!j->depth)
		flush(j);
}

static void put_in_pieces(struct nbd_json *j, const char *text, size_t len)
{
	size_t n;

	for (; len; text += n, len -= n) {
		if (j->used == sizeof(j->buffer))
			flush(j);
		n = sizeof(j->buffer) - j->used;
		if (n > len)
			n = len;
		memcpy(j->buffer + j->used, text, n);
		j->used += n;
	}
}

static inline void put(struct nbd_json *j, const char *text, size_t len)
{
	if (len > sizeof(j->buffer) - j->used) {
		put_in_pieces(j, text, len);
		return;
	}
	memcpy(j->buffer + j->used, text, len);
	j->used += len;
}

static inline void put_character(struct nbd_json *j, char c)
{
	make_room(j, 1);
	j->buffer[j->used++] = c;
}

static inline void put_word(struct nbd_json *j, const char *word)
{
	put(j, word, strlen(word));
}

/* As a UTF-16 escape; also what is no control character, but could steer a terminal. */
static void put_escaped(struct nbd_json *j, u32 code)
{
	char text[16];

	if (code < 0x10000)
		snprintf(text, sizeof(text), "\\u%04x", code);
	else
		snprintf(text, sizeof(text), "\\u%04x\\u%04x",
			 0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
	put_word(j, text);
}

static void put_sequence(struct nbd_json *j, const char *text, size_t len, u32 code)
{
	bool quoted = code == '"' || code == '\\';

	if (nbd_is_harmful(code) && !quoted) {
		put_escaped(j, code);
		return;
	}
	if (quoted)
		put_character(j, '\\');
	put(j, text, len);
}

/* Bytes that mean themselves. */
static size_t plain_length(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[n] >= ' ' && text[n] <= '~' && text[n] != '"' &&
	       text[n] != '\\')
		n++;
	return n;
}

static void put_text(struct nbd_json *j, const char *text, size_t len)
{
	size_t n;
	u32 code;

	put_character(j, '"');
	for (; len; text += n, len -= n) {
		n = plain_length(text, len);
		if (n) {
			put(j, text, n);
			continue;
		}
		n = nbd_utf8_sequence((const unsigned char *)text, len, &code);
		if (n) {
			put_sequence(j, text, n, code);
			continue;
		}
		n = 1;
		put_escaped(j, 0xdc00 | (unsigned char)*text);
	}
	put_character(j, '"');
}

/* What is deeper is not indented further. */
#define DEPTH_MAX 8

/* A line's end, and all the indentation that there is. */
static const char line[1 + 2 * DEPTH_MAX] = "\n                ";

/* There is room for all of the line, which is copied whole: that is cheaper than a part. */
static inline char *add_line(const struct nbd_json *j, char *at)
{
	memcpy(at, line, sizeof(line));
	return at + 1 + 2 * (j->depth < DEPTH_MAX ? j->depth : DEPTH_MAX);
}

static void new_line(struct nbd_json *j)
{
	make_room(j, sizeof(line));
	j->used = add_line(j, j->buffer + j->used) - j->buffer;
}

/* Comma, new line, indentation and key: a word of ours, in which there is nothing to escape. */
static void begin(struct nbd_json *j, const char *key)
{
	const size_t len = key ? strlen(key) : 0;
	char *at;

	make_room(j, 1 + sizeof(line) + len + 4);
	at = j->buffer + j->used;
	if (j->depth) {
		*at = ',';
		at = add_line(j, at + !j->first);
	}
	j->first = false;
	if (key) {
		*at++ = '"';
		at = mempcpy(at, key, len);
		at = mempcpy(at, "\": ", 3);
	}
	j->used = at - j->buffer;
}

void nbd_json_open(struct nbd_json *j, const char *key, char bracket)
{
	begin(j, key);
	put_character(j, bracket);
	j->depth++;
	j->first = true;
}

void nbd_json_close(struct nbd_json *j, char bracket)
{
	j->depth--;
	if (!j->first)
		new_line(j);
	put_character(j, bracket);
	j->first = false;
	if (!j->depth)
		put_character(j, '\n');
	end(j);
}

void nbd_json_text(struct nbd_json *j, const char *key, const char *value)
{
	nbd_json_bytes(j, key, value, strlen(value));
}

void nbd_json_bytes(struct nbd_json *j, const char *key, const char *value,
		    size_t len)
{
	begin(j, key);
	put_text(j, value, len);
	end(j);
}

void nbd_json_number(struct nbd_json *j, const char *key, u64 value)
{
	char digits[NBD_DIGITS], *behind = digits + sizeof(digits), *first;

	first = nbd_decimal(value, behind);
	begin(j, key);
	put(j, first, behind - first);
	end(j);
}

void nbd_json_bool(struct nbd_json *j, const char *key, bool value)
{
	begin(j, key);
	put_word(j, value ? "true" : "false");
	end(j);
}

void nbd_json_null(struct nbd_json *j, const char *key)
{
	begin(j, key);
	put_word(j, "null");
	end(j);
}
