// SPDX-License-Identifier: GPL-2.0
/*
 * Prints how many pages of a file's or device's first bytes are in the page cache, also
 * those behind its present end.
 *
 *	cached FILE BYTES
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t page = sysconf(_SC_PAGESIZE), bytes, pages, i, n = 0;
	unsigned char *resident;
	void *map;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: cached FILE BYTES\n");
		return 2;
	}
	bytes = strtoul(argv[2], NULL, 0);
	pages = (bytes + page - 1) / page;
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", argv[1]);
	map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	resident = calloc(pages, 1);
	if (map == MAP_FAILED || !resident || mincore(map, bytes, resident))
		err(1, "%s", argv[1]);
	for (i = 0; i < pages; i++)
		n += resident[i] & 1;
	printf("%zu\n", n);
	return 0;
}
