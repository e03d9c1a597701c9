// SPDX-License-Identifier: GPL-2.0
/* What is printed of a server's offer. */
#include <stdlib.h>
#include <string.h>

#include "../../client/list.h"
#include "../../client/util.h"
#include "tap.h"

static struct nbd_offered exports[] = {
	{ .name = "disk\033[2J", .name_len = 8, .text = "a \"good\" disk\n", .text_len = 14,
	  .known = true, .export = { 3ULL << 40, 0x10d, true, 512, 4096, 1 << 25 } },
	{ .name = "", .text = "", .known = true,
	  .export = { 511, 0x8003, true, 1, 4096, U32_MAX } },
	{ .name = "plain", .name_len = 5, .text = "", .known = true,
	  .export = { 1536, 1, false } },
	{ .name = "closed", .name_len = 6, .text = "", .known = true,
	  .export = { 0, 1, false } },
	{ .name = "secret", .name_len = 6, .text = "", .refusal = "the server is shy" },
};

static const struct nbd_offer offer = {
	.server = "server:10809",
	.fixed = true,
	.structured = true,
	.exports = exports,
	.n = ARRAY_SIZE(exports),
};

static const char list_text[] =
	"Negotiation: ..\n"
	"disk\\x1b[2J: a \"good\" disk\\x0a\n"
	"\n"
	"plain\n"
	"closed\n"
	"secret\n";

static const char info_text[] =
	"server server:10809\n"
	"    protocol: fixed newstyle, without TLS, structured replies\n"
	"export \"disk\\x1b[2J\"\n"
	"    description: a \"good\" disk\\x0a\n"
	"    size: 3298534883328 bytes (3 TiB)\n"
	"    flags: flush, fua, multi-conn\n"
	"    block sizes: minimum 512, preferred 4096, maximum 33554432\n"
	"export \"\"\n"
	"    size: 511 bytes\n"
	"    flags: read-only, unknown 0x8000\n"
	"    block sizes: minimum 1, preferred 4096, no maximum\n"
	"export \"plain\"\n"
	"    size: 1536 bytes (1.5 KiB)\n"
	"    flags: none\n"
	"export \"closed\"\n"
	"    size: 0 bytes (or told only when attached)\n"
	"    flags: none\n"
	"export \"secret\"\n"
	"    not described: the server is shy\n";

static const char json_head[] =
	"{\n"
	"  \"server\": \"server:10809\",\n"
	"  \"protocol\": \"newstyle-fixed\",\n"
	"  \"TLS\": false,\n"
	"  \"structured\": true,\n"
	"  \"exports\": [\n"
	"    {\n"
	"      \"export-name\": \"disk\\u001b[2J\",\n"
	"      \"description\": \"a \\\"good\\\" disk\\u000a\",\n"
	"      \"export-size\": 3298534883328,\n"
	"      \"flags\": 269,\n"
	"      \"is_read_only\": false,\n"
	"      \"is_rotational\": false,\n"
	"      \"can_flush\": true,\n"
	"      \"can_fua\": true,\n"
	"      \"can_trim\": false,\n"
	"      \"can_zero\": false,\n"
	"      \"can_fast_zero\": false,\n"
	"      \"can_multi_conn\": true,\n"
	"      \"can_cache\": false,\n"
	"      \"can_df\": false,\n"
	"      \"can_resize\": false,\n"
	"      \"block_size_minimum\": 512,\n"
	"      \"block_size_preferred\": 4096,\n"
	"      \"block_size_maximum\": 33554432\n"
	"    },\n";

static const char json_tail[] =
	"    {\n"
	"      \"export-name\": \"secret\",\n"
	"      \"error\": \"the server is shy\"\n"
	"    }\n"
	"  ]\n"
	"}\n";

/* What @print writes, in a buffer of this function's. */
static const char *printed(void (*print)(const struct nbd_offer *offer, FILE *out))
{
	static char buf[8192];
	FILE *out = fmemopen(buf, sizeof(buf), "w");

	print(&offer, out);
	fclose(out);
	return buf;
}

static void print_info_json(const struct nbd_offer *o, FILE *out)
{
	nbd_offer_json(o, NBD_GOAL_INFO, out);
}

static void print_list_json(const struct nbd_offer *o, FILE *out)
{
	nbd_offer_json(o, NBD_GOAL_LIST, out);
}

void test_list(void)
{
	const char *text;

	tap_test("list: -list");
	expect_text(printed(nbd_list_text), list_text);
	tap_test("list: -info");
	expect_text(printed(nbd_info_text), info_text);
	tap_test("list: -info -json");
	text = printed(print_info_json);
	expect(!strncmp(text, json_head, strlen(json_head)));
	expect(strlen(text) > strlen(json_tail) &&
	       !strcmp(text + strlen(text) - strlen(json_tail), json_tail));
	tap_test("list: -list -json does not say what it has not asked");
	expect(!strstr(printed(print_list_json), "structured"));
}
