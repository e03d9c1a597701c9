// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "stats.h"

#define IN_MIN		(64 * 1024)

const char *const ending_names[] = {
	"none", "fin", "rst", "half_close", "stall", "oob", "scm", NULL
};

struct conn_list conns = TAILQ_HEAD_INITIALIZER(conns);

static void conn_flush(struct conn *conn);
static void parse_all(struct conn *conn);

static void update_watch(struct conn *conn)
{
	uint32_t events = 0;

	if (conn->closed)
		return;
	if (conn->reading && !conn->read_timer)
		events |= EPOLLIN;
	if (!TAILQ_EMPTY(&conn->outs) && !conn->stalled && !conn->resume_timer)
		events |= EPOLLOUT;
	loop_watch(&conn->src, events);
}

struct out *out_new(const void *data, size_t len)
{
	struct out *out = calloc(1, sizeof(*out));

	if (!out)
		err(1, "out");
	out->data = malloc(len ? len : 1);
	if (!out->data)
		err(1, "out of %zu bytes", len);
	if (data)
		memcpy(out->data, data, len);
	out->len = len;
	out->stop_at = SIZE_MAX;
	return out;
}

static void out_free(struct out *out)
{
	free(out->data);
	free(out);
}

void conn_queue(struct conn *conn, struct out *out)
{
	if (conn->closed || conn->muted || conn->discarding) {
		out_free(out);
		return;
	}
	TAILQ_INSERT_TAIL(&conn->outs, out, link);
	conn_flush(conn);
}

void conn_send(struct conn *conn, const void *data, size_t len)
{
	conn_queue(conn, out_new(data, len));
}

static void conn_free(void *arg)
{
	struct conn *conn = arg;

	free(conn->in);
	free(conn);
}

static void drop_output(struct conn *conn)
{
	struct out *out;

	while ((out = TAILQ_FIRST(&conn->outs))) {
		TAILQ_REMOVE(&conn->outs, out, link);
		out_free(out);
	}
}

void conn_close(struct conn *conn)
{
	if (conn->closed)
		return;
	loop_forget(&conn->src);
	close(conn->src.fd);
	conn->closed = true;
	timer_cancel(conn->resume_timer);
	timer_cancel(conn->read_timer);
	drop_output(conn);
	if (conn->gone)
		conn->gone(conn);
	TAILQ_REMOVE(&conns, conn, link);
	stats.conns--;
	loop_later(conn_free, conn);
}

static void conn_reset(struct conn *conn)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(conn->src.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	conn_close(conn);
}

/* A FIN, not a reset: what still comes in has to be read before the close. */
static void conn_finish(struct conn *conn, bool execute)
{
	shutdown(conn->src.fd, SHUT_WR);
	drop_output(conn);
	conn->muted = execute;
	conn->discarding = !execute;
	conn_set_reading(conn, true);
}

static void send_oob(struct conn *conn)
{
	if (!conn->is_unix)
		send(conn->src.fd, "!", 1, MSG_OOB | MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Pass a descriptor along with the first byte of @out. */
static ssize_t send_scm(struct conn *conn, struct out *out)
{
	struct iovec iov = { .iov_base = out->data + out->off, .iov_len = 1 };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	int fd = 0;

	if (conn->is_unix) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	return sendmsg(conn->src.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void conn_end(struct conn *conn, enum ending how)
{
	if (conn->closed)
		return;
	switch (how) {
	case END_NONE:
	case END_SCM:
		break;
	case END_FIN:
		conn_finish(conn, false);
		break;
	case END_HALF:
		conn_finish(conn, true);
		break;
	case END_RST:
		conn_reset(conn);
		break;
	case END_STALL:
		conn->stalled = true;
		update_watch(conn);
		break;
	case END_OOB:
		send_oob(conn);
		break;
	}
}

void conn_resume(struct conn *conn)
{
	conn->stalled = false;
	conn_set_reading(conn, true);
	conn_flush(conn);
}

void conn_set_reading(struct conn *conn, bool reading)
{
	bool again = reading && !conn->reading;

	conn->reading = reading;
	if (again)
		parse_all(conn);
	update_watch(conn);
}

static void output_pause_over(void *arg)
{
	struct conn *conn = arg;

	conn->resume_timer = NULL;
	conn_flush(conn);
}

/* Bytes of @out that may go out now; 0 if its ending is due first. */
static size_t sendable(const struct out *out)
{
	size_t n = out->len - out->off;

	if (out->stop_at != SIZE_MAX && out->off <= out->stop_at &&
	    n > out->stop_at - out->off)
		n = out->stop_at - out->off;
	if (out->piece && n > out->piece)
		n = out->piece;
	return n;
}

/* The chosen byte is reached. True if sending goes on. */
static bool apply_ending(struct conn *conn, struct out *out)
{
	enum ending how = out->ending;

	out->stop_at = SIZE_MAX;
	if (how == END_SCM && out->off < out->len) {
		ssize_t n = send_scm(conn, out);

		if (n > 0)
			out->off += n;
	}
	conn_end(conn, how);
	return !conn->closed && !conn->stalled && !conn->muted && !conn->discarding;
}

static void out_done(struct conn *conn, struct out *out)
{
	TAILQ_REMOVE(&conn->outs, out, link);
	if (out->sent)
		out->sent(conn, out->arg);
	out_free(out);
}

/* One step of sending. True if another one may follow. */
static bool flush_step(struct conn *conn, struct out *out)
{
	size_t want;
	ssize_t n;

	if (out->off == out->stop_at)
		return apply_ending(conn, out);
	want = sendable(out);
	if (want) {
		n = send(conn->src.fd, out->data + out->off, want,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				conn_close(conn);
			return false;
		}
		out->off += n;
		if (out->pause_ns && out->off < out->len) {
			conn->resume_timer = timer_start(out->pause_ns, output_pause_over, conn);
			return false;
		}
	}
	if (out->off == out->len && out->stop_at != out->off)
		out_done(conn, out);
	return !conn->closed;
}

static void conn_flush(struct conn *conn)
{
	struct out *out;

	if (conn->stalled || conn->resume_timer)
		return;
	while (!conn->closed && (out = TAILQ_FIRST(&conn->outs)))
		if (!flush_step(conn, out))
			break;
	if (conn->closed)
		return;
	if (TAILQ_EMPTY(&conn->outs) && conn->drained)
		conn->drained(conn);
	update_watch(conn);
}

static void input_pause_over(void *arg)
{
	struct conn *conn = arg;

	conn->read_timer = NULL;
	update_watch(conn);
}

/*
 * Room for what the parser waits for, at least for one large read. Returns how much may be
 * read: not all that the buffer once had to hold, or a server that stops reading would have
 * taken a whole request before.
 */
static size_t make_room(struct conn *conn)
{
	size_t left = conn_available(conn);
	size_t need = left + IN_MIN;

	if (conn->want > need)
		need = conn->want;
	if (conn->in_pos) {
		memmove(conn->in, conn_input(conn), left);
		conn->in_pos = 0;
		conn->in_len = left;
	}
	if (need > conn->in_cap) {
		conn->in = realloc(conn->in, need);
		if (!conn->in)
			err(1, "input buffer of %zu bytes", need);
		conn->in_cap = need;
	}
	return need - left;
}

static void parse_all(struct conn *conn)
{
	while (!conn->closed && !conn->discarding && conn->reading)
		if (!conn->parse(conn))
			break;
}

static void conn_read(struct conn *conn)
{
	size_t room;
	ssize_t n;

	room = make_room(conn);
	if (conn->read_max && room > conn->read_max)
		room = conn->read_max;
	n = recv(conn->src.fd, conn->in + conn->in_len, room, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		stats.torn += !conn->discarding && (conn_available(conn) || conn->receiving);
		if (n < 0)
			stats.peer_resets++;
		conn_close(conn);
		return;
	}
	if (conn->discarding)
		return;
	conn->in_len += n;
	if (conn->read_pause_ns)
		conn->read_timer = timer_start(conn->read_pause_ns, input_pause_over, conn);
	parse_all(conn);
	update_watch(conn);
}

static void conn_ready(struct source *src, uint32_t events)
{
	struct conn *conn = (struct conn *)src;	/* src is the first member */

	if (events & EPOLLOUT)
		conn_flush(conn);
	if (!conn->closed && (events & EPOLLIN))
		conn_read(conn);
	if (!conn->closed && (events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLIN)) {
		stats.peer_resets += !!(events & EPOLLERR);
		conn_close(conn);
	}
}

static unsigned int last_id;

unsigned int conn_last_id(void)
{
	return last_id;
}

struct conn *conn_new(int fd, unsigned int listener, bool is_unix)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	int one = 1;

	if (!conn)
		err(1, "connection");
	if (!is_unix)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn->src.fd = fd;
	conn->src.ready = conn_ready;
	conn->id = ++last_id;
	conn->listener = listener;
	conn->is_unix = is_unix;
	conn->reading = true;
	TAILQ_INIT(&conn->outs);
	TAILQ_INIT(&conn->requests);
	TAILQ_INIT(&conn->batch);
	TAILQ_INSERT_TAIL(&conns, conn, link);
	stats.conns++;
	stats.accepted++;
	return conn;
}

struct conn *conn_by_tx(unsigned int tx_id)
{
	struct conn *conn;

	TAILQ_FOREACH(conn, &conns, link)
		if (conn->tx_id == tx_id)
			return conn;
	return NULL;
}

struct conn *conn_newest(void)
{
	struct conn *conn, *newest = NULL;

	TAILQ_FOREACH(conn, &conns, link)
		if (conn->tx_id && (!newest || conn->tx_id > newest->tx_id))
			newest = conn;
	return newest;
}
