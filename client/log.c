// SPDX-License-Identifier: GPL-2.0
/*
 * What processes that stay report.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "folders.h"
#include "log.h"

#define NAME "nbd-monitor"

static bool to_stderr;
static int syslog_fd = -1;
static int kmsg_fd = -1;

static int connect_to(const char *path)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNIX };
	struct sockaddr_un *un = (void *)&sa;

	snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
	return nbd_folder_connect(syslog_fd, &sa, sizeof(*un));
}

/* systemd's /dev/log is a link, which leads nowhere from the root of the initramfs. */
static void open_syslog(void)
{
	if (syslog_fd < 0)
		syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC |
				   SOCK_NONBLOCK, 0);
	if (syslog_fd < 0)
		return;
	if (!connect_to("/dev/log") ||
	    !connect_to("/run/systemd/journal/dev-log"))
		return;
	close(syslog_fd);
	syslog_fd = -1;
}

void nbd_log_open(bool foreground)
{
	to_stderr = foreground;
	if (!foreground)
		open_syslog();
	kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NONBLOCK);
}

static bool send_syslog(int priority, const char *text)
{
	char line[1200];
	int len;

	len = snprintf(line, sizeof(line), "<%d>" NAME "[%d]: %s",
		       LOG_DAEMON | priority, getpid(), text);
	if (len >= (int)sizeof(line))
		len = sizeof(line) - 1;
	if (syslog_fd >= 0 &&
	    send(syslog_fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) == len)
		return true;
	if (syslog_fd >= 0 && (errno == EAGAIN || errno == ENOBUFS))
		return false;
	open_syslog();	/* a syslog that was restarted, or started late */
	return syslog_fd >= 0 &&
	       send(syslog_fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) == len;
}

/*
 * Whoever reads it may wait for a device that we are to reconnect: what has no room
 * goes to the kernel's log.
 */
static bool send_stderr(int priority, const char *text)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (poll(&pfd, 1, 0) != 1 || !(pfd.revents & POLLOUT))
		return false;
	return dprintf(STDERR_FILENO, "<%d>%s\n", priority, text) > 0;
}

/*
 * The kernel takes ten lines in five seconds from each opening of the file, and drops what
 * comes more without a word to the writer: so each line has its own. The one that is kept
 * is for want of a descriptor.
 */
static void send_kmsg(int priority, const char *text)
{
	int fd = nbd_folder_open("/dev/kmsg", O_WRONLY | O_NONBLOCK, 0);
	char line[1200];
	int len;

	len = snprintf(line, sizeof(line), "<%d>" NAME ": %s\n",
		       LOG_DAEMON | priority, text);
	if (len >= (int)sizeof(line))
		len = sizeof(line) - 1;
	if (write(fd >= 0 ? fd : kmsg_fd, line, len) != len)
		len = 0;	/* nobody is left to tell */
	if (fd >= 0)
		close(fd);
}

void nbd_log(int priority, const char *fmt, ...)
{
	char text[1100];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!(to_stderr ? send_stderr(priority, text) :
			  send_syslog(priority, text)))
		send_kmsg(priority, text);
}
