// SPDX-License-Identifier: GPL-2.0
/*
 * Sizes for people.
 */
#include "json.h"
#include "size.h"

static const char units[] = "KMGTPE";

/* Whole ones are most, and cheap. */
static bool print_whole(u64 bytes, FILE *out)
{
	int unit = -1;

	while (bytes >= 1024 && unit < 5 && !(bytes & 1023)) {
		bytes >>= 10;
		unit++;
	}
	if (unit < 0 || (bytes >= 1024 && unit < 5))
		return false;
	nbd_print_number(out, bytes);
	putc(' ', out);
	putc(units[unit], out);
	fputs("iB", out);
	return true;
}

void nbd_print_size(u64 bytes, FILE *out)
{
	double n = bytes;
	int unit = -1;

	if (print_whole(bytes, out))
		return;
	while (n >= 1024 && unit < 5) {
		n /= 1024;
		unit++;
	}
	if (unit < 0)
		fprintf(out, "%llu bytes", bytes);
	else
		fprintf(out, n == (u64)n ? "%.0f %ciB" : "%.1f %ciB", n,
			units[unit]);
}
