// SPDX-License-Identifier: GPL-2.0
/*
 * What the fuzz targets share. The code under test must open no file that the
 * fuzzer names: it is compiled to call fuzz_fopen() instead of fopen().
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

FILE *fuzz_fopen(const char *path, const char *mode);

FILE *fuzz_fopen(const char *path, const char *mode)
{
	(void)path;
	(void)mode;
	errno = ENOENT;
	return NULL;
}

char *fuzz_string(const unsigned char *data, size_t len)
{
	char *text = malloc(len + 1);

	memcpy(text, data, len);
	text[len] = '\0';
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	return fuzz_one(data, len);
}
