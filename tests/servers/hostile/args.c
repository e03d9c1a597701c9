// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../common.h"
#include "args.h"

static void __printf(2, 3) fail(struct args *args, const char *fmt, ...)
{
	va_list ap;

	if (args->error[0])
		return;
	va_start(ap, fmt);
	vsnprintf(args->error, sizeof(args->error), fmt, ap);
	va_end(ap);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character of the escape at @p, which is moved behind it. */
static char unescape(const char **p)
{
	char c = *(*p)++;
	int hi, lo;

	switch (c) {
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	case 'e': return '\033';
	case 'x':
		hi = hex_digit((*p)[0]);
		lo = hi < 0 ? -1 : hex_digit((*p)[1]);
		if (lo < 0)
			return c;
		*p += 2;
		return hi << 4 | lo;
	default: return c;
	}
}

/*
 * Copies one word to @out and ends it with a NUL; returns what follows it.
 * @len gets its length, which differs from strlen() if it holds a NUL.
 */
static const char *next_word(const char *p, char *out, size_t *len)
{
	char *start = out;
	bool quoted = false;

	while (*p && (quoted || !isspace((unsigned char)*p))) {
		char c = *p++;

		if (c == '"')
			quoted = !quoted;
		else if (quoted && c == '\\' && *p)
			*out++ = unescape(&p);
		else
			*out++ = c;
	}
	*out = 0;
	*len = out - start;
	return p;
}

static void add_word(struct args *args, char *word, size_t len)
{
	char *equals = strchr(word, '=');
	struct arg *arg;

	if (!args->verb) {
		args->verb = word;
		return;
	}
	if (args->n == ARGS_MAX) {
		fail(args, "more than %d words", ARGS_MAX);
		return;
	}
	arg = &args->arg[args->n++];
	arg->key = word;
	if (equals) {
		*equals = 0;
		arg->value = equals + 1;
		arg->len = len - (arg->value - word);
	}
}

bool args_parse(struct args *args, const char *line)
{
	char *out;
	size_t len;

	memset(args, 0, sizeof(*args));
	out = malloc(2 * strlen(line) + 2);
	args->text = out;
	if (!out)
		err(1, "args");
	for (;;) {
		while (isspace((unsigned char)*line))
			line++;
		if (!*line || *line == '#')
			break;
		line = next_word(line, out, &len);
		add_word(args, out, len);
		out += len + 1;
	}
	if (!args->verb)
		fail(args, "no verb");
	return !args->error[0];
}

void args_free(struct args *args)
{
	free(args->text);
	args->text = NULL;
}

static struct arg *find(struct args *args, const char *key)
{
	unsigned int i;

	for (i = 0; i < args->n; i++)
		if (args->arg[i].value && !strcmp(args->arg[i].key, key)) {
			args->arg[i].used = true;
			return &args->arg[i];
		}
	return NULL;
}

static int unit_shift(const char *unit)
{
	static const char units[] = "KMGTPE";
	const char *p = *unit && !unit[1] ? strchr(units, *unit) : NULL;

	return p ? 10 * (int)(p - units + 1) : *unit ? -1 : 0;
}

uint64_t args_u64(struct args *args, const char *key, uint64_t fallback)
{
	struct arg *arg = find(args, key);
	unsigned long long value;
	char *end;
	int shift;

	if (!arg)
		return fallback;
	errno = 0;
	value = strtoull(arg->value, &end, 0);
	shift = unit_shift(end);
	if (errno || end == arg->value || shift < 0)
		fail(args, "%s=%s is not a number", key, arg->value);
	return value << (shift > 0 ? shift : 0);
}

uint64_t args_ns(struct args *args, const char *key, uint64_t fallback)
{
	struct arg *arg = find(args, key);
	double value, unit = 1e9;
	char *end;

	if (!arg)
		return fallback;
	value = strtod(arg->value, &end);
	if (!strcmp(end, "ms"))
		unit = 1e6;
	else if (!strcmp(end, "us"))
		unit = 1e3;
	else if (*end && strcmp(end, "s"))
		fail(args, "%s=%s is not a duration", key, arg->value);
	if (end == arg->value || value < 0)
		fail(args, "%s=%s is not a duration", key, arg->value);
	return value * unit;
}

const char *args_str(struct args *args, const char *key, const char *fallback)
{
	struct arg *arg = find(args, key);

	return arg ? arg->value : fallback;
}

const char *args_raw(struct args *args, const char *key, size_t *len)
{
	struct arg *arg = find(args, key);

	if (!arg)
		return NULL;
	*len = arg->len;
	return arg->value;
}

uint8_t *args_hex(struct args *args, const char *key, size_t *len)
{
	struct arg *arg = find(args, key);
	uint8_t *bytes;
	size_t i;

	if (!arg)
		return NULL;
	*len = arg->len / 2;
	bytes = malloc(*len + 1);
	if (!bytes)
		err(1, "args");
	for (i = 0; i < *len; i++) {
		int hi = hex_digit(arg->value[2 * i]);
		int lo = hex_digit(arg->value[2 * i + 1]);

		if (hi < 0 || lo < 0)
			fail(args, "%s is not hexadecimal", key);
		bytes[i] = hi << 4 | lo;
	}
	if (arg->len % 2)
		fail(args, "%s has an odd number of digits", key);
	return bytes;
}

int args_enum(struct args *args, const char *key, const char *const *names, int fallback)
{
	struct arg *arg = find(args, key);
	int i;

	if (!arg)
		return fallback;
	for (i = 0; names[i]; i++)
		if (!strcmp(names[i], arg->value))
			return i;
	fail(args, "%s=%s is unknown", key, arg->value);
	return fallback;
}

bool args_has(struct args *args, const char *key)
{
	return find(args, key);
}

const char *args_word(struct args *args, unsigned int index)
{
	unsigned int i;

	for (i = 0; i < args->n; i++)
		if (!args->arg[i].value && index-- == 0) {
			args->arg[i].used = true;
			return args->arg[i].key;
		}
	return NULL;
}

bool args_done(struct args *args)
{
	unsigned int i;

	for (i = 0; i < args->n; i++)
		if (!args->arg[i].used)
			fail(args, "%s: unknown word %s", args->verb, args->arg[i].key);
	return !args->error[0];
}
