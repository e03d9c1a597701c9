// SPDX-License-Identifier: GPL-2.0
/*
 * The neutral model of an attachment.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "model.h"

int nbd_set_text(char **field, const char *text, struct nbd_err *err)
{
	char *copy = strdup(text);

	if (!copy)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	free(*field);
	*field = copy;
	return 0;
}

/* All of them, one behind the other, as far as there is room. */
static void join_texts(char *buf, size_t size, const char *const *texts)
{
	size_t used = 0, len;

	for (; *texts; texts++) {
		len = strlen(*texts);
		if (len > size - 1 - used)
			len = size - 1 - used;
		memcpy(buf + used, *texts, len);
		used += len;
	}
	buf[used] = '\0';
}

char *nbd_server_text(const struct nbd_server *server, char *buf, size_t size)
{
	char host[4 * NBD_HOST_MAX + 1];

	nbd_sanitize(host, sizeof(host), server->host, server->host_len);
	switch (server->family) {
	case NBD_UNIX:
		join_texts(buf, size, (const char *[]){ host, NULL });
		break;
	case NBD_VSOCK:
		join_texts(buf, size, (const char *[]){ "vsock ", host, ":", server->port, NULL });
		break;
	default:
		if (strchr(host, ':'))
			join_texts(buf, size,
				   (const char *[]){ "[", host, "]:", server->port, NULL });
		else
			join_texts(buf, size, (const char *[]){ host, ":", server->port, NULL });
		break;
	}
	return buf;
}

char *nbd_export_text(const struct nbd_params *params, char *buf, size_t size)
{
	const char *name = params->export_name ? params->export_name : "";
	char clean[512];

	if (!*name)
		join_texts(buf, size, (const char *[]){ "the default export", NULL });
	else
		snprintf(buf, size, "export \"%s\"",
			 nbd_sanitize(clean, sizeof(clean), name,
				      strlen(name)));
	return buf;
}
