// SPDX-License-Identifier: GPL-2.0
/*
 * Listens as a syslog does, at /dev/log for example, and prints each datagram on a line of
 * its own.
 *
 *	datagrams PATH
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char buf[8192];
	ssize_t len;
	int fd;

	if (argc != 2 || strlen(argv[1]) >= sizeof(un.sun_path))
		errx(1, "usage: datagrams PATH");
	strcpy(un.sun_path, argv[1]);
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (void *)&un, sizeof(un)))
		err(1, "%s", argv[1]);
	while ((len = recv(fd, buf, sizeof(buf), 0)) >= 0) {
		printf("%.*s\n", (int)len, buf);
		fflush(stdout);
	}
	err(1, "recv");
}
