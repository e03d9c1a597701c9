// SPDX-License-Identifier: GPL-2.0
/* Which connection a command goes to, and how those that are parked come to one. */
#include <linux/blk-mq.h>
#include "conn.h"
#include "issue.h"
#include "order.h"
#include "queue.h"
#include "retry.h"
#include "session.h"
#include "slots.h"
#include "spread.h"

/*
 * The connection among @share that takes @cmd, which is not the caller's any more then; the
 * one that @hint names is asked first. Under RCU.
 */
static struct nbd_conn *slots_offer(struct nbd_slots *slots, struct nbd_share share,
				    struct nbd_cmd *cmd, unsigned int hint)
{
	struct nbd_conn *conn;
	unsigned int i;

	hint %= share.nr;
	for (i = 0; i < share.nr; i++) {
		conn = rcu_dereference(slots->conn[share.first + hint]);
		if (conn && nbd_conn_enqueue(conn, cmd))
			return conn;
		if (++hint == share.nr)
			hint = 0;
	}
	return NULL;
}

/*
 * Offers @cmd to the connections, the one that @hint names first. If one takes it,
 * *@taker is that one with a reference, or NULL if it is buried by now, and @cmd
 * with it. Under RCU.
 */
static bool session_offer(struct nbd_session *session, struct nbd_cmd *cmd, unsigned int hint,
			  struct nbd_conn **taker)
{
	struct nbd_slots *slots = rcu_dereference(session->slots);
	struct nbd_share all = { .nr = slots->nr }, own = all;
	struct nbd_conn *conn;

	if (unlikely(cmd->suspect)) {
		conn = nbd_session_reserve(session, slots);
		hint = conn ? conn->slot : 0;
	} else {
		own = nbd_order_share(cmd, slots->nr);
		if (session->spread)
			hint = nbd_spread_choose(session, slots, own, cmd, hint);
	}
	conn = slots_offer(slots, own, cmd, hint);
	if (unlikely(!conn && own.nr < all.nr))
		conn = slots_offer(slots, all, cmd, hint);
	if (!conn)
		return false;
	*taker = refcount_inc_not_zero(&conn->refs) ? conn : NULL;
	return true;
}

/* Parks @cmd unless a connection came since @epoch (-EAGAIN) or none will (-EIO). */
static int session_park(struct nbd_session *session, struct nbd_cmd *cmd, unsigned int epoch)
{
	int err = 0;

	spin_lock_bh(&session->lock);
	if (session->state == NBD_STATE_CLOSING || session->state == NBD_STATE_FAILED)
		err = -EIO;
	else if (session->epoch != epoch)
		err = -EAGAIN;
	else
		nbd_session_park_locked(session, cmd);
	spin_unlock_bh(&session->lock);
	return err;
}

bool nbd_session_issue(struct nbd_session *session, struct nbd_cmd *cmd, unsigned int hint,
		       struct nbd_conn **conn)
{
	unsigned int epoch;
	int err;

	*conn = NULL;
	rcu_read_lock();
	do {
		/* Before the slots that it counts are looked at. */
		epoch = smp_load_acquire(&session->epoch);
		err = session_offer(session, cmd, hint, conn) ? 0 :
		      session_park(session, cmd, epoch);
	} while (err == -EAGAIN);
	rcu_read_unlock();
	return !err;
}

void nbd_cmds_fail(struct list_head *cmds)
{
	struct nbd_cmd *cmd, *next;

	list_for_each_entry_safe(cmd, next, cmds, node) {
		list_del_init(&cmd->node);
		nbd_cmd_complete(cmd, BLK_STS_IOERR);
	}
}

void nbd_session_reissue(struct nbd_session *session, struct list_head *cmds)
{
	struct nbd_cmd *cmd, *next;
	struct nbd_conn *conn;

	list_for_each_entry_safe(cmd, next, cmds, node) {
		list_del_init(&cmd->node);
		if (!nbd_session_issue(session, cmd, nbd_cmd_rq(cmd)->mq_hctx->queue_num, &conn))
			nbd_cmd_complete(cmd, BLK_STS_IOERR);
		else if (conn)
			nbd_conn_put(conn);
	}
	nbd_session_flush(session);
}

void nbd_session_take_parked(struct nbd_session *session, struct list_head *cmds)
{
	spin_lock_bh(&session->lock);
	list_splice_init(&session->parked, cmds);
	spin_unlock_bh(&session->lock);
}

/*
 * Takes what can be issued now: of the suspects one, if none is under way. When there
 * is no connection all stay, until one comes or the session fails.
 */
static void session_take_fit(struct nbd_session *session, struct list_head *cmds)
{
	struct nbd_cmd *cmd, *next;

	spin_lock_bh(&session->lock);
	if (session->state == NBD_STATE_CLOSING || session->state == NBD_STATE_FAILED) {
		list_splice_init(&session->parked, cmds);
	} else if (session->live) {
		list_for_each_entry_safe(cmd, next, &session->parked, node) {
			if (nbd_session_try_now(session, cmd))
				list_move_tail(&cmd->node, cmds);
		}
	}
	spin_unlock_bh(&session->lock);
}

void nbd_session_kick(struct nbd_session *session)
{
	LIST_HEAD(cmds);

	session_take_fit(session, &cmds);
	nbd_session_reissue(session, &cmds);
}

void nbd_session_kick_work(struct work_struct *work)
{
	struct nbd_session *session;

	session = container_of(to_delayed_work(work), struct nbd_session, kick_work);
	nbd_session_kick(session);
}
