// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "image.h"
#include "request.h"
#include "stats.h"
#include "transmit.h"
#include "../wire.h"

static bool parse_header(struct conn *conn);

static struct request *request_new(struct conn *conn, const struct nbd_request *wire)
{
	struct request *req = calloc(1, sizeof(*req));
	uint32_t type = be32toh(wire->type);

	if (!req)
		err(1, "request");
	req->conn = conn;
	req->type = type;
	req->flags = type >> 16;
	req->cookie = be64toh(wire->cookie);
	req->offset = be64toh(wire->from);
	req->len = be32toh(wire->len);
	return req;
}

static void request_enter(struct request *req)
{
	struct request_key key = {
		.conn = req->conn,
		.type = req->type,
		.fua = req->flags & FLAG_FUA,
		.offset = req->offset,
		.len = req->len,
	};

	log_line(req->conn->tx_id, "%s %x %016llx %llu %u", request_type_name(req->type),
		 req->flags, (unsigned long long)req->cookie,
		 (unsigned long long)req->offset, req->len);
	audit_request(req);
	rules_match(&key, &req->fx);
	TAILQ_INSERT_TAIL(&req->conn->requests, req, link);
	stats.outstanding++;
	if (stats.outstanding > stats.max_outstanding)
		stats.max_outstanding = stats.outstanding;
}

static void hold_over(void *arg)
{
	struct request *req = arg;

	req->hold = NULL;
	answer(req);
}

static void keep_back(struct request *req)
{
	req->held = true;
	stats.held++;
	if (!req->fx.never)
		req->hold = timer_start(req->fx.hold_ns, hold_over, req);
}

static struct request *batch_pick(struct conn *conn, bool shuffle)
{
	struct request *req = TAILQ_LAST(&conn->batch, request_list);
	unsigned int skip = shuffle ? rand() % conn->batch_len : 0;

	while (skip--)
		req = TAILQ_PREV(req, request_list, batch_link);
	return req;
}

/* A chunk of each in turn. */
static void batch_interleave(struct conn *conn)
{
	unsigned int part, parts = TAILQ_FIRST(&conn->batch)->fx.split;
	struct request *req, *next;

	for (part = 0; part < parts; part++)
		for (req = TAILQ_FIRST(&conn->batch); req && !conn->closed; req = next) {
			next = TAILQ_NEXT(req, batch_link);
			if (part == parts - 1) {
				TAILQ_REMOVE(&conn->batch, req, batch_link);
				conn->batch_len--;
			}
			answer_part(req, part);
		}
}

static void batch_send(struct conn *conn)
{
	timer_cancel(conn->batch_timer);
	conn->batch_timer = NULL;
	if (conn->batch_len && TAILQ_FIRST(&conn->batch)->fx.interleave)
		batch_interleave(conn);
	while (!conn->closed && conn->batch_len) {
		struct request *req = batch_pick(conn, TAILQ_FIRST(&conn->batch)->fx.shuffle);

		TAILQ_REMOVE(&conn->batch, req, batch_link);
		conn->batch_len--;
		answer(req);
	}
}

static void batch_timeout(void *arg)
{
	struct conn *conn = arg;

	conn->batch_timer = NULL;
	batch_send(conn);
}

static void batch_add(struct request *req)
{
	struct conn *conn = req->conn;

	TAILQ_INSERT_TAIL(&conn->batch, req, batch_link);
	if (!conn->batch_len++)
		conn->batch_timer = timer_start(req->fx.reorder_ns, batch_timeout, conn);
	if (conn->batch_len >= req->fx.reorder)
		batch_send(conn);
}

/* The request is executed. */
static void finish(struct request *req)
{
	if (req->replied)
		request_free(req);
	else if (req->answered)
		return;
	else if (req->fx.never || req->fx.hold_ns)
		keep_back(req);
	else if (req->fx.reorder)
		batch_add(req);
	else
		answer(req);
}

/* Everything of the request is here. */
static void serve(struct request *req, const uint8_t *payload)
{
	struct conn *conn = req->conn;

	if (req->fx.kill && req->fx.kill_at == KILL_PAYLOAD) {
		conn_end(conn, req->fx.kill);
		if (conn->closed || conn->discarding)
			return;
	}
	execute(req, payload);
	finish(req);
}

static bool parse_payload(struct conn *conn)
{
	struct request *req = conn->receiving;
	const uint8_t *payload;

	if (conn_available(conn) < req->len) {
		conn->want = req->len;
		return false;
	}
	payload = conn_input(conn);
	conn_consume(conn, req->len);
	conn->want = 0;
	conn->receiving = NULL;
	conn->parse = parse_header;
	audit_payload(req, payload);
	if (log_payload_crc)
		log_line(conn->tx_id, "payload %016llx %08x", (unsigned long long)req->cookie,
			 crc32c(0, payload, req->len));
	serve(req, payload);
	return true;
}

static void receive_payload(struct request *req)
{
	struct conn *conn = req->conn;
	enum ending then = req->fx.early_then;

	conn->receiving = req;
	conn->parse = parse_payload;
	if (!req->fx.early)
		return;
	answer(req);
	conn_end(conn, then);
	if (then == END_STALL)
		conn_set_reading(conn, false);
}

static void noread_over(void *arg)
{
	struct conn *conn = conn_by_tx((uintptr_t)arg);

	if (conn)
		conn_set_reading(conn, true);
}

/* What a rule does to the connection when it sees the header. */
static void disturb_connection(struct request *req)
{
	struct conn *conn = req->conn;

	if (req->fx.slowread) {
		conn->read_max = req->fx.slowread;
		conn->read_pause_ns = req->fx.slowread_ns;
	}
	if (req->fx.noread) {
		conn_set_reading(conn, false);
		if (req->fx.noread_ns)
			timer_start(req->fx.noread_ns, noread_over,
				    (void *)(uintptr_t)conn->tx_id);
	}
	if (req->fx.kill && req->fx.kill_at == KILL_HEADER)
		conn_end(conn, req->fx.kill);
}

static void serve_disc(struct request *req)
{
	struct conn *conn = req->conn;

	conn->said_goodbye = true;
	if (export.talk_disc) {
		answer(req);
		return;
	}
	request_free(req);
	if (!export.deaf_disc)
		conn_close(conn);
}

static void dispatch(struct request *req)
{
	struct conn *conn = req->conn;

	disturb_connection(req);
	if (conn->closed || conn->discarding)
		return;
	if (req->type == NBD_CMD_DISC)
		serve_disc(req);
	else if (req->type != NBD_CMD_WRITE)
		serve(req, NULL);
	else if (req->len > PAYLOAD_MAX)
		conn_end(conn, END_RST);
	else
		receive_payload(req);
}

static bool parse_header(struct conn *conn)
{
	struct nbd_request wire;
	struct request *req;

	if (conn_available(conn) < sizeof(wire))
		return false;
	memcpy(&wire, conn_input(conn), sizeof(wire));
	conn_consume(conn, sizeof(wire));
	if (be32toh(wire.magic) != NBD_REQUEST_MAGIC) {
		stats.bad_magic++;
		log_line(conn->tx_id, "bad-magic %08x", be32toh(wire.magic));
		conn_end(conn, END_RST);
		return false;
	}
	stats.after_disc += conn->said_goodbye;
	req = request_new(conn, &wire);
	request_enter(req);
	dispatch(req);
	return true;
}

static void transmit_gone(struct conn *conn)
{
	struct request *req;

	log_line(conn->tx_id, "gone, %llu unanswered in all",
		 (unsigned long long)stats.outstanding);
	timer_cancel(conn->batch_timer);
	while ((req = TAILQ_FIRST(&conn->requests)))
		request_free(req);
	conn->receiving = NULL;
	stats.tx_conns--;
}

void transmit_begin(struct conn *conn)
{
	static unsigned int last_tx_id;

	conn->tx_id = ++last_tx_id;
	conn->parse = parse_header;
	conn->drained = NULL;
	conn->gone = transmit_gone;
	stats.negotiated++;
	stats.tx_conns++;
	log_line(conn->tx_id, "up, accepted as %u by listener %u", conn->id, conn->listener);
}

static void release_one(struct conn *conn)
{
	struct request *req, *next;

	for (req = TAILQ_FIRST(&conn->requests); req && !conn->closed; req = next) {
		next = TAILQ_NEXT(req, link);
		if (!req->held)
			continue;
		timer_cancel(req->hold);
		req->hold = NULL;
		answer(req);
	}
}

void transmit_release(struct conn *conn)
{
	struct conn *next;

	if (conn) {
		release_one(conn);
		return;
	}
	for (conn = TAILQ_FIRST(&conns); conn; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (conn->tx_id)
			release_one(conn);
	}
}
