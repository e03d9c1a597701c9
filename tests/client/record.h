/* SPDX-License-Identifier: GPL-2.0 */
/* Records and their text, for the unit tests and the fuzzer. */
#ifndef NBD_TEST_RECORD_H
#define NBD_TEST_RECORD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../client/record.h"

/* Its text; free() it. */
static inline char *record_print(const struct nbd_record *r)
{
	size_t size;
	char *text;
	FILE *file = open_memstream(&text, &size);

	nbd_record_print(r, file);
	fclose(file);
	return text;
}

/* As nbd_record_parse(), from @len bytes that stay as they are. */
static inline int record_parse(struct nbd_record *r, const void *text, size_t len,
			       struct nbd_err *err)
{
	char *copy = malloc(len + 1);
	int ret;

	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	ret = nbd_record_parse(r, copy, len, err);
	free(copy);
	return ret;
}

#endif /* NBD_TEST_RECORD_H */
