// SPDX-License-Identifier: GPL-2.0
/*
 * The table of settings.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <linux/nbd-netlink.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "credentials.h"
#include "device.h"
#include "namespace.h"
#include "settings.h"
#include "util.h"

#define NBD_IN_COMMAND(field)	NBD_FIELD_OF(nbd_command, field), .command = true
#define NBD_SETS(ID, field)	NBD_FIELD_OF(nbd_params, field), .given = NBD_GIVEN_##ID

const struct nbd_setting nbd_settings[NBD_SETTINGS_N] = {
#define NBD_SETTING(ID, BIT, KIND, FIELD, ...) \
	{ .kind = NBD_KIND_##KIND, .bit = BIT, NBD_SETS(ID, FIELD), __VA_ARGS__ },
#define NBD_SWITCH(FIELD, ...) \
	{ .kind = NBD_KIND_FLAG, NBD_FIELD_OF(nbd_params, FIELD), __VA_ARGS__ },
#define NBD_OPTION(KIND, ...) \
	{ .kind = NBD_KIND_##KIND, __VA_ARGS__ },
#include "settings.def"
};

/* With a bit that two have, their sum is not their union. */
static_assert((NBD_GIVEN_INDEX
#define NBD_SETTING(ID, ...) + NBD_GIVEN_##ID
#include "settings.def"
) == (NBD_GIVEN_INDEX
#define NBD_SETTING(ID, ...) | NBD_GIVEN_##ID
#include "settings.def"
), "two settings have the same bit");

const struct nbd_setting *nbd_setting_of_tab(const char *name)
{
	size_t i;

	for (i = 0; i < NBD_SETTINGS_N; i++)
		if (nbd_settings[i].tab && !strcmp(nbd_settings[i].tab, name))
			return &nbd_settings[i];
	return NULL;
}

/* --- words --- */

static int bad_value(const struct nbd_setting *s, const char *value,
		     const char *expected, struct nbd_err *err)
{
	char text[128];

	nbd_sanitize(text, sizeof(text), value, strlen(value));
	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			"-%s: \"%s\" is not %s", s->name, text, expected);
}

/* Shift of a size suffix, or -1. */
static int suffix_shift(const char *suffix)
{
	static const char letters[] = "KMGT";
	const char *at;

	if (!*suffix)
		return 0;
	at = strchr(letters, toupper((unsigned char)*suffix));
	if (!at || suffix[1])
		return -1;
	return 10 * (int)(at - letters + 1);
}

/* A whole decimal number, and where it ends. */
static bool read_digits(const char *value, u64 *number, char **end)
{
	if (!isdigit((unsigned char)*value))
		return false;
	errno = 0;
	*number = strtoull(value, end, 10);
	return !errno;
}

static int read_number(const struct nbd_setting *s, const char *value,
		       u64 *number, struct nbd_err *err)
{
	bool suffix = s->kind == NBD_KIND_BYTES;
	char expected[96];
	char *end;
	int shift;

	if (!read_digits(value, number, &end))
		return bad_value(s, value, "a number", err);
	shift = suffix ? suffix_shift(end) : *end ? -1 : 0;
	if (shift < 0)
		return bad_value(s, value, suffix ?
				 "a number with nothing but K, M, G or T behind it" :
				 "a number", err);
	if (*number > U64_MAX >> shift ||
	    (*number <<= shift) < s->min || *number > s->max) {
		snprintf(expected, sizeof(expected), "in the range from %llu to %llu",
			 s->min, s->max);
		return bad_value(s, value, expected, err);
	}
	return 0;
}

static int read_power(const struct nbd_setting *s, const char *value,
		      u64 *number, struct nbd_err *err)
{
	int ret = read_number(s, value, number, err);

	if (!ret && *number & (*number - 1))
		ret = bad_value(s, value, "a power of two", err);
	return ret;
}

static int read_seconds(const struct nbd_setting *s, const char *value,
			u64 *number, struct nbd_err *err)
{
	if (strcmp(value, "forever"))
		return read_number(s, value, number, err);
	*number = NBD_DEAD_CONN_FOREVER;
	return 0;
}

/* "back, through and strict" */
static char *list_choices(const struct nbd_setting *s, char *buf, size_t size)
{
	unsigned int i;
	size_t len = 0;

	for (i = 0; i < NBD_CHOICES_MAX && s->choices[i] && len < size; i++) {
		bool last = i + 1 == NBD_CHOICES_MAX || !s->choices[i + 1];

		len += snprintf(buf + len, size - len, "%s%s",
				!i ? "" : last ? " and " : ", ", s->choices[i]);
	}
	return buf;
}

static int read_choice(const struct nbd_setting *s, const char *value,
		       u64 *number, struct nbd_err *err)
{
	char list[96], expected[128];
	unsigned int i;

	for (i = 0; i < NBD_CHOICES_MAX && s->choices[i]; i++) {
		if (!strcmp(value, s->choices[i])) {
			*number = i;
			return 0;
		}
	}
	snprintf(expected, sizeof(expected), "one of %s", list_choices(s, list, sizeof(list)));
	return bad_value(s, value, expected, err);
}

static int read_user(const struct nbd_setting *s, const char *value,
		     u64 *number, struct nbd_err *err)
{
	struct passwd *user;

	if (isdigit((unsigned char)*value))
		return read_number(s, value, number, err);
	user = getpwnam(value);
	if (!user)
		return bad_value(s, value, "the name or the number of a user", err);
	*number = user->pw_uid;
	return 0;
}

static int read_text(const struct nbd_setting *s, const char *value,
		     char **field, struct nbd_err *err)
{
	if (s->max && strlen(value) > s->max)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-%s: %zu bytes are too many, %llu are allowed",
				s->name, strlen(value), s->max);
	return nbd_set_text(field, value, err);
}

/* How the kinds are read that are numbers. */
static int read_value(const struct nbd_setting *s, const char *value,
		      u64 *number, struct nbd_err *err)
{
	switch (s->kind) {
	case NBD_KIND_FLAG:
		*number = true;
		return 0;
	case NBD_KIND_CONSTANT:
		*number = s->min;
		return 0;
	case NBD_KIND_POWER:
		return read_power(s, value, number, err);
	case NBD_KIND_SECONDS:
		return read_seconds(s, value, number, err);
	case NBD_KIND_CHOICE:
		return read_choice(s, value, number, err);
	case NBD_KIND_USER:
		return read_user(s, value, number, err);
	default:
		return read_number(s, value, number, err);
	}
}

int nbd_setting_read(const struct nbd_setting *s, const char *value, void *field,
		     struct nbd_err *err)
{
	u64 number;
	int ret;

	if (s->kind == NBD_KIND_TEXT)
		return read_text(s, value, field, err);
	ret = read_value(s, value, &number, err);
	if (!ret)
		nbd_store(field, s->size, number);
	return ret;
}

int nbd_setting_give(const struct nbd_setting *s, const char *value,
		     struct nbd_params *params, struct nbd_err *err)
{
	int ret = nbd_setting_read(s, value, (char *)params + s->offset, err);

	if (ret)
		return ret;
	params->given |= s->given;
	if (s->flags & NBD_ASKS_FOR_TLS)
		params->tls = true;
	return 0;
}

/* --- values --- */

u64 nbd_load(const void *field, size_t size)
{
	switch (size) {
	case sizeof(bool):
		return *(const bool *)field;
	case sizeof(u16):
		return *(const u16 *)field;
	case sizeof(u32):
		return *(const u32 *)field;
	default:
		return *(const u64 *)field;
	}
}

void nbd_store(void *field, size_t size, u64 value)
{
	switch (size) {
	case sizeof(bool):
		*(bool *)field = value;
		break;
	case sizeof(u16):
		*(u16 *)field = value;
		break;
	case sizeof(u32):
		*(u32 *)field = value;
		break;
	default:
		*(u64 *)field = value;
		break;
	}
}

u64 nbd_setting_number(const struct nbd_setting *s, const struct nbd_params *params)
{
	return nbd_load((const char *)params + s->offset, s->size);
}

void nbd_setting_set_number(const struct nbd_setting *s, struct nbd_params *params, u64 value)
{
	nbd_store((char *)params + s->offset, s->size, value);
}

static char **text_of(const struct nbd_setting *s, const struct nbd_params *params)
{
	return (char **)((char *)params + s->offset);
}

const char *nbd_setting_text(const struct nbd_setting *s, const struct nbd_params *params)
{
	return *text_of(s, params);
}

int nbd_setting_set_text(const struct nbd_setting *s, struct nbd_params *params,
			 const char *text, struct nbd_err *err)
{
	return nbd_set_text(text_of(s, params), text, err);
}

bool nbd_setting_is_never(const struct nbd_setting *s, u64 value)
{
	return s->kind == NBD_KIND_SECONDS ? value == NBD_DEAD_CONN_FOREVER :
	       s->kind == NBD_KIND_LIMIT && !value;
}

const char *nbd_setting_choice(const struct nbd_setting *s, u64 value)
{
	return value < NBD_CHOICES_MAX && s->choices[value] ? s->choices[value] : "unknown";
}

/* --- all of them --- */

void nbd_params_init(struct nbd_params *params)
{
	static struct nbd_params initial;
	const struct nbd_setting *s;

	if (!initial.index) {
		nbd_for_each_setting(s)
			if (s->initial)
				nbd_setting_set_number(s, &initial, s->initial);
		initial.index = NBD_INDEX_AUTO;
	}
	*params = initial;
}

/* All of them, up to a NULL; the table is gone through once. */
static const struct nbd_setting *const *text_settings(void)
{
	static const struct nbd_setting *texts[NBD_SETTINGS_N + 1];
	const struct nbd_setting *s;
	unsigned int n = 0;

	if (texts[0])
		return texts;
	nbd_for_each_setting(s)
		if (s->kind == NBD_KIND_TEXT)
			texts[n++] = s;
	return texts;
}

void nbd_params_free(struct nbd_params *params)
{
	const struct nbd_setting *const *s;

	for (s = text_settings(); *s; s++)
		free(*text_of(*s, params));
	nbd_credentials_free(params->credentials);
	memset(params, 0, sizeof(*params));
}

/* Was this very option given? Two may set the same field. */
static bool was_given(const struct nbd_setting *s, const struct nbd_params *params)
{
	if (s->kind == NBD_KIND_TEXT)
		return nbd_setting_text(s, params);
	if (s->kind == NBD_KIND_FLAG)
		return nbd_setting_number(s, params);
	return params->given & s->given &&
	       (s->kind != NBD_KIND_CONSTANT || nbd_setting_number(s, params) == s->min);
}

static int merge_one(const struct nbd_setting *s, struct nbd_params *params,
		     const struct nbd_params *given, struct nbd_err *err)
{
	params->given |= given->given & s->given;
	if (s->kind == NBD_KIND_TEXT)
		return nbd_setting_set_text(s, params, nbd_setting_text(s, given), err);
	nbd_setting_set_number(s, params, nbd_setting_number(s, given));
	return 0;
}

int nbd_settings_merge(struct nbd_params *params, const struct nbd_params *given,
		       struct nbd_err *err)
{
	const struct nbd_setting *s;
	int ret = 0;

	nbd_for_each_setting(s)
		if (!ret && s->flags & NBD_REPLACEABLE && was_given(s, given))
			ret = merge_one(s, params, given, err);
	return ret;
}

u64 nbd_settings_replaceable(void)
{
	const struct nbd_setting *s;
	u64 bits = 0;

	nbd_for_each_setting(s)
		if (s->flags & NBD_REPLACEABLE)
			bits |= s->given;
	return bits;
}

const struct nbd_setting *nbd_settings_fixed(const struct nbd_params *given)
{
	const struct nbd_setting *s, *fixed = NULL;

	nbd_for_each_setting(s)
		if (s->flags & NBD_FIXED && was_given(s, given))
			fixed = s;
	return fixed;
}
