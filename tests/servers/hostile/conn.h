/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A connection of the hostile server: its input buffer, its output queue and
 * the ways in which it can end. What the bytes mean is the business of
 * handshake.c and transmit.c, which take the input through conn->parse.
 */
#ifndef NBD_TEST_CONN_H
#define NBD_TEST_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "loop.h"

/**
 * enum ending - what happens to a connection at a chosen byte
 * @END_NONE:	nothing
 * @END_FIN:	the server's last byte was sent; input is read and thrown away
 * @END_RST:	reset (TCP), or closed at once (AF_UNIX)
 * @END_HALF:	as END_FIN, but requests go on being executed, unanswered
 * @END_STALL:	nothing more is sent until conn_resume()
 * @END_OOB:	one byte of out-of-band data, then on
 * @END_SCM:	one file descriptor is passed along with the next byte, then on
 */
enum ending {
	END_NONE,
	END_FIN,
	END_RST,
	END_HALF,
	END_STALL,
	END_OOB,
	END_SCM,
};

extern const char *const ending_names[];

struct conn;
struct request;

/**
 * struct out - one message on its way to the client
 * @data:	malloced bytes, owned
 * @len:	their number
 * @off:	how many the socket has taken
 * @stop_at:	do @ending when that many are sent; SIZE_MAX never
 * @ending:	see above
 * @piece:	bytes sent at a time; 0: all that the socket takes
 * @pause_ns:	between the pieces
 * @sent:	called when the last byte was taken by the socket; may be NULL
 * @arg:	for @sent
 */
struct out {
	TAILQ_ENTRY(out) link;
	uint8_t *data;
	size_t len;
	size_t off;
	size_t stop_at;
	enum ending ending;
	size_t piece;
	uint64_t pause_ns;
	void (*sent)(struct conn *conn, void *arg);
	void *arg;
};

TAILQ_HEAD(out_list, out);
TAILQ_HEAD(request_list, request);

/**
 * struct conn - one accepted connection
 * @src:	its socket
 * @link:	list of all connections
 * @id:		ordinal of its accept, from 1
 * @tx_id:	ordinal of its entry into the transmission phase, from 1; 0 before
 * @listener:	which listening address it came in by, from 1
 * @is_unix:	AF_UNIX, not TCP
 * @in:		bytes received and not yet parsed are in[in_pos..in_len)
 * @want:	bytes that parse() needs before it can go on
 * @parse:	consumes one message; false if it needs more input
 * @drained:	called when the output queue has run empty; may be NULL
 * @gone:	called once when the connection has ended; may be NULL
 * @outs:	messages not yet sent
 * @requests:	received and not yet answered, oldest first
 * @reading:	input is taken from the socket
 * @discarding:	input is thrown away unparsed
 * @muted:	answers are not sent any more (END_HALF)
 * @stalled:	output waits for conn_resume()
 * @closed:	the socket is gone, the structure goes at the end of the round
 * @read_max:	bytes taken by one read, 0 any number
 * @read_pause_ns: between two reads
 * @resume_timer: for the pauses of the output
 * @read_timer:	for the pauses of the input
 */
struct conn {
	struct source src;

	TAILQ_ENTRY(conn) link;
	unsigned int id;
	unsigned int tx_id;
	unsigned int listener;
	bool is_unix;

	uint8_t *in;
	size_t in_pos, in_len, in_cap, want;
	bool (*parse)(struct conn *conn);
	void (*drained)(struct conn *conn);
	void (*gone)(struct conn *conn);

	struct out_list outs;
	struct request_list requests;

	bool reading, discarding, muted, stalled, closed;
	size_t read_max;
	uint64_t read_pause_ns;
	struct timer *resume_timer, *read_timer;

	/* owned by handshake.c */
	bool no_zeroes;		/* the client asked to leave them out */
	bool structured;	/* structured replies were agreed on */
	uint64_t hs_sent;	/* bytes sent in the handshake */
	struct hs_rule *hs_cut;	/* ends the handshake's bytes, or NULL */
	struct hs_rule *hs_drip; /* slows them down, or NULL */
	struct flood *flood;	/* what is sent over and over, NULL nothing */

	/* owned by transmit.c */
	struct request *receiving;	/* header seen, payload not yet */
	bool said_goodbye;		/* a DISC came */
	uint64_t last_cookie;		/* of the last answered request */
	struct request_list batch;	/* answers kept back to be reordered */
	unsigned int batch_len;
	struct timer *batch_timer;
};

TAILQ_HEAD(conn_list, conn);
extern struct conn_list conns;

/* Take over the accepted socket @fd. */
struct conn *conn_new(int fd, unsigned int listener, bool is_unix);

/* A message of @len bytes, copied from @data unless that is NULL. */
struct out *out_new(const void *data, size_t len);
/* Queue @out, which now belongs to the connection, and send what can be sent. */
void conn_queue(struct conn *conn, struct out *out);
/* Both at once, for a message without adornments. */
void conn_send(struct conn *conn, const void *data, size_t len);

/* Close the socket; a FIN if all input was read. */
void conn_close(struct conn *conn);
/* End the connection now. */
void conn_end(struct conn *conn, enum ending how);
void conn_resume(struct conn *conn);

/* Stop or go on taking input. */
void conn_set_reading(struct conn *conn, bool reading);

/* Unparsed input: its start and length, and taking @n bytes of it. */
static inline uint8_t *conn_input(struct conn *conn)
{
	return conn->in + conn->in_pos;
}

static inline size_t conn_available(struct conn *conn)
{
	return conn->in_len - conn->in_pos;
}

static inline void conn_consume(struct conn *conn, size_t n)
{
	conn->in_pos += n;
}

/* The connection with that tx_id, or NULL. */
struct conn *conn_by_tx(unsigned int tx_id);
/* The ordinal of the connection that was accepted last. */
unsigned int conn_last_id(void);
/* The connection that entered the transmission phase last, or NULL. */
struct conn *conn_newest(void);

#endif /* NBD_TEST_CONN_H */
