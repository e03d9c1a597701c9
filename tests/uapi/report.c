// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static const struct probe_case *current_case;

static const struct probe_case *const tables[] = {
	ioctl_cases, setup_cases, value_cases, socket_cases, netlink_cases, lifetime_cases,
	message_cases, view_cases, module_cases,
};

void say(const char *step, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	printf("%s/%s: %s\n", current_case->name, step, line);
	fflush(stdout);
}

void say_result(const char *step, long ret)
{
	if (ret < 0)
		say(step, "%s", errno_name(-ret));
	else if (ret)
		say(step, "%ld", ret);
	else
		say(step, "ok");
}

/* --- running the cases --- */

/* Devices that a case may leave attached; others are not used. */
#define INDEX_LIMIT	32

static bool all_free(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < INDEX_LIMIT; i++)
		if (!is_free(i))
			return false;
	return true;
}

/* Detach whatever is attached; a driver that cannot do so has failed the case. */
static bool heal(void)
{
	int i;

	for (i = 0; i < INDEX_LIMIT; i++)
		if (!is_free(i))
			nl_disconnect(i);
	return until(all_free, NULL, 10);
}

static void child(const struct probe_case *c)
{
	setpgid(0, 0);
	current_case = c;
	if (!nl_open())
		say("netlink", "no family");
	c->run();
	fflush(stdout);
	_exit(0);
}

/* How the child ended: NULL if as it should. */
static const char *supervise(pid_t pid, unsigned int seconds)
{
	double deadline = now() + seconds;
	const char *ended = NULL;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now() > deadline) {
			kill(-pid, SIGKILL);
			ended = "not finished in time";
			deadline = now() + 5;
			while (waitpid(pid, &status, WNOHANG) == 0) {
				if (now() > deadline)
					return "stuck: SIGKILL does not end it";
				usleep(10000);
			}
			return ended;
		}
		usleep(5000);
	}
	kill(-pid, SIGKILL);
	return WIFSIGNALED(status) ? "killed by a signal" : NULL;
}

/* False if nothing more can be tried on this kernel. */
static bool run_case(const struct probe_case *c)
{
	const char *ended;
	pid_t pid;

	fflush(stdout);
	current_case = c;
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid)
		child(c);
	setpgid(pid, pid);
	ended = supervise(pid, c->seconds ? c->seconds : 30);
	if (ended)
		say("end", "%s", ended);
	if (ended && ended[0] == 's')
		return false;
	if (!(c->flags & CASE_RELOAD) && (!nl_open() || !heal())) {
		say("end", "a device cannot be freed");
		return false;
	}
	return true;
}

static bool selected(const char *case_name, char **patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (strstr(case_name, *patterns))
			return true;
	return false;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: uapi-probe [--list] [--safe] [--reload] [PATTERN...]\n"
		"  --list    names of the cases\n"
		"  --safe    not those that harm the stock driver\n"
		"  --reload  also those that load and unload the module\n");
	exit(2);
}

int run_cases(int argc, char **argv)
{
	bool list = false, safe = false, reload = false;
	const struct probe_case *c;
	size_t i;

	for (argv++, argc--; argc && !strncmp(*argv, "--", 2); argv++, argc--) {
		if (!strcmp(*argv, "--list"))
			list = true;
		else if (!strcmp(*argv, "--safe"))
			safe = true;
		else if (!strcmp(*argv, "--reload"))
			reload = true;
		else
			usage();
	}
	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (c = tables[i]; c->name; c++) {
			if (!selected(c->name, argv))
				continue;
			if ((safe && (c->flags & CASE_UNSAFE)) ||
			    (!reload && (c->flags & CASE_RELOAD)))
				continue;
			if (list)
				puts(c->name);
			else if (!run_case(c))
				return 1;
		}
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	return run_cases(argc, argv);
}
