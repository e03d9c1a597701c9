// SPDX-License-Identifier: GPL-2.0
/*
 * Plays the files on the command line into a target: the corpus as a plain
 * test. A crash ends it; the last name that was printed is the culprit.
 */
#include <stdlib.h>

#include "fuzz.h"

static int play(const char *name)
{
	/* exactly as big as the input, so that ASan sees an overrun */
	unsigned char *data = malloc(1 << 20), *exact;
	FILE *file = fopen(name, "r");
	size_t len;

	if (!file || !data) {
		free(data);
		return 1;
	}
	len = fread(data, 1, 1 << 20, file);
	fclose(file);
	exact = realloc(data, len ? len : 1);
	printf("%s\n", name);
	fflush(stdout);
	fuzz_one(exact, len);
	free(exact);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = argc < 2, i;

	for (i = 1; i < argc; i++)
		failed |= play(argv[i]);
	return failed;
}
