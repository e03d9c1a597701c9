// SPDX-License-Identifier: GPL-2.0
/* A record; one that is accepted is written, read and written alike again. */
#include <stdlib.h>
#include <string.h>

#include "../../client/record.h"
#include "fuzz.h"

static char *print(const struct nbd_record *r)
{
	size_t size;
	char *text;
	FILE *file = open_memstream(&text, &size);

	nbd_record_print(r, file);
	fclose(file);
	return text;
}

static bool parse(struct nbd_record *r, const void *data, size_t len)
{
	FILE *file = fmemopen((void *)data, len, "r");
	struct nbd_err err;
	int ret = nbd_record_parse(r, file, &err);

	fclose(file);
	return !ret;
}

int fuzz_one(const unsigned char *data, size_t len)
{
	static struct nbd_record first, second;
	char *a, *b;

	if (!len || !parse(&first, data, len))
		return 0;
	a = print(&first);
	fuzz_check(parse(&second, a, strlen(a)));
	b = print(&second);
	fuzz_check(!strcmp(a, b));
	free(a);
	free(b);
	nbd_record_free(&first);
	nbd_record_free(&second);
	return 0;
}
