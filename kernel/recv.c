// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving replies. One parser, nbd_recv_bytes(), resumes after any byte and is
 * fed from the TCP receive queue or from a staging buffer.
 */
#include <linux/blk-mq.h>
#include <linux/sched/mm.h>
#include <linux/skbuff.h>
#include <linux/socket.h>
#include <linux/tcp.h>
#include <net/sock.h>
#include <net/tcp.h>
#include "conn.h"
#include "queue.h"
#include "session.h"
#include "trace.h"

/* Bytes that one run of the receive work takes before it lets others run. */
#define NBD_RX_BUDGET	(4 << 20)

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
	rx->iter.iov_offset = bio->bi_iter.bi_bvec_done;
}

static void rx_start_payload(struct nbd_rx *rx, struct nbd_cmd *cmd)
{
	rx->cmd = cmd;
	rx->left = cmd->len;
	rx->bio = nbd_cmd_rq(cmd)->bio;
	rx_map_bio(rx);
}

/* Moves on to the next bio of a merged request when one is full. */
static void rx_next_bio(struct nbd_rx *rx)
{
	while (!iov_iter_count(&rx->iter) && rx->bio->bi_next) {
		rx->bio = rx->bio->bi_next;
		rx_map_bio(rx);
	}
}

static void rx_finish(struct nbd_conn *conn, struct nbd_cmd *cmd)
{
	struct nbd_rx *rx = &conn->rx;

	rx->cmd = NULL;
	WRITE_ONCE(conn->receiving, false);
	if (cmd->is_read)
		trace_nbd_payload_received(nbd_cmd_rq(cmd), cmd->cookie);
	nbd_session_account_reply(conn->session, cmd);
	nbd_cmd_release(cmd, NBD_CMD_REPLIED, rx->batch);
}

/* Returns -ESHUTDOWN if the server will not serve on this connection any more. */
static int rx_server_error(struct nbd_conn *conn, struct nbd_cmd *cmd, u32 error)
{
	struct nbd_session *session = conn->session;
	int err = nbd_wire_errno(error);

	WRITE_ONCE(conn->receiving, false);
	atomic64_inc(&session->counters.server_errors);
	if (err == -ESHUTDOWN && nbd_session_can_wait(session)) {
		/* The burial finds it there and has it sent again. */
		nbd_conn_give_back(conn, cmd);
		nbd_conn_kill(conn, err, "server is shutting down");
		return err;
	}
	cmd->status = nbd_status_from_errno(err);
	nbd_session_report_error(session, cmd, error);
	nbd_cmd_release(cmd, NBD_CMD_REPLIED, conn->rx.batch);
	return 0;
}

/* A whole header is in rx->raw. -EPROTO if the stream cannot be trusted any more. */
static int rx_header(struct nbd_conn *conn)
{
	struct nbd_wire_reply reply;
	enum nbd_verdict verdict;
	struct nbd_cmd *cmd;

	verdict = nbd_wire_decode(&conn->rx.header, &reply);
	if (verdict != NBD_REPLY_OK) {
		nbd_conn_kill(conn, -EPROTO, "protocol violation: %s", nbd_verdict_text(verdict));
		return -EPROTO;
	}
	cmd = nbd_conn_take(conn, reply.cookie);
	if (!cmd) {
		nbd_conn_kill(conn, -EPROTO,
			      "protocol violation: reply to no outstanding request (cookie %#llx)",
			      reply.cookie);
		return -EPROTO;
	}
	conn->replies++;
	trace_nbd_header_received(nbd_cmd_rq(cmd), cmd->cookie);
	if (reply.error)
		return rx_server_error(conn, cmd, reply.error);
	if (cmd->is_read)
		rx_start_payload(&conn->rx, cmd);
	else
		rx_finish(conn, cmd);
	return 0;
}

static int rx_payload(struct nbd_conn *conn, struct nbd_source *src, unsigned int len)
{
	struct nbd_rx *rx = &conn->rx;

	len = min_t(size_t, len, iov_iter_count(&rx->iter));
	if (!source_copy_iter(src, &rx->iter, len)) {
		nbd_conn_kill(conn, -EIO, "received payload cannot be copied");
		return -EIO;
	}
	rx->left -= len;
	if (!rx->left)
		rx_finish(conn, rx->cmd);
	else
		rx_next_bio(rx);
	return 0;
}

/* Consumes @len bytes. Negative if the connection is dead. */
static int nbd_recv_bytes(struct nbd_conn *conn, struct nbd_source *src, unsigned int len)
{
	unsigned int end = src->offset + len;
	struct nbd_rx *rx = &conn->rx;
	unsigned int n;
	int err;

	while (src->offset < end) {
		n = end - src->offset;
		if (rx->cmd) {
			err = rx_payload(conn, src, n);
		} else {
			n = min_t(unsigned int, n, NBD_REPLY_SIZE - rx->have);
			source_copy(src, rx->raw + rx->have, n);
			rx->have += n;
			if (rx->have < NBD_REPLY_SIZE)
				return 0;
			rx->have = 0;
			err = rx_header(conn);
		}
		if (err)
			return err;
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

	if (READ_ONCE(conn->state) != NBD_CONN_RUNNING)
		return;
	conn->rx.batch = &batch;
	tcp_read_sock(sk, &desc, nbd_tcp_actor);
	conn->rx.batch = NULL;
	nbd_batch_complete(&batch);
	if (unlikely(tcp_sk(sk)->urg_data))
		nbd_conn_kill(conn, -EPROTO, "protocol violation: urgent data");
}

/* The first look at a TCP socket, for what came before the callbacks were hooked. */
static void recv_tcp_locked(struct nbd_conn *conn)
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

/* Payload that would take most of the staging buffer goes straight to its pages. */
static int recv_payload_direct(struct nbd_conn *conn)
{
	struct nbd_rx *rx = &conn->rx;
	int ret;

	ret = recv_some(conn, &rx->iter);
	if (ret <= 0)
		return ret;
	iov_iter_advance(&rx->iter, ret);
	rx->left -= ret;
	if (!rx->left)
		rx_finish(conn, rx->cmd);
	else
		rx_next_bio(rx);
	return ret;
}

static int recv_staged(struct nbd_conn *conn)
{
	struct kvec vec = { .iov_base = conn->rx_buf, .iov_len = NBD_RX_BUF };
	struct nbd_source src = { .buf = conn->rx_buf };
	struct iov_iter iter;
	int ret, err;

	iov_iter_kvec(&iter, ITER_DEST, &vec, 1, NBD_RX_BUF);
	ret = recv_some(conn, &iter);
	if (ret <= 0)
		return ret;
	err = nbd_recv_bytes(conn, &src, ret);
	return err ?: ret;
}

/* Receives until the socket is empty, dead, or the budget is used up. */
static void recv_stream(struct nbd_conn *conn)
{
	DEFINE_IO_COMP_BATCH(batch);
	int budget = NBD_RX_BUDGET;
	int ret;

	conn->rx.batch = &batch;
	do {
		if (conn->rx.cmd && conn->rx.left >= NBD_RX_BUF / 2)
			ret = recv_payload_direct(conn);
		else
			ret = recv_staged(conn);
		budget -= ret;
		/* A full socket yields batch after batch; do not hold the first one back. */
		if (batch.complete) {
			nbd_batch_complete(&batch);
			batch = (struct io_comp_batch){ };
		}
	} while (ret > 0 && budget > 0 && READ_ONCE(conn->state) == NBD_CONN_RUNNING);
	conn->rx.batch = NULL;
	nbd_batch_complete(&batch);

	if (ret > 0)
		queue_work(nbd_wq, &conn->rx_work);
	else if (!ret)
		nbd_conn_kill(conn, -EPIPE, "connection closed");
	else if (ret != -EAGAIN && ret != -EINTR)
		nbd_conn_kill(conn, ret, "cannot receive (error %d)", -ret);
}

void nbd_recv_work(struct work_struct *work)
{
	struct nbd_conn *conn = container_of(work, struct nbd_conn, rx_work);

	if (READ_ONCE(conn->state) != NBD_CONN_RUNNING)
		return;
	if (conn->socket.is_tcp)
		recv_tcp_locked(conn);
	else
		recv_stream(conn);
}
