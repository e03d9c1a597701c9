// SPDX-License-Identifier: GPL-2.0
/*
 * The exports of a server.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bringup.h"
#include "list.h"
#include "lookup.h"

/* More text than that is no list of exports. */
#define LIST_MAX	(16 << 20)

/**
 * struct entries - the exports, as they come
 * @text:	the lines to print
 * @size:	of @text, for open_memstream
 * @stream:	writes @text
 * @too_long:	there was more than is kept
 */
struct entries {
	char *text;
	size_t size;
	FILE *stream;
	bool too_long;
};

static void restart_entries(void *arg)
{
	struct entries *e = arg;

	rewind(e->stream);
	e->too_long = false;
}

static void print_text(FILE *out, const char *text, size_t len)
{
	size_t size = 4 * len + 1;
	char *clean = malloc(size);

	if (clean)
		fputs(nbd_sanitize(clean, size, text, len), out);
	free(clean);
}

static void add_entry(void *arg, const char *name, size_t name_len,
		      const char *description, size_t description_len)
{
	struct entries *e = arg;

	e->too_long |= ftell(e->stream) > LIST_MAX;
	if (e->too_long)
		return;
	print_text(e->stream, name, name_len);
	if (description_len) {
		fputs(": ", e->stream);
		print_text(e->stream, description, description_len);
	}
	fputc('\n', e->stream);
}

static int fetch_list(const struct nbd_params *params, struct entries *entries,
		      struct nbd_err *err)
{
	struct nbd_listing listing = {
		.restart = restart_entries,
		.entry = add_entry,
		.arg = entries,
	};
	struct nbd_address_list list;
	struct nbd_bringup *b;
	int ret = nbd_resolve_servers(params, &nbd_here, &list, err);

	if (ret)
		return ret;
	b = calloc(1, sizeof(*b));
	if (!b)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	nbd_bringup_start(b, NBD_GOAL_LIST, params, &listing, &list, 1,
			  &nbd_here);
	ret = nbd_bringup_wait(b);
	if (ret)
		*err = b->err;
	nbd_bringup_close(b);
	free(b);
	return ret;
}

int nbd_list(const struct nbd_params *params, FILE *out, struct nbd_err *err)
{
	struct entries entries = { 0 };
	int ret;

	entries.stream = open_memstream(&entries.text, &entries.size);
	if (!entries.stream)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	ret = fetch_list(params, &entries, err);
	if (fclose(entries.stream) && !ret)
		ret = nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	if (!ret && entries.too_long)
		ret = nbd_fail(err, NBD_EXIT_PROTOCOL, EPROTO,
			       "the server's list of exports is longer than %d MiB",
			       LIST_MAX >> 20);
	if (!ret) {
		fputs("Negotiation: ..\n", out);
		fwrite(entries.text, 1, entries.size, out);
	}
	free(entries.text);
	return ret;
}
