// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../common.h"
#include "args.h"
#include "control.h"
#include "loop.h"
#include "stats.h"

#define LINE_BYTES	65536

/**
 * struct client - one user of the control socket
 * @watched:	counter that `wait` waits for; NULL while it does not wait
 * @relation:	'>', '<' or '=', each with equality
 * @wanted:	value
 * @timeout:	of the wait
 */
struct client {
	struct source src;

	TAILQ_ENTRY(client) link;
	size_t len;
	uint64_t *watched;
	char relation;
	uint64_t wanted;
	struct timer *timeout;
	char line[LINE_BYTES];
};

static struct source listener;
static TAILQ_HEAD(client_list, client) clients = TAILQ_HEAD_INITIALIZER(clients);

static void serve_lines(struct client *client);

static void client_free(void *arg)
{
	free(arg);
}

static void client_close(struct client *client)
{
	timer_cancel(client->timeout);
	client->timeout = NULL;
	client->watched = NULL;
	loop_forget(&client->src);
	close(client->src.fd);
	TAILQ_REMOVE(&clients, client, link);
	loop_later(client_free, client);
}

static void say(struct client *client, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(client->src.fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;		/* it will be seen when reading */
		text += n;
		len -= n;
	}
}

static void conclude(struct client *client, const char *error)
{
	char text[256];
	int n = error ? snprintf(text, sizeof(text), "error: %s\n", error) :
			snprintf(text, sizeof(text), "ok\n");

	say(client, text, n);
}

static bool satisfied(const struct client *client)
{
	switch (client->relation) {
	case '>': return *client->watched >= client->wanted;
	case '<': return *client->watched <= client->wanted;
	default: return *client->watched == client->wanted;
	}
}

static void wait_over(struct client *client, const char *error)
{
	client->watched = NULL;
	conclude(client, error);
	serve_lines(client);
}

static void wait_timeout(void *arg)
{
	struct client *client = arg;
	char text[128];

	client->timeout = NULL;
	snprintf(text, sizeof(text), "timeout, the counter is %llu",
		 (unsigned long long)*client->watched);
	wait_over(client, text);
}

/* After every round: is what somebody waits for true now? */
static void check_waits(void)
{
	struct client *client, *next;

	for (client = TAILQ_FIRST(&clients); client; client = next) {
		next = TAILQ_NEXT(client, link);
		if (!client->watched || !satisfied(client))
			continue;
		timer_cancel(client->timeout);
		client->timeout = NULL;
		wait_over(client, NULL);
	}
}

/* "wait NAME>=N timeout=T"; NULL or what is wrong. */
static const char *start_wait(struct client *client, struct args *args)
{
	/* args_parse() has split NAME>=N at the '=' */
	char *key = args->n ? args->arg[0].key : NULL;
	char *value = args->n ? args->arg[0].value : NULL;
	uint64_t timeout = args_ns(args, "timeout", 10 * NSEC_PER_SEC);
	size_t len = key ? strlen(key) : 0;

	if (!value || !len)
		return "wait NAME>=N";
	client->relation = '=';
	if (key[len - 1] == '>' || key[len - 1] == '<') {
		client->relation = key[len - 1];
		key[len - 1] = 0;
	}
	if (*value == '=')
		value++;
	client->wanted = strtoull(value, NULL, 0);
	client->watched = stats_find(key);
	if (!client->watched)
		return "no such counter";
	client->timeout = timer_start(timeout, wait_timeout, client);
	return NULL;
}

/* True if @line is a wait, which is served here and not by control_run(). */
static bool serve_wait(struct client *client, const char *line)
{
	struct args args;
	bool is_wait = args_parse(&args, line) && !strcmp(args.verb, "wait");
	const char *wrong = is_wait ? start_wait(client, &args) : NULL;

	if (wrong)
		conclude(client, wrong);
	args_free(&args);
	return is_wait;
}

static void serve_command(struct client *client, const char *line)
{
	char error[256] = "";
	char *text = NULL;
	size_t len = 0;
	FILE *out;
	bool good;

	if (serve_wait(client, line))
		return;
	out = open_memstream(&text, &len);
	if (!out)
		err(1, "open_memstream");
	good = control_run(line, out, error, sizeof(error));
	fclose(out);
	say(client, text, len);
	conclude(client, good ? NULL : error);
	free(text);
}

/* Serve the complete lines, up to one that has to wait. */
static void serve_lines(struct client *client)
{
	char *end;

	while (!client->watched && (end = memchr(client->line, '\n', client->len))) {
		size_t used = end - client->line + 1;
		char *line = strndup(client->line, used - 1);

		if (!line)
			err(1, "line");
		client->len -= used;
		memmove(client->line, client->line + used, client->len);
		if (*line)
			serve_command(client, line);
		free(line);
	}
}

static void client_ready(struct source *src, uint32_t events)
{
	struct client *client = (struct client *)src;	/* src is the first member */
	ssize_t n;

	(void)events;
	n = recv(src->fd, client->line + client->len, LINE_BYTES - client->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(client);
		return;
	}
	client->len += n;
	serve_lines(client);
}

static void accept_client(struct source *src, uint32_t events)
{
	struct client *client;
	int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	client = calloc(1, sizeof(*client));
	if (!client)
		err(1, "control client");
	client->src.fd = fd;
	client->src.ready = client_ready;
	TAILQ_INSERT_TAIL(&clients, client, link);
	loop_watch(&client->src, EPOLLIN);
}

static struct sockaddr_un control_address(const char *path)
{
	struct sockaddr_un addr;

	if (!unix_address(&addr, path))
		errx(1, "control socket path too long: %s", path);
	return addr;
}

void control_open(const char *path)
{
	struct sockaddr_un addr = control_address(path);

	unlink(path);
	listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener.fd < 0 || bind(listener.fd, (void *)&addr, sizeof(addr)) < 0 ||
	    listen(listener.fd, 16) < 0)
		err(1, "control socket %s", path);
	listener.ready = accept_client;
	loop_watch(&listener, EPOLLIN);
	loop_each_round(check_waits);
}

/* Print the answer to one command. 0, or 1 if it was an error. */
static int print_answer(FILE *in)
{
	char *line = NULL;
	size_t cap = 0;
	int ret = 1;

	while (getline(&line, &cap, in) > 0) {
		if (!strcmp(line, "ok\n")) {
			ret = 0;
			break;
		}
		if (!strncmp(line, "error: ", 7)) {
			fputs(line, stderr);
			break;
		}
		fputs(line, stdout);
	}
	free(line);
	return ret;
}

int control_client(const char *path, char **commands)
{
	struct sockaddr_un addr = control_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ret = 0;
	FILE *io;

	if (fd < 0 || connect(fd, (void *)&addr, sizeof(addr)) < 0)
		err(1, "%s", path);
	io = fdopen(fd, "r");
	if (!io)
		err(1, "fdopen");
	for (; !ret && *commands; commands++) {
		dprintf(fd, "%s\n", *commands);
		ret = print_answer(io);
	}
	fclose(io);
	return ret;
}
