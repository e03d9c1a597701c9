// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake of an NBD client, as a state machine.
 */
#include <endian.h>
#include <errno.h>
#include <linux/nbd.h>
#include <string.h>

#include "negotiate.h"
#include "protocol.h"
#include "util.h"

static int hs_fail(struct nbd_handshake *hs, int ret)
{
	hs->state = NBD_HS_FAILED;
	return ret;
}

#define hs_error(hs, err, status, error, ...) \
	hs_fail(hs, nbd_fail(err, status, error, __VA_ARGS__))
#define hs_violation(hs, err, ...) \
	hs_error(hs, err, NBD_EXIT_PROTOCOL, EPROTO, __VA_ARGS__)

/*
 * Receive the next @want bytes, then act according to @state. What is beyond
 * the buffer is received and forgotten.
 */
static void expect(struct nbd_handshake *hs, enum nbd_hs_state state,
		   size_t want)
{
	bool entry = state == NBD_HS_RECV_PAYLOAD && hs->listing &&
		     (hs->option == NBD_OPT_LIST || hs->option == NBD_OPT_INFO);

	hs->state = state;
	hs->in = entry ? hs->listing->buf : hs->in_buf;
	hs->in_size = entry ? sizeof(hs->listing->buf) : sizeof(hs->in_buf);
	hs->in_want = want;
	hs->in_got = 0;
	hs->in_len = 0;
}

/* Queue bytes that stay valid until they are sent. */
static void put_pointer(struct nbd_handshake *hs, const void *data, size_t len)
{
	hs->out[hs->out_n].data = data;
	hs->out[hs->out_n++].len = len;
}

static void put(struct nbd_handshake *hs, const void *data, size_t len)
{
	unsigned char *copy = hs->out_buf + hs->out_used;

	memcpy(copy, data, len);
	hs->out_used += len;
	put_pointer(hs, copy, len);
}

/* Header of an option with @length bytes of data, of which @data is the first. */
static void put_option(struct nbd_handshake *hs, u32 option,
		       u32 length, const void *data, size_t data_len)
{
	const struct nbd_hs_option header = {
		.magic = htobe64(NBD_OPTION_MAGIC),
		.option = htobe32(option),
		.length = htobe32(length),
	};
	unsigned char bytes[sizeof(header) + sizeof(__be32)];

	memcpy(bytes, &header, sizeof(header));
	if (data_len)
		memcpy(bytes + sizeof(header), data, data_len);
	put(hs, bytes, sizeof(header) + data_len);
	hs->option = option;
	hs->replies = 0;
	expect(hs, NBD_HS_RECV_REPLY, sizeof(struct nbd_hs_reply));
}

/* NBD_OPT_GO and NBD_OPT_INFO: name, then the list of what we want to be told. */
static void put_query(struct nbd_handshake *hs, u32 option)
{
	const __be32 len = htobe32(hs->name_len);
	const bool info = option == NBD_OPT_INFO;
	const __be16 infos[] = { htobe16(info ? 2 : 1), htobe16(NBD_INFO_BLOCK_SIZE),
				 htobe16(NBD_INFO_DESCRIPTION) };
	const size_t size = (info ? 3 : 2) * sizeof(infos[0]);

	hs->got_export = false;
	memset(&hs->export, 0, sizeof(hs->export));
	put_option(hs, option, sizeof(len) + hs->name_len + size, &len, sizeof(len));
	put_pointer(hs, hs->name, hs->name_len);
	put(hs, infos, size);
}

static void put_export_name(struct nbd_handshake *hs)
{
	put_option(hs, NBD_OPT_EXPORT_NAME, hs->name_len, NULL, 0);
	put_pointer(hs, hs->name, hs->name_len);
	expect(hs, NBD_HS_RECV_EXPORT, sizeof(struct nbd_hs_export));
}

static void put_goodbye(struct nbd_handshake *hs)
{
	put_option(hs, NBD_OPT_ABORT, 0, NULL, 0);
	hs->state = NBD_HS_GOODBYE;
}

/* NBD_GOAL_INFO: the next export of interest, or the end. */
static void put_next_info(struct nbd_handshake *hs)
{
	if (hs->listing->next(hs->listing->arg, &hs->name, &hs->name_len))
		put_query(hs, NBD_OPT_INFO);
	else
		put_goodbye(hs);
}

/* The option that brings us to the goal, once TLS is out of the way. */
static void put_next_option(struct nbd_handshake *hs)
{
	if (hs->want_tls && !hs->in_tls) {
		put_option(hs, NBD_OPT_STARTTLS, 0, NULL, 0);
	} else if (hs->want_structured && !hs->no_optgo) {
		hs->want_structured = false;
		put_option(hs, NBD_OPT_STRUCTURED_REPLY, 0, NULL, 0);
	} else if (hs->goal == NBD_GOAL_LIST) {
		put_option(hs, NBD_OPT_LIST, 0, NULL, 0);
	} else if (hs->no_optgo) {
		put_export_name(hs);
	} else if (hs->goal == NBD_GOAL_GO) {
		put_query(hs, NBD_OPT_GO);
	} else if (!hs->named && !hs->asked_list) {
		hs->asked_list = true;
		put_option(hs, NBD_OPT_LIST, 0, NULL, 0);
	} else {
		put_next_info(hs);
	}
}

int nbd_handshake_init(struct nbd_handshake *hs, enum nbd_goal goal,
		       bool structured, const struct nbd_params *params,
		       struct nbd_listing *listing, struct nbd_err *err)
{
	const char *name = params->export_name ? params->export_name : "";
	size_t len = strlen(name);

	if (len > NBD_STRING_MAX)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENAMETOOLONG,
				"the export name is %zu bytes long, the protocol allows %d",
				len, NBD_STRING_MAX);
	memset(hs, 0, sizeof(*hs));
	hs->goal = goal;
	hs->name = name;
	hs->name_len = len;
	hs->named = params->export_name;
	hs->want_structured = structured;
	hs->no_optgo = params->no_optgo;
	hs->want_tls = params->tls;
	hs->listing = listing;
	if (listing)
		listing->restart(listing->arg);
	expect(hs, NBD_HS_RECV_GREETING, sizeof(struct nbd_hs_greeting));
	return 0;
}

/* Says what talks there instead of an NBD server, as far as it shows. */
static int not_nbd(struct nbd_handshake *hs, struct nbd_err *err)
{
	char text[64];

	return hs_violation(hs, err,
			    "not an NBD server: it greets with \"%s\"",
			    nbd_sanitize(text, sizeof(text),
					 (const char *)hs->in, 8));
}

static int handle_greeting(struct nbd_handshake *hs, struct nbd_err *err)
{
	struct nbd_hs_greeting greeting;
	u64 style;
	u16 flags;
	__be32 answer;

	memcpy(&greeting, hs->in, sizeof(greeting));
	if (be64toh(greeting.magic) != NBD_INIT_MAGIC)
		return not_nbd(hs, err);
	style = be64toh(greeting.style);
	if (style == NBD_OLDSTYLE_MAGIC)
		return hs_error(hs, err, NBD_EXIT_UNSUPPORTED, EPROTO,
				"the server speaks the oldstyle handshake, which ended with nbd 3.10: start it in newstyle mode");
	if (style != NBD_OPTION_MAGIC)
		return hs_violation(hs, err,
				    "the server's handshake has an unknown style 0x%016llx",
				    style);

	flags = be16toh(greeting.flags);
	hs->no_zeroes = flags & NBD_FLAG_NO_ZEROES;
	answer = htobe32((flags & NBD_FLAG_FIXED_NEWSTYLE ?
			  NBD_FLAG_C_FIXED_NEWSTYLE : 0) |
			 (hs->no_zeroes ? NBD_FLAG_C_NO_ZEROES : 0));
	put(hs, &answer, sizeof(answer));
	hs->fixed = flags & NBD_FLAG_FIXED_NEWSTYLE;
	if (hs->fixed) {
		put_next_option(hs);
		return 0;
	}
	if (hs->want_tls)
		return hs_error(hs, err, NBD_EXIT_TLS, EPROTO,
				"TLS was asked for, but the server does not know the fixed newstyle handshake that it needs");
	if (hs->goal == NBD_GOAL_LIST)
		return hs_error(hs, err, NBD_EXIT_UNSUPPORTED, EPROTO,
				"the server is too old to list its exports");
	put_export_name(hs);
	return 0;
}

/* Text that may follow an error reply: ", it says: ...", or nothing. */
static const char *server_says(struct nbd_handshake *hs, char *buf, size_t size)
{
	static const char says[] = "; it says: ";

	buf[0] = '\0';
	if (hs->in_len) {
		memcpy(buf, says, sizeof(says));
		nbd_sanitize(buf + sizeof(says) - 1, size - sizeof(says) + 1,
			     (const char *)hs->in, hs->in_len);
	}
	return buf;
}

static const char *option_name(u32 option)
{
	switch (option) {
	case NBD_OPT_EXPORT_NAME:
		return "NBD_OPT_EXPORT_NAME";
	case NBD_OPT_ABORT:
		return "NBD_OPT_ABORT";
	case NBD_OPT_LIST:
		return "NBD_OPT_LIST";
	case NBD_OPT_STARTTLS:
		return "NBD_OPT_STARTTLS";
	case NBD_OPT_INFO:
		return "NBD_OPT_INFO";
	case NBD_OPT_GO:
		return "NBD_OPT_GO";
	case NBD_OPT_STRUCTURED_REPLY:
		return "NBD_OPT_STRUCTURED_REPLY";
	default:
		return "an unknown option";
	}
}

/* What an option error means for the user, by error number. */
static const struct {
	enum nbd_exit status;
	int error;
	const char *text;
} option_errors[] = {
	[NBD_REP_ERR_UNSUP] = { NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
		"the server does not support that" },
	[NBD_REP_ERR_POLICY] = { NBD_EXIT_EXPORT, EACCES,
		"the server's policy forbids it" },
	[NBD_REP_ERR_INVALID] = { NBD_EXIT_PROTOCOL, EINVAL,
		"the server calls the request invalid" },
	[NBD_REP_ERR_PLATFORM] = { NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
		"the server's platform does not support that" },
	[NBD_REP_ERR_TLS_REQD] = { NBD_EXIT_TLS, EACCES,
		"the server demands TLS: use it (-enable-tls, or nbds:// in a URI)" },
	[NBD_REP_ERR_UNKNOWN] = { NBD_EXIT_EXPORT, ENOENT,
		"the server has no such export (nbd-client -l lists them)" },
	[NBD_REP_ERR_SHUTDOWN] = { NBD_EXIT_CONNECT, ESHUTDOWN,
		"the server is shutting down" },
	[NBD_REP_ERR_BLOCK_SIZE_REQD] = { NBD_EXIT_UNFIT, EINVAL,
		"the server insists on its block sizes" },
	[NBD_REP_ERR_TOO_BIG] = { NBD_EXIT_PROTOCOL, E2BIG,
		"the server calls the request too long" },
	[NBD_REP_ERR_EXT_HEADER_REQD] = { NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
		"the server demands extended headers" },
};

static int describe_refusal(struct nbd_handshake *hs, struct nbd_err *err)
{
	u32 code = hs->reply_type & ~NBD_REP_ERROR_BIT;
	char says[512];

	server_says(hs, says, sizeof(says));
	if (code < ARRAY_SIZE(option_errors) &&
	    option_errors[code].text)
		return nbd_fail(err, option_errors[code].status,
				option_errors[code].error, "%s%s",
				option_errors[code].text, says);
	return nbd_fail(err, NBD_EXIT_PROTOCOL, EPROTO,
			"the server refused %s with unknown error %u%s",
			option_name(hs->option), code, says);
}

/* One export is not described: the others may be. */
static int info_refused(struct nbd_handshake *hs)
{
	struct nbd_err refusal;

	/* Who does not know the option describes only what is entered. */
	if (hs->reply_type == (NBD_REP_ERROR_BIT | NBD_REP_ERR_UNSUP) && hs->entries <= 1) {
		put_export_name(hs);
		return 0;
	}
	describe_refusal(hs, &refusal);
	hs->listing->refused(hs->listing->arg, &refusal);
	put_next_info(hs);
	return 0;
}

/* What may be refused: then it goes on without. */
static bool is_optional(const struct nbd_handshake *hs)
{
	u32 code = hs->reply_type & ~NBD_REP_ERROR_BIT;

	return hs->option == NBD_OPT_STRUCTURED_REPLY ||
	       (hs->option == NBD_OPT_LIST && hs->goal == NBD_GOAL_INFO &&
		(code == NBD_REP_ERR_UNSUP || code == NBD_REP_ERR_POLICY));
}

static int handle_option_error(struct nbd_handshake *hs, struct nbd_err *err)
{
	int ret;

	if (hs->option == NBD_OPT_GO &&
	    hs->reply_type == (NBD_REP_ERROR_BIT | NBD_REP_ERR_UNSUP)) {
		put_export_name(hs);
		return 0;
	}
	if (hs->option == NBD_OPT_INFO)
		return info_refused(hs);
	if (is_optional(hs)) {
		put_next_option(hs);
		return 0;
	}
	ret = hs_fail(hs, describe_refusal(hs, err));
	if (hs->option == NBD_OPT_STARTTLS) {
		/* Whatever the reason: never without. */
		nbd_err_prefix(err, "TLS was asked for, and the server does not do it");
		err->status = NBD_EXIT_TLS;
	}
	return ret;
}

static bool is_power_of_two(u32 n)
{
	return n && !(n & (n - 1));
}

static int handle_info_export(struct nbd_handshake *hs, struct nbd_err *err)
{
	struct nbd_hs_info_export info;

	if (hs->in_len != sizeof(info))
		return hs_violation(hs, err,
				    "the server's NBD_INFO_EXPORT has %zu bytes instead of %zu",
				    hs->in_len, sizeof(info));
	memcpy(&info, hs->in, sizeof(info));
	hs->export.size = be64toh(info.size);
	hs->export.flags = be16toh(info.flags);
	/* Never used; and connections of one device may differ in it. */
	if (hs->option == NBD_OPT_GO)
		hs->export.flags &= ~NBD_FLAG_SEND_DF;
	hs->got_export = true;
	return 0;
}

/* proto.md, "Block size constraints" */
static int handle_info_block_size(struct nbd_handshake *hs, struct nbd_err *err)
{
	struct nbd_hs_info_block_size info;
	u32 min, preferred, max;

	if (hs->in_len != sizeof(info))
		return hs_violation(hs, err,
				    "the server's NBD_INFO_BLOCK_SIZE has %zu bytes instead of %zu",
				    hs->in_len, sizeof(info));
	memcpy(&info, hs->in, sizeof(info));
	min = be32toh(info.minimum);
	preferred = be32toh(info.preferred);
	max = be32toh(info.maximum);
	if (!is_power_of_two(min) || min > 65536 ||
	    !is_power_of_two(preferred) || preferred < min ||
	    max < min || (max != U32_MAX && max % min))
		return hs_violation(hs, err,
				    "the server announces impossible block sizes: minimum %u, preferred %u, maximum %u",
				    min, preferred, max);
	hs->export.has_block_sizes = true;
	hs->export.block_min = min;
	hs->export.block_preferred = preferred;
	hs->export.block_max = max;
	return 0;
}

static int handle_description(struct nbd_handshake *hs)
{
	const size_t head = sizeof(__be16);

	if (hs->option == NBD_OPT_INFO)
		hs->listing->description(hs->listing->arg, (const char *)hs->in + head,
					 hs->in_len - head);
	return 0;
}

/* All about the export is there. */
static int finish_query(struct nbd_handshake *hs, struct nbd_err *err)
{
	if (!hs->got_export)
		return hs_violation(hs, err,
				    "the server acknowledged %s without describing the export",
				    option_name(hs->option));
	if (hs->option == NBD_OPT_GO) {
		hs->transmission = true;
		hs->state = NBD_HS_DONE;
		return 0;
	}
	hs->listing->described(hs->listing->arg, &hs->export);
	put_next_info(hs);
	return 0;
}

/* A reply to NBD_OPT_GO or NBD_OPT_INFO */
static int handle_query_reply(struct nbd_handshake *hs, struct nbd_err *err)
{
	__be16 type;

	if (hs->reply_type == NBD_REP_ACK)
		return finish_query(hs, err);
	if (hs->reply_type != NBD_REP_INFO || hs->in_len < sizeof(type))
		return hs_violation(hs, err,
				    "the server answered %s with type %u, %zu bytes",
				    option_name(hs->option), hs->reply_type,
				    hs->in_len);
	memcpy(&type, hs->in, sizeof(type));
	switch (be16toh(type)) {
	case NBD_INFO_EXPORT:
		return handle_info_export(hs, err);
	case NBD_INFO_DESCRIPTION:
		return handle_description(hs);
	case NBD_INFO_BLOCK_SIZE:
		return handle_info_block_size(hs, err);
	default:
		return 0;	/* a client must ignore what it did not ask for */
	}
}

static int handle_list_reply(struct nbd_handshake *hs, struct nbd_err *err)
{
	const char *text = (const char *)hs->in;
	u32 name_len;

	if (hs->reply_type == NBD_REP_ACK) {
		if (hs->goal == NBD_GOAL_LIST)
			put_goodbye(hs);
		else
			put_next_option(hs);
		return 0;
	}
	if (hs->reply_type != NBD_REP_SERVER || hs->in_len < sizeof(__be32))
		return hs_violation(hs, err,
				    "the server answered NBD_OPT_LIST with type %u, %zu bytes",
				    hs->reply_type, hs->in_len);
	name_len = (u32)hs->in[0] << 24 | hs->in[1] << 16 |
		   hs->in[2] << 8 | hs->in[3];
	if (name_len > NBD_STRING_MAX || name_len > hs->in_len - 4)
		return hs_violation(hs, err,
				    "the server's list has an export name of %u bytes in a message of %zu",
				    name_len, hs->in_len);
	hs->entries++;
	if (hs->listing)
		hs->listing->entry(hs->listing->arg, text + 4, name_len,
				   text + 4 + name_len,
				   hs->in_len - 4 - name_len);
	return 0;
}

/* To an option that is acknowledged and nothing else. */
static int handle_bare_reply(struct nbd_handshake *hs, struct nbd_err *err)
{
	if (hs->reply_type != NBD_REP_ACK || hs->in_len)
		return hs_violation(hs, err,
				    "the server answered %s with type %u, %zu bytes",
				    option_name(hs->option), hs->reply_type,
				    hs->in_len);
	if (hs->option == NBD_OPT_STARTTLS) {
		hs->state = NBD_HS_TLS_READY;
		return 0;
	}
	hs->structured = true;
	put_next_option(hs);
	return 0;
}

/* A whole option reply is in. What it does not end waits for another. */
static int handle_reply(struct nbd_handshake *hs, struct nbd_err *err)
{
	int ret;

	hs->state = NBD_HS_RECV_REPLY;
	if (hs->reply_type & NBD_REP_ERROR_BIT)
		return handle_option_error(hs, err);
	if (hs->option == NBD_OPT_GO || hs->option == NBD_OPT_INFO)
		ret = handle_query_reply(hs, err);
	else if (hs->option == NBD_OPT_LIST)
		ret = handle_list_reply(hs, err);
	else
		ret = handle_bare_reply(hs, err);
	if (!ret && hs->state == NBD_HS_RECV_REPLY)
		expect(hs, NBD_HS_RECV_REPLY, sizeof(struct nbd_hs_reply));
	return ret;
}

static int handle_reply_header(struct nbd_handshake *hs, struct nbd_err *err)
{
	unsigned int max = hs->option == NBD_OPT_LIST ? NBD_HS_ENTRIES_MAX :
							NBD_HS_REPLIES_MAX;
	struct nbd_hs_reply reply;
	u64 magic;
	u32 length;

	memcpy(&reply, hs->in, sizeof(reply));
	magic = be64toh(reply.magic);
	if (magic != NBD_OPTION_REPLY_MAGIC)
		return hs_violation(hs, err,
				    "the server's answer to %s has a wrong magic number 0x%016llx (-no-optgo may help with an old server)",
				    option_name(hs->option),
				    magic);
	if (be32toh(reply.option) != hs->option)
		return hs_violation(hs, err,
				    "the server answered option %u while %s was asked",
				    be32toh(reply.option),
				    option_name(hs->option));
	length = be32toh(reply.length);
	if (length > NBD_HS_PAYLOAD_MAX)
		return hs_violation(hs, err,
				    "the server's answer to %s is %u bytes long, more than %d",
				    option_name(hs->option), length,
				    NBD_HS_PAYLOAD_MAX);
	if (++hs->replies > max)
		return hs_violation(hs, err,
				    "the server answered %s with more than %u messages",
				    option_name(hs->option), max);
	hs->reply_type = be32toh(reply.type);
	expect(hs, NBD_HS_RECV_PAYLOAD, length);
	return 0;
}

static int handle_export(struct nbd_handshake *hs, struct nbd_err *err)
{
	struct nbd_hs_export export;

	memcpy(&export, hs->in, sizeof(export));
	hs->export.size = be64toh(export.size);
	/* proto.md: the export, or the end of the connection. This would pass for a size. */
	if (hs->export.size == NBD_OPTION_REPLY_MAGIC)
		return hs_violation(hs, err,
				    "the server answered NBD_OPT_EXPORT_NAME with the reply to another option");
	hs->export.flags = be16toh(export.flags);
	hs->export.has_block_sizes = false;
	hs->transmission = true;
	if (hs->goal == NBD_GOAL_INFO)
		hs->listing->described(hs->listing->arg, &hs->export);
	if (hs->no_zeroes)
		hs->state = NBD_HS_DONE;
	else
		expect(hs, NBD_HS_RECV_ZEROES, NBD_HS_ZEROES);
	return 0;
}

/* All that the state waited for is in hs->in. */
static int handle_input(struct nbd_handshake *hs, struct nbd_err *err)
{
	switch (hs->state) {
	case NBD_HS_RECV_GREETING:
		return handle_greeting(hs, err);
	case NBD_HS_RECV_REPLY:
		return handle_reply_header(hs, err);
	case NBD_HS_RECV_PAYLOAD:
		return handle_reply(hs, err);
	case NBD_HS_RECV_EXPORT:
		return handle_export(hs, err);
	default:
		hs->state = NBD_HS_DONE;
		return 0;
	}
}

static int flush_output(struct nbd_handshake *hs, struct nbd_transport *t,
			struct nbd_err *err)
{
	ssize_t n;

	hs->writing = true;
	while (hs->out_i < hs->out_n) {
		const unsigned char *data = hs->out[hs->out_i].data;
		size_t left = hs->out[hs->out_i].len - hs->out_done;

		n = left ? t->ops->send(t, data + hs->out_done, left) : 0;
		if (n == -EAGAIN)
			return -EAGAIN;
		if (n < 0)
			return hs_error(hs, err, NBD_EXIT_CONNECT, -n,
					"sending %s failed: %s",
					option_name(hs->option),
					strerror(-n));
		hs->out_done += n;
		if (hs->out_done == hs->out[hs->out_i].len) {
			hs->out_i++;
			hs->out_done = 0;
		}
	}
	hs->out_n = 0;
	hs->out_i = 0;
	hs->out_used = 0;
	hs->writing = false;
	return 0;
}

/* The stream ended or broke while we waited for @hs->in_want bytes. */
static int lost(struct nbd_handshake *hs, int error, struct nbd_err *err)
{
	const char *how = error ? strerror(error) : "it closed the connection";

	hs->dropped_on_go = !hs->got_export &&
			    (hs->option == NBD_OPT_GO || hs->option == NBD_OPT_INFO ||
			     hs->option == NBD_OPT_STRUCTURED_REPLY);
	if (hs->state == NBD_HS_RECV_EXPORT)
		return hs_error(hs, err, NBD_EXIT_EXPORT, ECONNRESET,
				"the server ended the connection when asked for the export (%s): it has no such export, or not for this client",
				how);
	return hs_error(hs, err, NBD_EXIT_CONNECT, ECONNRESET,
			"the server ended the connection while we waited for %s (%s)",
			nbd_handshake_waits_for(hs), how);
}

/* Where the next bytes go, and how many: what is beyond the buffer, to where nobody looks. */
static unsigned char *input_room(struct nbd_handshake *hs, size_t *room)
{
	size_t left = hs->in_want - hs->in_got;

	*room = hs->in_size - hs->in_len;
	if (!*room) {
		*room = left < sizeof(hs->surplus) ? left : sizeof(hs->surplus);
		return hs->surplus;
	}
	if (*room > left)
		*room = left;
	return hs->in + hs->in_len;
}

static int fill_input(struct nbd_handshake *hs, struct nbd_transport *t,
		      struct nbd_err *err)
{
	unsigned char *at;
	size_t room;
	ssize_t n;

	while (hs->in_got < hs->in_want) {
		at = input_room(hs, &room);
		n = t->ops->recv(t, at, room);
		if (n == -EAGAIN)
			return -EAGAIN;
		if (n <= 0)
			return lost(hs, -n, err);
		hs->in_got += n;
		hs->in_len = hs->in_got < hs->in_size ? hs->in_got : hs->in_size;
		if (hs->state == NBD_HS_RECV_GREETING && hs->in_len >= 8 &&
		    memcmp(hs->in, "NBDMAGIC", 8))
			return not_nbd(hs, err);
	}
	return 0;
}

int nbd_handshake_run(struct nbd_handshake *hs, struct nbd_transport *t,
		      struct nbd_err *err)
{
	int ret;

	for (;;) {
		ret = flush_output(hs, t, err);
		if (hs->state == NBD_HS_GOODBYE && ret != -EAGAIN)
			hs->state = NBD_HS_DONE;
		if (hs->state == NBD_HS_DONE || hs->state == NBD_HS_TLS_READY)
			return 0;
		if (ret)
			return ret;
		ret = fill_input(hs, t, err);
		if (ret)
			return ret;
		ret = handle_input(hs, err);
		if (ret)
			return ret;
	}
}

bool nbd_handshake_writes(const struct nbd_handshake *hs)
{
	return hs->writing;
}

void nbd_handshake_tls_done(struct nbd_handshake *hs)
{
	hs->in_tls = true;
	put_next_option(hs);
}

const char *nbd_handshake_waits_for(const struct nbd_handshake *hs)
{
	switch (hs->state) {
	case NBD_HS_RECV_GREETING:
		return "its greeting";
	case NBD_HS_RECV_EXPORT:
	case NBD_HS_RECV_ZEROES:
		return "its answer to NBD_OPT_EXPORT_NAME";
	case NBD_HS_TLS_READY:
		return "the TLS handshake";
	default:
		break;
	}
	switch (hs->option) {
	case NBD_OPT_LIST:
		return "its list of exports";
	case NBD_OPT_STARTTLS:
		return "its answer to NBD_OPT_STARTTLS";
	case NBD_OPT_STRUCTURED_REPLY:
		return "its answer to NBD_OPT_STRUCTURED_REPLY";
	case NBD_OPT_INFO:
		return "its answer to NBD_OPT_INFO";
	default:
		return "its answer to NBD_OPT_GO";
	}
}
