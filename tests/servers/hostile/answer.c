// SPDX-License-Identifier: GPL-2.0
/* Replies, right and wrong. */
#define _GNU_SOURCE
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

/* One chunk with the DONE flag: the data of a READ, or nothing. */
static struct out *structured_reply(const struct request *req, uint64_t cookie)
{
	uint32_t data = req->data ? req->len + 8 : 0;
	struct out *out = out_new(NULL, sizeof(struct nbd_chunk) + data);
	struct nbd_chunk chunk = {
		.magic = htobe32(NBD_STRUCTURED_MAGIC),
		.flags = htobe16(1),
		.type = htobe16(req->data ? 1 : 0),
		.cookie = htobe64(cookie),
		.length = htobe32(data),
	};
	uint64_t offset = htobe64(req->offset);

	memcpy(out->data, &chunk, sizeof(chunk));
	if (data) {
		memcpy(out->data + sizeof(chunk), &offset, sizeof(offset));
		memcpy(out->data + sizeof(chunk) + 8, req->data, req->len);
	}
	return out;
}

static struct out *reply_message(const struct request *req, uint64_t cookie)
{
	struct out *out;

	if (req->fx.garbage) {
		out = out_new(NULL, req->fx.garbage);
		fill_garbage(out->data, out->len);
	} else if (req->fx.structured) {
		out = structured_reply(req, cookie);
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
