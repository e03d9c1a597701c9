// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving: the sources of bytes, which are the TCP receive queue, a staging buffer and,
 * for payload, recvmsg() to where it belongs; and the commands that replies complete. What
 * a reply is, framing.h knows.
 */
#include <linux/blk-mq.h>
#include <linux/sched/mm.h>
#include <linux/skbuff.h>
#include <linux/socket.h>
#include <linux/tcp.h>
#include <net/sock.h>
#include <net/tcp.h>
#include "compat.h"
#include "conn.h"
#include "parts.h"
#include "queue.h"
#include "session.h"
#include "stream.h"
#include "trace.h"

/* Bytes that one run of the receive work takes before it lets others run. */
#define NBD_RX_BUDGET	(4 << 20)
/* Bytes whose requests are completed together: several small ones, or one that is not. */
#define NBD_RX_BATCH	(16 << 10)
/* Copying so much payload twice costs more than a call of recvmsg(). */
#define NBD_RX_APART	2048
/* After so many replies without that the next ones are taken to be without, too. */
#define NBD_RX_APART_MEMORY	3
/* Segments of payload that a header is received together with. */
#define NBD_RX_VECS	8

/**
 * struct nbd_source - received bytes
 * @skb:	where they are, or NULL if they are in @buf
 * @offset:	of the next one
 */
struct nbd_source {
	struct sk_buff *skb;
	const u8 *buf;
	unsigned int offset;
};

static void source_copy(struct nbd_source *src, void *to, unsigned int len)
{
	if (src->skb)
		skb_copy_bits(src->skb, src->offset, to, len);
	else
		memcpy(to, src->buf + src->offset, len);
	src->offset += len;
}

static bool source_copy_iter(struct nbd_source *src, struct iov_iter *to, unsigned int len)
{
	bool good;

	if (src->skb)
		good = !skb_copy_datagram_iter(src->skb, src->offset, to, len);
	else
		good = copy_to_iter(src->buf + src->offset, len, to) == len;
	src->offset += len;
	return good;
}

/* Points rx->iter at the pages of rx->bio. */
static void rx_map_bio(struct nbd_rx *rx)
{
	struct bio *bio = rx->bio;
	struct bvec_iter iter;
	unsigned int nr = 0;
	struct bio_vec bv;

	bio_for_each_bvec(bv, bio, iter)
		nr++;
	iov_iter_bvec(&rx->iter, ITER_DEST, __bvec_iter_bvec(bio->bi_io_vec, bio->bi_iter),
		      nr, bio->bi_iter.bi_size);
	rx->iter.iov_offset = nbd_bvec_offset(&bio->bi_iter);
}

/*
 * Points rx->iter at byte @offset of the request that rx->cmd is, and what is behind it in
 * the same bio; there are several in a merged request.
 */
static void rx_seek(struct nbd_rx *rx, u32 offset)
{
	if (offset < rx->bio_start || !rx->bio) {
		rx->bio = nbd_cmd_rq(rx->cmd)->bio;
		rx->bio_start = 0;
	}
	while (offset - rx->bio_start >= rx->bio->bi_iter.bi_size) {
		rx->bio_start += rx->bio->bi_iter.bi_size;
		rx->bio = rx->bio->bi_next;
	}
	rx_map_bio(rx);
	if (offset > rx->bio_start)
		iov_iter_advance(&rx->iter, offset - rx->bio_start);
}

/* Returns -ESHUTDOWN if the server will not serve on this connection any more. */
static int rx_server_error(struct nbd_conn *conn, struct nbd_cmd *cmd, u32 error)
{
	struct nbd_session *session = conn->session;
	int err = nbd_wire_errno(error);

	WRITE_ONCE(conn->receiving, false);
	atomic64_inc(&session->counters.server_errors);
	if (err == -ESHUTDOWN && nbd_session_can_wait(session, conn)) {
		/* The burial finds it there and has it sent again. */
		nbd_conn_give_back(conn, cmd);
		nbd_conn_kill(conn, err, "server is shutting down");
		return err;
	}
	cmd->status = nbd_status_from_errno(err);
	/* An error that came in a chunk was reported then. */
	if (!cmd->cover.error)
		nbd_session_report_error(session, cmd, error, NULL);
	/* Or else it stays in the table. */
	if (nbd_parts_answered(cmd))
		nbd_cmd_release(cmd, NBD_PHASE_REPLIED, conn->rx.batch);
	return 0;
}

/* NBD_STEP_FINISH. */
static int rx_finish(struct nbd_conn *conn)
{
	struct nbd_rx *rx = &conn->rx;
	struct nbd_cmd *cmd = rx->cmd;
	u32 error = rx->framing.reply.error;

	rx->cmd = NULL;
	if (error)
		return rx_server_error(conn, cmd, error);
	if (unlikely(!nbd_parts_answered(cmd)))
		return 0;
	if (cmd->is_read && cmd->len >= NBD_RX_APART)
		rx->apart = NBD_RX_APART_MEMORY;
	else if (rx->apart)
		rx->apart--;
	WRITE_ONCE(conn->receiving, false);
	if (cmd->is_read)
		trace_nbd_payload_received(nbd_cmd_rq(cmd), cmd->cookie);
	nbd_session_account_reply(conn, cmd);
	nbd_cmd_release(cmd, NBD_PHASE_REPLIED, rx->batch);
	return 0;
}

/* NBD_STEP_SUSPEND: the command waits for more chunks as it did for the first. */
static int rx_suspend(struct nbd_conn *conn)
{
	nbd_conn_give_back(conn, conn->rx.cmd);
	conn->rx.cmd = NULL;
	WRITE_ONCE(conn->receiving, false);
	return 0;
}

/* NBD_STEP_ZERO. */
static void rx_zero(struct nbd_rx *rx)
{
	u32 at = rx->framing.offset, left = rx->framing.hole, n;

	for (; left; at += n, left -= n) {
		rx_seek(rx, at);
		n = min_t(size_t, left, iov_iter_count(&rx->iter));
		iov_iter_zero(n, &rx->iter);
	}
}

/* NBD_STEP_ERROR: of several, the first one is told. What is sent again has met none. */
static void rx_chunk_error(struct nbd_conn *conn)
{
	const struct nbd_framing_error *told = &conn->rx.framing.error;
	struct nbd_cmd *cmd = conn->rx.cmd;
	int err = nbd_wire_errno(told->number);

	if (cmd->status != BLK_STS_OK ||
	    (err == -ESHUTDOWN && nbd_session_can_wait(conn->session, conn)))
		return;
	cmd->status = nbd_status_from_errno(err);
	nbd_session_report_error(conn->session, cmd, told->number, told);
}

/* NBD_STEP_LOOK_UP: the next step, or -EPROTO. */
static int rx_look_up(struct nbd_conn *conn)
{
	struct nbd_rx *rx = &conn->rx;
	u64 cookie = rx->framing.reply.cookie;
	struct nbd_cmd *cmd = nbd_conn_take(conn, cookie);

	if (!cmd) {
		nbd_conn_kill(conn, -EPROTO,
			      "protocol violation: reply to no outstanding request (cookie %#llx)",
			      cookie);
		return -EPROTO;
	}
	if (nbd_framing_is_last(&rx->framing)) {
		WRITE_ONCE(conn->replies, conn->replies + 1);
		trace_nbd_header_received(nbd_cmd_rq(cmd), cmd->cookie);
	}
	rx->cmd = cmd;
	rx->bio = NULL;
	if (nbd_framing_is_chunk(&rx->framing))
		return nbd_framing_expect_chunk(&rx->framing, be64_to_cpu(cmd->header.from),
						cmd->is_read ? cmd->len : 0, &cmd->cover);
	return nbd_framing_expect(&rx->framing, cmd->is_read ? cmd->len : 0);
}

/* The rest of a header need not be waited for when no reply can have begun. */
static int rx_read_on(struct nbd_conn *conn)
{
	struct nbd_rx *rx = &conn->rx;

	if (nbd_framing_in_payload(&rx->framing)) {
		if (!rx->bio || !iov_iter_count(&rx->iter)) {
			rx_seek(rx, rx->framing.offset);
			/* A chunk may end before that does. */
			iov_iter_truncate(&rx->iter, rx->framing.left);
		}
		return 0;
	}
	/* The command of a chunk that is being read is in no table. */
	if (READ_ONCE(conn->inflight) || rx->cmd)
		return 0;
	nbd_conn_kill(conn, -EPROTO, "protocol violation: data while no request is outstanding");
	return -EPROTO;
}

static int rx_give_up(struct nbd_conn *conn)
{
	nbd_conn_kill(conn, -EPROTO, "protocol violation: %s",
		      nbd_verdict_text(conn->rx.framing.verdict));
	return -EPROTO;
}

/* @len bytes are where they belong. Negative if the connection is dead. */
static int rx_advance(struct nbd_conn *conn, unsigned int len)
{
	int step = nbd_framing_advance(&conn->rx.framing, len);

	if (step == NBD_STEP_LOOK_UP)
		step = rx_look_up(conn);
	if (step == NBD_STEP_ZERO || step == NBD_STEP_ERROR) {
		if (step == NBD_STEP_ZERO)
			rx_zero(&conn->rx);
		else
			rx_chunk_error(conn);
		step = nbd_framing_proceed(&conn->rx.framing);
	}
	switch (step) {
	case NBD_STEP_READ:
		return rx_read_on(conn);
	case NBD_STEP_SUSPEND:
		return rx_suspend(conn);
	case NBD_STEP_FINISH:
		return rx_finish(conn);
	case NBD_STEP_GIVE_UP:
		return rx_give_up(conn);
	default:
		return step;
	}
}

/* Takes bytes of one part or header, at most @len, to where they belong: how many, or -EIO. */
static int rx_take(struct nbd_conn *conn, struct nbd_source *src, unsigned int len)
{
	struct nbd_rx *rx = &conn->rx;

	if (!nbd_framing_in_payload(&rx->framing)) {
		len = min_t(unsigned int, len, nbd_framing_wanted(&rx->framing));
		source_copy(src, nbd_framing_head(&rx->framing), len);
		return len;
	}
	len = min_t(size_t, len, iov_iter_count(&rx->iter));
	if (!source_copy_iter(src, &rx->iter, len)) {
		nbd_conn_kill(conn, -EIO, "received payload cannot be copied");
		return -EIO;
	}
	return len;
}

/* Consumes @len bytes. Negative if the connection is dead. */
static int nbd_recv_bytes(struct nbd_conn *conn, struct nbd_source *src, unsigned int len)
{
	unsigned int end = src->offset + len;
	struct nbd_rx *rx = &conn->rx;
	int ret;

	while (src->offset < end) {
		ret = rx_take(conn, src, end - src->offset);
		if (ret > 0)
			ret = rx_advance(conn, ret);
		if (ret)
			return ret;
		src->offset -= nbd_framing_unread(&rx->framing);
	}
	return 0;
}

static int nbd_tcp_actor(read_descriptor_t *desc, struct sk_buff *skb, unsigned int offset,
			 size_t len)
{
	struct nbd_conn *conn = desc->arg.data;
	struct nbd_source src = { .skb = skb, .offset = offset };
	int err;

	err = nbd_recv_bytes(conn, &src, len);
	if (err) {
		desc->count = 0;
		return err;
	}
	return len;
}

void nbd_recv_tcp(struct nbd_conn *conn)
{
	struct sock *sk = conn->socket.sock->sk;
	read_descriptor_t desc = { .arg.data = conn, .count = 1 };
	DEFINE_IO_COMP_BATCH(batch);

	if (READ_ONCE(conn->state) != NBD_LIFE_RUNNING)
		return;
	conn->rx.batch = &batch;
	tcp_read_sock(sk, &desc, nbd_tcp_actor);
	conn->rx.batch = NULL;
	nbd_batch_complete(&batch);
	if (unlikely(tcp_sk(sk)->urg_data))
		nbd_conn_kill(conn, -EPROTO, "protocol violation: urgent data");
}

/* The first look at a TCP socket, for what came before the callbacks were hooked. */
void nbd_recv_queue(struct nbd_conn *conn)
{
	struct sock *sk = conn->socket.sock->sk;

	lock_sock(sk);
	local_bh_disable();
	nbd_recv_tcp(conn);
	if (sk->sk_state != TCP_ESTABLISHED)
		nbd_conn_kill(conn, -EPIPE, "connection closed");
	local_bh_enable();
	release_sock(sk);
}

/* As recvmsg(), without waiting. */
static int recv_some(struct nbd_conn *conn, struct iov_iter *iter)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	unsigned int noreclaim;
	int ret;

	msg.msg_iter = *iter;
	noreclaim = memalloc_noreclaim_save();
	ret = nbd_socket_recv(&conn->socket, &msg);
	memalloc_noreclaim_restore(noreclaim);
	return ret;
}

/*
 * Points @iter, which has few segments, at one more: at @len bytes at @header, behind what is
 * there. @vec has room for all of them.
 */
static void iter_add_header(struct iov_iter *iter, struct bio_vec *vec, void *header,
			    unsigned int len)
{
	size_t skip = iter->iov_offset, left = iov_iter_count(iter);
	size_t count = left + len;
	const struct bio_vec *from = iter->bvec;
	struct bio_vec *to = vec;

	for (; left; left -= to++->bv_len, from++) {
		bvec_set_page(to, from->bv_page, min(from->bv_len - skip, left),
			      from->bv_offset + skip);
		skip = 0;
	}
	bvec_set_page(to++, virt_to_page(header), len, offset_in_page(header));
	iov_iter_bvec(iter, ITER_DEST, vec, to - vec, count);
}

/* Payload goes straight to its pages; with its end comes the next header, if it is there. */
static int recv_payload_direct(struct nbd_conn *conn)
{
	struct nbd_source src = { .buf = conn->rx_buf };
	struct bio_vec vec[NBD_RX_VECS + 1];
	struct nbd_rx *rx = &conn->rx;
	struct iov_iter iter = rx->iter;
	size_t payload;
	int ret, err;

	if (iov_iter_count(&iter) == rx->framing.left && iter.nr_segs <= NBD_RX_VECS)
		iter_add_header(&iter, vec, conn->rx_buf,
				nbd_framing_header_size(&rx->framing));
	ret = recv_some(conn, &iter);
	if (ret <= 0)
		return ret;
	payload = min_t(size_t, ret, iov_iter_count(&rx->iter));
	iov_iter_advance(&rx->iter, payload);
	err = rx_advance(conn, payload);
	if (!err)
		err = nbd_recv_bytes(conn, &src, ret - payload);
	return err ?: ret;
}

/* Up to where payload may begin; a header that is begun is received to its end. */
static size_t rx_header_left(const struct nbd_framing *f)
{
	return f->left == NBD_REPLY_SIZE ? nbd_framing_header_size(f) : f->left;
}

/*
 * Whatever is there, to the staging buffer; but only a header if the payload that may be
 * behind it is worth a call of its own, which is recv_payload_direct()'s.
 */
static int recv_staged(struct nbd_conn *conn)
{
	size_t len = conn->rx.apart ? rx_header_left(&conn->rx.framing) : NBD_RX_BUF;
	struct kvec vec = { .iov_base = conn->rx_buf, .iov_len = len };
	struct nbd_source src = { .buf = conn->rx_buf };
	struct iov_iter iter;
	int ret, err;

	iov_iter_kvec(&iter, ITER_DEST, &vec, 1, len);
	ret = recv_some(conn, &iter);
	if (ret <= 0)
		return ret;
	err = nbd_recv_bytes(conn, &src, ret);
	return err ?: ret;
}

/*
 * Whether another look may find something. What comes later, the end included, is told by
 * a callback, and the work runs once more.
 */
static bool recv_more(struct nbd_conn *conn)
{
	struct sock *sk = conn->socket.sock->sk;

	return conn->socket.stream->readable(sk) ||
	       READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN || READ_ONCE(sk->sk_err);
}

/* Receives until the socket is empty, dead, or the budget is used up. */
void nbd_recv_messages(struct nbd_conn *conn)
{
	DEFINE_IO_COMP_BATCH(batch);
	int budget = NBD_RX_BUDGET, held_back = 0;
	struct nbd_rx *rx = &conn->rx;
	int ret;

	rx->batch = &batch;
	do {
		if (nbd_framing_in_payload(&rx->framing) &&
		    (rx->apart || rx->framing.left >= NBD_RX_APART))
			ret = recv_payload_direct(conn);
		else
			ret = recv_staged(conn);
		budget -= ret;
		held_back += ret;
		/* Not each by itself, but a full socket's first ones need not wait for its last. */
		if (held_back >= NBD_RX_BATCH) {
			nbd_batch_complete(&batch);
			batch = (struct io_comp_batch){ };
			held_back = 0;
		}
		if (ret > 0 && !recv_more(conn))
			break;
	} while (ret > 0 && budget > 0 && READ_ONCE(conn->state) == NBD_LIFE_RUNNING);
	rx->batch = NULL;
	nbd_batch_complete(&batch);

	if (ret > 0 && budget <= 0)
		nbd_recv_later(conn);
	else if (!ret)
		nbd_conn_kill(conn, -EPIPE, "connection closed");
	else if (ret < 0 && ret != -EAGAIN && ret != -EINTR)
		nbd_conn_kill(conn, ret, "cannot receive (error %d)", -ret);
}

void nbd_recv_later(struct nbd_conn *conn)
{
	queue_work(conn->socket.stream->locked ? nbd_lock_wq : nbd_wq, &conn->rx_work);
}

void nbd_recv_put_off(struct nbd_later *later)
{
	struct nbd_conn *conn = container_of(later, struct nbd_conn, rx_later);

	spin_lock_bh(&conn->lock);
	if (conn->state == NBD_LIFE_RUNNING)
		nbd_recv_later(conn);
	spin_unlock_bh(&conn->lock);
	nbd_conn_put(conn);
}

void nbd_recv_ready(struct nbd_conn *conn)
{
	struct nbd_later_queue *queue = nbd_later_queue();

	if (conn->socket.stream->patient && queue && !READ_ONCE(conn->burst.urgent) &&
	    READ_ONCE(conn->inflight) > NBD_BUSY)
		nbd_conn_put_off(conn, &conn->rx_later, queue);
	else
		nbd_recv_later(conn);
}

void nbd_recv_work(struct work_struct *work)
{
	struct nbd_conn *conn = container_of(work, struct nbd_conn, rx_work);

	if (READ_ONCE(conn->state) == NBD_LIFE_RUNNING)
		conn->socket.stream->receive(conn);
}
