// SPDX-License-Identifier: GPL-2.0
/* Sending requests: what goes into one message, and who sends it when. */
#include <linux/blk-mq.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/prio.h>
#include <linux/socket.h>
#include "conn.h"
#include "later.h"
#include "order.h"
#include "parts.h"
#include "queue.h"
#include "stream.h"
#include "trace.h"

/* What is worth sending now: so many requests, or so many bytes. */
#define NBD_FULL_BATCH		32
#define NBD_FULL_BYTES		(256 << 10)
/* Messages that a submitter sends, for others too, before it may go on with its own work. */
#define NBD_TX_BUDGET		8
/* How long a request that remained alone is remembered. */
#define NBD_LONE_MEMORY		64
/* Headers of one sendmsg(). */
#define NBD_TX_HEADERS		(PAGE_SIZE / sizeof(struct nbd_request))

/**
 * struct nbd_gather - the segments of one sendmsg()
 * @vec:	conn->tx_vec
 * @nr:		used entries
 * @bytes:	in them
 * @skip:	bytes that the socket already has of what comes next
 * @headers:	conn->tx_headers
 * @nr_headers:	used ones
 * @mixed:	of long writes one part at most, and no bytes beyond @room
 * @room:	bytes; 0 keeps long writes out
 */
struct nbd_gather {
	struct bio_vec *vec;
	struct nbd_request *headers;
	unsigned int nr_headers;
	unsigned int nr;
	size_t bytes;
	size_t skip;
	bool mixed;
	size_t room;
};

/* Whether the segment goes on where the last one ends, and has become part of it. */
static bool gather_extend(struct nbd_gather *g, struct page *page, unsigned int offset,
			  unsigned int len)
{
	struct bio_vec *last;

	if (!g->nr)
		return false;
	last = &g->vec[g->nr - 1];
	if (last->bv_page != page || last->bv_offset + last->bv_len != offset)
		return false;
	last->bv_len += len;
	return true;
}

/* False if there is no room left. */
static bool gather_add(struct nbd_gather *g, struct page *page, unsigned int offset,
		       unsigned int len)
{
	if (g->skip >= len) {
		g->skip -= len;
		return true;
	}
	offset += g->skip;
	len -= g->skip;
	if (!gather_extend(g, page, offset, len)) {
		if (g->nr == NBD_TX_VECS)
			return false;
		bvec_set_page(&g->vec[g->nr++], page, len, offset);
	}
	g->bytes += len;
	g->skip = 0;
	return true;
}

/*
 * Requests are in memory of the block layer's whose pages nobody may take references to:
 * whoever drops the last one frees them. A layer below that keeps what it is given would do
 * that, so it is not given any of it.
 */
static bool gather_header(struct nbd_gather *g, const struct nbd_cmd *cmd, unsigned int part)
{
	struct nbd_request *copy = &g->headers[g->nr_headers];

	if (g->nr_headers == NBD_TX_HEADERS)
		return false;
	g->nr_headers++;
	nbd_parts_encode(cmd, part, copy);
	return gather_add(g, virt_to_page(copy), offset_in_page(copy), sizeof(*copy));
}

/* Bytes of @cmd that may be added: of a long write between others what there is room for. */
static size_t gather_room(const struct nbd_gather *g, const struct nbd_cmd *cmd)
{
	if (!g->mixed || !nbd_is_long(cmd))
		return S32_MAX;
	return g->bytes < g->room ? g->room - g->bytes : 0;
}

/* As gather_add(), as far as there is room; false if that is not all. */
static bool gather_payload(struct nbd_gather *g, const struct nbd_cmd *cmd, struct page *page,
			   unsigned int offset, unsigned int len)
{
	size_t room = gather_room(g, cmd);
	unsigned int fits = min_t(size_t, len, g->skip + room);

	return room && gather_add(g, page, offset, fits) && fits == len;
}

/* The payload of a part: @len bytes from @from on. */
static bool gather_range(struct nbd_gather *g, struct nbd_cmd *cmd, u32 from, u32 len)
{
	struct req_iterator iter;
	struct bio_vec bv;
	u32 step;

	rq_for_each_bvec(bv, nbd_cmd_rq(cmd), iter) {
		/* The iterator goes on by the length of @bv, which must stay as it is. */
		if (from >= bv.bv_len) {
			from -= bv.bv_len;
			continue;
		}
		step = min(bv.bv_len - from, len);
		if (!gather_payload(g, cmd, bv.bv_page, bv.bv_offset + from, step))
			return false;
		from = 0;
		len -= step;
		if (!len)
			break;
	}
	return true;
}

static bool gather_part(struct nbd_gather *g, struct nbd_cmd *cmd, unsigned int part)
{
	/* A header that no payload follows would keep others from going before it. */
	if (!gather_room(g, cmd))
		return false;
	if (!gather_header(g, cmd, part))
		return false;
	return !cmd->is_write ||
	       gather_range(g, cmd, part * cmd->part, nbd_part_len(cmd, part));
}

/* Some parts of a command that is divided; false if others are left. */
static bool gather_parts(struct nbd_gather *g, struct nbd_cmd *cmd)
{
	unsigned int part, nr = nbd_parts(cmd);

	for (part = cmd->nr_sent; part < nr; part++) {
		if (!gather_part(g, cmd, part))
			return false;
		/* From here on a reply to it is possible. */
		nbd_parts_offer(cmd, part + 1);
		if (g->mixed)
			return part + 1 == nr;
	}
	return true;
}

/* False if not all of the command found room. */
static bool gather_cmd(struct nbd_gather *g, struct nbd_cmd *cmd)
{
	if (unlikely(cmd->part))
		return gather_parts(g, cmd);
	if (!gather_part(g, cmd, 0))
		return false;
	/* As above. */
	if (!atomic_read(&cmd->phase))
		atomic_set(&cmd->phase, NBD_PHASE_OFFERED);
	return true;
}

/* Fills @g from the sending list; true if something of it found no room. */
static bool xmit_gather(struct nbd_conn *conn, struct nbd_gather *g)
{
	struct nbd_cmd *cmd;

	list_for_each_entry(cmd, &conn->sending, node)
		if (!gather_cmd(g, cmd))
			return true;
	return false;
}

static void xmit_trace_sent(struct nbd_cmd *cmd)
{
	trace_nbd_header_sent(nbd_cmd_rq(cmd), cmd->cookie);
	if (cmd->is_write)
		trace_nbd_payload_sent(nbd_cmd_rq(cmd), cmd->cookie);
}

/* The first command of the sending list, or what was left of it, is in the socket. */
static void xmit_part_sent(struct nbd_conn *conn, struct nbd_cmd *cmd)
{
	conn->tx_off = 0;
	if (nbd_parts_next(cmd))
		return;
	list_del_init(&cmd->node);
	xmit_trace_sent(cmd);
	nbd_cmd_release(cmd, NBD_PHASE_SENT, NULL);
}

/* The socket took @bytes from the front of the sending list. */
static void xmit_advance(struct nbd_conn *conn, size_t bytes)
{
	struct nbd_cmd *cmd;
	size_t step;

	while (bytes) {
		cmd = list_first_entry(&conn->sending, struct nbd_cmd, node);
		step = min(bytes, nbd_part_wire_len(cmd) - conn->tx_off);
		nbd_order_note_sent(conn, cmd, step);
		bytes -= step;
		conn->tx_off += step;
		if (conn->tx_off == nbd_part_wire_len(cmd))
			xmit_part_sent(conn, cmd);
	}
}

/* With @wait for the socket's lock; else -EALREADY if somebody has it. */
static int xmit_sendmsg(struct nbd_conn *conn, const struct iov_iter *iter, bool more, bool wait)
{
	struct msghdr msg = {
		.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0),
	};
	unsigned int noreclaim;
	int ret;

	msg.msg_iter = *iter;
	noreclaim = memalloc_noreclaim_save();
	ret = nbd_socket_send(&conn->socket, &msg, wait);
	memalloc_noreclaim_restore(noreclaim);
	return ret;
}

static void xmit_take_pending(struct nbd_conn *conn)
{
	LIST_HEAD(cmds);
	bool has_long;

	spin_lock_bh(&conn->lock);
	list_splice_init(&conn->pending, &cmds);
	has_long = conn->nr_long;
	WRITE_ONCE(conn->nr_pending, 0);
	WRITE_ONCE(conn->pending_bytes, 0);
	spin_unlock_bh(&conn->lock);
	if (unlikely(has_long))
		nbd_order_add(conn, &cmds);
	else
		nbd_order_add_short(conn, &cmds);
}

static void xmit_queue(struct nbd_conn *conn)
{
	if (nbd_order_takes_share(conn))
		queue_work(nbd_bulk_wq, &conn->tx_bulk);
	else
		queue_work(nbd_wq, &conn->tx_work);
}

/* What can be sent is left to a work. */
static void xmit_leave(struct nbd_conn *conn)
{
	lockdep_assert_held(&conn->tx_mutex);

	WRITE_ONCE(conn->tx_left, true);
	xmit_queue(conn);
}

/* The socket took less than it was offered: the rest cannot be answered yet. */
static void xmit_short(struct nbd_conn *conn)
{
	if (!nbd_conn_unoffer(conn))
		nbd_conn_kill(conn, -EPROTO,
			      "protocol violation: reply to a request that was not sent yet");
}

/* There is no room for more. False if there is by now; else the socket says when. */
static bool xmit_wait_for_room(struct nbd_conn *conn)
{
	/* Before the socket can have a reason to call back. */
	WRITE_ONCE(conn->tx_blocked, true);
	if (nbd_socket_wants_room(conn))
		return true;
	WRITE_ONCE(conn->tx_blocked, false);
	return false;
}

static void xmit_failed(struct nbd_conn *conn, int err)
{
	if (err == -EBUSY)
		nbd_conn_kill(conn, err, "somebody else used its socket");
	else
		nbd_conn_kill(conn, err ?: -EPIPE, "cannot send (error %d)", -err);
}

/*
 * Whether the task at hand comes before ordinary ones, so that its requests must not wait
 * for a thread that is one. Most of the kernel's own are to come before all others, whose
 * requests they submit.
 */
static bool submitter_is_urgent(void)
{
	return current->prio < (current->flags & PF_KTHREAD ? MAX_RT_PRIO : DEFAULT_PRIO);
}

/*
 * Sends until nothing is left, the socket is full, or @budget is spent, and the rest is left
 * to a work; so are, unless it is to send @all, long writes between short requests. tx_mutex is
 * held, by who may @wait for the socket's lock or by who leaves that to tx_wait.
 */
static void xmit_run(struct nbd_conn *conn, bool wait, bool all, unsigned int *budget)
{
	struct iov_iter iter;
	struct nbd_gather g;
	bool more;
	int ret;

	lockdep_assert_held(&conn->tx_mutex);

	WRITE_ONCE(conn->tx_left, false);
	while (!conn->tx_closed) {
		if (READ_ONCE(conn->nr_pending))
			xmit_take_pending(conn);
		nbd_order_arrange(conn);
		if (list_empty(&conn->sending))
			return;
		if (!wait && conn->socket.stream->patient) {
			queue_work(nbd_lock_wq, &conn->tx_wait);
			return;
		}
		if (!*budget) {
			xmit_leave(conn);
			return;
		}
		(*budget)--;

		g = (struct nbd_gather){ .vec = conn->tx_vec, .headers = conn->tx_headers,
					 .skip = conn->tx_off,
					 .mixed = conn->overtakable && nbd_order_is_mixed(conn) };
		if (g.mixed && all)
			g.room = nbd_socket_room(conn);
		/* What did not fit comes at once, unless it has to wait for room. */
		more = xmit_gather(conn, &g) && !g.mixed;
		if (!g.bytes && !all) {
			/* Who is told of room goes on then. */
			if (READ_ONCE(conn->tx_blocked))
				return;
			if (nbd_socket_room(conn)) {
				xmit_queue(conn);
				return;
			}
		}
		if (!g.bytes) {
			if (xmit_wait_for_room(conn))
				return;
			continue;
		}
		/* Before the socket can have a reason to call back. */
		WRITE_ONCE(conn->tx_blocked, true);
		iov_iter_bvec(&iter, ITER_SOURCE, g.vec, g.nr, g.bytes);
		ret = xmit_sendmsg(conn, &iter, more, wait);
		if (ret == -EAGAIN) {
			xmit_short(conn);
			return;
		}
		WRITE_ONCE(conn->tx_blocked, false);
		if (ret == -EALREADY) {
			xmit_short(conn);
			queue_work(nbd_lock_wq, &conn->tx_wait);
			return;
		}
		if (ret <= 0) {
			xmit_failed(conn, ret);
			return;
		}
		xmit_advance(conn, ret);
		if (ret < g.bytes)
			xmit_short(conn);
	}
}

/* xmit_run(), also for what comes meanwhile; if somebody else sends he does that. */
static void xmit_flush(struct nbd_conn *conn, bool all)
{
	unsigned int budget = NBD_TX_BUDGET;

	do {
		/*
		 * Whoever holds the mutex looks at the list again after dropping it; the
		 * barriers order our addition against that look.
		 */
		smp_mb();
		if (!mutex_trylock(&conn->tx_mutex))
			return;
		xmit_run(conn, false, all, &budget);
		mutex_unlock(&conn->tx_mutex);
		/* See above. */
		smp_mb();
	} while (READ_ONCE(conn->nr_pending) && !READ_ONCE(conn->tx_blocked) &&
		 !READ_ONCE(conn->tx_left) && READ_ONCE(conn->state) == NBD_LIFE_RUNNING);
}

void nbd_conn_flush(struct nbd_conn *conn)
{
	xmit_flush(conn, submitter_is_urgent());
}

/* A work's turn to send. */
static void xmit_go_on(struct nbd_conn *conn)
{
	unsigned int budget = NBD_TX_BUDGET;

	/* Who has the mutex may have been told that the socket is full before there was space. */
	if (mutex_trylock(&conn->tx_mutex)) {
		xmit_run(conn, false, true, &budget);
		mutex_unlock(&conn->tx_mutex);
		xmit_flush(conn, true);
	} else {
		queue_work(nbd_lock_wq, &conn->tx_wait);
	}
}

void nbd_xmit_work(struct work_struct *work)
{
	xmit_go_on(container_of(work, struct nbd_conn, tx_work));
}

void nbd_xmit_bulk_work(struct work_struct *work)
{
	xmit_go_on(container_of(work, struct nbd_conn, tx_bulk));
}

void nbd_xmit_wait_work(struct work_struct *work)
{
	struct nbd_conn *conn = container_of(work, struct nbd_conn, tx_wait);
	unsigned int budget = NBD_TX_BUDGET;

	mutex_lock(&conn->tx_mutex);
	xmit_run(conn, true, true, &budget);
	mutex_unlock(&conn->tx_mutex);
	/*
	 * While we had the mutex nobody else could send, and room may have been told of: the
	 * barrier orders our dropping it against that look. Without room the socket will call,
	 * and a patient stream, whose rest comes back to this work, must not try until then.
	 */
	smp_mb();
	if (!READ_ONCE(conn->tx_blocked))
		xmit_flush(conn, true);
}

/* The submitter sleeps, or has had its share, or there is room: send what was put off. */
void nbd_xmit_put_off(struct nbd_later *later)
{
	struct nbd_conn *conn = container_of(later, struct nbd_conn, tx_later);

	if (READ_ONCE(conn->nr_pending) == 1 && READ_ONCE(conn->inflight) == 1)
		WRITE_ONCE(conn->burst.lone, NBD_LONE_MEMORY);
	nbd_conn_flush(conn);
	nbd_conn_put(conn);
}

/* Notes a request of this task's; false if it is one that waits for each reply. */
static bool burst_note(struct nbd_conn *conn)
{
	struct nbd_burst *burst = &conn->burst;
	unsigned int now = READ_ONCE(burst->now);
	unsigned int before = READ_ONCE(burst->before);
	unsigned int lone = READ_ONCE(burst->lone);
	bool alone = READ_ONCE(conn->inflight) == 1;

	if (READ_ONCE(burst->task) != current || READ_ONCE(burst->slept) != current->nvcsw) {
		WRITE_ONCE(burst->task, current);
		WRITE_ONCE(burst->slept, current->nvcsw);
		before = now;
		now = 0;
	} else if (alone && READ_ONCE(burst->preempted) == current->nivcsw) {
		/* It polls for the reply on a CPU of its own. */
		before = 0;
		now = 0;
	}
	now++;
	WRITE_ONCE(burst->preempted, current->nivcsw);
	WRITE_ONCE(burst->before, before);
	WRITE_ONCE(burst->now, now);
	if (lone && alone) {
		WRITE_ONCE(burst->lone, lone - 1);
		return false;
	}
	return now > 1 || before >= NBD_BUSY;
}

static bool xmit_batch_full(struct nbd_conn *conn)
{
	return READ_ONCE(conn->nr_pending) >= NBD_FULL_BATCH ||
	       READ_ONCE(conn->pending_bytes) >= NBD_FULL_BYTES;
}

void nbd_xmit_ready(struct nbd_conn *conn)
{
	struct nbd_later_queue *queue = nbd_later_queue();

	if (conn->socket.stream->patient && queue && !READ_ONCE(conn->burst.urgent))
		nbd_conn_put_off(conn, &conn->tx_later, queue);
	else
		xmit_queue(conn);
}

void nbd_conn_submit(struct nbd_conn *conn, bool more)
{
	struct nbd_later_queue *queue = nbd_later_queue();
	bool burst = more || burst_note(conn), urgent = submitter_is_urgent();

	/*
	 * Also of a patient stream, although a work sends: one that is queued for each request
	 * preempts the submitter, and sends that one alone.
	 */
	if (READ_ONCE(conn->burst.urgent) != urgent)
		WRITE_ONCE(conn->burst.urgent, urgent);
	if (queue && !urgent && !xmit_batch_full(conn) &&
	    (burst || nbd_order_is_busy(conn)))
		nbd_conn_put_off(conn, &conn->tx_later, queue);
	else
		xmit_flush(conn, urgent);
}

bool nbd_conn_close(struct nbd_conn *conn)
{
	bool at_boundary;

	mutex_lock(&conn->tx_mutex);
	at_boundary = !conn->tx_closed && !conn->tx_off;
	conn->tx_closed = true;
	mutex_unlock(&conn->tx_mutex);
	return at_boundary;
}

bool nbd_conn_say(struct nbd_conn *conn, u16 type)
{
	struct nbd_request *request = &conn->last_words;
	struct kvec vec = { .iov_base = request, .iov_len = sizeof(*request) };
	struct iov_iter iter;
	bool said;

	nbd_wire_encode(request, type, 0, nbd_cookie(type, conn->session->nr_table), 0, 0);
	iov_iter_kvec(&iter, ITER_SOURCE, &vec, 1, sizeof(*request));
	mutex_lock(&conn->tx_mutex);
	said = xmit_sendmsg(conn, &iter, false, true) == sizeof(*request);
	mutex_unlock(&conn->tx_mutex);
	return said;
}
