// SPDX-License-Identifier: GPL-2.0
/*
 * The command line.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "nbdtab.h"
#include "options.h"
#include "settings.h"
#include "tls.h"
#include "uri.h"
#include "util.h"

#define NBDTAB "/etc/nbdtab"

/* What getopt returns for option n. */
#define OPTION_VALUE(n) (256 + (int)(n))

static int set_action(struct nbd_command *cmd, const struct nbd_setting *o,
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
static int set_option(struct nbd_command *cmd, const struct nbd_setting *o,
		      const char *value, struct nbd_err *err)
{
	switch (o->kind) {
	case NBD_KIND_ACTION:
	case NBD_KIND_ACTION_DEVICE:
		return set_action(cmd, o, value, err);
	case NBD_KIND_SERVER:
		return nbd_server_append(&cmd->params, value, err);
	default:
		if (o->command)
			return nbd_setting_read(o, value, (char *)cmd + o->offset, err);
		return nbd_setting_give(o, value, &cmd->params, err);
	}
}

/* An option of nbdtab; -ENOENT if there is none of that name. */
static int set_tab_option(struct nbd_command *cmd, const char *name,
			  const char *value, struct nbd_err *err)
{
	const struct nbd_setting *o = nbd_setting_of_tab(name);

	if (!o)
		return -ENOENT;
	if (!o->arg != !value)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL, "option \"%s\" %s", name,
				o->arg ? "needs a value (=...)" : "takes no value");
	return set_option(cmd, o, value, err);
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
 * @longs:	names and abbreviations, in NBD_SETTINGS_N + @n entries and the last
 * @abbreviation: those that getopt would find ambiguous
 * @n:		how many of them
 */
struct getopt {
	char shorts[2 * NBD_SETTINGS_N + 3];
	struct option longs[NBD_SETTINGS_N + ABBREVIATIONS_MAX + 1];
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

	for (i = 0; i < NBD_SETTINGS_N; i++)
		n += !strncmp(nbd_settings[i].name, start, len);
	return n;
}

/* An exact name is preferred to all that begin with it. */
static void add_abbreviations(struct getopt *g, size_t option)
{
	const char *name = nbd_settings[option].name;
	size_t len;

	for (len = 2; len < strlen(name) && len < ABBREVIATION_MAX; len++) {
		if (count_options(name, len) == 1)
			return;
		if (count_classic(name, len) != 1 || g->n == ABBREVIATIONS_MAX)
			continue;
		memcpy(g->abbreviation[g->n], name, len);
		g->abbreviation[g->n][len] = '\0';
		g->longs[NBD_SETTINGS_N + g->n] = g->longs[option];
		g->longs[NBD_SETTINGS_N + g->n].name = g->abbreviation[g->n];
		g->n++;
	}
}

static void build_getopt(struct getopt *g)
{
	char *shorts = g->shorts;
	size_t i;

	*shorts++ = '-';	/* other arguments in order, as option 1 */
	*shorts++ = ':';	/* a missing argument is reported as ':' */
	for (i = 0; i < NBD_SETTINGS_N; i++) {
		g->longs[i].name = nbd_settings[i].name;
		g->longs[i].has_arg = nbd_settings[i].arg ? required_argument :
						       no_argument;
		g->longs[i].val = OPTION_VALUE(i);
		if (count_classic(nbd_settings[i].name, strlen(nbd_settings[i].name)))
			add_abbreviations(g, i);
		if (!nbd_settings[i].letter)
			continue;
		*shorts++ = nbd_settings[i].letter;
		if (nbd_settings[i].arg)
			*shorts++ = ':';
	}
}

/* Which entry getopt found: by its place for a long name, or by its letter. */
static const struct nbd_setting *find_option(int value)
{
	size_t i = 0;

	if (value >= OPTION_VALUE(0))
		return &nbd_settings[value - OPTION_VALUE(0)];
	while (i < NBD_SETTINGS_N - 1 && nbd_settings[i].letter != value)
		i++;
	return &nbd_settings[i];
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
	return set_tab_option(cmd, name, arg + strlen(name) + 1, err);
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

/* A URI, the path of a socket, or a host; it is preferred to what -server named. */
static int put_server_first(struct nbd_command *cmd, const char *host,
			    const char *port, struct nbd_err *err)
{
	struct nbd_params *p = &cmd->params;
	struct nbd_server first;
	int ret;

	if (nbd_is_uri(host))
		ret = nbd_uri_apply(p, host, err);
	else if (cmd->unix_socket)
		ret = nbd_server_add_unix(p, host, err);
	else
		ret = nbd_server_add_tcp(p, host, port, err);
	if (ret)
		return ret;
	first = p->servers[p->nservers - 1];
	memmove(&p->servers[1], &p->servers[0], (p->nservers - 1) * sizeof(first));
	p->servers[0] = first;
	return 0;
}

/* host [port] at the front of @args, or a URI, or the path of a socket. */
static int take_server(struct nbd_command *cmd, struct arguments *args,
		       int *used, struct nbd_err *err)
{
	const char *port = NBD_DEFAULT_PORT;

	*used = 1;
	if (!nbd_is_uri(args->v[0]) && !cmd->unix_socket && args->n > 1 &&
	    is_number(args->v[1])) {
		port = args->v[1];
		*used = 2;
	}
	return put_server_first(cmd, args->v[0], port, err);
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

/* As finish_status(); what is said of one export cannot be meant for all. */
static int finish_attach_tab(struct nbd_command *cmd, struct arguments *args,
			     struct nbd_err *err)
{
	if (cmd->params.nservers || cmd->params.given & NBD_GIVEN_NAME)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-attach takes servers and names of exports from nbdtab");
	if (cmd->params.nofork)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-nofork stays with one device: -attach has no use for it");
	if (args->n)
		cmd->device = args->v[0];
	return finish_status(cmd, args, err);
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
		       const char *action, struct nbd_err *err)
{
	int used, ret;

	if (!args->n && cmd->params.nservers)
		return 0;
	if (!args->n)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-%s needs a server: nbd-client -%s HOST [PORT]", action,
				action);
	ret = take_server(cmd, args, &used, err);
	if (!ret && args->n > used)
		ret = nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			       "too many arguments: HOST [PORT] is all that -%s takes",
			       action);
	return ret;
}

static int check_combination(const struct nbd_command *cmd,
			     struct nbd_err *err)
{
	const struct nbd_params *p = &cmd->params;
	const bool is_look = cmd->action == NBD_ACTION_LIST ||
			     cmd->action == NBD_ACTION_INFO;

	const bool is_attach = cmd->action == NBD_ACTION_ATTACH ||
			       cmd->action == NBD_ACTION_ATTACH_TAB ||
			       cmd->action == NBD_ACTION_LIST_TAB;

	if (cmd->force && cmd->action != NBD_ACTION_DETACH &&
	    cmd->action != NBD_ACTION_DETACH_TAB)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-force belongs to -disconnect and -detach-all only");
	if (cmd->json && cmd->action != NBD_ACTION_STATUS && !is_look)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-json belongs to -status, -info and -list only");
	if (is_look && p->preinit)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-preinit skips the handshake, in which a server says what it offers");
	if (cmd->sdp)
		return nbd_fail(err, NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
				"-sdp: Linux has no Sockets Direct Protocol any more; leave the option away to use TCP");
	if (p->replace_now && cmd->action != NBD_ACTION_REPLACE)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-now says how to replace connections: it goes with -replace only");
	if (p->other_disk && cmd->action != NBD_ACTION_REPLACE)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-other-disk is a word for -replace; -no-identity-check is what attaching takes");
	if (cmd->action == NBD_ACTION_REPLACE && (p->nofork || p->print_device))
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-%s is for attaching: -replace has no use for it",
				p->nofork ? "nofork" : "print-device");
	if (p->given & NBD_GIVEN_WAIT && !is_attach)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-wait says how to attach a device: it goes with no other action");
	if (p->preinit && p->tls)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-preinit skips the handshake, so it cannot be combined with TLS");
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
	case NBD_ACTION_ATTACH_TAB:
		return finish_attach_tab(cmd, args, err);
	case NBD_ACTION_DETACH:
		return finish_without(args, "-disconnect", err);
	case NBD_ACTION_DETACH_TAB:
		return finish_without(args, "-detach-all, which takes them from nbdtab,", err);
	case NBD_ACTION_CHECK:
		return finish_without(args, "-check", err);
	case NBD_ACTION_MONITOR:
		return finish_without(args, "-monitor", err);
	case NBD_ACTION_REPORT:
		return finish_without(args, "-report", err);
	case NBD_ACTION_LIST:
		return finish_list(cmd, args, "list", err);
	case NBD_ACTION_INFO:
		return finish_list(cmd, args, "info", err);
	default:
		return 0;
	}
}

static int apply_tab_option(struct nbd_command *cmd, const struct nbd_tab *tab,
			    const char *name, const char *value, struct nbd_err *err)
{
	int ret = set_tab_option(cmd, name, value, err);
	char clean[64];

	if (ret != -ENOENT)
		return ret;
	fprintf(stderr, "nbd-client: %s, line %u: unknown option \"%s\" is ignored\n",
		tab->file, tab->line,
		nbd_sanitize(clean, sizeof(clean), name, strlen(name)));
	return 0;
}

/* "port" belongs to the server, the rest to the table of settings. */
static int apply_tab_options(struct nbd_command *cmd, struct nbd_tab *tab,
			     const char **port, struct nbd_err *err)
{
	char *name, *value;
	int ret = 0;

	while (!ret && nbd_tab_option(tab, &name, &value)) {
		if (!strcmp(name, "port") && value)
			*port = value;
		else
			ret = apply_tab_option(cmd, tab, name, value, err);
	}
	return ret;
}

/* An export called "-" means the default one, or the one that the URI names. */
static int apply_tab_name(struct nbd_params *p, const char *name, struct nbd_err *err)
{
	if (!strcmp(name, "-"))
		return 0;
	p->given |= NBD_GIVEN_NAME;
	return nbd_set_text(&p->export_name, name, err);
}

int nbd_options_apply_tab(struct nbd_command *cmd, FILE *file, const char *name,
			  struct nbd_err *err)
{
	const char *port = NBD_DEFAULT_PORT;
	struct nbd_tab tab;
	s32 index;
	int ret = nbd_tab_read(&tab, cmd->tab, file, name, err);

	if (!ret) {
		ret = nbd_device_parse(cmd->tab, &index, err);
		if (!ret)
			ret = apply_tab_name(&cmd->params, tab.export, err);
		if (!ret)
			ret = apply_tab_options(cmd, &tab, &port, err);
		if (!ret)
			ret = put_server_first(cmd, tab.server, port, err);
		if (ret)
			ret = nbd_tab_bad(&tab, err);
	}
	nbd_tab_free(&tab);
	return ret;
}

/* What messages call it is in @name, NBD_TAB_NAME_MAX bytes. */
static int open_tab(const char *path, char *name, FILE **file, struct nbd_err *err)
{
	nbd_sanitize(name, NBD_TAB_NAME_MAX, path, strlen(path));
	*file = fopen(path, "re");
	if (*file)
		return 0;
	return nbd_fail(err, NBD_EXIT_FAILURE, errno,
			"%s, which says where devices are attached from, cannot be read: %s",
			name, strerror(errno));
}

static int find_tabs(const struct nbd_command *cmd, struct nbd_tab_list *files,
		     struct nbd_err *err)
{
	return cmd->tab_file ? nbd_tab_files_find(files, cmd->tab_file, NULL, err) :
			       nbd_tab_files_find(files, NBDTAB, NBDTAB ".d", err);
}

static int read_tab(struct nbd_command *cmd, const char *path, struct nbd_err *err)
{
	char name[NBD_TAB_NAME_MAX];
	FILE *file;
	int ret = open_tab(path, name, &file, err);

	if (ret)
		return ret == -ENOENT ? -EINVAL : ret;
	ret = nbd_options_apply_tab(cmd, file, name, err);
	fclose(file);
	return ret;
}

/* The first file with the device counts; if none has it, the first one is told of. */
static int read_tabs(struct nbd_command *cmd, struct nbd_err *err)
{
	struct nbd_tab_list files;
	struct nbd_err other;
	unsigned int i;
	int ret = find_tabs(cmd, &files, err);

	if (!ret)
		ret = read_tab(cmd, files.text[0], err);
	for (i = 1; ret == -ENOENT && i < files.n; i++) {
		ret = read_tab(cmd, files.text[i], &other);
		if (ret != -ENOENT)
			*err = other;
	}
	nbd_tab_list_free(&files);
	return ret;
}

/*
 * nbdtab first, as if nothing had been given, then the command line again: that is
 * stronger.
 */
static int apply_tab(struct nbd_command *cmd, int argc, char **argv,
		     struct nbd_err *err)
{
	struct arguments args = { 0 };
	int ret;

	nbd_params_free(&cmd->params);
	nbd_params_init(&cmd->params);
	ret = read_tabs(cmd, err);
	if (!ret)
		ret = take_device(cmd, cmd->tab, err);
	return ret ? ret : parse_argv(cmd, &args, argc, argv, err);
}

static int parse_begin(struct nbd_command *cmd, struct arguments *args, int argc, char **argv,
		       struct nbd_err *err)
{
	memset(cmd, 0, sizeof(*cmd));
	nbd_params_init(&cmd->params);
	return parse_argv(cmd, args, argc, argv, err);
}

static int parse_end(struct nbd_command *cmd, int argc, char **argv, struct nbd_err *err)
{
	int ret = cmd->tab ? apply_tab(cmd, argc, argv, err) : 0;

	if (!ret)
		ret = check_combination(cmd, err);
	return ret ? ret : nbd_tls_check(&cmd->params, err);
}

int nbd_options_parse(struct nbd_command *cmd, int argc, char **argv,
		      struct nbd_err *err)
{
	struct arguments args = { 0 };
	int ret = parse_begin(cmd, &args, argc, argv, err);

	if (!ret)
		ret = finish(cmd, &args, err);
	return ret ? ret : parse_end(cmd, argc, argv, err);
}

int nbd_options_parse_tab(struct nbd_command *cmd, const char *device, int argc, char **argv,
			  struct nbd_err *err)
{
	struct arguments args = { 0 };
	int ret = parse_begin(cmd, &args, argc, argv, err);

	cmd->tab = device;
	return ret ? ret : parse_end(cmd, argc, argv, err);
}

static int read_names(const char *path, struct nbd_tab_list *names, struct nbd_err *err)
{
	char name[NBD_TAB_NAME_MAX];
	FILE *file;
	int ret = open_tab(path, name, &file, err);

	if (ret)
		return ret;
	ret = nbd_tab_names_read(names, file, err);
	fclose(file);
	return ret;
}

int nbd_options_tab_names(const struct nbd_command *cmd, struct nbd_tab_list *names,
			  struct nbd_err *err)
{
	struct nbd_tab_list files;
	int ret = find_tabs(cmd, &files, err);
	unsigned int i;

	memset(names, 0, sizeof(*names));
	for (i = 0; !ret && i < files.n; i++)
		ret = read_names(files.text[i], names, err);
	nbd_tab_list_free(&files);
	return ret;
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
	"       nbd-client [OPTIONS] -a [nbdN]               the same, of all that it has, or one\n"
	"       nbd-client [-force] -d DEVICE                detach\n"
	"       nbd-client [-force] -detach-all              detach what is in /etc/nbdtab\n"
	"       nbd-client -c DEVICE                         is it attached?\n"
	"       nbd-client -l [-json] HOST [PORT] | URI      list the exports of a server\n"
	"       nbd-client -info [-json] HOST [PORT] | URI   show what a server offers\n"
	"       nbd-client -status [-json] [DEVICE]          show what is attached\n"
	"       nbd-client -replace [OPTIONS] [HOST [PORT]] DEVICE\n"
	"                                                    switch to other connections\n"
	"       nbd-client -monitor                          reconnect, for a service manager\n"
	"       nbd-client -report                           print what a bug report should have\n"
	"\n"
	"Without DEVICE the kernel chooses a free one. Its name is printed after\n"
	"\"Connected\", or alone with -print-device.\n"
	"Long options take one dash or two.\n\n";

void nbd_options_help(FILE *out)
{
	char left[64];
	size_t i;

	fputs(usage, out);
	for (i = 0; i < NBD_SETTINGS_N; i++) {
		const struct nbd_setting *o = &nbd_settings[i];
		char letter[8] = "    ";

		if (o->flags & NBD_HIDDEN)
			continue;
		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "%s-%s%s%s", letter, o->name,
			 o->arg ? " " : "", o->arg ? o->arg : "");
		fprintf(out, "  %-30s %s\n", left, o->help);
	}
}

/* "-name ARG", and the words that are all or some of what it takes. */
static void list_option(const struct nbd_setting *o, const char *name, FILE *out)
{
	unsigned int i;

	fprintf(out, "-%s %s", name, o->arg ? o->arg : "");
	if (o->kind == NBD_KIND_SECONDS)
		fputs(" forever", out);
	for (i = 0; i < NBD_CHOICES_MAX && o->choices[i]; i++)
		fprintf(out, " %s", o->choices[i]);
	fputc('\n', out);
}

void nbd_options_list(FILE *out)
{
	size_t i;

	for (i = 0; i < NBD_SETTINGS_N; i++) {
		const struct nbd_setting *o = &nbd_settings[i];
		const char letter[] = { o->letter, '\0' };

		if (o->flags & NBD_HIDDEN)
			continue;
		list_option(o, o->name, out);
		if (o->letter)
			list_option(o, letter, out);
		if (o->tab)
			fprintf(out, "%s%s%s\n", o->tab, o->arg ? "=" : "",
				o->arg ? o->arg : "");
	}
}
