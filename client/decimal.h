/* SPDX-License-Identifier: GPL-2.0 */
/* Decimal numbers, where they are many. */
#ifndef NBD_DECIMAL_H
#define NBD_DECIMAL_H

#include "util.h"

/* Of the largest number. */
#define NBD_DIGITS 20

/* Puts the digits in front of @end, at most NBD_DIGITS of them; returns where they begin. */
static inline char *nbd_decimal(u64 value, char *end)
{
	do {
		*--end = '0' + value % 10;
		value /= 10;
	} while (value);
	return end;
}

#endif /* NBD_DECIMAL_H */
