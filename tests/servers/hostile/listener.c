// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../common.h"
#include "conn.h"
#include "handshake.h"
#include "listener.h"
#include "loop.h"

#define LISTENERS_MAX	8

struct listener {
	struct source src;
	struct sockaddr_storage addr;
	socklen_t addr_len;
	int rcvbuf, sndbuf;
	bool open;
};

static struct listener listeners[LISTENERS_MAX];
static unsigned int n_listeners;

static bool is_unix(const struct listener *listener)
{
	return listener->addr.ss_family == AF_UNIX;
}

static void accept_one(struct source *src, uint32_t events)
{
	struct listener *listener = (struct listener *)src;
	int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	handshake_begin(conn_new(fd, listener - listeners + 1, is_unix(listener)));
}

/* Buffer sizes are inherited by accepted sockets and must be set before listen(). */
static void set_buffers(const struct listener *listener)
{
	int fd = listener->src.fd;

	if (listener->rcvbuf)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &listener->rcvbuf, sizeof(int));
	if (listener->sndbuf)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &listener->sndbuf, sizeof(int));
}

/* NULL or what failed, with errno. */
static const char *start_listening(struct listener *listener)
{
	struct sockaddr *addr = (struct sockaddr *)&listener->addr;
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0)
		return "socket";
	listener->src.fd = fd;
	set_buffers(listener);
	if (is_unix(listener))
		unlink(((struct sockaddr_un *)addr)->sun_path);
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, addr, listener->addr_len) < 0) {
		close(fd);
		return "bind";
	}
	if (listen(fd, 1024) < 0) {
		close(fd);
		return "listen";
	}
	/* the port that was chosen, to be taken again later */
	getsockname(fd, addr, &listener->addr_len);
	listener->open = true;
	loop_watch(&listener->src, EPOLLIN);
	return NULL;
}

static void set_unix_address(struct listener *listener, const char *path)
{
	if (!unix_address((struct sockaddr_un *)&listener->addr, path))
		errx(1, "socket path too long: %s", path);
	listener->addr_len = sizeof(struct sockaddr_un);
}

static void set_tcp_address(struct listener *listener, const char *text)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	char *host = strdup(text);
	char *port = strrchr(host, ':');
	struct addrinfo *found;
	int ret;

	if (!port)
		errx(1, "no port in tcp:%s", text);
	*port++ = 0;
	if (*host == '[') {
		memmove(host, host + 1, strlen(host));
		host[strcspn(host, "]")] = 0;
	}
	ret = getaddrinfo(*host ? host : NULL, port, &hints, &found);
	if (ret)
		errx(1, "tcp:%s: %s", text, gai_strerror(ret));
	memcpy(&listener->addr, found->ai_addr, found->ai_addrlen);
	listener->addr_len = found->ai_addrlen;
	freeaddrinfo(found);
	free(host);
}

void listener_add(const char *address, int rcvbuf, int sndbuf)
{
	struct listener *listener = &listeners[n_listeners];
	const char *failed;

	if (n_listeners == LISTENERS_MAX)
		errx(1, "more than %d addresses", LISTENERS_MAX);
	if (!strncmp(address, "unix:", 5))
		set_unix_address(listener, address + 5);
	else if (!strncmp(address, "tcp:", 4))
		set_tcp_address(listener, address + 4);
	else
		errx(1, "%s is neither tcp:HOST:PORT nor unix:PATH", address);
	listener->src.ready = accept_one;
	listener->rcvbuf = rcvbuf;
	listener->sndbuf = sndbuf;
	n_listeners++;
	failed = start_listening(listener);
	if (failed)
		err(1, "%s: %s", address, failed);
}

void listeners_print(FILE *out)
{
	unsigned int i;

	for (i = 0; i < n_listeners; i++) {
		struct sockaddr_storage *addr = &listeners[i].addr;

		if (is_unix(&listeners[i]))
			fprintf(out, "unix %s\n", ((struct sockaddr_un *)addr)->sun_path);
		else
			fprintf(out, "tcp %u\n",
				ntohs(((struct sockaddr_in *)addr)->sin_port));
	}
}

void listeners_accept(bool on)
{
	unsigned int i;

	for (i = 0; i < n_listeners; i++)
		if (listeners[i].open)
			loop_watch(&listeners[i].src, on ? EPOLLIN : 0);
}

const char *listeners_listen(bool on)
{
	const char *failed = NULL;
	unsigned int i;

	for (i = 0; i < n_listeners && !failed; i++) {
		struct listener *listener = &listeners[i];

		if (on && !listener->open) {
			failed = start_listening(listener);
		} else if (!on && listener->open) {
			loop_forget(&listener->src);
			close(listener->src.fd);
			listener->open = false;
		}
	}
	return failed;
}

void listeners_cleanup(void)
{
	unsigned int i;

	for (i = 0; i < n_listeners; i++)
		if (is_unix(&listeners[i]) && listeners[i].open)
			unlink(((struct sockaddr_un *)&listeners[i].addr)->sun_path);
}
