// SPDX-License-Identifier: GPL-2.0
/*
 * Sizes for people.
 */
#include "json.h"
#include "size.h"

static const char units[] = "KMGTPE";

/* Whole numbers are most: without printf they are cheap. */
void nbd_print_size(u64 bytes, FILE *out)
{
	double n = bytes;
	int unit = -1;

	while (n >= 1024 && unit < 5) {
		n /= 1024;
		unit++;
	}
	if (n == (u64)n)
		nbd_print_number(out, n);
	else
		fprintf(out, "%.1f", n);
	putc(' ', out);
	if (unit >= 0)
		putc(units[unit], out);
	fputs(unit < 0 ? "bytes" : "iB", out);
}
