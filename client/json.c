// SPDX-License-Identifier: GPL-2.0
/*
 * Writes JSON.
 */
#include <string.h>

#include "error.h"
#include "json.h"

/* Of thousands of devices there are a hundred thousand numbers: printf() takes a while. */
void nbd_print_number(FILE *out, u64 value)
{
	char digits[20], *first = digits + sizeof(digits);

	do {
		*--first = '0' + value % 10;
		value /= 10;
	} while (value);
	fwrite(first, 1, digits + sizeof(digits) - first, out);
}

/* As a UTF-16 escape; also what is no control character, but could steer a terminal. */
static void print_escaped(FILE *out, u32 code)
{
	if (code < 0x10000)
		fprintf(out, "\\u%04x", code);
	else
		fprintf(out, "\\u%04x\\u%04x", 0xd7c0 + (code >> 10),
			0xdc00 + (code & 0x3ff));
}

static void print_character(FILE *out, const char *text, size_t len, u32 code)
{
	if (code == '"' || code == '\\')
		fprintf(out, "\\%c", *text);
	else if (nbd_is_harmful(code))
		print_escaped(out, code);
	else
		fwrite(text, 1, len, out);
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

static void print_text(FILE *out, const char *text, size_t len)
{
	size_t n;
	u32 code;

	fputc('"', out);
	for (; len; text += n, len -= n) {
		n = plain_length(text, len);
		if (n) {
			fwrite(text, 1, n, out);
			continue;
		}
		n = nbd_utf8_sequence((const unsigned char *)text, len, &code);
		if (n) {
			print_character(out, text, n, code);
			continue;
		}
		n = 1;
		print_escaped(out, 0xdc00 | (unsigned char)*text);
	}
	fputc('"', out);
}

static void new_line(struct nbd_json *j)
{
	unsigned int i;

	fputc('\n', j->out);
	for (i = 0; i < j->depth; i++)
		fputs("  ", j->out);
}

/* Comma, new line, indentation and key. */
static void begin(struct nbd_json *j, const char *key)
{
	if (j->depth && !j->first)
		fputc(',', j->out);
	if (j->depth)
		new_line(j);
	j->first = false;
	if (key) {
		print_text(j->out, key, strlen(key));
		fputs(": ", j->out);
	}
}

void nbd_json_open(struct nbd_json *j, const char *key, char bracket)
{
	begin(j, key);
	fputc(bracket, j->out);
	j->depth++;
	j->first = true;
}

void nbd_json_close(struct nbd_json *j, char bracket)
{
	j->depth--;
	if (!j->first)
		new_line(j);
	fputc(bracket, j->out);
	j->first = false;
	if (!j->depth)
		fputc('\n', j->out);
}

void nbd_json_text(struct nbd_json *j, const char *key, const char *value)
{
	nbd_json_bytes(j, key, value, strlen(value));
}

void nbd_json_bytes(struct nbd_json *j, const char *key, const char *value,
		    size_t len)
{
	begin(j, key);
	print_text(j->out, value, len);
}

void nbd_json_number(struct nbd_json *j, const char *key, u64 value)
{
	begin(j, key);
	nbd_print_number(j->out, value);
}

void nbd_json_bool(struct nbd_json *j, const char *key, bool value)
{
	begin(j, key);
	fputs(value ? "true" : "false", j->out);
}

void nbd_json_null(struct nbd_json *j, const char *key)
{
	begin(j, key);
	fputs("null", j->out);
}
