// SPDX-License-Identifier: GPL-2.0
/*
 * What a server offers, for people and for programs.
 */
#include <errno.h>
#include <linux/nbd.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "list.h"
#include "protocol.h"
#include "size.h"

static void print_text(FILE *out, const char *text, size_t len)
{
	size_t size = 4 * len + 1;
	char *clean = malloc(size);

	if (clean)
		fputs(nbd_sanitize(clean, size, text, len), out);
	free(clean);
}

void nbd_list_text(const struct nbd_offer *offer, FILE *out)
{
	const struct nbd_offered *e = offer->exports;
	const struct nbd_offered *end = e + offer->n;

	fputs("Negotiation: ..\n", out);
	for (; e < end; e++) {
		print_text(out, e->name, e->name_len);
		if (e->text_len) {
			fputs(": ", out);
			print_text(out, e->text, e->text_len);
		}
		fputc('\n', out);
	}
}

/*
 * The transmission flags: in words, and as a truth under the key that nbdinfo(1) has for it.
 * proto.md, "Transmission flags".
 */
static const struct {
	u16 flag;
	const char *word;
	const char *key;
} flags[] = {
	{ NBD_FLAG_READ_ONLY, "read-only", "is_read_only" },
	{ NBD_FLAG_ROTATIONAL, "rotational", "is_rotational" },
	{ NBD_FLAG_SEND_FLUSH, "flush", "can_flush" },
	{ NBD_FLAG_SEND_FUA, "fua", "can_fua" },
	{ NBD_FLAG_SEND_TRIM, "trim", "can_trim" },
	{ NBD_FLAG_SEND_WRITE_ZEROES, "zeroes", "can_zero" },
	{ NBD_FLAG_SEND_FAST_ZERO, "fast-zeroes", "can_fast_zero" },
	{ NBD_FLAG_CAN_MULTI_CONN, "multi-conn", "can_multi_conn" },
	{ NBD_FLAG_SEND_CACHE, "cache", "can_cache" },
	{ NBD_FLAG_SEND_DF, "df", "can_df" },
	{ NBD_FLAG_SEND_RESIZE, "resize", "can_resize" },
};

static void print_flags(FILE *out, u16 value)
{
	const char *between = "";
	u16 unknown = value & ~NBD_FLAG_HAS_FLAGS;
	size_t i;

	fputs("    flags: ", out);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		unknown &= ~flags[i].flag;
		if (!(value & flags[i].flag))
			continue;
		fprintf(out, "%s%s", between, flags[i].word);
		between = ", ";
	}
	if (unknown)
		fprintf(out, "%sunknown 0x%x", between, unknown);
	else if (!*between)
		fputs("none", out);
	fputc('\n', out);
}

static void print_size(FILE *out, u64 size)
{
	if (!size) {
		/* as nbd-server, which opens an image for whoever attaches it */
		fputs("    size: 0 bytes (or told only when attached)\n", out);
		return;
	}
	fprintf(out, "    size: %llu bytes", size);
	if (size >= 1024) {
		fputs(" (", out);
		nbd_print_size(size, out);
		fputc(')', out);
	}
	fputc('\n', out);
}

static void print_block_sizes(FILE *out, const struct nbd_export *e)
{
	if (!e->has_block_sizes)
		return;
	fprintf(out, "    block sizes: minimum %u, preferred %u, ", e->block_min,
		e->block_preferred);
	if (e->block_max == U32_MAX)
		fputs("no maximum\n", out);
	else
		fprintf(out, "maximum %u\n", e->block_max);
}

static void print_export(FILE *out, const struct nbd_offered *e)
{
	fputs("export \"", out);
	print_text(out, e->name, e->name_len);
	fputs("\"\n", out);
	if (e->text_len) {
		fputs("    description: ", out);
		print_text(out, e->text, e->text_len);
		fputc('\n', out);
	}
	if (e->refusal)
		fprintf(out, "    not described: %s\n", e->refusal);
	if (!e->known)
		return;
	print_size(out, e->export.size);
	print_flags(out, e->export.flags);
	print_block_sizes(out, &e->export);
}

void nbd_info_text(const struct nbd_offer *offer, FILE *out)
{
	const struct nbd_offered *e = offer->exports;
	const struct nbd_offered *end = e + offer->n;

	fprintf(out, "server %s\n", offer->server);
	fprintf(out, "    protocol: %snewstyle, %s TLS, %s replies\n",
		offer->fixed ? "fixed " : "", offer->tls ? "with" : "without",
		offer->structured ? "structured" : "simple");
	for (; e < end; e++)
		print_export(out, e);
}

static void json_flags(struct nbd_json *j, u16 value)
{
	size_t i;

	nbd_json_number(j, "flags", value);
	for (i = 0; i < ARRAY_SIZE(flags); i++)
		nbd_json_bool(j, flags[i].key, value & flags[i].flag);
}

static void json_export(struct nbd_json *j, const struct nbd_offered *e)
{
	nbd_json_open(j, NULL, '{');
	nbd_json_bytes(j, "export-name", e->name, e->name_len);
	if (e->text_len)
		nbd_json_bytes(j, "description", e->text, e->text_len);
	if (e->refusal)
		nbd_json_text(j, "error", e->refusal);
	if (e->known) {
		nbd_json_number(j, "export-size", e->export.size);
		json_flags(j, e->export.flags);
	}
	if (e->known && e->export.has_block_sizes) {
		nbd_json_number(j, "block_size_minimum", e->export.block_min);
		nbd_json_number(j, "block_size_preferred", e->export.block_preferred);
		nbd_json_number(j, "block_size_maximum", e->export.block_max);
	}
	nbd_json_close(j, '}');
}

void nbd_offer_json(const struct nbd_offer *offer, enum nbd_goal goal, FILE *out)
{
	struct nbd_json j = { .out = out };
	size_t i;

	nbd_json_open(&j, NULL, '{');
	nbd_json_text(&j, "server", offer->server);
	nbd_json_text(&j, "protocol", offer->fixed ? "newstyle-fixed" : "newstyle");
	nbd_json_bool(&j, "TLS", offer->tls);
	if (goal == NBD_GOAL_INFO)
		nbd_json_bool(&j, "structured", offer->structured);
	nbd_json_open(&j, "exports", '[');
	for (i = 0; i < offer->n; i++)
		json_export(&j, &offer->exports[i]);
	nbd_json_close(&j, ']');
	nbd_json_close(&j, '}');
}

int nbd_list(const struct nbd_params *params, bool json, FILE *out, struct nbd_err *err)
{
	struct nbd_offer offer;
	int ret = nbd_offer_fetch(&offer, NBD_GOAL_LIST, params, err);

	if (!ret && json)
		nbd_offer_json(&offer, NBD_GOAL_LIST, out);
	else if (!ret)
		nbd_list_text(&offer, out);
	nbd_offer_free(&offer);
	return ret;
}

int nbd_info(const struct nbd_params *params, bool json, FILE *out, struct nbd_err *err)
{
	struct nbd_offer offer;
	int ret = nbd_offer_fetch(&offer, NBD_GOAL_INFO, params, err);

	if (!ret && json)
		nbd_offer_json(&offer, NBD_GOAL_INFO, out);
	else if (!ret)
		nbd_info_text(&offer, out);
	nbd_offer_free(&offer);
	return ret;
}
