// SPDX-License-Identifier: GPL-2.0
/* The command line: what it means, and what is refused. */
#include <errno.h>
#include <linux/nbd-netlink.h>
#include <stdarg.h>
#include <stdlib.h>

#include "../../client/options.h"
#include "../../client/util.h"
#include "tap.h"

/* Splits at spaces; "''" is an empty argument. Returns argc. */
static int split(char *line, char **argv)
{
	char *save = NULL, *word;
	int argc = 0;

	for (word = strtok_r(line, " ", &save); word;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(word, "''") ? word : word + 2;
	argv[argc] = NULL;
	return argc;
}

/** struct good - a command line, and what it means, as describe() writes it */
static const struct {
	const char *line;
	const char *meaning;
} good[] = {
	/* what the original's documentation and boot scripts use */
	{ "host /dev/nbd0", "attach 0 host:10809" },
	{ "host 2000 /dev/nbd1", "attach 1 host:2000" },
	{ "-N exp host nbd0", "attach 0 host:10809 name=exp" },
	{ "-name exp host 10809 /dev/nbd0 -swap -persist",
	  "attach 0 host:10809 name=exp swap persist" },
	{ "--name exp host --block-size 4096 nbd2",
	  "attach 2 host:10809 name=exp bs=4096" },
	{ "host nbd0 -b 512 -t 30 -R -C 4 -g -n -m -B 1048576",
	  "attach 0 host:10809 bs=512 timeout=30 conns=4 size=1048576 "
	  "readonly nofork no_optgo mark" },
	{ "-b512 -t30 -C4 host nbd0",
	  "attach 0 host:10809 bs=512 timeout=30 conns=4" },
	{ "-u /run/sock nbd0", "attach 0 /run/sock" },
	{ "-unix /run/sock nbd0 -N x", "attach 0 /run/sock name=x" },
	{ "/run/sock -unix nbd0", "attach 0 /run/sock" },
	{ "-L host nbd0", "attach 0 host:10809 ioctl" },
	{ "-nonetlink host nbd0", "attach 0 host:10809 ioctl" },
	{ "-P -B 512 host nbd0", "attach 0 host:10809 size=512 preinit" },
	{ "host bs=1024 timeout=5 nbd0",
	  "attach 0 host:10809 bs=1024 timeout=5" },
	{ "host", "attach auto host:10809" },
	{ "host 2000", "attach auto host:2000" },
	{ "::1 2000 nbd0", "attach 0 [::1]:2000" },
	{ "fe80::1%eth0 nbd0", "attach 0 [fe80::1%eth0]:10809" },
	{ "-d /dev/nbd3", "detach nbd3" },
	{ "-disconnect nbd3", "detach nbd3" },
	{ "-c nbd0", "check nbd0" },
	{ "-check /dev/nbd0", "check nbd0" },
	{ "-l host", "list host:10809" },
	{ "-l host 99", "list host:99" },
	{ "host -l 99", "list host:99" },
	{ "-l -u /run/sock", "list /run/sock" },
	{ "-info host", "info host:10809" },
	{ "-info -json nbd://host:99/disk", "info host:99 name=disk json" },
	{ "-i text host", "attach auto host:10809 id=text" },
	{ "-h", "help" },
	{ "--help", "help" },
	{ "-V", "version" },
	{ "-persis host nbd0", "attach 0 host:10809 persist" },
	/* abbreviations that 3.24 takes, whatever was added since */
	{ "-lis host", "list host:10809" },
	{ "-li host", "list host:10809" },
	{ "-pe host", "attach auto host:10809 persist" },
	{ "-connect 2 host", "attach auto host:10809 conns=2" },
	{ "-no- host", "attach auto host:10809 no_optgo" },
	{ "--re host", "attach auto host:10809 readonly" },
	{ "-si 512 host", "attach auto host:10809 size=512" },
	{ "-help -d nbd0", "help" },
	{ "-i vm17 host nbd0", "attach 0 host:10809 id=vm17" },
	{ "-N '' host nbd0", "attach 0 host:10809 name=" },
	{ "-name=exp host nbd0", "attach 0 host:10809 name=exp" },
	/* ours */
	{ "nbd://host/exp nbd0", "attach 0 host:10809 name=exp" },
	{ "nbd+unix:///e?socket=/s", "attach auto /s name=e" },
	{ "-l nbd://host:99", "list host:99" },
	{ "-no-persist host", "attach auto host:10809 no-persist" },
	{ "-server b:1 -server nbd+unix:///?socket=/s a nbd0",
	  "attach 0 a:10809 b:1 /s" },
	{ "-server [::1]:7 nbd4", "attach 4 [::1]:7" },
	{ "-server ::1 -server fe80::1%eth0 ::2 7 nbd4",
	  "attach 4 [::2]:7 [::1]:10809 [fe80::1%eth0]:10809" },
	{ "-server [::1] nbd4", "attach 4 [::1]:10809" },
	{ "[::1] nbd4", "attach 4 [::1]:10809" },
	{ "[::1] 7 nbd4", "attach 4 [::1]:7" },
	{ "-l [::1] 7", "list [::1]:7" },
	{ "-server /s nbd4", "attach 4 /s" },
	{ "-server 1 -server 2 -server 3 -server 4 -server 5 -server 6 -server 7 -server 8 nbd4",
	  "attach 4 1:10809 2:10809 3:10809 4:10809 5:10809 6:10809 7:10809 8:10809" },
	{ "-server 1 -server 2 -server 3 -server 4 -server 5 -server 6 -server 7 h nbd4",
	  "attach 4 h:10809 1:10809 2:10809 3:10809 4:10809 5:10809 6:10809 7:10809" },
	{ "-B 4G host", "attach auto host:10809 size=4294967296" },
	{ "-dead-timeout forever host",
	  "attach auto host:10809 dead=forever" },
	{ "-dead-timeout 60 host", "attach auto host:10809 dead=60" },
	{ "-write-policy through host", "attach auto host:10809 policy=1" },
	{ "-force -d nbd0", "detach nbd0 force" },
	{ "-a", "attach-tab auto" },
	{ "-attach -timeout 5 -R", "attach-tab auto timeout=5 readonly" },
	{ "-a nbd3", "attach-tab 3" },
	{ "-detach-all", "detach-tab" },
	{ "-detach-all -f", "detach-tab force" },
	{ "-status", "status auto" },
	{ "-status -json nbd1", "status 1 json" },
	{ "-replace host2 nbd1", "replace 1 host2:10809" },
	{ "-replace -C 2 nbd1", "replace 1 conns=2" },
	{ "-replace -other-disk nbd1", "replace 1 other-disk" },
	{ "host nbd1 -no-identity-check", "attach 1 host:10809 unchecked" },
};

static const struct {
	const char *line;
	enum nbd_exit status;
	const char *words;
} bad[] = {
	{ "", NBD_EXIT_FAILURE, "no server given" },
	{ "host:10809 nbd0", NBD_EXIT_FAILURE, "a port is an argument of its own" },
	{ "[::1]:10809 nbd0", NBD_EXIT_FAILURE, "a port is an argument of its own" },
	{ "fe80::1 nbd0", NBD_EXIT_FAILURE, "fe80::1%eth0" },
	{ "[fe80::1] 10809 nbd0", NBD_EXIT_FAILURE, "fe80::1%eth0" },
	{ "-server fe80::1 host nbd0", NBD_EXIT_FAILURE, "fe80::1%eth0" },
	{ "-server ::1:10809 host nbd0", NBD_EXIT_FAILURE, "[ADDRESS]:PORT" },
	{ "[] nbd0", NBD_EXIT_FAILURE, "empty" },
	{ "-zzz", NBD_EXIT_FAILURE, "unknown, ambiguous or misused option -zzz" },
	{ "-no-such-option", NBD_EXIT_FAILURE, "option -no-such-option" },
	{ "host --no-such-option nbd0", NBD_EXIT_FAILURE,
	  "option --no-such-option" },
	{ "host -R -C", NBD_EXIT_FAILURE, "option -C needs" },
	{ "host -RzR", NBD_EXIT_FAILURE, "option -RzR" },
	{ "-b", NBD_EXIT_FAILURE, "-b needs an argument" },
	{ "-c", NBD_EXIT_FAILURE, "-c needs an argument" },
	{ "-b 1000 h nbd0", NBD_EXIT_FAILURE, "\"1000\" is not a power of two" },
	{ "-b 256 h nbd0", NBD_EXIT_FAILURE, "range from 512 to 65536" },
	{ "-b abc h nbd0", NBD_EXIT_FAILURE, "\"abc\" is not a number" },
	{ "-b 512x h nbd0", NBD_EXIT_FAILURE, "\"512x\" is not a number" },
	{ "-b -512 h nbd0", NBD_EXIT_FAILURE, "\"-512\" is not a number" },
	{ "-C 0 h nbd0", NBD_EXIT_FAILURE, "range from 1 to 16" },
	{ "-C 17 h nbd0", NBD_EXIT_FAILURE, "range from 1 to 16" },
	{ "-B 0 h nbd0", NBD_EXIT_FAILURE, "range" },
	{ "-B 99999999999999999999 h", NBD_EXIT_FAILURE, "is not a number" },
	{ "-B 9999999T h", NBD_EXIT_FAILURE, "range" },
	{ "-B 1Q h", NBD_EXIT_FAILURE, "K, M, G or T" },
	{ "-t 99999999999 h", NBD_EXIT_FAILURE, "range" },
	{ "a b c d", NBD_EXIT_FAILURE, "too many arguments" },
	{ "host nbd0 nbd1", NBD_EXIT_FAILURE, "too many arguments" },
	{ "host 70000 nbd0", NBD_EXIT_FAILURE, "port \"70000\"" },
	{ "host 0 nbd0", NBD_EXIT_FAILURE, "port \"0\"" },
	{ "host /dev/null", NBD_EXIT_FAILURE, "not an NBD device" },
	{ "host nbd0p1", NBD_EXIT_FAILURE, "is a partition: name the whole" },
	{ "host nbd0p", NBD_EXIT_FAILURE, "not an NBD device" },
	{ "-d nbd0 nbd1", NBD_EXIT_FAILURE,
	  "-disconnect has no use for \"nbd1\", and nothing was done" },
	{ "-c nbd0 junk", NBD_EXIT_FAILURE, "-check has no use for \"junk\"" },
	{ "-report nbd0", NBD_EXIT_FAILURE, "-report has no use for \"nbd0\"" },
	{ "-monitor nbd0", NBD_EXIT_FAILURE, "-monitor has no use for \"nbd0\"" },
	{ "-d nbd0 -d nbd1", NBD_EXIT_FAILURE, "can be given once only" },
	{ "-a nbd0 nbd1", NBD_EXIT_FAILURE, "one device at most" },
	{ "-a host", NBD_EXIT_FAILURE, "\"host\"" },
	{ "-a -d nbd0", NBD_EXIT_FAILURE, "cannot be combined with the other action" },
	{ "-a -server b", NBD_EXIT_FAILURE, "takes servers and names of exports from nbdtab" },
	{ "-a -name x", NBD_EXIT_FAILURE, "takes servers and names of exports from nbdtab" },
	{ "-a -nofork", NBD_EXIT_FAILURE, "-attach has no use for it" },
	{ "-a -force", NBD_EXIT_FAILURE, "belongs to -disconnect and -detach-all only" },
	{ "-detach-all nbd1", NBD_EXIT_FAILURE, "has no use for \"nbd1\", and nothing was done" },
	{ "-detach-all -wait 5", NBD_EXIT_FAILURE, "it goes with no other action" },
	{ "-c nbd0 -c nbd1", NBD_EXIT_FAILURE, "can be given once only" },
	{ "-force host nbd0", NBD_EXIT_FAILURE, "-force belongs to -disconnect" },
	{ "-json host nbd0", NBD_EXIT_FAILURE, "-json belongs to -status, -info and -list" },
	{ "-info", NBD_EXIT_FAILURE, "-info needs a server" },
	{ "-info host 10809 nbd0", NBD_EXIT_FAILURE, "all that -info takes" },
	{ "-info -list host", NBD_EXIT_FAILURE, "cannot be combined" },
	{ "-info -preinit -size 1M host", NBD_EXIT_FAILURE, "skips the handshake" },
	{ "host nbd01", NBD_EXIT_FAILURE, "not an NBD device" },
	{ "-S host nbd0", NBD_EXIT_UNSUPPORTED, "Sockets Direct" },
	{ "-x -u /sock nbd0", NBD_EXIT_TLS, "TCP only" },
	{ "-F cert -u /sock nbd0", NBD_EXIT_TLS, "TCP only" },
	{ "-x host -server /sock nbd0", NBD_EXIT_TLS, "/sock" },
	{ "nbds+unix:///?socket=/sock nbd0", NBD_EXIT_TLS, "TCP only" },
	{ "-P -B 1M -x host nbd0", NBD_EXIT_FAILURE, "-preinit" },
	{ "-P host nbd0", NBD_EXIT_FAILURE, "-size" },
	{ "-l", NBD_EXIT_FAILURE, "-list needs a server" },
	{ "-l a 1 b", NBD_EXIT_FAILURE, "too many arguments" },
	{ "-l -c nbd0", NBD_EXIT_FAILURE, "cannot be combined" },
	{ "-write-policy fast h", NBD_EXIT_FAILURE, "one of back" },
	{ "-replace host", NBD_EXIT_FAILURE, "needs the device" },
	{ "-replace -print-device host nbd1", NBD_EXIT_FAILURE,
	  "-print-device is for attaching" },
	{ "-replace -n host nbd1", NBD_EXIT_FAILURE, "-nofork is for attaching" },
	{ "-other-disk host nbd1", NBD_EXIT_FAILURE, "-replace" },
	{ "-server 1 -server 2 -server 3 -server 4 -server 5 -server 6 -server 7 -server 8 h nbd4",
	  NBD_EXIT_FAILURE, "more than 8 servers" },
	{ "-nbdtab /nonexistent nbd0", NBD_EXIT_FAILURE, "/nonexistent" },
	{ "-N other nbd://h/this nbd0", NBD_EXIT_FAILURE, "another export" },
	{ "nbd://h:x/ nbd0", NBD_EXIT_FAILURE, "port" },
};

static void append(char *text, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void append(char *text, const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + len, 512 - len, fmt, ap);
	va_end(ap);
}

static void describe_params(const struct nbd_params *p, char *text)
{
	char server[NBD_SERVER_TEXT_MAX];
	unsigned int i;

	for (i = 0; i < p->nservers; i++)
		append(text, " %s", nbd_server_text(&p->servers[i], server,
						    sizeof(server)));
	if (p->given & NBD_GIVEN_NAME)
		append(text, " name=%s", p->export_name);
	if (p->given & NBD_GIVEN_BLOCK_SIZE)
		append(text, " bs=%u", p->block_size);
	if (p->given & NBD_GIVEN_TIMEOUT)
		append(text, " timeout=%u", p->timeout);
	if (p->given & NBD_GIVEN_CONNECTIONS)
		append(text, " conns=%u", p->connections);
	if (p->given & NBD_GIVEN_SIZE)
		append(text, " size=%llu", p->size);
	if (p->given & NBD_GIVEN_DEAD_TIMEOUT &&
	    p->dead_timeout == NBD_DEAD_CONN_FOREVER)
		append(text, " dead=forever");
	else if (p->given & NBD_GIVEN_DEAD_TIMEOUT)
		append(text, " dead=%llu", p->dead_timeout);
	if (p->given & NBD_GIVEN_WRITE_POLICY)
		append(text, " policy=%u", p->write_policy);
	if (p->given & NBD_GIVEN_IDENTIFIER)
		append(text, " id=%s", p->identifier);
	append(text, "%s%s%s%s%s%s%s%s%s", p->readonly ? " readonly" : "",
	       p->swap ? " swap" : "", p->nofork ? " nofork" : "",
	       p->ioctl_mode ? " ioctl" : "", p->preinit ? " preinit" : "",
	       p->no_optgo ? " no_optgo" : "", p->systemd_mark ? " mark" : "",
	       p->no_identity_check ? " unchecked" : "",
	       p->other_disk ? " other-disk" : "");
	if (p->given & NBD_GIVEN_RECONNECT)
		append(text, p->reconnect == NBD_RECONNECT_NEVER ?
		       " no-persist" : " persist");
}

static const char *const actions[] = {
	[NBD_ACTION_ATTACH] = "attach",
	[NBD_ACTION_DETACH] = "detach",
	[NBD_ACTION_ATTACH_TAB] = "attach-tab",
	[NBD_ACTION_DETACH_TAB] = "detach-tab",
	[NBD_ACTION_CHECK] = "check",
	[NBD_ACTION_LIST] = "list",
	[NBD_ACTION_INFO] = "info",
	[NBD_ACTION_REPLACE] = "replace",
	[NBD_ACTION_STATUS] = "status",
	[NBD_ACTION_HELP] = "help",
	[NBD_ACTION_VERSION] = "version",
};

static void describe(const struct nbd_command *cmd, char *text)
{
	*text = '\0';
	append(text, "%s", actions[cmd->action]);
	if (cmd->action == NBD_ACTION_DETACH || cmd->action == NBD_ACTION_CHECK)
		append(text, " %s", strncmp(cmd->device, "/dev/", 5) ?
		       cmd->device : cmd->device + 5);
	if (cmd->action == NBD_ACTION_ATTACH ||
	    cmd->action == NBD_ACTION_ATTACH_TAB ||
	    cmd->action == NBD_ACTION_REPLACE ||
	    cmd->action == NBD_ACTION_STATUS) {
		if (cmd->params.index < 0)
			append(text, " auto");
		else
			append(text, " %d", cmd->params.index);
	}
	describe_params(&cmd->params, text);
	append(text, "%s%s", cmd->force ? " force" : "",
	       cmd->json ? " json" : "");
}

static int parse(struct nbd_command *cmd, const char *line, char *copy,
		 struct nbd_err *err)
{
	char *argv[32] = { "nbd-client" };

	strcpy(copy, line);
	return nbd_options_parse(cmd, 1 + split(copy, argv + 1), argv, err);
}

void test_options(void)
{
	struct nbd_command cmd;
	char copy[512], text[512];
	struct nbd_err err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		tap_test("options: %s", good[i].line);
		if (parse(&cmd, good[i].line, copy, &err)) {
			expect_text(err.text, "");
		} else {
			describe(&cmd, text);
			expect_text(text, good[i].meaning);
		}
		nbd_command_free(&cmd);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		tap_test("options: refused: %s", bad[i].line);
		expect(parse(&cmd, bad[i].line, copy, &err) < 0);
		expect_number(err.status, bad[i].status);
		expect_words(err.text, bad[i].words);
		nbd_command_free(&cmd);
	}
}
