// SPDX-License-Identifier: GPL-2.0
/*
 * handshakes CONTROL CLIENT ARGUMENT... <LIST: plays the hostile server's scenarios of
 * the handshake (LIST is `hostile --list handshake`), runs the client with the arguments
 * for each, and judges it by the promised outcome:
 *
 * refuse	it ends in time, with a documented status and one printable line that
 *		says why; nothing is attached
 * protocol	as refuse, with the status for a server that breaks the protocol
 * unfit	as refuse, with the status for an export that cannot be used
 * ok		it attaches, a block can be read, and the device can be detached; a list
 *		is printed
 * readonly	as ok, and the device is read-only
 * either	one of them
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../library/library.h"
#include "control.h"

#define ARGUMENTS_MAX	32
/* Of nbd-client(8). */
#define STATUS_PROTOCOL	10
#define STATUS_UNFIT	11
#define STATUS_MAX	12
#define BLOCK		4096
/* Seconds for a client that is told to give up after three. */
#define PATIENCE	15

static char **client;
static unsigned int played, failed, refused;

/**
 * struct run - what a run of the client came to
 * @status:	its exit status, -1 if it did not end by itself
 * @output:	what it printed, on both outputs
 */
struct run {
	int status;
	char output[4096];
};

static void exec_client(int out, const char *conns, bool list)
{
	char *argv[ARGUMENTS_MAX + 8];
	unsigned int n = 0;

	while (client[n] && n < ARGUMENTS_MAX) {
		argv[n] = client[n];
		n++;
	}
	if (list)
		argv[n++] = "-list";
	argv[n++] = "-connect-timeout";
	argv[n++] = "3";
	if (!list) {
		argv[n++] = "-connections";
		argv[n++] = (char *)conns;
	}
	argv[n] = NULL;
	dup2(out, 1);
	dup2(out, 2);
	execv(argv[0], argv);
	_exit(127);
}

/* Reads until all who have the other end are gone, or the time is up. */
static bool read_output(int fd, struct run *run, double deadline)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	ssize_t n;

	while (now() < deadline) {
		if (poll(&poll_fd, 1, 100) <= 0)
			continue;
		n = read(fd, run->output + used, sizeof(run->output) - 1 - used);
		if (n <= 0)
			return true;
		used += n;
		run->output[used] = 0;
	}
	return false;
}

static void run_client(struct run *run, const char *conns, bool list)
{
	int out[2], status;
	bool ended;
	pid_t pid;

	memset(run, 0, sizeof(*run));
	if (pipe2(out, O_CLOEXEC))
		err(1, "pipe");
	pid = fork();
	if (!pid)
		exec_client(out[1], conns, list);
	close(out[1]);
	ended = read_output(out[0], run, now() + PATIENCE * time_scale());
	if (!ended)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(out[0]);
	run->status = ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- verdicts --- */

static bool one_line(const char *text)
{
	const char *end = strchr(text, '\n');

	for (; *text; text++)
		if (!isprint((unsigned char)*text) && *text != '\n')
			return false;
	return end && end[1] == 0;
}

static bool status_right(int status, const char *outcome)
{
	if (!strcmp(outcome, "protocol"))
		return status == STATUS_PROTOCOL;
	if (!strcmp(outcome, "unfit"))
		return status == STATUS_UNFIT;
	return status >= 1 && status <= STATUS_MAX;
}

static bool refused_well(const struct run *run, const char *outcome)
{
	if (!status_right(run->status, outcome))
		return complain("ended with status %d, promised: %s: %s", run->status, outcome,
				run->output);
	if (!one_line(run->output))
		return complain("not one line of text: %s", run->output);
	refused++;
	return true;
}

static bool may_refuse(const char *outcome)
{
	return strcmp(outcome, "ok") && strcmp(outcome, "readonly");
}

static bool may_attach(const char *outcome)
{
	return !may_refuse(outcome) || !strcmp(outcome, "either");
}

/* Unless it may be refused as well a block can be read, if there is one. */
static bool attached_well(const struct run *run, const char *outcome)
{
	bool good = true;
	const char *name = NULL, *next = run->output;
	int index, ret = 0;

	/* a warning may come before what was asked for */
	while ((next = strstr(next, "/dev/nbd")))
		name = next++;
	if (!name || sscanf(name, "/dev/nbd%d", &index) != 1)
		return complain("attached what? %s", run->output);
	if (!may_refuse(outcome) && sysfs_size(index) * 512 >= BLOCK)
		ret = read_block(index, 0, BLOCK);
	if (ret)
		good = complain("a read fails with %s", errno_name(-ret));
	if (!strcmp(outcome, "readonly") && sysfs_number(index, "ro") != 1)
		good = complain("nbd%d can be written", index);
	if (nl_disconnect(index) || !wait_free(index))
		return complain("nbd%d cannot be detached", index);
	return good;
}

/* Nothing that a terminal would obey, and, if the list was promised, something in it. */
static bool listed_well(const struct run *run, const char *outcome)
{
	const char *entries = strchr(run->output, '\n');
	const unsigned char *c;

	for (c = (const unsigned char *)run->output; *c; c++)
		if ((*c < 0x20 && *c != '\n') || *c == 0x7f || *c == 0xc0 || *c == 0xc1 ||
		    *c > 0xf4)
			return complain("prints byte 0x%02x", *c);
	if (!entries || (!may_refuse(outcome) && !entries[1]))
		return complain("lists nothing: %s", run->output);
	return true;
}

/* Leaves the devices as it should have found them. */
static bool nothing_attached(void)
{
	bool nothing = true;
	int i;

	for (i = 0; i < 16; i++) {
		if (is_free(i))
			continue;
		nothing = complain("nbd%d is attached", i);
		nl_disconnect(i);
		wait_free(i);
	}
	return nothing;
}

static bool play(const char *io, const char *conns, const char *outcome)
{
	bool list = !strcmp(io, "list"), good;
	struct run run;

	if (!tell_server("scenario %s", current))
		return false;
	run_client(&run, conns, list);
	if (run.status && !may_refuse(outcome))
		good = complain("ended with status %d: %s", run.status, run.output);
	else if (!run.status && !may_attach(outcome))
		good = complain("was not refused: %s", run.output);
	else if (run.status)
		good = refused_well(&run, outcome);
	else
		good = list ? listed_well(&run, outcome) : attached_well(&run, outcome);
	/* as it was at the start */
	good &= tell_server("clear") && tell_server("export go=on name=");
	return nothing_attached() && good;
}

int main(int argc, char **argv)
{
	char line[512], name[64], io[16], conns[16], outcome[32];

	if (argc < 3 || argc > ARGUMENTS_MAX) {
		fprintf(stderr, "usage: handshakes CONTROL CLIENT ARGUMENT... <LIST\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	client = argv + 2;
	connect_control(argv[1]);
	if (!nl_open())
		errx(1, "the family cannot be found");
	current = name;
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%63s handshake %15s %15s %31s", name, io, conns, outcome) != 4)
			continue;
		played++;
		failed += !play(io, conns, outcome);
	}
	printf("handshakes: %u refused, %u failed\ntally: %u hostile handshakes\n", refused, failed,
	       played);
	return failed || !played;
}
