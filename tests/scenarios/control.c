// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <stdarg.h>
#include <stdlib.h>

#include "control.h"

const char *current = "-";

static int control_fd;
static FILE *control;

double time_scale(void)
{
	const char *text = getenv("TIME_SCALE");

	return text ? atof(text) : 1;
}

bool complain(const char *fmt, ...)
{
	va_list ap;

	printf("failed: %s: ", current);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	return false;
}

void connect_control(const char *path)
{
	struct sockaddr_un addr;

	if (!unix_address(&addr, path))
		errx(1, "%s: too long", path);
	control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (control_fd < 0 || connect(control_fd, (void *)&addr, sizeof(addr)))
		err(1, "%s", path);
	control = fdopen(control_fd, "r");
}

bool tell_server(const char *fmt, ...)
{
	char command[256], line[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	dprintf(control_fd, "%s\n", command);
	while (fgets(line, sizeof(line), control)) {
		if (!strcmp(line, "ok\n"))
			return true;
		if (!strncmp(line, "error: ", 7))
			return complain("%s: %s", command, line);
	}
	return complain("the server is gone");
}
