// SPDX-License-Identifier: GPL-2.0
/*
 * The command line.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <linux/nbd-netlink.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "namespace.h"
#include "nbdtab.h"
#include "options.h"
#include "uri.h"
#include "util.h"

/** enum kind - what an option takes and what it does with it */
enum kind {
	ACTION,		/* nothing; sets cmd->action to @min */
	ACTION_DEVICE,	/* a device; sets cmd->action and cmd->device */
	FLAG,		/* nothing; sets a bool */
	CONSTANT,	/* nothing; sets a u32 to @min */
	TEXT,		/* a string */
	U32,		/* a number from @min to @max */
	U64,		/* the same, with a suffix K, M, G or T */
	SECONDS,	/* U64 without suffix, or "forever" */
	BLOCK_SIZE,	/* a power of two from @min to @max */
	POLICY,		/* a write policy */
	USER,		/* name or number of a user */
	SERVER,		/* appends to the servers */
};

#define IMPLIES_TLS	BIT(0)	/* giving it asks for TLS */
#define HIDDEN		BIT(1)	/* not for people */

/**
 * struct nbd_option - one option
 * @name:	long name
 * @letter:	short form, or 0
 * @tab:	name in nbdtab, NULL if it has none
 * @arg:	name of what it takes, NULL for nothing
 * @kind:	how to read it
 * @offset:	of the field in struct nbd_command
 * @given:	NBD_GIVEN_* bit, or 0
 * @min:	smallest value, or the constant
 * @max:	largest value
 * @flags:	IMPLIES_TLS, HIDDEN
 * @help:	its line in --help
 */
struct nbd_option {
	const char *name;
	char letter;
	const char *tab;
	const char *arg;
	enum kind kind;
	size_t offset;
	u64 given;
	u64 min;
	u64 max;
	unsigned int flags;
	const char *help;
};

#define CMD(field) offsetof(struct nbd_command, field)
#define PARAM(field) offsetof(struct nbd_command, params.field)

static const struct nbd_option options[] = {
	{ "name", 'N', NULL, "NAME", TEXT, PARAM(export_name), NBD_GIVEN_NAME,
	  0, 0, 0, "name of the export (default: the server's default export)" },
	{ "unix", 'u', "unix", NULL, FLAG, CMD(unix_socket), 0, 0, 0, 0,
	  "the server is the path of a Unix socket" },
	{ "socket-user", 0, "socket_user", "USER", USER, PARAM(socket_user),
	  NBD_GIVEN_SOCKET_USER, 0, NBD_ANYBODY - 1, 0,
	  "who may serve a Unix socket, besides root" },
	{ "connections", 'C', "conns", "N", U32, PARAM(connections),
	  NBD_GIVEN_CONNECTIONS, 1, NBD_CONNECTIONS_MAX, 0,
	  "connections (default: up to 4 where the server allows several)" },
	{ "readonly", 'R', "readonly", NULL, FLAG, PARAM(readonly), 0, 0, 0, 0,
	  "make the device read-only" },
	{ "block-size", 'b', "bs", "BYTES", BLOCK_SIZE, PARAM(block_size),
	  NBD_GIVEN_BLOCK_SIZE, 512, 65536, 0,
	  "logical block size (default: 512, or more if the server needs it)" },
	{ "size", 'B', "size", "BYTES", U64, PARAM(size), NBD_GIVEN_SIZE, 1,
	  S64_MAX, 0, "size of the device instead of the server's" },
	{ "timeout", 't', "timeout", "SECONDS", U32, PARAM(timeout),
	  NBD_GIVEN_TIMEOUT, 0, NBD_TIMEOUT_MAX, 0,
	  "fail a request over after this time (default: 0, never)" },
	{ "connect-timeout", 0, "connect_timeout", "SECONDS", U32,
	  PARAM(connect_timeout), NBD_GIVEN_CONNECT_TIMEOUT, 1, 3600, 0,
	  "time for connecting and negotiating (default: 10)" },
	{ "peer-timeout", 0, "peer_timeout", "SECONDS", U32,
	  PARAM(peer_timeout), NBD_GIVEN_PEER_TIMEOUT, 0, 300, 0,
	  "a TCP peer silent for so long is dead (default: 15; 0: never)" },
	{ "slow-timeout", 0, "slow_timeout", "SECONDS", U32,
	  PARAM(slow_timeout), NBD_GIVEN_SLOW_TIMEOUT, 0, NBD_TIMEOUT_MAX, 0,
	  "log and count a request as slow after this time (default: 30)" },
	{ "dead-timeout", 0, "dead_timeout", "SECONDS", SECONDS,
	  PARAM(dead_timeout), NBD_GIVEN_DEAD_TIMEOUT, 0, NBD_TIMEOUT_MAX, 0,
	  "without a connection, fail I/O after this time (default: forever)" },
	{ "persist", 'p', "persist", NULL, CONSTANT, PARAM(reconnect),
	  NBD_GIVEN_RECONNECT, NBD_RECONNECT_DEFAULT, 0, 0,
	  "reconnect when connections are lost (the default)" },
	{ "no-persist", 0, "no_persist", NULL, CONSTANT, PARAM(reconnect),
	  NBD_GIVEN_RECONNECT, NBD_RECONNECT_NEVER, 0, 0,
	  "do not reconnect: fail I/O at once" },
	{ "reconnect-limit", 0, "reconnect_limit", "N", U32,
	  PARAM(reconnect_limit), NBD_GIVEN_RECONNECT_LIMIT, 0, S32_MAX, 0,
	  "give up after so many attempts to reconnect (default: 0, never)" },
	{ "server", 0, "server", "SERVER", SERVER, 0, 0, 0, 0, 0,
	  "one more server of the same export, to fail over to" },
	{ "write-policy", 0, "write_policy", "POLICY", POLICY,
	  PARAM(write_policy), NBD_GIVEN_WRITE_POLICY, 0, 0, 0,
	  "what a server crash may cost: back, through or strict" },
	{ "queue-depth", 0, "queue_depth", "N", U32, PARAM(queue_depth),
	  NBD_GIVEN_QUEUE_DEPTH, 1, NBD_QUEUE_DEPTH_MAX, 0,
	  "requests in flight for each hardware queue" },
	{ "read-ahead", 0, "read_ahead", "KIB", U32, PARAM(read_ahead),
	  NBD_GIVEN_READ_AHEAD, 0, NBD_READ_AHEAD_MAX, 0,
	  "read so much ahead (default: the kernel's choice)" },
	{ "swap", 's', "swap", NULL, FLAG, PARAM(swap), 0, 0, 0, 0,
	  "the device will hold swap space: lock memory" },
	{ "systemd-mark", 'm', "systemd_mark", NULL, FLAG,
	  PARAM(systemd_mark), 0, 0, 0, 0,
	  "ask systemd not to kill our processes at shutdown" },
	{ "nonetlink", 'L', "nonetlink", NULL, FLAG, PARAM(ioctl_mode), 0, 0,
	  0, 0, "use the ioctl interface; a process stays with the device" },
	{ "preinit", 'P', "preinit", NULL, FLAG, PARAM(preinit), 0, 0, 0, 0,
	  "the server sends no handshake (needs -size)" },
	{ "sdp", 'S', "sdp", NULL, FLAG, CMD(sdp), 0, 0, 0, 0,
	  "refused: Linux has no Sockets Direct Protocol any more" },
	{ "enable-tls", 'x', "tls", NULL, FLAG, PARAM(tls), 0, 0, 0, 0,
	  "use TLS" },
	{ "certfile", 'F', "certfile", "FILE", TEXT, PARAM(tls_cert), 0, 0, 0,
	  IMPLIES_TLS, "TLS: certificate of the client" },
	{ "keyfile", 'K', "keyfile", "FILE", TEXT, PARAM(tls_key), 0, 0, 0,
	  IMPLIES_TLS, "TLS: private key of the client" },
	{ "cacertfile", 'A', "cacertfile", "FILE", TEXT, PARAM(tls_ca), 0, 0,
	  0, IMPLIES_TLS, "TLS: certificate authorities" },
	{ "tlshostname", 'H', "tlshostname", "NAME", TEXT,
	  PARAM(tls_hostname), 0, 0, 0, IMPLIES_TLS,
	  "TLS: name in the server's certificate" },
	{ "priority", 'y', "priority", "STRING", TEXT, PARAM(tls_priority), 0,
	  0, 0, IMPLIES_TLS, "TLS: GnuTLS priority string" },
	{ "identifier", 'i', "identifier", "TEXT", TEXT, PARAM(identifier),
	  NBD_GIVEN_IDENTIFIER, 0, NBD_BACKEND_MAX, 0,
	  "backend identifier that the kernel keeps with the device" },
	{ "nofork", 'n', NULL, NULL, FLAG, PARAM(nofork), 0, 0, 0, 0,
	  "stay in the foreground" },
	{ "no-optgo", 'g', "no_optgo", NULL, FLAG, PARAM(no_optgo), 0, 0, 0, 0,
	  "negotiate with NBD_OPT_EXPORT_NAME, for old servers" },
	{ "print-device", 0, NULL, NULL, FLAG, PARAM(print_device), 0, 0, 0, 0,
	  "print the name of the attached device and nothing else" },
	{ "no-identity-check", 0, "no_identity_check", NULL, FLAG,
	  PARAM(no_identity_check), 0, 0, 0, 0,
	  "reconnect without comparing the UUIDs on the disk" },
	{ "disconnect", 'd', NULL, "DEVICE", ACTION_DEVICE, 0, 0,
	  NBD_ACTION_DETACH, 0, 0, "detach the device" },
	{ "force", 'f', NULL, NULL, FLAG, CMD(force), 0, 0, 0, 0,
	  "with -disconnect: detach a device that is in use" },
	{ "check", 'c', NULL, "DEVICE", ACTION_DEVICE, 0, 0, NBD_ACTION_CHECK,
	  0, 0, "print the PID behind the device if it is attached" },
	{ "replace", 0, NULL, NULL, ACTION, 0, 0, NBD_ACTION_REPLACE, 0, 0,
	  "move an attached device to another server, connections or both" },
	{ "now", 0, NULL, NULL, FLAG, PARAM(replace_now), 0, 0, 0, 0,
	  "with -replace: do not wait for the old server, which is dead" },
	{ "other-disk", 0, NULL, NULL, FLAG, PARAM(other_disk), 0, 0, 0, 0,
	  "with -replace: accept a disk with other UUIDs" },
	{ "status", 0, NULL, NULL, ACTION, 0, 0, NBD_ACTION_STATUS, 0, 0,
	  "show what is attached and how it is" },
	{ "json", 'j', NULL, NULL, FLAG, CMD(json), 0, 0, 0, 0,
	  "with -status: print JSON" },
	{ "monitor", 0, NULL, NULL, ACTION, 0, 0, NBD_ACTION_MONITOR, 0, 0,
	  "run the process that reconnects, in the foreground" },
	{ "background", 0, NULL, NULL, FLAG, CMD(background), 0, 0, 0, HIDDEN,
	  "with -monitor: end when nothing is attached" },
	{ "nbdtab", 0, NULL, "FILE", TEXT, CMD(tab_file), 0, 0, 0, 0,
	  "file to read instead of /etc/nbdtab" },
	{ "list", 'l', NULL, NULL, ACTION, 0, 0, NBD_ACTION_LIST, 0, 0,
	  "list the server's exports" },
	{ "help", 'h', NULL, NULL, ACTION, 0, 0, NBD_ACTION_HELP, 0, 0,
	  "print this text" },
	{ "version", 'V', NULL, NULL, ACTION, 0, 0, NBD_ACTION_VERSION, 0, 0,
	  "print the version" },
	{ "list-options", 0, NULL, NULL, ACTION, 0, 0, NBD_ACTION_COMPLETION,
	  0, HIDDEN, "print the options for the shell's completion" },
};

#define N_OPTIONS ARRAY_SIZE(options)
/* What getopt returns for option n. */
#define OPTION_VALUE(n) (256 + (int)(n))

static int bad_value(const struct nbd_option *o, const char *value,
		     const char *expected, struct nbd_err *err)
{
	char text[128];

	nbd_sanitize(text, sizeof(text), value, strlen(value));
	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			"-%s: \"%s\" is not %s", o->name, text, expected);
}

/* Shift of a size suffix, or -1. */
static int suffix_shift(const char *suffix)
{
	static const char letters[] = "KMGT";
	const char *at;

	if (!*suffix)
		return 0;
	at = strchr(letters, toupper((unsigned char)*suffix));
	if (!at || suffix[1])
		return -1;
	return 10 * (int)(at - letters + 1);
}

/* A whole decimal number, and where it ends. */
static bool parse_digits(const char *value, u64 *number, char **end)
{
	if (!isdigit((unsigned char)*value))
		return false;
	errno = 0;
	*number = strtoull(value, end, 10);
	return !errno;
}

static int set_number(const struct nbd_option *o, const char *value,
		      bool suffix, u64 *number, struct nbd_err *err)
{
	char expected[96];
	char *end;
	int shift;

	if (!parse_digits(value, number, &end))
		return bad_value(o, value, "a number", err);
	shift = suffix ? suffix_shift(end) : *end ? -1 : 0;
	if (shift < 0)
		return bad_value(o, value, suffix ?
				 "a number with nothing but K, M, G or T behind it" :
				 "a number", err);
	if (*number > U64_MAX >> shift ||
	    (*number <<= shift) < o->min || *number > o->max) {
		snprintf(expected, sizeof(expected),
			 "in the range from %llu to %llu",
			 o->min,
			 o->max);
		return bad_value(o, value, expected, err);
	}
	return 0;
}

static int set_block_size(const struct nbd_option *o, const char *value,
			  u32 *field, struct nbd_err *err)
{
	u64 number;
	int ret = set_number(o, value, false, &number, err);

	if (ret)
		return ret;
	if (number & (number - 1))
		return bad_value(o, value, "a power of two", err);
	*field = number;
	return 0;
}

static int set_seconds(const struct nbd_option *o, const char *value,
		       u64 *field, struct nbd_err *err)
{
	if (!strcmp(value, "forever")) {
		*field = NBD_DEAD_CONN_FOREVER;
		return 0;
	}
	return set_number(o, value, false, field, err);
}

static int set_policy(const struct nbd_option *o, const char *value,
		      u32 *field, struct nbd_err *err)
{
	static const char *const names[] = {
		[NBD_WRITE_BACK] = "back",
		[NBD_WRITE_THROUGH] = "through",
		[NBD_WRITE_STRICT] = "strict",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(value, names[i])) {
			*field = i;
			return 0;
		}
	}
	return bad_value(o, value, "one of back, through and strict", err);
}

static int set_user(const struct nbd_option *o, const char *value, u32 *field,
		    struct nbd_err *err)
{
	struct passwd *user;
	u64 number;

	if (isdigit((unsigned char)*value)) {
		if (set_number(o, value, false, &number, err))
			return -EINVAL;
		*field = number;
		return 0;
	}
	user = getpwnam(value);
	if (!user)
		return bad_value(o, value, "the name or the number of a user", err);
	*field = user->pw_uid;
	return 0;
}

static int set_text(const struct nbd_option *o, const char *value,
		    char **field, struct nbd_err *err)
{
	if (o->max && strlen(value) > o->max)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-%s: %zu bytes are too many, %llu are allowed",
				o->name, strlen(value), o->max);
	return nbd_set_text(field, value, err);
}

static int set_action(struct nbd_command *cmd, const struct nbd_option *o,
		      const char *device, struct nbd_err *err)
{
	if (cmd->action == NBD_ACTION_HELP)
		return 0;
	if (cmd->action != NBD_ACTION_ATTACH && cmd->action != o->min &&
	    o->min != NBD_ACTION_HELP)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-%s cannot be combined with the other action that was given",
				o->name);
	if (device && cmd->device && strcmp(device, cmd->device))
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-%s takes one device, so it can be given once only",
				o->name);
	cmd->action = o->min;
	cmd->device = device;
	return 0;
}

/* @value is NULL for an option that takes none. */
static int set_option(struct nbd_command *cmd, const struct nbd_option *o,
		      const char *value, struct nbd_err *err)
{
	void *field = (char *)cmd + o->offset;
	u64 number;
	int ret = 0;

	switch (o->kind) {
	case ACTION:
	case ACTION_DEVICE:
		return set_action(cmd, o, value, err);
	case FLAG:
		*(bool *)field = true;
		break;
	case CONSTANT:
		*(u32 *)field = o->min;
		break;
	case TEXT:
		ret = set_text(o, value, field, err);
		break;
	case U32:
		ret = set_number(o, value, false, &number, err);
		if (!ret)
			*(u32 *)field = number;
		break;
	case U64:
		ret = set_number(o, value, true, field, err);
		break;
	case SECONDS:
		ret = set_seconds(o, value, field, err);
		break;
	case BLOCK_SIZE:
		ret = set_block_size(o, value, field, err);
		break;
	case POLICY:
		ret = set_policy(o, value, field, err);
		break;
	case USER:
		ret = set_user(o, value, field, err);
		break;
	case SERVER:
		ret = nbd_server_append(&cmd->params, value, err);
		break;
	}
	if (ret)
		return ret;
	cmd->params.given |= o->given;
	if (o->flags & IMPLIES_TLS)
		cmd->params.tls = true;
	return 0;
}

int nbd_options_set_tab(struct nbd_command *cmd, const char *name,
			const char *value, struct nbd_err *err)
{
	size_t i;

	for (i = 0; i < N_OPTIONS; i++) {
		const struct nbd_option *o = &options[i];

		if (!o->tab || strcmp(o->tab, name))
			continue;
		if (!o->arg != !value)
			return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
					"option \"%s\" %s", name, o->arg ?
					"needs a value (=...)" :
					"takes no value");
		return set_option(cmd, o, value, err);
	}
	return -ENOENT;
}

/*
 * The long options of nbd-client 3.24. What abbreviated one of them there does so here,
 * whatever options were added since.
 */
static const char *const classic[] = {
	"block-size", "cacertfile", "certfile", "check", "connections", "disconnect",
	"enable-tls", "help", "identifier", "keyfile", "list", "name", "no-optgo", "nofork",
	"nonetlink", "persist", "preinit", "priority", "readonly", "sdp", "size", "swap",
	"systemd-mark", "timeout", "tlshostname", "unix", "version",
};

#define ABBREVIATION_MAX 12
#define ABBREVIATIONS_MAX 32

/**
 * struct getopt - getopt's view of the table
 * @shorts:	letters
 * @longs:	names and abbreviations, in N_OPTIONS + @n entries and the last
 * @abbreviation: those that getopt would find ambiguous
 * @n:		how many of them
 */
struct getopt {
	char shorts[2 * N_OPTIONS + 3];
	struct option longs[N_OPTIONS + ABBREVIATIONS_MAX + 1];
	char abbreviation[ABBREVIATIONS_MAX][ABBREVIATION_MAX];
	unsigned int n;
};

static unsigned int count_classic(const char *start, size_t len)
{
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(classic); i++)
		n += !strncmp(classic[i], start, len);
	return n;
}

static unsigned int count_options(const char *start, size_t len)
{
	unsigned int i, n = 0;

	for (i = 0; i < N_OPTIONS; i++)
		n += !strncmp(options[i].name, start, len);
	return n;
}

/* An exact name is preferred to all that begin with it. */
static void add_abbreviations(struct getopt *g, size_t option)
{
	const char *name = options[option].name;
	size_t len;

	for (len = 2; len < strlen(name) && len < ABBREVIATION_MAX; len++) {
		if (count_options(name, len) == 1)
			return;
		if (count_classic(name, len) != 1 || g->n == ABBREVIATIONS_MAX)
			continue;
		memcpy(g->abbreviation[g->n], name, len);
		g->abbreviation[g->n][len] = '\0';
		g->longs[N_OPTIONS + g->n] = g->longs[option];
		g->longs[N_OPTIONS + g->n].name = g->abbreviation[g->n];
		g->n++;
	}
}

static void build_getopt(struct getopt *g)
{
	char *shorts = g->shorts;
	size_t i;

	*shorts++ = '-';	/* other arguments in order, as option 1 */
	*shorts++ = ':';	/* a missing argument is reported as ':' */
	for (i = 0; i < N_OPTIONS; i++) {
		g->longs[i].name = options[i].name;
		g->longs[i].has_arg = options[i].arg ? required_argument :
						       no_argument;
		g->longs[i].val = OPTION_VALUE(i);
		if (count_classic(options[i].name, strlen(options[i].name)))
			add_abbreviations(g, i);
		if (!options[i].letter)
			continue;
		*shorts++ = options[i].letter;
		if (options[i].arg)
			*shorts++ = ':';
	}
}

/* Which entry getopt found: by its place for a long name, or by its letter. */
static const struct nbd_option *find_option(int value)
{
	size_t i = 0;

	if (value >= OPTION_VALUE(0))
		return &options[value - OPTION_VALUE(0)];
	while (i < N_OPTIONS - 1 && options[i].letter != value)
		i++;
	return &options[i];
}

static int bad_option(int how, const char *text, struct nbd_err *err)
{
	char clean[128];

	nbd_sanitize(clean, sizeof(clean), text, strlen(text));
	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL, how == ':' ?
			"option %s needs an argument (nbd-client --help)" :
			"unknown, ambiguous or misused option %s (nbd-client --help lists them)",
			clean);
}

#define ARGUMENTS_MAX 3

/**
 * struct arguments - what is not an option
 * @n:	how many
 * @v:	the arguments
 */
struct arguments {
	int n;
	char *v[ARGUMENTS_MAX];
};

/* "bs=1024" and "timeout=30": how nbd-client 2.9 wrote options. */
static int take_oldstyle(struct nbd_command *cmd, const char *arg,
			 struct nbd_err *err)
{
	const char *name = !strncmp(arg, "bs=", 3) ? "bs" :
			   !strncmp(arg, "timeout=", 8) ? "timeout" : NULL;

	if (!name)
		return -ENOENT;
	if (!cmd->tab)	/* else it was said when argv was read first */
		fprintf(stderr, "nbd-client: %s: this form is deprecated, see nbd-client --help\n",
			arg);
	return nbd_options_set_tab(cmd, name, arg + strlen(name) + 1, err);
}

static int take_argument(struct nbd_command *cmd, struct arguments *args,
			 char *arg, struct nbd_err *err)
{
	int ret = take_oldstyle(cmd, arg, err);
	char clean[128];

	if (ret != -ENOENT)
		return ret;
	if (args->n == ARGUMENTS_MAX)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"too many arguments: do not know what to do with \"%s\"",
				nbd_sanitize(clean, sizeof(clean), arg,
					     strlen(arg)));
	args->v[args->n++] = arg;
	return 0;
}

static int parse_argv(struct nbd_command *cmd, struct arguments *args,
		      int argc, char **argv, struct nbd_err *err)
{
	struct getopt g = { 0 };
	int c, ret, at = 1;

	build_getopt(&g);
	optind = 0;
	opterr = 0;
	while ((c = getopt_long_only(argc, argv, g.shorts, g.longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return bad_option(c, argv[at], err);
		if (c == 1)
			ret = take_argument(cmd, args, optarg, err);
		else
			ret = set_option(cmd, find_option(c), optarg, err);
		if (ret)
			return ret;
		at = optind;
	}
	for (; optind < argc; optind++) {
		ret = take_argument(cmd, args, argv[optind], err);
		if (ret)
			return ret;
	}
	return 0;
}

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

int nbd_options_take_server(struct nbd_command *cmd, const char *host,
			    const char *port, struct nbd_err *err)
{
	if (nbd_is_uri(host))
		return nbd_uri_apply(&cmd->params, host, err);
	if (cmd->unix_socket)
		return nbd_server_add_unix(&cmd->params, host, err);
	return nbd_server_add_tcp(&cmd->params, host, port, err);
}

/*
 * host [port] at the front of @args, or a URI, or the path of a socket. It is
 * preferred to what -server named.
 */
static int take_server(struct nbd_command *cmd, struct arguments *args,
		       int *used, struct nbd_err *err)
{
	struct nbd_params *p = &cmd->params;
	const char *port = NBD_DEFAULT_PORT;
	struct nbd_server first;
	int ret;

	*used = 1;
	if (!nbd_is_uri(args->v[0]) && !cmd->unix_socket && args->n > 1 &&
	    is_number(args->v[1])) {
		port = args->v[1];
		*used = 2;
	}
	ret = nbd_options_take_server(cmd, args->v[0], port, err);
	if (ret)
		return ret;
	first = p->servers[p->nservers - 1];
	memmove(&p->servers[1], &p->servers[0],
		(p->nservers - 1) * sizeof(first));
	p->servers[0] = first;
	return 0;
}

static int take_device(struct nbd_command *cmd, const char *device,
		       struct nbd_err *err)
{
	cmd->params.given |= NBD_GIVEN_INDEX;
	return nbd_device_parse(device, &cmd->params.index, err);
}

static int finish_attach(struct nbd_command *cmd, struct arguments *args,
			 struct nbd_err *err)
{
	int used = 0, ret;

	if (args->n == 1 && nbd_device_looks_like(args->v[0])) {
		if (!cmd->params.nservers)
			cmd->tab = args->v[0];
		return take_device(cmd, args->v[0], err);
	}
	if (args->n) {
		ret = take_server(cmd, args, &used, err);
		if (ret)
			return ret;
	} else if (!cmd->params.nservers) {
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"no server given: nbd-client HOST [PORT] [DEVICE] (nbd-client --help)");
	}
	if (args->n > used + 1)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"too many arguments: HOST [PORT] [DEVICE] are expected, and the port must be a number");
	if (args->n == used)
		return 0;
	return take_device(cmd, args->v[used], err);
}

static int finish_replace(struct nbd_command *cmd, struct arguments *args,
			  struct nbd_err *err)
{
	int ret = finish_attach(cmd, args, err);

	cmd->tab = NULL;
	if (ret)
		return ret;
	if (!(cmd->params.given & NBD_GIVEN_INDEX))
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-replace needs the device: nbd-client -replace [HOST [PORT]] DEVICE");
	return 0;
}

/* One device, or none for all. */
static int finish_status(struct nbd_command *cmd, struct arguments *args,
			 struct nbd_err *err)
{
	if (args->n > 1)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"too many arguments: one device at most is expected");
	return args->n ? take_device(cmd, args->v[0], err) : 0;
}

static int finish_without(const struct arguments *args, const char *action,
			  struct nbd_err *err)
{
	char clean[128];

	if (!args->n)
		return 0;
	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			"too many arguments: %s has no use for \"%s\", and nothing was done",
			action, nbd_sanitize(clean, sizeof(clean), args->v[0],
					     strlen(args->v[0])));
}

static int finish_list(struct nbd_command *cmd, struct arguments *args,
		       struct nbd_err *err)
{
	int used, ret;

	if (!args->n)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-list needs a server: nbd-client -l HOST [PORT]");
	ret = take_server(cmd, args, &used, err);
	if (!ret && args->n > used)
		ret = nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			       "too many arguments: HOST [PORT] is all that -list takes");
	return ret;
}

static int check_combination(const struct nbd_command *cmd,
			     struct nbd_err *err)
{
	const struct nbd_params *p = &cmd->params;

	if (cmd->force && cmd->action != NBD_ACTION_DETACH)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-force belongs to -disconnect only");
	if (cmd->json && cmd->action != NBD_ACTION_STATUS)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-json belongs to -status only");
	if (cmd->sdp)
		return nbd_fail(err, NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
				"-sdp: Linux has no Sockets Direct Protocol any more; leave the option away to use TCP");
	if (p->replace_now && cmd->action != NBD_ACTION_REPLACE)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-now says how to replace connections: it goes with -replace only");
	if (p->other_disk && cmd->action != NBD_ACTION_REPLACE)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-other-disk is a word for -replace; -no-identity-check is what attaching takes");
	if (p->preinit && p->tls)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-preinit skips the handshake, so it cannot be combined with TLS");
	if (p->tls)
		return nbd_fail(err, NBD_EXIT_TLS, EOPNOTSUPP,
				"TLS is not available in this nbd-client");
	if (p->preinit && !(p->given & NBD_GIVEN_SIZE))
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-preinit skips the handshake, so it needs the size (-size BYTES)");
	return 0;
}

static int finish(struct nbd_command *cmd, struct arguments *args,
		  struct nbd_err *err)
{
	switch (cmd->action) {
	case NBD_ACTION_ATTACH:
		return finish_attach(cmd, args, err);
	case NBD_ACTION_REPLACE:
		return finish_replace(cmd, args, err);
	case NBD_ACTION_STATUS:
		return finish_status(cmd, args, err);
	case NBD_ACTION_DETACH:
		return finish_without(args, "-disconnect", err);
	case NBD_ACTION_CHECK:
		return finish_without(args, "-check", err);
	case NBD_ACTION_MONITOR:
		return finish_without(args, "-monitor", err);
	case NBD_ACTION_LIST:
		return finish_list(cmd, args, err);
	default:
		return 0;
	}
}

/*
 * nbdtab first, as if nothing had been given, then the command line again: that is
 * stronger.
 */
static int apply_tab(struct nbd_command *cmd, int argc, char **argv,
		     struct nbd_err *err)
{
	struct arguments args = { 0 };
	s32 index = cmd->params.index;
	int ret;

	nbd_params_free(&cmd->params);
	nbd_params_init(&cmd->params);
	cmd->params.index = index;
	cmd->params.given = NBD_GIVEN_INDEX;
	ret = nbd_tab_apply(cmd, err);
	return ret ? ret : parse_argv(cmd, &args, argc, argv, err);
}

int nbd_options_parse(struct nbd_command *cmd, int argc, char **argv,
		      struct nbd_err *err)
{
	struct arguments args = { 0 };
	int ret;

	memset(cmd, 0, sizeof(*cmd));
	nbd_params_init(&cmd->params);
	ret = parse_argv(cmd, &args, argc, argv, err);
	if (!ret)
		ret = finish(cmd, &args, err);
	if (!ret && cmd->tab)
		ret = apply_tab(cmd, argc, argv, err);
	return ret ? ret : check_combination(cmd, err);
}

void nbd_command_free(struct nbd_command *cmd)
{
	free(cmd->tab_file);
	nbd_params_free(&cmd->params);
}

static const char usage[] =
	"Usage: nbd-client [OPTIONS] HOST [PORT] [DEVICE]    attach an export\n"
	"       nbd-client [OPTIONS] URI [DEVICE]            (nbd://..., nbd+unix://...)\n"
	"       nbd-client [OPTIONS] -unix PATH [DEVICE]\n"
	"       nbd-client nbdN                              attach as /etc/nbdtab says\n"
	"       nbd-client [-force] -d DEVICE                detach\n"
	"       nbd-client -c DEVICE                         is it attached?\n"
	"       nbd-client -l HOST [PORT] | URI              list the exports of a server\n"
	"       nbd-client -status [-json] [DEVICE]          show what is attached\n"
	"       nbd-client -replace [OPTIONS] [HOST [PORT]] DEVICE\n"
	"                                                    switch to other connections\n"
	"       nbd-client -monitor                          reconnect, for a service manager\n"
	"\n"
	"Without DEVICE the kernel chooses a free one. Its name is printed after\n"
	"\"Connected\", or alone with -print-device.\n"
	"Long options take one dash or two.\n\n";

void nbd_options_help(FILE *out)
{
	char left[64];
	size_t i;

	fputs(usage, out);
	for (i = 0; i < N_OPTIONS; i++) {
		const struct nbd_option *o = &options[i];
		char letter[8] = "    ";

		if (o->flags & HIDDEN)
			continue;
		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "%s-%s%s%s", letter, o->name,
			 o->arg ? " " : "", o->arg ? o->arg : "");
		fprintf(out, "  %-30s %s\n", left, o->help);
	}
}

void nbd_options_list(FILE *out)
{
	size_t i;

	for (i = 0; i < N_OPTIONS; i++) {
		const struct nbd_option *o = &options[i];

		if (o->flags & HIDDEN)
			continue;
		fprintf(out, "-%s %s\n", o->name, o->arg ? o->arg : "");
		if (o->letter)
			fprintf(out, "-%c %s\n", o->letter,
				o->arg ? o->arg : "");
		if (o->tab)
			fprintf(out, "%s%s%s\n", o->tab, o->arg ? "=" : "",
				o->arg ? o->arg : "");
	}
}
