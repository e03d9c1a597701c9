// SPDX-License-Identifier: GPL-2.0
/* A file in the format of nbdtab. */
#include <string.h>

#include "../../client/options.h"
#include "../../client/settings.h"
#include "fuzz.h"

int fuzz_one(const unsigned char *data, size_t len)
{
	struct nbd_command cmd = { .tab = "nbd0" };
	struct nbd_err err;
	FILE *file;

	if (!len)
		return 0;
	file = fmemopen((void *)data, len, "r");
	nbd_params_init(&cmd.params);
	if (nbd_options_apply_tab(&cmd, file, "tab", &err))
		fuzz_check_printable(err.text);
	else
		fuzz_check(cmd.params.nservers);
	fclose(file);
	nbd_command_free(&cmd);
	return 0;
}
