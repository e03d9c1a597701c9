// SPDX-License-Identifier: GPL-2.0
#include <linux/blk-mq.h>
#include <linux/kthread.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/socket.h>
#include <uapi/linux/sched/types.h>
#include "conn.h"
#include "queue.h"
#include "trace.h"

/*
 * A connection with that many requests in flight is busy: a request more may wait
 * until the CPU's transmit thread runs, which is when the submitter sleeps.
 */
#define NBD_BUSY_INFLIGHT	4
/* So many are a batch that is worth sending now. */
#define NBD_FULL_BATCH		32

/*
 * The transmit threads. They have the policy SCHED_BATCH, so that waking one does not
 * preempt the submitter, which is likely to submit more; apart from that they get
 * their fair share. Entries are NULL for CPUs that came after the module.
 */
static DEFINE_PER_CPU(struct kthread_worker *, nbd_tx_worker);

/**
 * struct nbd_gather - the segments of one sendmsg()
 * @vec:	conn->tx_vec
 * @nr:		used entries
 * @bytes:	in them
 * @skip:	bytes that the socket already has of what comes next
 */
struct nbd_gather {
	struct bio_vec *vec;
	unsigned int nr;
	size_t bytes;
	size_t skip;
};

/* False if there is no room left. */
static bool gather_add(struct nbd_gather *g, struct page *page, unsigned int offset,
		       unsigned int len)
{
	if (g->skip >= len) {
		g->skip -= len;
		return true;
	}
	if (g->nr == NBD_TX_VECS)
		return false;
	bvec_set_page(&g->vec[g->nr++], page, len - g->skip, offset + g->skip);
	g->bytes += len - g->skip;
	g->skip = 0;
	return true;
}

/* False if not all of the command found room. */
static bool gather_cmd(struct nbd_gather *g, struct nbd_cmd *cmd)
{
	struct nbd_request *header = &cmd->header;
	struct req_iterator iter;
	struct bio_vec bv;

	if (!gather_add(g, virt_to_page(header), offset_in_page(header), sizeof(*header)))
		return false;
	if (!cmd->is_write)
		return true;
	rq_for_each_bvec(bv, nbd_cmd_rq(cmd), iter)
		if (!gather_add(g, bv.bv_page, bv.bv_offset, bv.bv_len))
			return false;
	return true;
}

/* Fills @g from the sending list; true if something of it found no room. */
static bool xmit_gather(struct nbd_conn *conn, struct nbd_gather *g)
{
	struct nbd_cmd *cmd;

	list_for_each_entry(cmd, &conn->sending, node) {
		if (!gather_cmd(g, cmd))
			return true;
		/* From here on a reply to it is possible. */
		if (!atomic_read(&cmd->phase))
			atomic_set(&cmd->phase, NBD_CMD_OFFERED);
	}
	return false;
}

static void xmit_trace_sent(struct nbd_cmd *cmd)
{
	trace_nbd_header_sent(nbd_cmd_rq(cmd), cmd->cookie);
	if (cmd->is_write)
		trace_nbd_payload_sent(nbd_cmd_rq(cmd), cmd->cookie);
}

/* The socket took @bytes from the front of the sending list. */
static void xmit_advance(struct nbd_conn *conn, size_t bytes)
{
	struct nbd_cmd *cmd;
	size_t left;

	while (bytes) {
		cmd = list_first_entry(&conn->sending, struct nbd_cmd, node);
		left = nbd_cmd_wire_len(cmd) - conn->tx_off;
		if (bytes < left) {
			conn->tx_off += bytes;
			return;
		}
		bytes -= left;
		conn->tx_off = 0;
		list_del_init(&cmd->node);
		xmit_trace_sent(cmd);
		nbd_cmd_release(cmd, NBD_CMD_SENT, NULL);
	}
}

static int xmit_sendmsg(struct nbd_conn *conn, struct nbd_gather *g, bool more)
{
	struct msghdr msg = {
		.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0),
	};
	unsigned int noreclaim;
	int ret;

	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, g->vec, g->nr, g->bytes);
	noreclaim = memalloc_noreclaim_save();
	ret = nbd_socket_send(&conn->socket, &msg);
	memalloc_noreclaim_restore(noreclaim);
	return ret;
}

static void xmit_take_pending(struct nbd_conn *conn)
{
	spin_lock_bh(&conn->lock);
	list_splice_tail_init(&conn->pending, &conn->sending);
	conn->nr_pending = 0;
	spin_unlock_bh(&conn->lock);
}

/* The socket took less than it was offered: the rest cannot be answered yet. */
static void xmit_short(struct nbd_conn *conn)
{
	if (!nbd_conn_unoffer(conn))
		nbd_conn_kill(conn, -EPROTO,
			      "protocol violation: reply to a request that was not sent yet");
}

/* Sends until nothing is left or the socket is full. tx_mutex is held. */
static void xmit_run(struct nbd_conn *conn)
{
	struct nbd_gather g;
	bool more;
	int ret;

	lockdep_assert_held(&conn->tx_mutex);

	while (!conn->tx_closed) {
		if (!list_empty_careful(&conn->pending))
			xmit_take_pending(conn);
		if (list_empty(&conn->sending))
			return;

		g = (struct nbd_gather){ .vec = conn->tx_vec, .skip = conn->tx_off };
		more = xmit_gather(conn, &g);
		/* Before the socket can have a reason to call back. */
		WRITE_ONCE(conn->tx_blocked, true);
		ret = xmit_sendmsg(conn, &g, more);
		if (ret == -EAGAIN) {
			xmit_short(conn);
			return;
		}
		WRITE_ONCE(conn->tx_blocked, false);
		if (ret <= 0) {
			nbd_conn_kill(conn, ret ?: -EPIPE, "cannot send (error %d)", -ret);
			return;
		}
		xmit_advance(conn, ret);
		if (ret < g.bytes)
			xmit_short(conn);
	}
}

void nbd_conn_flush(struct nbd_conn *conn)
{
	do {
		/*
		 * Whoever holds the mutex looks at the list again after dropping it; the
		 * barriers order our addition against that look.
		 */
		smp_mb();
		if (!mutex_trylock(&conn->tx_mutex))
			return;
		xmit_run(conn);
		mutex_unlock(&conn->tx_mutex);
		/* See above. */
		smp_mb();
	} while (!list_empty_careful(&conn->pending) && !READ_ONCE(conn->tx_blocked) &&
		 READ_ONCE(conn->state) == NBD_CONN_RUNNING);
}

void nbd_xmit_work(struct work_struct *work)
{
	struct nbd_conn *conn = container_of(work, struct nbd_conn, tx_work);

	mutex_lock(&conn->tx_mutex);
	xmit_run(conn);
	mutex_unlock(&conn->tx_mutex);
	nbd_conn_flush(conn);
}

void nbd_xmit_later(struct kthread_work *work)
{
	nbd_conn_flush(container_of(work, struct nbd_conn, tx_later));
}

static void xmit_put_off(struct nbd_conn *conn, struct kthread_worker *worker)
{
	/* A burial cancels the work after it was queued. */
	spin_lock_bh(&conn->lock);
	if (conn->state == NBD_CONN_RUNNING)
		kthread_queue_work(worker, &conn->tx_later);
	spin_unlock_bh(&conn->lock);
}

void nbd_conn_submit(struct nbd_conn *conn)
{
	struct kthread_worker *worker = raw_cpu_read(nbd_tx_worker);

	if (!worker || READ_ONCE(conn->inflight) <= NBD_BUSY_INFLIGHT ||
	    READ_ONCE(conn->nr_pending) >= NBD_FULL_BATCH)
		nbd_conn_flush(conn);
	else
		xmit_put_off(conn, worker);
}

static int xmit_start_thread(int cpu)
{
	struct sched_attr attr = { .size = sizeof(attr), .sched_policy = SCHED_BATCH };
	struct kthread_worker *worker;

	worker = kthread_create_worker_on_cpu(cpu, 0, "nbd-tx/%d", cpu);
	if (IS_ERR(worker))
		return PTR_ERR(worker);
	per_cpu(nbd_tx_worker, cpu) = worker;
	return sched_setattr_nocheck(worker->task, &attr);
}

void nbd_xmit_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		if (per_cpu(nbd_tx_worker, cpu))
			kthread_destroy_worker(per_cpu(nbd_tx_worker, cpu));
}

int nbd_xmit_init(void)
{
	int cpu, err = 0;

	cpus_read_lock();
	for_each_online_cpu(cpu) {
		err = xmit_start_thread(cpu);
		if (err)
			break;
	}
	cpus_read_unlock();
	if (err)
		nbd_xmit_exit();
	return err;
}

void nbd_conn_goodbye(struct nbd_conn *conn)
{
	struct nbd_request *header = &conn->goodbye;
	struct bio_vec vec;
	struct nbd_gather g = { .vec = &vec, .nr = 1, .bytes = sizeof(*header) };

	nbd_wire_encode(header, NBD_CMD_DISC, 0, 0, 0, 0);
	bvec_set_page(&vec, virt_to_page(header), sizeof(*header), offset_in_page(header));

	mutex_lock(&conn->tx_mutex);
	if (!conn->tx_closed && !conn->tx_off)
		conn->said_goodbye = xmit_sendmsg(conn, &g, false) == sizeof(*header);
	conn->tx_closed = true;
	mutex_unlock(&conn->tx_mutex);
}
