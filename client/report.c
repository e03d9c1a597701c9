// SPDX-License-Identifier: GPL-2.0
/*
 * The report for whoever looks for a bug.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "error.h"
#include "model.h"
#include "report.h"
#include "status.h"
#include "util.h"

#define LINES_MAX 200

/* A journal on the device that is reported on may never answer. */
#define IN_TIME "PATH=$PATH:/usr/sbin:/sbin timeout 10 sh -c "

/* Debian's and ours have the same names; one that was removed may have left its files. */
#define PACKAGES "dpkg-query -W -f \"\\${db:Status-Abbrev}\\${Package} \\${Version}\\n\" " \
	"\"*nbd-client*\" \"*nbd-dkms*\""
/* The kernel's own driver has no version. */
#define PARAMETERS "cd /sys/module/nbd && grep . version srcversion taint parameters/*"
/* The monitor's messages, of the service or of one that nbd-client has started. */
#define JOURNAL "journalctl -q --no-pager -o short-iso -n 200 " OF_MONITOR
#define OF_MONITOR "_SYSTEMD_UNIT=nbd-monitor.service + SYSLOG_IDENTIFIER=nbd-monitor"
#define SYSLOG "grep -hs nbd-monitor /var/log/syslog /var/log/messages | tail -n 200"

void nbd_report_clean(char *line)
{
	char *at = line;

	while ((at = strstr(at, "://"))) {
		size_t len;

		at += 3;
		len = strcspn(at, "/@ \t\"'");
		if (at[len] == '@')
			memset(at, '.', len);
	}
}

static void print_line(FILE *out, char *line)
{
	nbd_report_clean(line);
	fprintf(out, "%s%s", line, line[0] && line[strlen(line) - 1] == '\n' ? "" : "\n");
}

/* The lines of @in, or that there is nothing of @what. */
static void print_lines(FILE *out, const char *what, FILE *in)
{
	char *line = NULL;
	bool any = false;
	size_t size = 0;

	while (in && getline(&line, &size, in) > 0) {
		print_line(out, line);
		any = true;
	}
	if (!any)
		fprintf(out, "%s: none\n", what);
	free(line);
}

/* What @command prints. */
static void print_output(FILE *out, const char *what, const char *command)
{
	FILE *in = popen(command, "r");

	print_lines(out, what, in);
	if (in)
		pclose(in);
}

static void print_versions(const char *version, FILE *out)
{
	struct utsname name;

	fprintf(out, "nbd-client %s\n", version);
	if (!uname(&name))
		fprintf(out, "%s %s %s %s\n", name.sysname, name.release, name.version,
			name.machine);
	print_output(out, "distribution",
		     IN_TIME "'sed -n s/^PRETTY_NAME=//p /etc/os-release' 2>&1");
	print_output(out, "packages",
		     IN_TIME "'" PACKAGES "' 2>/dev/null");
}

static void print_driver(FILE *out)
{
	print_output(out, "module to load", IN_TIME "'modinfo -F filename nbd' 2>&1");
	print_output(out, "loaded driver", IN_TIME "'" PARAMETERS "' 2>/dev/null");
	print_output(out, "DKMS", IN_TIME "'dkms status nbd' 2>/dev/null");
}

static void print_status(FILE *out)
{
	struct nbd_err err = { .status = 0 };
	FILE *status = tmpfile();

	if (!status) {
		fprintf(out, "no temporary file: %s\n", strerror(errno));
		return;
	}
	if (nbd_print_status(NBD_INDEX_AUTO, false, status, &err))
		fprintf(status, "%s\n", err.text);
	rewind(status);
	print_lines(out, "attached devices", status);
	fclose(status);
}

/* A record of /dev/kmsg is "NUMBERS;TEXT\n KEY=VALUE\n"; the third number is microseconds. */
static char *kernel_line(const char *record)
{
	const char *text = strchr(record, ';');
	unsigned long long usec = 0;
	char *line = NULL;

	if (!text || !strstr(record, "nbd") || sscanf(record, "%*u,%*u,%llu", &usec) != 1)
		return NULL;
	text++;
	if (asprintf(&line, "[%5llu.%06llu] %.*s", usec / 1000000, usec % 1000000,
		     (int)strcspn(text, "\n"), text) < 0)
		return NULL;
	return line;
}

static void print_kernel_log(FILE *out)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char *lines[LINES_MAX] = { NULL };
	char record[8192];
	size_t n = 0;
	ssize_t len;

	if (fd < 0) {
		fprintf(out, "/dev/kmsg: %s\n", strerror(errno));
		return;
	}
	/* EPIPE: what was to be read next has just been overwritten */
	while ((len = read(fd, record, sizeof(record) - 1)) > 0 || (len < 0 && errno == EPIPE)) {
		char *line;

		record[len > 0 ? len : 0] = '\0';
		line = kernel_line(record);
		if (!line)
			continue;
		free(lines[n % LINES_MAX]);
		lines[n++ % LINES_MAX] = line;
	}
	close(fd);
	if (!n)
		fprintf(out, "lines with \"nbd\": none\n");
	for (size_t i = n > LINES_MAX ? n - LINES_MAX : 0; i < n; i++) {
		print_line(out, lines[i % LINES_MAX]);
		free(lines[i % LINES_MAX]);
	}
}

static void print_monitor_log(FILE *out)
{
	print_output(out, "lines of the monitor",
		     IN_TIME "'if command -v journalctl >/dev/null; then " JOURNAL
		     "; else " SYSLOG "; fi' 2>&1");
}

void nbd_report(const char *version, FILE *out)
{
	static const struct {
		const char *title;
		void (*print)(FILE *out);
	} sections[] = {
		{ "driver", print_driver },
		{ "status", print_status },
		{ "kernel log", print_kernel_log },
		{ "monitor's log", print_monitor_log },
	};

	fprintf(out, "Report of nbd-client. It names servers: look it over before you send it.\n");
	fprintf(out, "\n== versions\n");
	fflush(out);
	print_versions(version, out);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		fprintf(out, "\n== %s\n", sections[i].title);
		fflush(out);
		sections[i].print(out);
	}
}
