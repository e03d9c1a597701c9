/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fuzz targets share. A target is one file with fuzz_one(); it is
 * built twice, for libFuzzer and with a main() that plays files back.
 */
#ifndef NBD_FUZZ_H
#define NBD_FUZZ_H

#include <stddef.h>
#include <stdio.h>

/* One input; returns 0. */
int fuzz_one(const unsigned char *data, size_t len);

/* A promise of the code under test; broken, it counts as a crash. */
#define fuzz_check(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
				__LINE__, #condition); \
			__builtin_trap(); \
		} \
	} while (0)

/* A message for people holds no control characters. */
static inline void fuzz_check_printable(const char *text)
{
	for (; *text; text++)
		fuzz_check((unsigned char)*text >= 0x20 && *text != 0x7f);
}

/* The input as a string; free() it. */
char *fuzz_string(const unsigned char *data, size_t len);

#endif /* NBD_FUZZ_H */
