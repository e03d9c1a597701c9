// SPDX-License-Identifier: GPL-2.0
/* A record; one that is accepted is written, read and written alike again. */
#include <stdlib.h>
#include <string.h>

#include "../client/record.h"
#include "fuzz.h"

static bool parse(struct nbd_record *r, const void *data, size_t len)
{
	struct nbd_err err;

	return !record_parse(r, data, len, &err);
}

int fuzz_one(const unsigned char *data, size_t len)
{
	static struct nbd_record first, second;
	char *a, *b;

	if (!len || !parse(&first, data, len))
		return 0;
	a = record_print(&first);
	fuzz_check(parse(&second, a, strlen(a)));
	b = record_print(&second);
	fuzz_check(!strcmp(a, b));
	free(a);
	free(b);
	nbd_record_free(&first);
	nbd_record_free(&second);
	return 0;
}
