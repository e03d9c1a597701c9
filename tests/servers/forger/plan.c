// SPDX-License-Identifier: GPL-2.0
/* Plays what plan.h tells. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../wire.h"
#include "plan.h"

/**
 * struct play - one plan at work
 * @c:		who plays
 * @answer:	what is not sent yet of the answer, @left bytes
 * @left:	of them
 */
struct play {
	struct connection *c;
	uint8_t *answer;
	size_t left;
};

static bool send_data(struct play *p, size_t n)
{
	while (n) {
		size_t now = n < RECORD_MAX ? n : RECORD_MAX;

		if (!records_send(&p->c->records, RECORD_DATA, p->answer, now))
			return false;
		p->answer += now;
		p->left -= now;
		n -= now;
	}
	return true;
}

/* The bytes that @text says, up to its end or a '*'; returns how many. */
static size_t read_hex(const char *text, uint8_t *bytes, size_t max)
{
	unsigned int value;
	size_t n;

	for (n = 0; n < max && sscanf(text, "%2x", &value) == 1; n++, text += 2)
		bytes[n] = value;
	if (*text && *text != '*')
		errx(2, "no bytes: %s", text);
	return n;
}

static bool send_control(struct play *p, unsigned int type, const char *text)
{
	const char *times = strchr(text, '*');
	unsigned int count = times ? strtoul(times + 1, NULL, 10) : 1;
	uint8_t bytes[PLAN_TAIL];
	size_t n = read_hex(text, bytes, sizeof(bytes));

	while (count--)
		if (!records_send(&p->c->records, type, bytes, n))
			return false;
	return true;
}

static bool send_raw(struct play *p, const char *text)
{
	uint8_t bytes[PLAN_TAIL];

	return records_send_raw(&p->c->records, bytes, read_hex(text, bytes, sizeof(bytes)));
}

static bool send_plain(struct play *p)
{
	bool sent = records_send_raw(&p->c->records, p->answer, p->left);

	p->left = 0;
	return sent;
}

static bool await(const struct play *p, short events)
{
	struct pollfd fd = { .fd = p->c->fd, .events = events };

	return poll(&fd, 1, -1) == 1 && !(fd.revents & POLLERR);
}

/* Opening a FIFO to read waits for whoever opens it to write. */
static bool await_writer(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "plans/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	close(fd);
	return true;
}

static bool shake_hands(struct play *p)
{
	struct connection *c = p->c;
	int code;

	do {
		code = gnutls_handshake(c->session);
	} while (code < 0 && !gnutls_error_is_fatal(code));
	c->tls = !code && records_take(&c->records, c->session);
	if (!c->tls)
		fprintf(stderr, "handshake: %s\n", gnutls_strerror(code));
	return c->tls;
}

static bool reset(const struct play *p)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(p->c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	return false;
}

/* A step without an argument. */
static bool play_word(struct play *p, const char *word)
{
	if (!strcmp(word, "data"))
		return send_data(p, p->left);
	if (!strcmp(word, "ack"))
		return send_plain(p);
	if (!strcmp(word, "await"))
		return await(p, POLLIN);
	if (!strcmp(word, "tls"))
		return shake_hands(p);
	if (!strcmp(word, "stall"))
		return await(p, POLLRDHUP) && false;
	if (!strcmp(word, "reset"))
		return reset(p);
	if (!strcmp(word, "close"))
		return false;
	if (!strcmp(word, "forge"))
		p->c->records.forge = true;
	else if (!strcmp(word, "skip"))
		p->c->records.number++;
	else if (!strcmp(word, "rekey"))
		records_next_key(&p->c->records);
	else
		errx(2, "no step: %s", word);
	return true;
}

static bool play_step(struct play *p, char *word)
{
	char *value = strchr(word, ':');
	unsigned long n;

	if (!value)
		return play_word(p, word);
	*value++ = '\0';
	if (!strcmp(word, "raw"))
		return send_raw(p, value);
	if (!strcmp(word, "until"))
		return await_writer(value);
	if (!strcmp(word, "tail")) {
		p->left += read_hex(value, p->answer + p->left, PLAN_TAIL);
		return true;
	}
	n = strtoul(value, NULL, 10);
	if (!strcmp(word, "data"))
		return send_data(p, n < p->left ? n : p->left);
	if (!strcmp(word, "pad"))
		p->c->records.padding = n;
	else if (!strcmp(word, "piece"))
		p->c->records.piece = n;
	else if (!strcmp(word, "cut"))
		p->c->records.cut = n;
	else
		return send_control(p, strtoul(word, NULL, 10), value);
	return true;
}

/* False if there is none. */
static bool take_plan(const char *name, char *text, size_t size)
{
	char path[64], mine[64];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "plans/%s", name);
	snprintf(mine, sizeof(mine), "plans/taken.%d", getpid());
	if (rename(path, mine))
		return false;
	f = fopen(mine, "r");
	if (!f)
		err(1, "%s", mine);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	fclose(f);
	unlink(mine);
	return true;
}

bool plan_play(struct connection *c, const char *name, const char *usual, void *answer,
	       size_t len)
{
	struct play p = { .c = c, .answer = answer, .left = len };
	char text[2048], *word, *rest;

	if (!take_plan(name, text, sizeof(text)))
		snprintf(text, sizeof(text), "%s", usual);
	for (word = strtok_r(text, "\n ", &rest); word; word = strtok_r(NULL, "\n ", &rest))
		if (!play_step(&p, word))
			return false;
	return send_data(&p, p.left);
}
