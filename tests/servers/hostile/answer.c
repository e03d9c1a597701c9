// SPDX-License-Identifier: GPL-2.0
/* Replies, right and wrong. */
#define _GNU_SOURCE
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"
#include "stats.h"
#include "../wire.h"

static void release_memory(void *arg)
{
	struct request *req = arg;

	free(req->data);
	free(req);
}

void request_free(struct request *req)
{
	TAILQ_REMOVE(&req->conn->requests, req, link);
	timer_cancel(req->hold);
	stats.outstanding--;
	stats.held -= req->held;
	loop_later(release_memory, req);
}

static void reply_sent(struct conn *conn, void *arg)
{
	struct request *req = arg;

	stats.answered++;
	log_line(conn->tx_id, "sent %016llx %u", (unsigned long long)req->cookie, req->error);
	conn->last_cookie = req->cookie;
	req->replied = true;
	if (conn->receiving != req)
		request_free(req);
}

static bool cookie_in_use(struct conn *conn, uint16_t index)
{
	struct request *req;

	TAILQ_FOREACH(req, &conn->requests, link)
		if ((uint16_t)req->cookie == index)
			return true;
	return false;
}

/* A cookie whose low 16 bits, the tag in most drivers, are not in flight here. */
static uint64_t unused_cookie(const struct request *req)
{
	uint16_t index = 0;

	while (cookie_in_use(req->conn, index) && index < 0xffff)
		index++;
	return (req->cookie & ~0xffffULL) | index;
}

static uint64_t foreign_cookie(const struct request *req)
{
	struct conn *conn;

	TAILQ_FOREACH(conn, &conns, link)
		if (conn != req->conn && !TAILQ_EMPTY(&conn->requests))
			return TAILQ_FIRST(&conn->requests)->cookie;
	return ~req->cookie;
}

static uint64_t alien_cookie(const struct request *req)
{
	switch (req->fx.alien) {
	case ALIEN_UNUSED: return unused_cookie(req);
	case ALIEN_TAG: return req->cookie | 0xffff;
	case ALIEN_QUEUE: return req->cookie | 0xffff0000;
	case ALIEN_GENERATION: return req->cookie - (1ULL << 32);
	case ALIEN_COMPLETED: return req->conn->last_cookie;
	case ALIEN_OTHERCONN: return foreign_cookie(req);
	case ALIEN_ZERO: return 0;
	case ALIEN_ONES: return ~0ULL;
	case ALIEN_BIT: return req->cookie ^ (1ULL << req->fx.alien_bit);
	default: return req->cookie;
	}
}

/* Random enough not to be a reply by accident, the same in every run. */
static void fill_garbage(uint8_t *p, size_t len)
{
	static uint32_t state = 0x12345678;

	while (len--) {
		state = state * 1664525 + 1013904223;
		*p++ = state >> 24;
	}
}

static size_t payload_len(const struct request *req)
{
	if (req->data && (!req->error || req->fx.error_with_data))
		return req->len;
	return req->fx.payload;
}

static struct out *simple_reply(const struct request *req, uint64_t cookie)
{
	size_t len = payload_len(req);
	struct out *out = out_new(NULL, sizeof(struct nbd_reply) + len);
	struct nbd_reply reply = {
		.magic = htobe32(req->fx.has_magic ? req->fx.magic : NBD_REPLY_MAGIC),
		.error = htobe32(req->error),
		.cookie = htobe64(cookie),
	};

	memcpy(out->data, &reply, sizeof(reply));
	if (req->data && len)
		memcpy(out->data + sizeof(reply), req->data, len);
	else
		fill_garbage(out->data + sizeof(reply), len);
	return out;
}

/**
 * struct message - bytes in the making
 * @data:	malloced
 * @len:	their number
 */
struct message {
	uint8_t *data;
	size_t len;
};

static uint8_t *message_room(struct message *m, size_t len)
{
	m->data = realloc(m->data, m->len + len + 1);
	if (!m->data)
		err(1, "message");
	m->len += len;
	return m->data + m->len - len;
}

static void put_header(struct message *m, uint64_t cookie, uint16_t flags, uint16_t type,
		       uint32_t length)
{
	struct nbd_chunk chunk = {
		.magic = htobe32(NBD_STRUCTURED_MAGIC),
		.flags = htobe16(flags),
		.type = htobe16(type),
		.cookie = htobe64(cookie),
		.length = htobe32(length),
	};

	memcpy(message_room(m, sizeof(chunk)), &chunk, sizeof(chunk));
}

/* Bytes @at to @at + @n of the request, as far as there are such. */
static void put_piece(struct message *m, const struct request *req, uint64_t cookie,
		      uint16_t flags, uint32_t at, uint32_t n)
{
	uint64_t offset = htobe64(req->offset + at);

	put_header(m, cookie, flags, CHUNK_DATA, 8 + n);
	memcpy(message_room(m, 8), &offset, 8);
	if (req->data && at <= req->len && n <= req->len - at)
		memcpy(message_room(m, n), req->data + at, n);
	else
		fill_garbage(message_room(m, n), n);
}

static void put_spec(struct message *m, const struct request *req, uint64_t cookie,
		     const struct chunk_spec *c)
{
	if (c->piece) {
		put_piece(m, req, cookie, c->flags, c->at, c->n);
		return;
	}
	put_header(m, cookie, c->flags, c->type, c->has_len ? c->len : c->data_len + c->fill);
	memcpy(message_room(m, c->data_len), c->data, c->data_len);
	memset(message_room(m, c->fill), 'x', c->fill);
}

static void put_error(struct message *m, const struct request *req, uint64_t cookie)
{
	static const char text[] = "the server is \033[31mhostile";
	uint32_t number = htobe32(req->error);
	uint16_t len = htobe16(sizeof(text) - 1);

	put_header(m, cookie, CHUNK_DONE, CHUNK_ERROR, 6 + sizeof(text) - 1);
	memcpy(message_room(m, 4), &number, 4);
	memcpy(message_room(m, 2), &len, 2);
	memcpy(message_room(m, sizeof(text) - 1), text, sizeof(text) - 1);
}

/* Which part comes as the @i-th of @n. */
static unsigned int split_place(enum split_order order, unsigned int i, unsigned int n)
{
	if (order == SPLIT_REVERSE)
		return n - 1 - i;
	if (order == SPLIT_ODD)
		return i < n / 2 ? 2 * i + 1 : 2 * (i - n / 2);
	return i;
}

static void put_split(struct message *m, const struct request *req, uint64_t cookie,
		      unsigned int i)
{
	unsigned int n = req->fx.split ? req->fx.split : 1;
	unsigned int place = split_place(req->fx.split_order, i, n);
	uint32_t from = (uint64_t)req->len * place / n;
	uint32_t to = (uint64_t)req->len * (place + 1) / n;

	put_piece(m, req, cookie, i == n - 1 ? CHUNK_DONE : 0, from, to - from);
}

/* Of a READ its data, else nothing but the end; all of it, or the @part-th chunk. */
static struct out *structured_reply(const struct request *req, uint64_t cookie, int part)
{
	struct message m = { 0 };
	unsigned int i, n = req->fx.split ? req->fx.split : 1;
	struct out *out;

	if (req->fx.n_chunks)
		for (i = 0; i < req->fx.n_chunks; i++)
			put_spec(&m, req, cookie, &req->fx.chunks[i]);
	else if (req->error)
		put_error(&m, req, cookie);
	else if (!req->data)
		put_header(&m, cookie, CHUNK_DONE, CHUNK_NONE, 0);
	else if (part >= 0)
		put_split(&m, req, cookie, part);
	else
		for (i = 0; i < n; i++)
			put_split(&m, req, cookie, i);
	out = out_new(m.data, m.len);
	free(m.data);
	return out;
}

static bool is_structured(const struct request *req)
{
	if (req->fx.simple)
		return false;
	return req->fx.structured || req->fx.n_chunks || req->fx.split ||
	       (req->conn->structured && req->type == NBD_CMD_READ);
}

static struct out *reply_message(const struct request *req, uint64_t cookie)
{
	struct out *out;

	if (req->fx.garbage) {
		out = out_new(NULL, req->fx.garbage);
		fill_garbage(out->data, out->len);
	} else if (is_structured(req)) {
		out = structured_reply(req, cookie, -1);
	} else {
		out = simple_reply(req, cookie);
	}
	if (req->fx.cut) {
		out->stop_at = req->fx.cut_at;
		out->ending = req->fx.cut_then;
	}
	out->piece = req->fx.drip;
	out->pause_ns = req->fx.drip_ns;
	return out;
}

/* Another connection in the transmission phase, or the request's own. */
static struct conn *wrong_conn(struct conn *right)
{
	struct conn *conn;

	TAILQ_FOREACH(conn, &conns, link)
		if (conn != right && conn->tx_id)
			return conn;
	return right;
}

static void send_extra(struct conn *conn, size_t len, enum ending then)
{
	struct out *out = out_new(NULL, len);

	fill_garbage(out->data, len);
	out->stop_at = then ? len : SIZE_MAX;
	out->ending = then;
	conn_queue(conn, out);
}

static void send_copies(struct conn *conn, const struct request *req, uint64_t cookie)
{
	unsigned int i;

	for (i = 1; i < req->fx.copies && !conn->closed; i++)
		conn_queue(conn, reply_message(req, cookie));
}

void answer_part(struct request *req, unsigned int part)
{
	struct out *out = structured_reply(req, req->cookie, part);

	if (part == req->fx.split - 1) {
		req->answered = true;
		out->sent = reply_sent;
		out->arg = req;
	}
	conn_queue(req->conn, out);
}

void answer(struct request *req)
{
	struct conn *conn = req->conn;
	const struct effects *fx = &req->fx;
	uint64_t cookie = fx->alien && !fx->alien_add ? alien_cookie(req) : req->cookie;
	struct out *out;

	req->answered = true;
	stats.held -= req->held;
	req->held = false;
	stats.errors += !!req->error;
	if (fx->alien_add)
		conn_queue(conn, reply_message(req, alien_cookie(req)));
	if (conn->closed)
		return;
	if (!fx->misdirect)
		send_copies(conn, req, cookie);
	if (conn->closed)
		return;
	if (fx->misdirect) {
		conn_queue(wrong_conn(conn), reply_message(req, cookie));
	} else {
		out = reply_message(req, cookie);
		out->sent = reply_sent;
		out->arg = req;
		if (fx->kill && fx->kill_at == KILL_REPLY) {
			out->stop_at = out->len;
			out->ending = fx->kill;
		}
		conn_queue(conn, out);
	}
	if (fx->extra && !conn->closed)
		send_extra(conn, fx->extra, fx->extra_then);
}
