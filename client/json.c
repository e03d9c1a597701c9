// SPDX-License-Identifier: GPL-2.0
/*
 * Writes JSON.
 */
#include "json.h"

static void print_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

/* Comma, new line, indentation and key. */
static void begin(struct nbd_json *j, const char *key)
{
	if (j->depth)
		fprintf(j->out, "%s\n%*s", j->first ? "" : ",",
			2 * (int)j->depth, "");
	j->first = false;
	if (key) {
		print_text(j->out, key);
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
		fprintf(j->out, "\n%*s", 2 * (int)j->depth, "");
	fputc(bracket, j->out);
	j->first = false;
	if (!j->depth)
		fputc('\n', j->out);
}

void nbd_json_text(struct nbd_json *j, const char *key, const char *value)
{
	begin(j, key);
	print_text(j->out, value);
}

void nbd_json_number(struct nbd_json *j, const char *key, u64 value)
{
	begin(j, key);
	fprintf(j->out, "%llu", value);
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
