/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A request from its header to its last answered byte.
 */
#ifndef NBD_TEST_REQUEST_H
#define NBD_TEST_REQUEST_H

#include "conn.h"
#include "rules.h"

/* The longest payload that is taken or sent; what is longer ends the connection. */
#define PAYLOAD_MAX	(64U << 20)

/**
 * struct request - one request
 * @link:	conn->requests, from header to answer
 * @batch_link:	conn->batch while it waits to be reordered
 * @conn:	where it came in
 * @cookie:	as received
 * @offset:	bytes
 * @len:	bytes
 * @type:	NBD_CMD_*
 * @flags:	NBD_CMD_FLAG_* shifted to bit 0
 * @fx:		what is to go wrong
 * @error:	protocol error number of the answer
 * @data:	malloced payload of a READ's answer
 * @hold:	timer of `hold`
 * @held:	kept back by a rule
 * @answered:	the reply is queued or sent
 * @replied:	the reply is sent
 */
struct request {
	TAILQ_ENTRY(request) link;
	TAILQ_ENTRY(request) batch_link;
	struct conn *conn;
	uint64_t cookie;
	uint64_t offset;
	uint32_t len;
	uint16_t type;
	uint16_t flags;
	struct effects fx;
	uint32_t error;
	uint8_t *data;
	struct timer *hold;
	bool held;
	bool answered;
	bool replied;
};

#define FLAG_FUA	(NBD_CMD_FLAG_FUA >> 16)
#define FLAG_NO_HOLE	(NBD_CMD_FLAG_NO_HOLE >> 16)

const char *request_type_name(uint16_t type);

/* audit.c: count what @req is and what is wrong with it; before it is queued. */
void audit_request(const struct request *req);
/* Check the payload of a WRITE against the pattern. */
void audit_payload(const struct request *req, const uint8_t *payload);

/* execute.c: do what @req asks, with @payload for a WRITE; sets error and data. */
void execute(struct request *req, const uint8_t *payload);

/* answer.c: send the reply of @req with its effects; @req is gone when it was sent. */
void answer(struct request *req);
/* Send one chunk of those that `split` makes of it; @req is gone when the last was sent. */
void answer_part(struct request *req, unsigned int part);
/* Drop @req, answered or not. Its memory stays until the events at hand are served. */
void request_free(struct request *req);

#endif /* NBD_TEST_REQUEST_H */
