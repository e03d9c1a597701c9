// SPDX-License-Identifier: GPL-2.0
/*
 * Sizes for people.
 */
#include "size.h"

void nbd_print_size(u64 bytes, FILE *out)
{
	static const char units[] = "KMGTPE";
	double n = bytes;
	int unit = -1;

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
