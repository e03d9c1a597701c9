// SPDX-License-Identifier: GPL-2.0
/* The operations that the block layer calls, and completion. */
#include <linux/blk-mq.h>
#include <linux/errno.h>
#include "compat.h"
#include "conn.h"
#include "device.h"
#include "issue.h"
#include "order.h"
#include "queue.h"
#include "retry.h"
#include "session.h"
#include "slots.h"
#include "suspect.h"
#include "trace.h"

const char *nbd_cmd_name(struct nbd_cmd *cmd)
{
	switch (req_op(nbd_cmd_rq(cmd))) {
	case REQ_OP_READ:
		return "READ";
	case REQ_OP_WRITE:
		return "WRITE";
	case REQ_OP_FLUSH:
		return "FLUSH";
	case REQ_OP_DISCARD:
		return "TRIM";
	case REQ_OP_WRITE_ZEROES:
		return "WRITE_ZEROES";
	default:
		return "request";
	}
}

blk_status_t nbd_status_from_errno(int err)
{
	switch (err) {
	case 0:
		return BLK_STS_OK;
	case -ENOSPC:
		return BLK_STS_NOSPC;
	case -EOPNOTSUPP:
		return BLK_STS_NOTSUPP;
	case -ENOMEM:
		return BLK_STS_RESOURCE;
	case -EINVAL:
		return NBD_STS_INVAL;
	case -ESHUTDOWN:
		return BLK_STS_OFFLINE;
	default:
		/* The block layer has no word for EPERM and EOVERFLOW. */
		return BLK_STS_IOERR;
	}
}

/* What the server calls the operation, -1 if it has no name for it. */
static int request_type(struct request *rq)
{
	switch (req_op(rq)) {
	case REQ_OP_READ:
		return NBD_CMD_READ;
	case REQ_OP_WRITE:
		return NBD_CMD_WRITE;
	case REQ_OP_FLUSH:
		return NBD_CMD_FLUSH;
	case REQ_OP_DISCARD:
		return NBD_CMD_TRIM;
	case REQ_OP_WRITE_ZEROES:
		return NBD_CMD_WRITE_ZEROES;
	default:
		return -1;
	}
}

static u32 request_flags(struct nbd_session *session, struct request *rq, int type)
{
	u32 flags = 0;

	if (rq->cmd_flags & REQ_FUA && session->params.flags & NBD_FLAG_SEND_FUA)
		flags |= NBD_CMD_FLAG_FUA;
	/* Nothing that changes data may stay in a volatile cache. */
	if (session->params.policy == NBD_WRITE_THROUGH && type != NBD_CMD_READ &&
	    type != NBD_CMD_FLUSH)
		flags |= NBD_CMD_FLAG_FUA;
	if (type == NBD_CMD_WRITE_ZEROES && rq->cmd_flags & REQ_NOUNMAP)
		flags |= NBD_CMD_FLAG_NO_HOLE;
	return flags;
}

static blk_status_t cmd_prepare(struct nbd_session *session, struct request *rq)
{
	struct nbd_cmd *cmd = blk_mq_rq_to_pdu(rq);
	int type = request_type(rq);
	u64 from = (u64)blk_rq_pos(rq) << SECTOR_SHIFT;

	if (type < 0)
		return BLK_STS_NOTSUPP;
	if (op_is_write(req_op(rq)) && type != NBD_CMD_FLUSH &&
	    session->params.flags & NBD_FLAG_READ_ONLY)
		return BLK_STS_IOERR;

	cmd->index = rq->mq_hctx->queue_num * rq->q->tag_set->queue_depth + rq->tag;
	cmd->is_write = type == NBD_CMD_WRITE;
	cmd->is_read = type == NBD_CMD_READ;
	cmd->len = type == NBD_CMD_FLUSH ? 0 : blk_rq_bytes(rq);
	cmd->slow = false;
	cmd->overdue = false;
	nbd_suspect_init(cmd);
	cmd->apart = nbd_order_comes_apart(session, cmd);
	cmd->started = jiffies;
	if (type == NBD_CMD_FLUSH) {
		from = 0;
		cmd->stamp = atomic64_read(&session->writes);
	}
	nbd_wire_encode(&cmd->header, type, request_flags(session, rq, type), 0, from, cmd->len);
	return BLK_STS_OK;
}

/* The block layer could not submit the request that would have been the last. */
static void nbd_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct nbd_session *session = nbd_device_session(hctx->queue->queuedata);

	if (!session)
		return;
	nbd_session_flush(session);
	nbd_session_put(session);
}

static blk_status_t nbd_queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *bd)
{
	struct nbd_device *nbd = hctx->queue->queuedata;
	struct request *rq = bd->rq;
	struct nbd_cmd *cmd = blk_mq_rq_to_pdu(rq);
	struct nbd_conn *conn = NULL;
	struct nbd_session *session;
	bool apart = false, spread = false;
	blk_status_t status;

	rcu_read_lock();
	session = rcu_dereference(nbd->session);
	status = session ? cmd_prepare(session, rq) : BLK_STS_IOERR;
	if (likely(status == BLK_STS_OK)) {
		trace_nbd_send_request(&cmd->header, nbd->index, rq);
		blk_mq_start_request(rq);
		/* While the command is ours. */
		apart = cmd->apart;
		if (!nbd_session_issue(session, cmd, hctx->queue_num, &conn))
			status = BLK_STS_IOERR;
		spread = READ_ONCE(session->spread);
	}
	/* The block layer ends it with that, without asking again. */
	if (unlikely(status != BLK_STS_OK && session))
		atomic64_inc(&session->counters.failed);
	rcu_read_unlock();

	/* The requests of a batch are on several connections then. */
	if (conn) {
		if (bd->last || spread || apart)
			nbd_conn_submit(conn, !bd->last);
		nbd_conn_put(conn);
	}
	/* Others of the batch may not have been apart, and were to go out with this one. */
	if (unlikely(apart && bd->last && !spread))
		nbd_commit_rqs(hctx);
	return status;
}

static void nbd_complete_rq(struct request *rq)
{
	struct nbd_cmd *cmd = blk_mq_rq_to_pdu(rq);

	blk_mq_end_request(rq, cmd->status);
}

/*
 * What is not an ordinary success: an error is counted, and the next suspect has its turn.
 * The session lives: whoever completes the command, a connection's side or the session
 * itself, is waited for when it closes.
 */
static void cmd_account_end(struct nbd_cmd *cmd)
{
	struct nbd_device *nbd = nbd_cmd_rq(cmd)->q->queuedata;
	struct nbd_session *session;

	rcu_read_lock();
	session = rcu_dereference(nbd->session);
	if (session && cmd->status != BLK_STS_OK)
		atomic64_inc(&session->counters.failed);
	if (session && cmd->suspect)
		nbd_session_end_trial(session, cmd);
	rcu_read_unlock();
}

void nbd_cmd_release(struct nbd_cmd *cmd, int side, struct io_comp_batch *batch)
{
	struct request *rq = nbd_cmd_rq(cmd);
	int other = NBD_PHASE_SENT | NBD_PHASE_REPLIED;

	other &= ~side;
	if (!(atomic_fetch_or(side, &cmd->phase) & other))
		return;
	if (unlikely(cmd->suspect || cmd->status != BLK_STS_OK))
		cmd_account_end(cmd);
	if (cmd->status != BLK_STS_OK ||
	    !blk_mq_add_to_batch(rq, batch, 0, blk_mq_end_request_batch))
		blk_mq_complete_request(rq);
}

void nbd_cmd_complete(struct nbd_cmd *cmd, blk_status_t status)
{
	cmd->status = status;
	if (unlikely(cmd->suspect || status != BLK_STS_OK))
		cmd_account_end(cmd);
	blk_mq_complete_request(nbd_cmd_rq(cmd));
}

/*
 * The block layer's timer only says that a request is slow. What it may cost is
 * the connection's affair, see nbd_conn_request_timeout().
 */
static enum blk_eh_timer_return nbd_timeout(struct request *rq)
{
	struct nbd_device *nbd = rq->q->queuedata;
	struct nbd_cmd *cmd = blk_mq_rq_to_pdu(rq);
	struct nbd_session *session;

	session = nbd_device_session(nbd);
	if (!session)
		return BLK_EH_RESET_TIMER;
	if (READ_ONCE(session->params.slow_timeout) && !cmd->slow) {
		cmd->slow = true;
		atomic64_inc(&session->counters.slow);
		nbd_warn(nbd, "%s of %u bytes at byte %llu unanswered for %u s, still waiting\n",
			 nbd_cmd_name(cmd), blk_rq_bytes(rq),
			 (u64)blk_rq_pos(rq) << SECTOR_SHIFT,
			 jiffies_to_msecs(jiffies - cmd->started) / 1000);
	}
	nbd_session_put(session);
	return BLK_EH_RESET_TIMER;
}

const struct blk_mq_ops nbd_mq_ops = {
	.queue_rq	= nbd_queue_rq,
	.commit_rqs	= nbd_commit_rqs,
	.complete	= nbd_complete_rq,
	.timeout	= nbd_timeout,
};
