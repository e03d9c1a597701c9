// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake against scripted servers: what the server sends is a row of
 * the table, over a socket pair, at once and byte by byte; what the client
 * made of it and what it sent is compared.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../client/negotiate.h"
#include "../../client/protocol.h"
#include "../../client/settings.h"
#include "../../client/util.h"
#include "tap.h"

/** struct script - bytes in the making */
struct script {
	unsigned char data[65536];
	size_t len;
};

static void add(struct script *s, const void *data, size_t len)
{
	memcpy(s->data + s->len, data, len);
	s->len += len;
}

static void add16(struct script *s, u16 n)
{
	n = htobe16(n);
	add(s, &n, sizeof(n));
}

static void add32(struct script *s, u32 n)
{
	n = htobe32(n);
	add(s, &n, sizeof(n));
}

static void add64(struct script *s, u64 n)
{
	n = htobe64(n);
	add(s, &n, sizeof(n));
}

static void greet(struct script *s, u16 flags)
{
	add64(s, NBD_INIT_MAGIC);
	add64(s, NBD_OPTION_MAGIC);
	add16(s, flags);
}

#define FIXED (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)

static void reply(struct script *s, u32 option, u32 type,
		  u32 length)
{
	add64(s, NBD_OPTION_REPLY_MAGIC);
	add32(s, option);
	add32(s, type);
	add32(s, length);
}

static void go_export(struct script *s, u64 size, u16 flags)
{
	reply(s, NBD_OPT_GO, NBD_REP_INFO, 12);
	add16(s, NBD_INFO_EXPORT);
	add64(s, size);
	add16(s, flags);
}

static void go_block_size(struct script *s, u32 min, u32 preferred,
			  u32 max)
{
	reply(s, NBD_OPT_GO, NBD_REP_INFO, 14);
	add16(s, NBD_INFO_BLOCK_SIZE);
	add32(s, min);
	add32(s, preferred);
	add32(s, max);
}

static void go_ack(struct script *s)
{
	reply(s, NBD_OPT_GO, NBD_REP_ACK, 0);
}

static void go_error(struct script *s, u32 code, const char *text)
{
	reply(s, NBD_OPT_GO, NBD_REP_ERROR_BIT | code, strlen(text));
	add(s, text, strlen(text));
}

static void old_export(struct script *s, u64 size, u16 flags,
		       size_t zeroes)
{
	static const char zero[NBD_HS_ZEROES];

	add64(s, size);
	add16(s, flags);
	add(s, zero, zeroes);
}

static void list_entry(struct script *s, const char *name, const char *text)
{
	reply(s, NBD_OPT_LIST, NBD_REP_SERVER,
	      4 + strlen(name) + strlen(text));
	add32(s, strlen(name));
	add(s, name, strlen(name));
	add(s, text, strlen(text));
}

/* --- the servers --- */

static void normal(struct script *s)
{
	greet(s, FIXED);
	go_export(s, 1 << 20, 0x10d);
	go_block_size(s, 512, 4096, 1 << 25);
	go_ack(s);
}

static void info_in_any_order(struct script *s)
{
	greet(s, FIXED);
	go_block_size(s, 1, 4096, U32_MAX);
	reply(s, NBD_OPT_GO, NBD_REP_INFO, 6);
	add16(s, NBD_INFO_NAME);
	add(s, "name", 4);
	reply(s, NBD_OPT_GO, NBD_REP_INFO, 5);
	add16(s, 999);
	add(s, "???", 3);
	go_export(s, 4096, 1);
	go_ack(s);
}

static void go_unknown_option(struct script *s)
{
	greet(s, FIXED);
	go_error(s, NBD_REP_ERR_UNSUP, "");
	old_export(s, 8192, 3, 0);
}

static void go_unknown_with_zeroes(struct script *s)
{
	greet(s, NBD_FLAG_FIXED_NEWSTYLE);
	go_error(s, NBD_REP_ERR_UNSUP, "what is that?");
	old_export(s, 8192, 3, NBD_HS_ZEROES);
}

static void plain_newstyle(struct script *s)
{
	greet(s, 0);
	old_export(s, 8192, 3, NBD_HS_ZEROES);
}

/* A reply header has the length of an export, if it has a payload. */
static void replies_to_export_name(struct script *s)
{
	static const char zeroes[NBD_HS_ZEROES];

	greet(s, 0);
	reply(s, NBD_OPT_EXPORT_NAME, NBD_REP_ERR_UNKNOWN, NBD_HS_ZEROES);
	add(s, zeroes, sizeof(zeroes));
}

static void oldstyle(struct script *s)
{
	add64(s, NBD_INIT_MAGIC);
	add64(s, NBD_OLDSTYLE_MAGIC);
	old_export(s, 8192, 3, NBD_HS_ZEROES);
}

static void http(struct script *s)
{
	add(s, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void ssh(struct script *s)
{
	add(s, "SSH-2.0-\033[2J", 12);
}

static void half_greeting(struct script *s)
{
	add64(s, NBD_INIT_MAGIC);
	add32(s, 0x49484156);
}

static void odd_style(struct script *s)
{
	add64(s, NBD_INIT_MAGIC);
	add64(s, 0x1122334455667788);
	add16(s, 3);
}

static void hangs_up_on_go(struct script *s)
{
	greet(s, FIXED);
}

static void no_such_export(struct script *s)
{
	greet(s, FIXED);
	go_error(s, NBD_REP_ERR_UNKNOWN, "no export \033]0;pwned\007");
}

static void forbidden(struct script *s)
{
	greet(s, FIXED);
	go_error(s, NBD_REP_ERR_POLICY, "");
}

static void demands_tls(struct script *s)
{
	greet(s, FIXED);
	go_error(s, NBD_REP_ERR_TLS_REQD, "");
}

static void shuts_down(struct script *s)
{
	greet(s, FIXED);
	go_error(s, NBD_REP_ERR_SHUTDOWN, "");
}

static void unknown_error(struct script *s)
{
	greet(s, FIXED);
	go_error(s, 4711, "");
}

static void long_error(struct script *s)
{
	char text[NBD_STRING_MAX + 1];

	memset(text, 'e', NBD_HS_KEPT_MAX);
	memset(text + NBD_HS_KEPT_MAX, 'f', NBD_STRING_MAX - NBD_HS_KEPT_MAX);
	text[NBD_STRING_MAX] = '\0';
	greet(s, FIXED);
	go_error(s, NBD_REP_ERR_UNKNOWN, text);
}

static void huge_reply(struct script *s)
{
	greet(s, FIXED);
	reply(s, NBD_OPT_GO, NBD_REP_INFO, U32_MAX);
}

static void ack_without_export(struct script *s)
{
	greet(s, FIXED);
	go_block_size(s, 512, 512, 512);
	go_ack(s);
}

static void short_export(struct script *s)
{
	greet(s, FIXED);
	reply(s, NBD_OPT_GO, NBD_REP_INFO, 6);
	add16(s, NBD_INFO_EXPORT);
	add32(s, 5);
}

static void empty_info(struct script *s)
{
	greet(s, FIXED);
	reply(s, NBD_OPT_GO, NBD_REP_INFO, 1);
	add(s, "x", 1);
}

static void wrong_reply_magic(struct script *s)
{
	greet(s, FIXED);
	add64(s, 42);
	add64(s, 42);
	add32(s, 42);
}

static void wrong_option(struct script *s)
{
	greet(s, FIXED);
	reply(s, NBD_OPT_LIST, NBD_REP_ACK, 0);
}

static void endless_info(struct script *s)
{
	int i;

	greet(s, FIXED);
	for (i = 0; i < NBD_HS_REPLIES_MAX + 1; i++) {
		reply(s, NBD_OPT_GO, NBD_REP_INFO, 2);
		add16(s, 77);
	}
	go_export(s, 4096, 1);
	go_ack(s);
}

static void block_size_not_a_power(struct script *s)
{
	greet(s, FIXED);
	go_block_size(s, 513, 4096, 1 << 20);
	go_export(s, 4096, 1);
	go_ack(s);
}

static void block_size_zero(struct script *s)
{
	greet(s, FIXED);
	go_block_size(s, 0, 4096, 1 << 20);
}

static void preferred_below_minimum(struct script *s)
{
	greet(s, FIXED);
	go_block_size(s, 4096, 512, 1 << 20);
}

static void maximum_below_minimum(struct script *s)
{
	greet(s, FIXED);
	go_block_size(s, 4096, 4096, 512);
}

static void two_exports(struct script *s)
{
	greet(s, FIXED);
	list_entry(s, "a", "");
	list_entry(s, "b", "the second");
	reply(s, NBD_OPT_LIST, NBD_REP_ACK, 0);
}

static void listing_forbidden(struct script *s)
{
	greet(s, FIXED);
	reply(s, NBD_OPT_LIST, NBD_REP_ERROR_BIT | NBD_REP_ERR_POLICY, 0);
}

static void name_longer_than_message(struct script *s)
{
	greet(s, FIXED);
	reply(s, NBD_OPT_LIST, NBD_REP_SERVER, 8);
	add32(s, 5);
	add(s, "abcd", 4);
}

static void list_entry_too_short(struct script *s)
{
	greet(s, FIXED);
	reply(s, NBD_OPT_LIST, NBD_REP_SERVER, 3);
	add(s, "abc", 3);
}

static void longest_entry(struct script *s)
{
	char name[NBD_STRING_MAX + 1];

	memset(name, 'n', NBD_STRING_MAX);
	name[NBD_STRING_MAX] = '\0';
	greet(s, FIXED);
	list_entry(s, name, name);
	reply(s, NBD_OPT_LIST, NBD_REP_ACK, 0);
}

static void tls_answer(struct script *s, u32 option, u32 type, u32 length,
		       const char *data)
{
	greet(s, FIXED);
	reply(s, option, type, length);
	add(s, data, strlen(data));
}

static void tls_forbidden(struct script *s)
{
	tls_answer(s, NBD_OPT_STARTTLS, NBD_REP_ERROR_BIT | NBD_REP_ERR_POLICY,
		   3, "why");
}

static void tls_unknown_option(struct script *s)
{
	tls_answer(s, NBD_OPT_STARTTLS, NBD_REP_ERROR_BIT | NBD_REP_ERR_UNSUP,
		   0, "");
}

static void tls_unknown_error(struct script *s)
{
	tls_answer(s, NBD_OPT_STARTTLS, U32_MAX, 0, "");
}

static void tls_info(struct script *s)
{
	tls_answer(s, NBD_OPT_STARTTLS, NBD_REP_INFO, 2, "xx");
}

static void tls_unknown_type(struct script *s)
{
	tls_answer(s, NBD_OPT_STARTTLS, 99, 0, "");
}

static void tls_ack_with_data(struct script *s)
{
	tls_answer(s, NBD_OPT_STARTTLS, NBD_REP_ACK, 4, "data");
}

static void tls_ack_of_4g(struct script *s)
{
	tls_answer(s, NBD_OPT_STARTTLS, NBD_REP_ACK, U32_MAX, "");
}

static void tls_ack_cut(struct script *s)
{
	tls_answer(s, NBD_OPT_STARTTLS, NBD_REP_ACK, 4, "da");
}

static void tls_ack_of_go(struct script *s)
{
	tls_answer(s, NBD_OPT_GO, NBD_REP_ACK, 0, "");
}

static void tls_wrong_magic(struct script *s)
{
	greet(s, FIXED);
	add64(s, NBD_OPTION_MAGIC);
	add32(s, NBD_OPT_STARTTLS);
	add32(s, NBD_REP_ACK);
	add32(s, 0);
}

/* --- what is asked about exports --- */

static void structured(struct script *s, u32 type)
{
	reply(s, NBD_OPT_STRUCTURED_REPLY, type, 0);
}

static void info_export(struct script *s, u64 size, u16 flags)
{
	reply(s, NBD_OPT_INFO, NBD_REP_INFO, 12);
	add16(s, NBD_INFO_EXPORT);
	add64(s, size);
	add16(s, flags);
}

static void info_description(struct script *s, const char *text)
{
	reply(s, NBD_OPT_INFO, NBD_REP_INFO, 2 + strlen(text));
	add16(s, NBD_INFO_DESCRIPTION);
	add(s, text, strlen(text));
}

static void info_ack(struct script *s)
{
	reply(s, NBD_OPT_INFO, NBD_REP_ACK, 0);
}

static void info_error(struct script *s, u32 code)
{
	reply(s, NBD_OPT_INFO, NBD_REP_ERROR_BIT | code, 0);
}

static void list_error(struct script *s, u32 code)
{
	greet(s, FIXED);
	structured(s, NBD_REP_ACK);
	reply(s, NBD_OPT_LIST, NBD_REP_ERROR_BIT | code, 0);
}

static void lists_two(struct script *s)
{
	greet(s, FIXED);
	structured(s, NBD_REP_ACK);
	list_entry(s, "a", "");
	list_entry(s, "b", "the second");
	reply(s, NBD_OPT_LIST, NBD_REP_ACK, 0);
}

static void describes_two(struct script *s)
{
	lists_two(s);
	info_description(s, "the first");
	info_export(s, 4096, 1);
	info_ack(s);
	info_export(s, 8192, 3);
	info_ack(s);
}

static void describes_the_second(struct script *s)
{
	lists_two(s);
	info_error(s, NBD_REP_ERR_POLICY);
	info_export(s, 8192, 3);
	info_ack(s);
}

static void describes_none_of_two(struct script *s)
{
	lists_two(s);
	info_error(s, NBD_REP_ERR_UNSUP);
	info_error(s, NBD_REP_ERR_UNSUP);
}

static void describes_one(struct script *s)
{
	greet(s, FIXED);
	structured(s, NBD_REP_ERROR_BIT | NBD_REP_ERR_UNSUP);
	info_export(s, 4096, 1);
	info_ack(s);
}

static void describes_the_default(struct script *s)
{
	list_error(s, NBD_REP_ERR_POLICY);
	info_export(s, 4096, 1);
	info_ack(s);
}

static void only_lets_enter(struct script *s)
{
	list_error(s, NBD_REP_ERR_UNSUP);
	info_error(s, NBD_REP_ERR_UNSUP);
	old_export(s, 8192, 3, 0);
}

static void lists_over_tls_only(struct script *s)
{
	list_error(s, NBD_REP_ERR_TLS_REQD);
}

static void info_without_export(struct script *s)
{
	greet(s, FIXED);
	structured(s, NBD_REP_ACK);
	info_ack(s);
}

static void describes_one_of_two(struct script *s)
{
	lists_two(s);
	info_export(s, 4096, 1);
	info_ack(s);
	info_ack(s);
}

static void structured_with_data(struct script *s)
{
	greet(s, FIXED);
	reply(s, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, 1);
	add(s, "x", 1);
}

static void long_description(struct script *s)
{
	char text[NBD_STRING_MAX + 1];

	memset(text, 't', NBD_STRING_MAX);
	text[NBD_STRING_MAX] = '\0';
	greet(s, FIXED);
	structured(s, NBD_REP_ACK);
	info_description(s, text);
	info_export(s, 4096, 1);
	info_ack(s);
}

/* The flag for NBD_CMD_FLAG_DF is of no use to us. */
static void goes_structured(struct script *s)
{
	greet(s, FIXED);
	structured(s, NBD_REP_ACK);
	go_export(s, 4096, 1 | NBD_FLAG_SEND_DF);
	go_ack(s);
}

static void goes_simple(struct script *s)
{
	greet(s, FIXED);
	structured(s, NBD_REP_ERROR_BIT | NBD_REP_ERR_UNSUP);
	go_export(s, 4096, 1);
	go_ack(s);
}

/** struct scenario - one server, and what should become of it */
struct scenario {
	const char *what;
	void (*server)(struct script *s);
	enum nbd_goal goal;
	bool unnamed;
	bool no_optgo;
	bool tls;
	bool ask;
	bool structured;
	enum nbd_exit status;	/* NBD_EXIT_OK, or the failure's */
	const char *words;	/* of the message, or of the listing */
	struct nbd_export export;
	bool dropped_on_go;
};

static const struct scenario scenarios[] = {
	{ .what = "NBD_OPT_GO", .server = normal,
	  .export = { 1 << 20, 0x10d, true, 512, 4096, 1 << 25 } },
	{ .what = "information in any order", .server = info_in_any_order,
	  .export = { 4096, 1, true, 1, 4096, U32_MAX } },
	{ .what = "no NBD_OPT_GO", .server = go_unknown_option,
	  .export = { .size = 8192, .flags = 3 } },
	{ .what = "no NBD_OPT_GO, with zeroes",
	  .server = go_unknown_with_zeroes,
	  .export = { .size = 8192, .flags = 3 } },
	{ .what = "plain newstyle", .server = plain_newstyle,
	  .export = { .size = 8192, .flags = 3 } },
	{ .what = "-no-optgo", .server = plain_newstyle, .no_optgo = true,
	  .export = { .size = 8192, .flags = 3 } },
	{ .what = "a reply to NBD_OPT_EXPORT_NAME",
	  .server = replies_to_export_name, .no_optgo = true,
	  .status = NBD_EXIT_PROTOCOL, .words = "reply to another option" },
	{ .what = "oldstyle", .server = oldstyle,
	  .status = NBD_EXIT_UNSUPPORTED, .words = "oldstyle" },
	{ .what = "an HTTP server", .server = http,
	  .status = NBD_EXIT_PROTOCOL,
	  .words = "not an NBD server: it greets with \"HTTP/1.1\"" },
	{ .what = "an SSH server, short", .server = ssh,
	  .status = NBD_EXIT_PROTOCOL, .words = "\"SSH-2.0-\"" },
	{ .what = "half a greeting", .server = half_greeting,
	  .status = NBD_EXIT_CONNECT, .words = "greeting" },
	{ .what = "an unknown style", .server = odd_style,
	  .status = NBD_EXIT_PROTOCOL, .words = "0x1122334455667788" },
	{ .what = "a server that hangs up on NBD_OPT_GO",
	  .server = hangs_up_on_go, .status = NBD_EXIT_CONNECT,
	  .words = "NBD_OPT_GO", .dropped_on_go = true },
	{ .what = "a server that hangs up on NBD_OPT_EXPORT_NAME",
	  .server = hangs_up_on_go, .no_optgo = true,
	  .status = NBD_EXIT_EXPORT, .words = "no such export" },
	{ .what = "no such export, with a hostile text",
	  .server = no_such_export, .status = NBD_EXIT_EXPORT,
	  .words = "it says: no export \\x1b]0;pwned\\x07" },
	{ .what = "policy", .server = forbidden, .status = NBD_EXIT_EXPORT,
	  .words = "policy" },
	{ .what = "TLS demanded", .server = demands_tls,
	  .status = NBD_EXIT_TLS, .words = "demands TLS" },
	{ .what = "shutting down", .server = shuts_down,
	  .status = NBD_EXIT_CONNECT, .words = "shutting down" },
	{ .what = "an unknown error", .server = unknown_error,
	  .status = NBD_EXIT_PROTOCOL, .words = "4711" },
	{ .what = "an error text of full length", .server = long_error,
	  .status = NBD_EXIT_EXPORT, .words = "eeee..." },
	{ .what = "a reply of 4 GiB", .server = huge_reply,
	  .status = NBD_EXIT_PROTOCOL, .words = "4294967295 bytes long" },
	{ .what = "an ACK without an export", .server = ack_without_export,
	  .status = NBD_EXIT_PROTOCOL, .words = "without describing" },
	{ .what = "a short NBD_INFO_EXPORT", .server = short_export,
	  .status = NBD_EXIT_PROTOCOL, .words = "has 6 bytes instead of 12" },
	{ .what = "information without a type", .server = empty_info,
	  .status = NBD_EXIT_PROTOCOL, .words = "type 3, 1 bytes" },
	{ .what = "a wrong reply magic", .server = wrong_reply_magic,
	  .status = NBD_EXIT_PROTOCOL, .words = "magic" },
	{ .what = "an answer to another option", .server = wrong_option,
	  .status = NBD_EXIT_PROTOCOL, .words = "answered option 3" },
	{ .what = "endless information", .server = endless_info,
	  .status = NBD_EXIT_PROTOCOL, .words = "more than 64" },
	{ .what = "minimum block 513", .server = block_size_not_a_power,
	  .status = NBD_EXIT_PROTOCOL, .words = "minimum 513" },
	{ .what = "minimum block 0", .server = block_size_zero,
	  .status = NBD_EXIT_PROTOCOL, .words = "minimum 0" },
	{ .what = "preferred below minimum",
	  .server = preferred_below_minimum, .status = NBD_EXIT_PROTOCOL,
	  .words = "preferred 512" },
	{ .what = "maximum below minimum", .server = maximum_below_minimum,
	  .status = NBD_EXIT_PROTOCOL, .words = "maximum 512" },
	{ .what = "a list", .server = two_exports, .goal = NBD_GOAL_LIST,
	  .words = "[a|][b|the second]" },
	{ .what = "no list allowed", .server = listing_forbidden,
	  .goal = NBD_GOAL_LIST, .status = NBD_EXIT_EXPORT,
	  .words = "policy" },
	{ .what = "a list of a plain newstyle server",
	  .server = plain_newstyle, .goal = NBD_GOAL_LIST,
	  .status = NBD_EXIT_UNSUPPORTED, .words = "too old to list" },
	{ .what = "a list entry whose name overruns it",
	  .server = name_longer_than_message, .goal = NBD_GOAL_LIST,
	  .status = NBD_EXIT_PROTOCOL, .words = "5 bytes in a message of 8" },
	{ .what = "a list entry of 3 bytes", .server = list_entry_too_short,
	  .goal = NBD_GOAL_LIST, .status = NBD_EXIT_PROTOCOL,
	  .words = "3 bytes" },
	{ .what = "the longest list entry", .server = longest_entry,
	  .goal = NBD_GOAL_LIST, .words = "nnnnnnnn" },
	{ .what = "TLS, but no fixed newstyle", .server = plain_newstyle,
	  .tls = true, .status = NBD_EXIT_TLS, .words = "TLS was asked for" },
	{ .what = "TLS forbidden", .server = tls_forbidden, .tls = true,
	  .status = NBD_EXIT_TLS, .words = "policy" },
	{ .what = "no NBD_OPT_STARTTLS", .server = tls_unknown_option,
	  .tls = true, .status = NBD_EXIT_TLS,
	  .words = "does not support" },
	{ .what = "an unknown error to NBD_OPT_STARTTLS",
	  .server = tls_unknown_error, .tls = true,
	  .status = NBD_EXIT_TLS, .words = "2147483647" },
	{ .what = "information for NBD_OPT_STARTTLS", .server = tls_info,
	  .tls = true, .status = NBD_EXIT_PROTOCOL,
	  .words = "NBD_OPT_STARTTLS with type 3, 2 bytes" },
	{ .what = "an unknown reply to NBD_OPT_STARTTLS",
	  .server = tls_unknown_type, .tls = true,
	  .status = NBD_EXIT_PROTOCOL, .words = "type 99" },
	{ .what = "an ACK of NBD_OPT_STARTTLS with data",
	  .server = tls_ack_with_data, .tls = true,
	  .status = NBD_EXIT_PROTOCOL, .words = "type 1, 4 bytes" },
	{ .what = "an ACK of NBD_OPT_STARTTLS of 4 GiB",
	  .server = tls_ack_of_4g, .tls = true,
	  .status = NBD_EXIT_PROTOCOL, .words = "4294967295 bytes long" },
	{ .what = "an ACK of NBD_OPT_STARTTLS cut off", .server = tls_ack_cut,
	  .tls = true, .status = NBD_EXIT_CONNECT, .words = "STARTTLS" },
	{ .what = "an ACK of NBD_OPT_GO for NBD_OPT_STARTTLS",
	  .server = tls_ack_of_go, .tls = true,
	  .status = NBD_EXIT_PROTOCOL, .words = "answered option 7" },
	{ .what = "a wrong reply magic for NBD_OPT_STARTTLS",
	  .server = tls_wrong_magic, .tls = true,
	  .status = NBD_EXIT_PROTOCOL, .words = "magic" },
	{ .what = "a server that hangs up on NBD_OPT_STARTTLS",
	  .server = hangs_up_on_go, .tls = true,
	  .status = NBD_EXIT_CONNECT, .words = "STARTTLS" },
	{ .what = "structured replies", .server = goes_structured, .ask = true,
	  .structured = true, .export = { 4096, 1, false } },
	{ .what = "no structured replies", .server = goes_simple, .ask = true,
	  .export = { 4096, 1, false } },
	{ .what = "structured replies are not asked for with -no-optgo",
	  .server = plain_newstyle, .ask = true, .no_optgo = true,
	  .export = { .size = 8192, .flags = 3 } },
	{ .what = "TLS before structured replies", .server = tls_forbidden, .ask = true,
	  .tls = true, .status = NBD_EXIT_TLS, .words = "policy" },
	{ .what = "what two exports are", .server = describes_two,
	  .goal = NBD_GOAL_INFO, .unnamed = true, .structured = true,
	  .words = "[a|][b|the second]?a<the first>{4096 1}?b{8192 3}." },
	{ .what = "what one of two exports is", .server = describes_the_second,
	  .goal = NBD_GOAL_INFO, .unnamed = true, .structured = true,
	  .words = "[a|][b|the second]?a{refused 7}?b{8192 3}." },
	{ .what = "no NBD_OPT_INFO, two exports", .server = describes_none_of_two,
	  .goal = NBD_GOAL_INFO, .unnamed = true, .structured = true,
	  .words = "?a{refused 12}?b{refused 12}." },
	{ .what = "what a named export is, no structured replies", .server = describes_one,
	  .goal = NBD_GOAL_INFO, .words = "?an export{4096 1}." },
	{ .what = "what the default export is, for lack of a list",
	  .server = describes_the_default, .goal = NBD_GOAL_INFO, .unnamed = true,
	  .structured = true, .words = "?{4096 1}." },
	{ .what = "no NBD_OPT_INFO", .server = only_lets_enter, .goal = NBD_GOAL_INFO,
	  .unnamed = true, .structured = true, .words = "?{8192 3}" },
	{ .what = "what a plain newstyle server has", .server = plain_newstyle,
	  .goal = NBD_GOAL_INFO, .words = "{8192 3}" },
	{ .what = "a list over TLS only", .server = lists_over_tls_only,
	  .goal = NBD_GOAL_INFO, .unnamed = true, .status = NBD_EXIT_TLS,
	  .words = "demands TLS" },
	{ .what = "an ACK of NBD_OPT_INFO without an export",
	  .server = info_without_export, .goal = NBD_GOAL_INFO,
	  .status = NBD_EXIT_PROTOCOL, .words = "NBD_OPT_INFO without describing" },
	{ .what = "the same for the second export", .server = describes_one_of_two,
	  .goal = NBD_GOAL_INFO, .unnamed = true,
	  .status = NBD_EXIT_PROTOCOL, .words = "NBD_OPT_INFO without describing" },
	{ .what = "an ACK of NBD_OPT_STRUCTURED_REPLY with data",
	  .server = structured_with_data, .goal = NBD_GOAL_INFO,
	  .status = NBD_EXIT_PROTOCOL, .words = "type 1, 1 bytes" },
	{ .what = "a server that hangs up on NBD_OPT_STRUCTURED_REPLY",
	  .server = hangs_up_on_go, .goal = NBD_GOAL_INFO,
	  .status = NBD_EXIT_CONNECT, .words = "NBD_OPT_STRUCTURED_REPLY",
	  .dropped_on_go = true },
	{ .what = "the longest description", .server = long_description,
	  .goal = NBD_GOAL_INFO, .structured = true, .words = "ttt>{4096 1}." },
};

/** struct listed - what the listing brought */
struct listed {
	char text[3 * NBD_STRING_MAX];
	size_t len;
	char names[4];
	unsigned int n;
	unsigned int at;
	const char *wanted;
};

static void note(struct listed *l, const char *fmt, ...) __printf(2, 3);
static void note(struct listed *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	l->len += vsnprintf(l->text + l->len, sizeof(l->text) - l->len, fmt, ap);
	va_end(ap);
}

static void restart(void *arg)
{
	struct listed *l = arg;

	l->len = 0;
	l->n = 0;
	l->at = 0;
}

static void entry(void *arg, const char *name, size_t name_len,
		  const char *description, size_t description_len)
{
	struct listed *l = arg;

	note(l, "[%.*s|%.*s]", (int)name_len, name, (int)description_len, description);
	l->names[l->n++ % sizeof(l->names)] = *name;
}

/* The names of the list, one letter each, or else what was asked for. */
static bool next(void *arg, const char **name, size_t *len)
{
	struct listed *l = arg;

	if (l->at >= l->n + !l->n) {
		note(l, ".");
		return false;
	}
	*name = l->n ? &l->names[l->at] : l->wanted;
	*len = l->n ? 1 : strlen(l->wanted);
	l->at++;
	note(l, "?%.*s", (int)*len, *name);
	return true;
}

static void described(void *arg, const struct nbd_export *export)
{
	note(arg, "{%llu %u}", export->size, export->flags);
}

static void description(void *arg, const char *text, size_t len)
{
	note(arg, "<%.*s>", (int)len, text);
}

static void refused(void *arg, const struct nbd_err *err)
{
	note(arg, "{refused %u}", err->status);
}

/**
 * struct slow_transport - a socket that hands out one byte at a time
 * @base:	a socket transport
 * @turn:	every other call would block
 */
struct slow_transport {
	struct nbd_transport base;
	struct nbd_socket_transport socket;
	unsigned int turn;
};

static ssize_t slow_recv(struct nbd_transport *t, void *buf, size_t len)
{
	struct slow_transport *s = (struct slow_transport *)t;

	if (s->turn++ % 2)
		return -EAGAIN;
	return s->socket.base.ops->recv(&s->socket.base, buf, len ? 1 : 0);
}

static ssize_t slow_send(struct nbd_transport *t, const void *buf, size_t len)
{
	struct slow_transport *s = (struct slow_transport *)t;

	if (s->turn++ % 2)
		return -EAGAIN;
	return s->socket.base.ops->send(&s->socket.base, buf, len ? 1 : 0);
}

static const struct nbd_transport_ops slow_ops = {
	.recv = slow_recv,
	.send = slow_send,
};

static int run_until_settled(struct nbd_handshake *hs, struct nbd_transport *t,
			     struct nbd_err *err)
{
	int ret, rounds = 0;

	do {
		ret = nbd_handshake_run(hs, t, err);
	} while (ret == -EAGAIN && ++rounds < 200000);
	return ret;
}

static void check_outcome(const struct scenario *c,
			  const struct nbd_handshake *hs, int ret,
			  const struct nbd_err *err, const struct listed *l)
{
	const struct nbd_export *e = &hs->export;

	if (c->status) {
		expect(ret < 0 && ret != -EAGAIN);
		expect_number(hs->state, NBD_HS_FAILED);
		expect_number(err->status, c->status);
		expect_words(err->text, c->words);
		expect_number(hs->dropped_on_go, c->dropped_on_go);
		return;
	}
	expect_number(ret, 0);
	expect_number(hs->state, NBD_HS_DONE);
	if (ret)
		printf("# %s\n", err->text);
	expect_number(hs->structured, c->structured);
	if (c->goal != NBD_GOAL_GO) {
		expect_words(l->text, c->words);
		return;
	}
	expect_number(e->size, c->export.size);
	expect_number(e->flags, c->export.flags);
	expect_number(e->has_block_sizes, c->export.has_block_sizes);
	expect_number(e->block_min, c->export.block_min);
	expect_number(e->block_preferred, c->export.block_preferred);
	expect_number(e->block_max, c->export.block_max);
}

static void play(const struct scenario *c, bool slowly)
{
	struct listed listed = { 0 };
	static struct nbd_listing listing;
	static struct nbd_handshake hs;
	struct slow_transport slow = { .base.ops = &slow_ops };
	struct nbd_params params;
	struct nbd_err err = { 0 };
	static struct script script;
	int fds[2], ret;

	listing.restart = restart;
	listing.entry = entry;
	listing.next = next;
	listing.described = described;
	listing.description = description;
	listing.refused = refused;
	listing.arg = &listed;
	listed.wanted = c->unnamed ? "" : "an export";
	script.len = 0;
	c->server(&script);
	expect(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	ret = 1 << 20;
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &ret, sizeof(ret));
	expect_number(write(fds[1], script.data, script.len), script.len);
	shutdown(fds[1], SHUT_WR);

	nbd_params_init(&params);
	params.no_optgo = c->no_optgo;
	params.tls = c->tls;
	if (!c->unnamed)
		params.export_name = strdup("an export");
	nbd_socket_transport_init(&slow.socket, fds[0]);
	nbd_handshake_init(&hs, c->goal, c->goal == NBD_GOAL_INFO || c->ask, &params,
			   c->goal != NBD_GOAL_GO ? &listing : NULL, &err);
	ret = run_until_settled(&hs, slowly ? &slow.base : &slow.socket.base,
				&err);
	check_outcome(c, &hs, ret, &err, &listed);
	nbd_params_free(&params);
	close(fds[0]);
	close(fds[1]);
}

/* What the client sends for a normal attach, byte by byte. */
static void test_request_bytes(void)
{
	struct nbd_socket_transport t;
	static struct script wanted, script;
	static struct nbd_handshake hs;
	unsigned char sent[256];
	struct nbd_params params;
	struct nbd_err err;
	int fds[2];
	ssize_t n;

	tap_test("negotiate: the bytes that are sent for NBD_OPT_GO");
	add32(&wanted, FIXED);
	add64(&wanted, NBD_OPTION_MAGIC);
	add32(&wanted, NBD_OPT_GO);
	add32(&wanted, 4 + 4 + 2 + 2);
	add32(&wanted, 4);
	add(&wanted, "disk", 4);
	add16(&wanted, 1);
	add16(&wanted, NBD_INFO_BLOCK_SIZE);
	normal(&script);
	expect(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	expect_number(write(fds[1], script.data, script.len), script.len);
	nbd_params_init(&params);
	params.export_name = strdup("disk");
	nbd_socket_transport_init(&t, fds[0]);
	nbd_handshake_init(&hs, NBD_GOAL_GO, false, &params, NULL, &err);
	expect_number(nbd_handshake_run(&hs, &t.base, &err), 0);
	n = recv(fds[1], sent, sizeof(sent), MSG_DONTWAIT);
	expect_number(n, wanted.len);
	expect(n == (ssize_t)wanted.len && !memcmp(sent, wanted.data, n));
	nbd_params_free(&params);
	close(fds[0]);
	close(fds[1]);
}

static void test_long_name(void)
{
	static struct nbd_handshake hs;
	struct nbd_params params;
	struct nbd_err err;

	tap_test("negotiate: an export name that is too long");
	nbd_params_init(&params);
	params.export_name = calloc(1, NBD_STRING_MAX + 2);
	memset(params.export_name, 'x', NBD_STRING_MAX + 1);
	expect_number(nbd_handshake_init(&hs, NBD_GOAL_GO, false, &params, NULL, &err),
		      -ENAMETOOLONG);
	expect_words(err.text, "4097 bytes");
	nbd_params_free(&params);
}

void test_negotiate(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(scenarios); i++) {
		tap_test("negotiate: %s", scenarios[i].what);
		play(&scenarios[i], false);
		play(&scenarios[i], true);
	}
	test_request_bytes();
	test_long_name();
}
