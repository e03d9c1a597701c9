// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "../wire.h"

struct export export = {
	.size = 64 << 20,
	.flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
		 NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES |
		 NBD_FLAG_CAN_MULTI_CONN,
};

static const struct {
	const char *name;
	uint16_t flag;
} flag_names[] = {
	{ "has", NBD_FLAG_HAS_FLAGS },
	{ "ro", NBD_FLAG_READ_ONLY },
	{ "flush", NBD_FLAG_SEND_FLUSH },
	{ "fua", NBD_FLAG_SEND_FUA },
	{ "rotational", NBD_FLAG_ROTATIONAL },
	{ "trim", NBD_FLAG_SEND_TRIM },
	{ "zeroes", NBD_FLAG_SEND_WRITE_ZEROES },
	{ "multi", NBD_FLAG_CAN_MULTI_CONN },
};

static bool parse_one(const char *word, uint16_t *flag)
{
	char *end;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (!strcmp(word, flag_names[i].name)) {
			*flag = flag_names[i].flag;
			return true;
		}
	*flag = strtoul(word, &end, 0);
	return *word && !*end;
}

bool export_parse_flags(const char *text, uint16_t *flags)
{
	char *copy = strdup(text);
	char *rest = copy;
	bool good = true;
	char *word;

	while (good && (word = strsep(&rest, ","))) {
		bool take = *word == '-';
		uint16_t flag = 0;

		good = parse_one(word + (take || *word == '+'), &flag);
		*flags = take ? *flags & ~flag : *flags | flag;
	}
	free(copy);
	return good;
}
