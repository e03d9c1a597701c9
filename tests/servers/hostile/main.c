// SPDX-License-Identifier: GPL-2.0
/*
 * An NBD server that negotiates properly, holds an image with correct data, and
 * does one wrong thing when it is told to. See --help, control.h, rules.h,
 * handshake.h and scenario.h.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "args.h"
#include "control.h"
#include "export.h"
#include "image.h"
#include "listener.h"
#include "loop.h"
#include "scenario.h"
#include "stats.h"

static const char usage[] =
"usage: hostile --listen ADDRESS... [OPTION...]   serve\n"
"       hostile --ctl SOCKET COMMAND...           talk to a server\n"
"       hostile --list [handshake|transmission]   all scenarios, tab-separated:\n"
"               name, phase, provoked by, connections, promised outcome, length, text\n"
"       hostile --show SCENARIO                   its commands\n"
"  --listen tcp:HOST:PORT|unix:PATH  may be repeated; port 0: any free one\n"
"  --control PATH     control socket\n"
"  --size N           bytes of the export (64M)\n"
"  --flags LIST       has,ro,flush,fua,rotational,trim,zeroes,multi or numbers; - takes away\n"
"  --name NAME        the only export; default: any name will do\n"
"  --blocks MIN,PREF,MAX  block sizes told to the client\n"
"  --structured       agree to structured replies\n"
"  --file PATH        image; default: memory\n"
"  --volatile         a write cache that power-loss empties\n"
"  --pattern          check WRITE payload: each sector starts with its offset\n"
"  --rcvbuf N, --sndbuf N  socket buffers\n"
"  --log PATH         log every message\n"
"  --scenario NAME    do that; may be repeated\n"
"  --do COMMAND       a command of the control socket; may be repeated\n"
"  --daemon           go to the background when listening\n"
"  --pid PATH         write the process id there\n"
"  --ports PATH       write \"tcp PORT\" and \"unix PATH\" lines there; default stdout\n";

enum {
	OPT_LISTEN = 256, OPT_CONTROL, OPT_SIZE, OPT_FLAGS, OPT_NAME, OPT_BLOCKS, OPT_FILE,
	OPT_VOLATILE, OPT_PATTERN, OPT_RCVBUF, OPT_SNDBUF, OPT_LOG, OPT_SCENARIO, OPT_DO,
	OPT_DAEMON, OPT_PID, OPT_PORTS, OPT_CTL, OPT_LIST, OPT_SHOW, OPT_HELP, OPT_STRUCTURED,
};

static const struct option long_options[] = {
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "flags", required_argument, NULL, OPT_FLAGS },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "blocks", required_argument, NULL, OPT_BLOCKS },
	{ "file", required_argument, NULL, OPT_FILE },
	{ "volatile", no_argument, NULL, OPT_VOLATILE },
	{ "pattern", no_argument, NULL, OPT_PATTERN },
	{ "structured", no_argument, NULL, OPT_STRUCTURED },
	{ "rcvbuf", required_argument, NULL, OPT_RCVBUF },
	{ "sndbuf", required_argument, NULL, OPT_SNDBUF },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "scenario", required_argument, NULL, OPT_SCENARIO },
	{ "do", required_argument, NULL, OPT_DO },
	{ "daemon", no_argument, NULL, OPT_DAEMON },
	{ "pid", required_argument, NULL, OPT_PID },
	{ "ports", required_argument, NULL, OPT_PORTS },
	{ "ctl", required_argument, NULL, OPT_CTL },
	{ "list", no_argument, NULL, OPT_LIST },
	{ "show", required_argument, NULL, OPT_SHOW },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

#define LIST_MAX	16

/* What the command line says, as far as it is not in struct export. */
struct options {
	const char *listen[LIST_MAX], *commands[LIST_MAX], *scenarios[LIST_MAX];
	int n_listen, n_commands, n_scenarios;
	const char *control, *file, *log, *pid, *ports, *ctl, *show;
	int rcvbuf, sndbuf;
	bool volatile_cache, daemon, list;
};

static void add(const char **list, int *n, const char *value)
{
	if (*n == LIST_MAX)
		errx(1, "more than %d of one option", LIST_MAX);
	list[(*n)++] = value;
}

/* Sizes as in the script language, where K, M, G, ... are known. */
static uint64_t parse_size(const char *text)
{
	struct args args;
	char line[64];
	uint64_t value;

	snprintf(line, sizeof(line), "size n=%s", text);
	args_parse(&args, line);
	value = args_u64(&args, "n", 0);
	if (!args_done(&args))
		errx(1, "%s is not a size", text);
	args_free(&args);
	return value;
}

static void set_blocks(const char *text)
{
	if (sscanf(text, "%u,%u,%u", &export.block_min, &export.block_pref,
		   &export.block_max) != 3)
		errx(1, "--blocks MIN,PREF,MAX");
	export.tell_blocks = true;
}

/* Options of the export; false if @opt is none. */
static bool export_option(int opt)
{
	switch (opt) {
	case OPT_SIZE:
		export.size = parse_size(optarg);
		return true;
	case OPT_FLAGS:
		if (!export_parse_flags(optarg, &export.flags))
			errx(1, "unknown flag in %s", optarg);
		return true;
	case OPT_NAME:
		snprintf(export.name, sizeof(export.name), "%s", optarg);
		return true;
	case OPT_BLOCKS:
		set_blocks(optarg);
		return true;
	case OPT_PATTERN:
		export.pattern = true;
		return true;
	case OPT_STRUCTURED:
		export.structured = true;
		return true;
	default:
		return false;
	}
}

static void server_option(struct options *o, int opt)
{
	switch (opt) {
	case OPT_LISTEN:
		add(o->listen, &o->n_listen, optarg);
		break;
	case OPT_SCENARIO:
		add(o->scenarios, &o->n_scenarios, optarg);
		break;
	case OPT_DO:
		add(o->commands, &o->n_commands, optarg);
		break;
	case OPT_CONTROL:
		o->control = optarg;
		break;
	case OPT_FILE:
		o->file = optarg;
		break;
	case OPT_VOLATILE:
		o->volatile_cache = true;
		break;
	case OPT_RCVBUF:
		o->rcvbuf = parse_size(optarg);
		break;
	case OPT_SNDBUF:
		o->sndbuf = parse_size(optarg);
		break;
	case OPT_LOG:
		o->log = optarg;
		break;
	case OPT_DAEMON:
		o->daemon = true;
		break;
	case OPT_PID:
		o->pid = optarg;
		break;
	case OPT_PORTS:
		o->ports = optarg;
		break;
	case OPT_CTL:
		o->ctl = optarg;
		break;
	case OPT_LIST:
		o->list = true;
		break;
	case OPT_SHOW:
		o->show = optarg;
		break;
	case OPT_HELP:
		fputs(usage, stdout);
		exit(0);
	default:
		fputs(usage, stderr);
		exit(2);
	}
}

static void run_script(const struct options *o)
{
	char error[256];
	int i;

	for (i = 0; i < o->n_scenarios; i++)
		if (!scenario_apply(o->scenarios[i]))
			errx(1, "no such scenario: %s", o->scenarios[i]);
	for (i = 0; i < o->n_commands; i++)
		if (!control_run(o->commands[i], stdout, error, sizeof(error)))
			errx(1, "%s: %s", o->commands[i], error);
}

static void signal_ready(struct source *src, uint32_t events)
{
	(void)src;
	(void)events;
	loop_stop();
}

static void watch_signals(void)
{
	static struct source signals;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals.fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals.fd < 0)
		err(1, "signalfd");
	signals.ready = signal_ready;
	loop_watch(&signals, EPOLLIN);
}

static void tell_ports(const char *path)
{
	FILE *out = path ? fopen(path, "we") : stdout;

	if (!out)
		err(1, "%s", path);
	listeners_print(out);
	if (path ? fclose(out) : fflush(out))
		err(1, "%s", path ? path : "stdout");
}

/* The parent leaves when the child listens; epoll must be made in the child. */
static int fork_daemon(void)
{
	int ready[2];
	char c;

	if (pipe(ready) < 0)
		err(1, "pipe");
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		close(ready[0]);
		setsid();
		return ready[1];
	default:
		close(ready[1]);
		/* _exit: what is buffered belongs to the child */
		_exit(read(ready[0], &c, 1) == 1 ? 0 : 1);
	}
}

static void become_quiet(int ready)
{
	if (!freopen("/dev/null", "r", stdin) || !freopen("/dev/null", "w", stdout))
		err(1, "/dev/null");
	if (write(ready, "1", 1) != 1)
		err(1, "cannot tell that the server is ready");
	close(ready);
}

static void write_pid(const char *path)
{
	FILE *out = fopen(path, "we");

	if (!out || fprintf(out, "%d\n", getpid()) < 0 || fclose(out))
		err(1, "%s", path);
}

static void serve(const struct options *o)
{
	int ready = o->daemon ? fork_daemon() : -1;
	int i, ret;

	loop_init();
	watch_signals();
	image_open(o->file, export.size, o->volatile_cache);
	ret = o->log ? log_open(o->log, false) : 0;
	if (ret)
		errx(1, "%s: %s", o->log, strerror(-ret));
	for (i = 0; i < o->n_listen; i++)
		listener_add(o->listen[i], o->rcvbuf, o->sndbuf);
	if (o->control)
		control_open(o->control);
	run_script(o);
	tell_ports(o->ports);
	if (o->pid)
		write_pid(o->pid);
	if (o->daemon)
		become_quiet(ready);
	loop_run();
	listeners_cleanup();
	if (o->control)
		unlink(o->control);
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	int opt;

	while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		if (!export_option(opt))
			server_option(&o, opt == 'h' ? OPT_HELP : opt);
	if (o.list) {
		scenario_list(stdout, argv[optind]);
		return 0;
	}
	if (o.show) {
		if (!scenario_print(stdout, o.show))
			errx(1, "no such scenario: %s", o.show);
		return 0;
	}
	if (o.ctl)
		return control_client(o.ctl, argv + optind);
	if (!o.n_listen || optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	serve(&o);
	return 0;
}
