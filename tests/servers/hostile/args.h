/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One line of the script language: a verb and key=value words. A value with
 * spaces stands in double quotes; \n, \r, \t, \e, \\, \" and \xHH are known there.
 */
#ifndef NBD_TEST_ARGS_H
#define NBD_TEST_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARGS_MAX	24

/**
 * struct args - a parsed line
 * @verb:	the first word
 * @n:		number of words after it
 * @error:	what was wrong first, empty while nothing was
 */
struct args {
	char *verb;
	unsigned int n;
	struct arg {
		char *key;
		char *value;	/* NULL for a word without '=' */
		size_t len;	/* of the value, which may hold a NUL */
		bool used;
	} arg[ARGS_MAX];
	char error[160];
	char *text;		/* what the pointers point into */
};

/* Split @line. False with @args->error set when it cannot be; free it either way. */
bool args_parse(struct args *args, const char *line);
void args_free(struct args *args);

/* The value of @key, or @fallback. What is malformed sets @args->error. */
uint64_t args_u64(struct args *args, const char *key, uint64_t fallback);
/* A duration: seconds, with a fraction, or a number with ms or us; in nanoseconds. */
uint64_t args_ns(struct args *args, const char *key, uint64_t fallback);
const char *args_str(struct args *args, const char *key, const char *fallback);
/* The raw value and its length; NULL if absent. */
const char *args_raw(struct args *args, const char *key, size_t *len);
/* Bytes from hexadecimal digits; malloced, NULL if absent. */
uint8_t *args_hex(struct args *args, const char *key, size_t *len);
/* Index of the value of @key in the NULL-ended @names. */
int args_enum(struct args *args, const char *key, const char *const *names, int fallback);
bool args_has(struct args *args, const char *key);

/* The @index-th word without '=', or NULL. */
const char *args_word(struct args *args, unsigned int index);

/* True if no lookup failed and every word was asked for. */
bool args_done(struct args *args);

#endif /* NBD_TEST_ARGS_H */
