/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the table of settings (settings.def) says, and what can be done with a setting
 * whichever it is: read it from a word, keep it in a record, merge it, take it over.
 *
 * The command line, --help, the completion, nbdtab, records, -replace, the driver's
 * attributes, -status and the tests of the manual go through the table, so that a new
 * setting is one row there, its entry in the manual, and its use.
 */
#ifndef NBD_SETTINGS_H
#define NBD_SETTINGS_H

#include <stddef.h>

#include "error.h"
#include "model.h"

/** enum nbd_kind - what an option takes, and what it makes of it */
enum nbd_kind {
	NBD_KIND_ACTION,	/* nothing; an enum nbd_action, which is @min */
	NBD_KIND_ACTION_DEVICE,	/* the same for the device that it takes */
	NBD_KIND_SERVER,	/* a server, which is added to the others */
	NBD_KIND_FLAG,		/* nothing; true */
	NBD_KIND_CONSTANT,	/* nothing; @min */
	NBD_KIND_TEXT,		/* a string of @max bytes at most, unless that is 0 */
	NBD_KIND_NUMBER,	/* a number from @min to @max */
	NBD_KIND_LIMIT,		/* the same, and 0 is never */
	NBD_KIND_POWER,		/* a NUMBER that is a power of two */
	NBD_KIND_BYTES,		/* a NUMBER that may have a suffix K, M, G or T */
	NBD_KIND_SECONDS,	/* a NUMBER or "forever", NBD_DEAD_CONN_FOREVER */
	NBD_KIND_CHOICE,	/* one of @choices; its number */
	NBD_KIND_USER,		/* name or number of a user; the number */
};

#define NBD_CHOICES_MAX 4

#define NBD_REPLACEABLE		BIT(0)	/* -replace changes it */
#define NBD_FIXED		BIT(1)	/* -replace refuses it: only attaching anew does */
#define NBD_WORKED_OUT		BIT(2)	/* the driver is told a value that follows from it */
#define NBD_ASKS_FOR_TLS	BIT(3)	/* is of no use without TLS, so it means that, too */
#define NBD_HIDDEN		BIT(4)	/* not for people */

/**
 * struct nbd_setting - a row of the table
 * @name:	of the option
 * @letter:	its short form, or 0
 * @tab:	its name in nbdtab, NULL if it has none
 * @arg:	name of what it takes, NULL for nothing; the completion knows some of them
 * @help:	its line in --help
 * @kind:	how it is read, and of what type its field is
 * @offset:	of the field in struct nbd_params, or with @command in struct nbd_command
 * @size:	bytes of the field
 * @command:	it says something of the command and not of the attachment
 * @given:	NBD_GIVEN_* bit, 0 if the value itself tells
 * @bit:	its number
 * @min:	smallest value, or the constant
 * @max:	largest value
 * @initial:	value if it is not given
 * @choices:	words for the values from 0 on
 * @record:	its key in records, NULL to forget it after attaching
 * @attribute:	NBD_ATTR_* that tells it to the driver, and in a status; 0 if the driver has
 *		no use for it
 * @width:	bytes of that attribute, 4 or 8, if it is a number
 * @json:	its key in -status -json, NULL if the table does not put it there
 * @place:	from 1 on: its place among the times that -status shows to people
 * @words:	what happens after that time
 * @flags:	NBD_REPLACEABLE ... NBD_HIDDEN
 */
struct nbd_setting {
	const char *name;
	char letter;
	const char *tab;
	const char *arg;
	const char *help;
	enum nbd_kind kind;
	size_t offset;
	size_t size;
	bool command;
	u64 given;
	unsigned int bit;
	u64 min;
	u64 max;
	u64 initial;
	const char *choices[NBD_CHOICES_MAX];
	const char *record;
	unsigned int attribute;
	unsigned int width;
	const char *json;
	unsigned int place;
	const char *words;
	unsigned int flags;
};

enum {
	NBD_SETTINGS_N = 0
#define NBD_SETTING(...) + 1
#define NBD_SWITCH(...) + 1
#define NBD_OPTION(...) + 1
#include "settings.def"
};

extern const struct nbd_setting nbd_settings[NBD_SETTINGS_N];

/* The settings that have a field in struct nbd_params, and no others. */
#define nbd_for_each_setting(s) \
	for ((s) = nbd_setting_after(NULL); (s); (s) = nbd_setting_after(s))
static inline const struct nbd_setting *nbd_setting_after(const struct nbd_setting *s)
{
	s = s ? s + 1 : nbd_settings;
	while (s < nbd_settings + NBD_SETTINGS_N && (!s->size || s->command))
		s++;
	return s < nbd_settings + NBD_SETTINGS_N ? s : NULL;
}

/* The row of an option of nbdtab, by its name there; NULL for an unknown one. */
const struct nbd_setting *nbd_setting_of_tab(const char *name);

/**
 * nbd_setting_read - what a word means
 * @s:		the setting
 * @value:	the word, NULL for an option that takes none
 * @field:	gets it
 * @err:	says what is wrong with it, and names the option
 *
 * Return: 0 or -EINVAL; -ENOMEM.
 */
int nbd_setting_read(const struct nbd_setting *s, const char *value, void *field,
		     struct nbd_err *err);

/* The same, into @params, which then says that it was given. */
int nbd_setting_give(const struct nbd_setting *s, const char *value,
		     struct nbd_params *params, struct nbd_err *err);

/* Its value, if it is a number; a bool is one. */
u64 nbd_setting_number(const struct nbd_setting *s, const struct nbd_params *params);
void nbd_setting_set_number(const struct nbd_setting *s, struct nbd_params *params, u64 value);

/* Its value if it is a text; may be NULL. */
const char *nbd_setting_text(const struct nbd_setting *s, const struct nbd_params *params);
int nbd_setting_set_text(const struct nbd_setting *s, struct nbd_params *params,
			 const char *text, struct nbd_err *err);

/* A number that means never, or for ever. */
bool nbd_setting_is_never(const struct nbd_setting *s, u64 value);

/* The word for a value of a NBD_KIND_CHOICE. */
const char *nbd_setting_choice(const struct nbd_setting *s, u64 value);

/* What may be replaced and was given in @given replaces what @params says; 0 or -ENOMEM. */
int nbd_settings_merge(struct nbd_params *params, const struct nbd_params *given,
		       struct nbd_err *err);

/* NBD_GIVEN_* bits of what an attached device may get anew. */
u64 nbd_settings_replaceable(void);

/* An option that was given and cannot be replaced, or NULL. */
const struct nbd_setting *nbd_settings_fixed(const struct nbd_params *given);

/* Every field gets its default. */
void nbd_params_init(struct nbd_params *params);
void nbd_params_free(struct nbd_params *params);

/* For tables of fields: where one is, and a number, or a bool, of @size bytes at @field. */
#define NBD_FIELD_OF(type, field) \
	.offset = offsetof(struct type, field), .size = sizeof(((struct type *)NULL)->field)
u64 nbd_load(const void *field, size_t size);
void nbd_store(void *field, size_t size, u64 value);

#endif /* NBD_SETTINGS_H */
