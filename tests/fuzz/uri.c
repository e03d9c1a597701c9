// SPDX-License-Identifier: GPL-2.0
/* NBD URIs and servers in words. */
#include <stdlib.h>
#include <string.h>

#include "../../client/settings.h"
#include "../../client/uri.h"
#include "fuzz.h"

static void check_servers(const struct nbd_params *p)
{
	unsigned int i;

	fuzz_check(p->nservers <= NBD_SERVERS_MAX);
	for (i = 0; i < p->nservers; i++) {
		const struct nbd_server *s = &p->servers[i];
		char text[NBD_SERVER_TEXT_MAX];

		fuzz_check(s->host_len && s->host_len <= NBD_HOST_MAX);
		fuzz_check(strnlen(s->port, sizeof(s->port)) <
			   sizeof(s->port));
		fuzz_check_printable(nbd_server_text(s, text, sizeof(text)));
	}
	fuzz_check(!p->export_name ||
		   strlen(p->export_name) <= NBD_STRING_MAX);
}

int fuzz_one(const unsigned char *data, size_t len)
{
	char *text = fuzz_string(data, len);
	struct nbd_params params;
	struct nbd_err err;

	nbd_params_init(&params);
	if (nbd_uri_apply(&params, text, &err)) {
		fuzz_check(!params.nservers && !params.export_name);
		fuzz_check_printable(err.text);
	}
	if (nbd_server_append(&params, text, &err))
		fuzz_check_printable(err.text);
	check_servers(&params);
	nbd_params_free(&params);
	free(text);
	return 0;
}
