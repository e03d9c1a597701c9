// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "handshake.h"
#include "hs_rules.h"
#include "stats.h"
#include "transmit.h"
#include "../wire.h"

/* Longer option data is not read: no option that we know needs it. */
#define OPTION_MAX	(64U * 1024)
/* How much of a flood is queued at a time. */
#define FLOOD_PIECE	(64U * 1024)

/* What is sent over and over, until the client has had enough. */
struct flood {
	struct timer *timer;
	size_t len;
	uint8_t data[];
};

static bool parse_option(struct conn *conn);

static struct hs_rule *rule_for(struct conn *conn, enum hs_verb verb, uint32_t option)
{
	return hs_rule_next(NULL, conn, verb, option, PLACE_INSTEAD);
}

/* Everything of the handshake goes through here, so that it can be cut and dripped. */
static void hs_queue(struct conn *conn, struct out *out)
{
	struct hs_rule *cut = conn->hs_cut;

	if (cut) {
		uint64_t at = args_u64(&cut->args, "at", 0);

		if (at >= conn->hs_sent && at <= conn->hs_sent + out->len) {
			out->stop_at = at - conn->hs_sent;
			out->ending = args_enum(&cut->args, "then", ending_names, END_FIN);
		}
	}
	if (conn->hs_drip) {
		out->piece = args_u64(&conn->hs_drip->args, "n", 1);
		out->pause_ns = args_ns(&conn->hs_drip->args, "t", 0);
	}
	conn->hs_sent += out->len;
	conn_queue(conn, out);
}

static void hs_send(struct conn *conn, const void *data, size_t len)
{
	hs_queue(conn, out_new(data, len));
}

static void send_reply(struct conn *conn, uint32_t option, uint32_t type,
		       const void *data, size_t len)
{
	struct nbd_option_reply head = {
		.magic = htobe64(NBD_REP_MAGIC),
		.option = htobe32(option),
		.type = htobe32(type),
		.length = htobe32(len),
	};
	struct out *out = out_new(NULL, sizeof(head) + len);

	memcpy(out->data, &head, sizeof(head));
	if (len)
		memcpy(out->data + sizeof(head), data, len);
	hs_queue(conn, out);
}

static void send_error(struct conn *conn, uint32_t option, uint32_t type, const char *text)
{
	send_reply(conn, option, type, text, strlen(text));
}

/* The payload that a rule asks for, followed by room for its filling. */
static struct out *rule_payload(struct args *args, size_t head, size_t fill)
{
	size_t len = 0;
	uint8_t *hex = args_hex(args, "data", &len);
	const char *text = hex ? NULL : args_raw(args, "text", &len);
	struct out *out = out_new(NULL, head + len + fill);

	if (hex || text)
		memcpy(out->data + head, hex ? (void *)hex : (void *)text, len);
	memset(out->data + head + len, 'x', fill);
	free(hex);
	return out;
}

static struct out *rule_reply(struct hs_rule *rule, uint32_t option)
{
	struct args *args = &rule->args;
	size_t fill = args_u64(args, "fill", 0);
	struct out *out = rule_payload(args, sizeof(struct nbd_option_reply), fill);
	struct nbd_option_reply head = {
		.magic = htobe64(args_u64(args, "magic", NBD_REP_MAGIC)),
		.option = htobe32(args_u64(args, "echo", option)),
		.type = htobe32(args_u64(args, "type", NBD_REP_ERR_UNSUP)),
		.length = htobe32(args_u64(args, "len", out->len - sizeof(head))),
	};

	memcpy(out->data, &head, sizeof(head));
	return out;
}

static void flood_once(void *arg)
{
	struct conn *conn = arg;

	conn->flood->timer = NULL;
	hs_send(conn, conn->flood->data, conn->flood->len);
}

/* One piece in a round of the loop, so that the others get their turn. */
static void keep_flooding(struct conn *conn)
{
	if (!conn->flood->timer)
		conn->flood->timer = timer_start(0, flood_once, conn);
}

/* Send @data, or 'x', for ever. */
static void start_flood(struct conn *conn, const uint8_t *data, size_t len)
{
	size_t times = data && len < FLOOD_PIECE ? FLOOD_PIECE / len : 1;
	size_t piece = data ? len : FLOOD_PIECE;
	struct flood *flood = calloc(1, sizeof(*flood) + piece * times);
	size_t i;

	if (!flood)
		err(1, "flood");
	flood->len = piece * times;
	for (i = 0; i < times; i++)
		if (data)
			memcpy(flood->data + i * piece, data, piece);
		else
			memset(flood->data + i * piece, 'x', piece);
	conn->flood = flood;
	conn->drained = keep_flooding;
}

static void apply_reply(struct conn *conn, struct hs_rule *rule, uint32_t option)
{
	uint64_t repeat = args_u64(&rule->args, "repeat", 1);
	struct out *out = rule_reply(rule, option);

	if (args_u64(&rule->args, "flood", 0))
		start_flood(conn, NULL, 0);
	else if (!repeat)
		start_flood(conn, out->data, out->len);
	if (args_has(&rule->args, "then")) {
		out->stop_at = out->len;
		out->ending = args_enum(&rule->args, "then", ending_names, END_FIN);
	}
	while (repeat > 1 && repeat-- && !conn->closed)
		hs_queue(conn, rule_reply(rule, option));
	hs_queue(conn, out);
}

/* What the rules of one place came to: no rule, or the last reply was one of these. */
enum applied { NO_RULE, ERROR_REPLY, OTHER_REPLY };

static enum applied apply_replies(struct conn *conn, uint32_t option, enum hs_place place)
{
	enum applied applied = NO_RULE;
	struct hs_rule *rule = NULL;

	while (!conn->closed && (rule = hs_rule_next(rule, conn, HS_REPLY, option, place))) {
		apply_reply(conn, rule, option);
		applied = args_u64(&rule->args, "type", NBD_REP_ERR_UNSUP) & NBD_REP_ERROR ?
			  ERROR_REPLY : OTHER_REPLY;
	}
	return applied;
}

static void told_export(struct conn *conn, uint32_t option, struct export *told)
{
	struct hs_rule *rule = rule_for(conn, HS_INFO, option);

	*told = export;
	if (!rule)
		return;
	told->size = args_u64(&rule->args, "size", export.size);
	told->flags = args_u64(&rule->args, "flags", export.flags);
	told->block_min = args_u64(&rule->args, "min", export.block_min);
	told->block_pref = args_u64(&rule->args, "pref", export.block_pref);
	told->block_max = args_u64(&rule->args, "max", export.block_max);
	told->tell_blocks |= args_has(&rule->args, "min") || args_has(&rule->args, "pref") ||
			     args_has(&rule->args, "max");
	told->hide = args_u64(&rule->args, "noexport", 0);
}

static void send_infos(struct conn *conn, uint32_t option)
{
	struct export told;
	struct nbd_info_export info = { .type = htobe16(NBD_INFO_EXPORT) };
	struct nbd_info_block_size blocks = { .type = htobe16(NBD_INFO_BLOCK_SIZE) };

	told_export(conn, option, &told);
	info.size = htobe64(told.size);
	info.flags = htobe16(told.flags);
	blocks.minimum = htobe32(told.block_min);
	blocks.preferred = htobe32(told.block_pref);
	blocks.maximum = htobe32(told.block_max);
	if (!told.hide)
		send_reply(conn, option, NBD_REP_INFO, &info, sizeof(info));
	if (told.tell_blocks)
		send_reply(conn, option, NBD_REP_INFO, &blocks, sizeof(blocks));
}

static bool name_known(const uint8_t *name, size_t len)
{
	return !export.name[0] ||
	       (len == strlen(export.name) && !memcmp(name, export.name, len));
}

/* The name inside the data of GO and INFO, NULL if that is malformed. */
static const uint8_t *go_name(const uint8_t *data, uint32_t len, uint32_t *name_len)
{
	uint16_t infos;

	if (len < 6)
		return NULL;
	memcpy(name_len, data, 4);
	*name_len = be32toh(*name_len);
	if (*name_len > len - 6)
		return NULL;
	memcpy(&infos, data + 4 + *name_len, 2);
	return len == 6 + *name_len + 2U * be16toh(infos) ? data + 4 : NULL;
}

/* Answers GO or INFO honestly; true if the transmission phase begins. */
static bool answer_go(struct conn *conn, uint32_t option, const uint8_t *data, uint32_t len)
{
	uint32_t name_len;
	const uint8_t *name = go_name(data, len, &name_len);

	if (export.old_style_go) {
		send_error(conn, option, NBD_REP_ERR_UNSUP, "unknown option");
		return false;
	}
	if (!name) {
		stats.hs_bad++;
		send_error(conn, option, NBD_REP_ERR_INVALID, "malformed option");
		return false;
	}
	if (!name_known(name, name_len)) {
		send_error(conn, option, NBD_REP_ERR_UNKNOWN, "no such export");
		return false;
	}
	send_infos(conn, option);
	send_reply(conn, option, NBD_REP_ACK, NULL, 0);
	return option == NBD_OPT_GO;
}

static bool answer_export_name(struct conn *conn, const uint8_t *name, uint32_t len)
{
	struct hs_rule *rule = rule_for(conn, HS_ZEROES, NBD_OPT_EXPORT_NAME);
	struct nbd_export_reply reply = { 0 };
	size_t zeroes = conn->no_zeroes ? 0 : sizeof(reply.zeroes);
	struct export told;

	if (!name_known(name, len)) {
		conn_close(conn);
		return false;
	}
	told_export(conn, NBD_OPT_EXPORT_NAME, &told);
	reply.size = htobe64(told.size);
	reply.flags = htobe16(told.flags);
	if (rule)
		zeroes = args_u64(&rule->args, "n", zeroes);
	if (zeroes > sizeof(reply.zeroes))
		zeroes = sizeof(reply.zeroes);
	hs_send(conn, &reply, sizeof(reply) - sizeof(reply.zeroes) + zeroes);
	return true;
}

static void answer_list(struct conn *conn, uint32_t len)
{
	uint32_t name_len = strlen(export.name);
	uint8_t entry[4 + sizeof(export.name)];
	uint32_t wire_len = htobe32(name_len);

	if (len) {
		stats.hs_bad++;
		send_error(conn, NBD_OPT_LIST, NBD_REP_ERR_INVALID, "malformed option");
		return;
	}
	memcpy(entry, &wire_len, 4);
	memcpy(entry + 4, export.name, name_len);
	send_reply(conn, NBD_OPT_LIST, NBD_REP_SERVER, entry, 4 + name_len);
	send_reply(conn, NBD_OPT_LIST, NBD_REP_ACK, NULL, 0);
}

/* Answers an option as an honest server does; true if the transmission phase begins. */
static bool answer_honestly(struct conn *conn, uint32_t option, const uint8_t *data,
			    uint32_t len)
{
	switch (option) {
	case NBD_OPT_GO:
	case NBD_OPT_INFO:
		return answer_go(conn, option, data, len);
	case NBD_OPT_EXPORT_NAME:
		return answer_export_name(conn, data, len);
	case NBD_OPT_LIST:
		answer_list(conn, len);
		return false;
	case NBD_OPT_ABORT:
		stats.hs_aborts++;
		send_reply(conn, option, NBD_REP_ACK, NULL, 0);
		conn_end(conn, END_FIN);
		return false;
	case NBD_OPT_STRUCTURED:
		if (!export.structured)
			break;
		conn->structured = true;
		send_reply(conn, option, NBD_REP_ACK, NULL, 0);
		return false;
	default:
		break;
	}
	send_error(conn, option, NBD_REP_ERR_UNSUP, "unknown option");
	return false;
}

static bool answer_option(struct conn *conn, uint32_t option, const uint8_t *data,
			  uint32_t len)
{
	enum applied applied;
	bool begins;

	if (rule_for(conn, HS_IGNORE, option))
		return false;
	apply_replies(conn, option, PLACE_BEFORE);
	if (conn->closed || conn->flood)
		return false;
	/* a client that believes a false answer must not hang for want of a server */
	applied = apply_replies(conn, option, PLACE_INSTEAD);
	if (applied)
		begins = option == NBD_OPT_GO && applied == OTHER_REPLY;
	else
		begins = answer_honestly(conn, option, data, len);
	if (!conn->closed)
		apply_replies(conn, option, PLACE_AFTER);
	return begins && !conn->closed && !conn->flood;
}

static bool bad_handshake(struct conn *conn, const char *why)
{
	stats.hs_bad++;
	log_line(conn->id, "bad handshake: %s", why);
	conn_end(conn, END_RST);
	return false;
}

static bool parse_option(struct conn *conn)
{
	struct nbd_option head;
	uint32_t option, len;
	uint8_t *data;

	if (conn_available(conn) < sizeof(head))
		return false;
	memcpy(&head, conn_input(conn), sizeof(head));
	option = be32toh(head.option);
	len = be32toh(head.length);
	if (be64toh(head.magic) != NBD_OPTS_MAGIC)
		return bad_handshake(conn, "wrong option magic");
	if (len > OPTION_MAX)
		return bad_handshake(conn, "option data too long");
	if (conn_available(conn) < sizeof(head) + len)
		return false;
	data = conn_input(conn) + sizeof(head);
	conn_consume(conn, sizeof(head) + len);
	stats.hs_options++;
	log_line(conn->id, "option %u length %u", option, len);
	if (answer_option(conn, option, data, len))
		transmit_begin(conn);
	return true;
}

static bool parse_client_flags(struct conn *conn)
{
	uint32_t flags;

	if (conn_available(conn) < sizeof(flags))
		return false;
	memcpy(&flags, conn_input(conn), sizeof(flags));
	flags = be32toh(flags);
	conn_consume(conn, sizeof(flags));
	if (flags & ~(uint32_t)(NBD_HS_FIXED_NEWSTYLE | NBD_HS_NO_ZEROES))
		return bad_handshake(conn, "unknown client flags");
	conn->no_zeroes = flags & NBD_HS_NO_ZEROES;
	conn->parse = parse_option;
	return true;
}

static void handshake_gone(struct conn *conn)
{
	if (conn->flood)
		timer_cancel(conn->flood->timer);
	free(conn->flood);
	conn->flood = NULL;
}

static void greet(struct conn *conn)
{
	struct hs_rule *rule = rule_for(conn, HS_GREETING, HS_ANY_OPTION);
	struct nbd_greeting greeting = {
		.magic = htobe64(NBD_INIT_MAGIC),
		.version = htobe64(NBD_OPTS_MAGIC),
		.flags = htobe16(NBD_HS_FIXED_NEWSTYLE | NBD_HS_NO_ZEROES),
	};

	if (rule && (args_has(&rule->args, "text") || args_has(&rule->args, "data"))) {
		hs_queue(conn, rule_payload(&rule->args, 0, 0));
		return;
	}
	if (rule) {
		greeting.magic = htobe64(args_u64(&rule->args, "magic", NBD_INIT_MAGIC));
		greeting.version = htobe64(args_u64(&rule->args, "version", NBD_OPTS_MAGIC));
		greeting.flags = htobe16(args_u64(&rule->args, "flags", 3));
	}
	hs_send(conn, &greeting, sizeof(greeting));
}

void handshake_begin(struct conn *conn)
{
	conn->hs_cut = rule_for(conn, HS_CUT, HS_ANY_OPTION);
	conn->hs_drip = rule_for(conn, HS_DRIP, HS_ANY_OPTION);
	conn->parse = parse_client_flags;
	conn->gone = handshake_gone;
	log_line(conn->id, "accepted by listener %u", conn->listener);
	greet(conn);
	if (!conn->closed)
		conn_set_reading(conn, true);
}
