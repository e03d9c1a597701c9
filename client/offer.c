// SPDX-License-Identifier: GPL-2.0
/*
 * What a server offers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bringup.h"
#include "lookup.h"
#include "offer.h"

static void restart(void *arg)
{
	struct nbd_offer *offer = arg;

	memset(offer->exports, 0, offer->n * sizeof(*offer->exports));
	offer->n = 0;
	offer->used = 0;
	offer->begun = false;
	offer->too_long = false;
	offer->refused.text[0] = '\0';
}

/* A copy of what the server says, NULL if it says too much. */
static char *keep_text(struct nbd_offer *offer, const char *text, size_t len)
{
	char *copy = offer->texts + offer->used;

	if (len >= NBD_OFFER_TEXT_MAX - offer->used) {
		offer->too_long = true;
		return NULL;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	offer->used += len + 1;
	return copy;
}

static void add_entry(void *arg, const char *name, size_t name_len, const char *text,
		      size_t text_len)
{
	struct nbd_offer *offer = arg;
	struct nbd_offered *e = &offer->exports[offer->n];

	if (offer->too_long || offer->n == NBD_HS_ENTRIES_MAX)
		return;
	e->name = keep_text(offer, name, name_len);
	e->name_len = name_len;
	e->text = keep_text(offer, text, text_len);
	e->text_len = text_len;
	if (e->name && e->text)
		offer->n++;
}

/* The export that the user has named, or the default one, is what is asked about. */
static void add_wanted(struct nbd_offer *offer)
{
	const char *name = offer->wanted ? offer->wanted : "";

	add_entry(offer, name, strlen(name), "", 0);
}

static bool next_export(void *arg, const char **name, size_t *name_len)
{
	struct nbd_offer *offer = arg;

	if (!offer->begun && !offer->n)
		add_wanted(offer);
	offer->at = offer->begun ? offer->at + 1 : 0;
	offer->begun = true;
	if (offer->at >= offer->n)
		return false;
	*name = offer->exports[offer->at].name;
	*name_len = offer->exports[offer->at].name_len;
	return true;
}

static void take_description(void *arg, const char *text, size_t len)
{
	struct nbd_offer *offer = arg;
	struct nbd_offered *e = &offer->exports[offer->at];
	char *copy;

	/* The list has said it before. */
	if (e->text_len || len > NBD_STRING_MAX)
		return;
	copy = keep_text(offer, text, len);
	if (!copy)
		return;
	e->text = copy;
	e->text_len = len;
}

static void take_export(void *arg, const struct nbd_export *export)
{
	struct nbd_offer *offer = arg;

	if (!offer->begun) {
		add_wanted(offer);
		offer->at = 0;
	}
	if (offer->at >= offer->n)
		return;
	offer->exports[offer->at].known = true;
	offer->exports[offer->at].export = *export;
}

static void take_refusal(void *arg, const struct nbd_err *err)
{
	struct nbd_offer *offer = arg;

	offer->exports[offer->at].refusal = keep_text(offer, err->text, strlen(err->text));
	if (!offer->refused.text[0])
		offer->refused = *err;
}

static bool is_any_known(const struct nbd_offer *offer)
{
	size_t i;

	for (i = 0; i < offer->n; i++)
		if (offer->exports[i].known)
			return true;
	return false;
}

static int judge(const struct nbd_offer *offer, struct nbd_err *err)
{
	if (offer->too_long)
		return nbd_fail(err, NBD_EXIT_PROTOCOL, EPROTO,
				"the server's list of exports is longer than %d MiB",
				NBD_OFFER_TEXT_MAX >> 20);
	if (!offer->refused.text[0] || is_any_known(offer))
		return 0;
	*err = offer->refused;
	nbd_err_prefix(err, "%s", offer->server);
	return -ENOENT;
}

static int finish(struct nbd_offer *offer, const struct nbd_bringup *b, struct nbd_err *err)
{
	const struct nbd_handshake *hs = &b->links[0].hs;

	nbd_address_text(&b->address, offer->server, sizeof(offer->server));
	offer->fixed = hs->fixed;
	offer->structured = hs->structured;
	return judge(offer, err);
}

static int ask(struct nbd_offer *offer, struct nbd_bringup *b, enum nbd_goal goal,
	       const struct nbd_params *params, const struct nbd_address_list *list,
	       struct nbd_err *err)
{
	struct nbd_listing listing = {
		.restart = restart,
		.entry = add_entry,
		.next = next_export,
		.description = take_description,
		.described = take_export,
		.refused = take_refusal,
		.arg = offer,
	};
	int ret;

	nbd_bringup_start(b, goal, goal == NBD_GOAL_INFO, params, &listing, list, 1, &nbd_here);
	ret = nbd_bringup_wait(b);
	if (ret)
		*err = b->err;
	else
		ret = finish(offer, b, err);
	nbd_bringup_close(b);
	return ret;
}

int nbd_offer_fetch(struct nbd_offer *offer, enum nbd_goal goal,
		    const struct nbd_params *params, struct nbd_err *err)
{
	struct nbd_address_list list;
	struct nbd_bringup *b;
	int ret;

	memset(offer, 0, sizeof(*offer));
	offer->wanted = params->export_name;
	offer->tls = params->tls;
	ret = nbd_resolve_servers(params, &nbd_here, &list, err);
	if (ret)
		return ret;
	offer->texts = malloc(NBD_OFFER_TEXT_MAX);
	offer->exports = calloc(NBD_HS_ENTRIES_MAX, sizeof(*offer->exports));
	b = calloc(1, sizeof(*b));
	if (b && offer->texts && offer->exports)
		ret = ask(offer, b, goal, params, &list, err);
	else
		ret = nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	free(b);
	return ret;
}

void nbd_offer_free(struct nbd_offer *offer)
{
	free(offer->texts);
	free(offer->exports);
}
