// SPDX-License-Identifier: GPL-2.0
/* A command line; the arguments are the lines of the input. */
#include <stdlib.h>
#include <string.h>

#include "../../client/options.h"
#include "fuzz.h"

#define ARGUMENTS_MAX 64

int fuzz_one(const unsigned char *data, size_t len)
{
	char *text = fuzz_string(data, len), *save = NULL, *word;
	char *argv[ARGUMENTS_MAX + 2] = { "nbd-client" };
	struct nbd_command cmd;
	struct nbd_err err;
	int argc = 1;

	for (word = strtok_r(text, "\n", &save); word && argc < ARGUMENTS_MAX;
	     word = strtok_r(NULL, "\n", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	if (nbd_options_parse(&cmd, argc, argv, &err)) {
		fuzz_check(err.status != NBD_EXIT_OK);
		fuzz_check_printable(err.text);
	} else if (cmd.action == NBD_ACTION_ATTACH) {
		fuzz_check(cmd.params.nservers);
	}
	nbd_command_free(&cmd);
	free(text);
	return 0;
}
