// SPDX-License-Identifier: GPL-2.0
/* What becomes of commands whose connection died: sent again, tried alone, or failed. */
#include <linux/blk-mq.h>
#include <linux/workqueue.h>
#include "conn.h"
#include "device.h"
#include "issue.h"
#include "queue.h"
#include "retry.h"
#include "session.h"
#include "slots.h"
#include "suspect.h"

/*
 * How long a suspect waits for its trial while other connections live, see suspect.h. Where
 * there is one connection only, one that was met with silence waits for the request timeout
 * on each, so that the others have at least half of the time.
 */
#define NBD_QUARANTINE		(HZ / 5)

static struct nbd_conn *slots_least_busy(struct nbd_slots *slots)
{
	struct nbd_conn *conn, *best = NULL;
	unsigned int i;

	for (i = 0; i < slots->nr; i++) {
		conn = rcu_dereference(slots->conn[i]);
		if (conn && (!best || READ_ONCE(conn->inflight) < READ_ONCE(best->inflight)))
			best = conn;
	}
	return best;
}

struct nbd_conn *nbd_session_reserve(struct nbd_session *session, struct nbd_slots *slots)
{
	struct nbd_conn *conn = slots_least_busy(slots);

	spin_lock_bh(&session->lock);
	if (conn)
		WRITE_ONCE(conn->reserved, session->live > 1);
	spin_unlock_bh(&session->lock);
	return conn;
}

void nbd_session_unreserve(struct nbd_session *session)
{
	struct nbd_slots *slots = nbd_session_slots(session);
	struct nbd_conn *conn;
	unsigned int i;

	lockdep_assert_held(&session->lock);

	for (i = 0; i < slots->nr; i++) {
		conn = nbd_slot_conn(slots, i);
		if (!conn || !conn->reserved)
			continue;
		WRITE_ONCE(conn->reserved, false);
		/* Who found no connection that takes it looks again, see nbd_session_issue(). */
		smp_store_release(&session->epoch, session->epoch + 1);
		mod_delayed_work(nbd_wq, &session->kick_work, 0);
	}
}

void nbd_session_park_locked(struct nbd_session *session, struct nbd_cmd *cmd)
{
	lockdep_assert_held(&session->lock);

	if (session->trial == cmd) {
		session->trial = NULL;
		nbd_session_unreserve(session);
	}
	list_add_tail(&cmd->node, &session->parked);
}

bool nbd_session_try_now(struct nbd_session *session, struct nbd_cmd *cmd)
{
	lockdep_assert_held(&session->lock);

	if (!cmd->suspect)
		return true;
	if (session->trial)
		return false;
	if (cmd->silences && session->live == 1 && time_before(jiffies, session->trial_at)) {
		mod_delayed_work(nbd_wq, &session->kick_work, session->trial_at - jiffies);
		return false;
	}
	session->trial = cmd;
	return true;
}

void nbd_session_end_trial(struct nbd_session *session, struct nbd_cmd *cmd)
{
	spin_lock_bh(&session->lock);
	if (session->trial == cmd) {
		session->trial = NULL;
		nbd_session_unreserve(session);
		mod_delayed_work(nbd_wq, &session->kick_work, 0);
	}
	spin_unlock_bh(&session->lock);
}

void nbd_cmds_absolve(struct list_head *cmds)
{
	struct nbd_cmd *cmd;

	list_for_each_entry(cmd, cmds, node)
		nbd_suspect_absolve(cmd);
}

/* Whether the server has answered other commands while it was silent about @cmd. */
static bool session_answers_others(struct nbd_session *session, struct nbd_conn *dead,
				   struct nbd_cmd *cmd)
{
	bool answers = nbd_suspect_answered_others(cmd, dead);
	struct nbd_slots *slots;
	struct nbd_conn *conn;
	unsigned int i;

	rcu_read_lock();
	slots = rcu_dereference(session->slots);
	for (i = 0; i < slots->nr && !answers; i++) {
		conn = rcu_dereference(slots->conn[i]);
		answers = conn && nbd_suspect_answered_others(cmd, conn);
	}
	rcu_read_unlock();
	return answers;
}

/* Whether @cmd gets another try after @conn died under it. */
static bool session_may_retry(struct nbd_session *session, struct nbd_cmd *cmd,
			      struct nbd_conn *conn, bool others)
{
	bool answers = nbd_suspect_was_silent(cmd, conn) &&
		       session_answers_others(session, conn, cmd);

	if (READ_ONCE(session->leaving) ||
	    nbd_suspect_may_retry(cmd, conn, others, answers))
		return true;
	nbd_warn(session->nbd, "%s at byte %llu fails: %s\n", nbd_cmd_name(cmd),
		 (u64)blk_rq_pos(nbd_cmd_rq(cmd)) << SECTOR_SHIFT, conn->err == -ETIMEDOUT ?
		 "the server is silent about it each time, and answers others" :
		 "connections keep dying under it");
	return false;
}

static void session_quarantine(struct nbd_session *session, struct list_head *suspects)
{
	struct nbd_cmd *cmd, *next;

	if (list_empty(suspects))
		return;
	spin_lock_bh(&session->lock);
	/* The others may have died since their connection's burial looked for them. */
	if (!session->live)
		nbd_cmds_absolve(suspects);
	list_for_each_entry_safe(cmd, next, suspects, node) {
		list_del(&cmd->node);
		nbd_session_park_locked(session, cmd);
	}
	spin_unlock_bh(&session->lock);
	/* If the session closes meanwhile the work finds that and fails them. */
	mod_delayed_work(nbd_wq, &session->kick_work, NBD_QUARANTINE);
}

void nbd_session_inherit(struct nbd_session *session, struct nbd_conn *conn,
			 struct list_head *cmds, bool others)
{
	struct nbd_cmd *cmd, *next;
	LIST_HEAD(suspects);

	list_for_each_entry_safe(cmd, next, cmds, node) {
		if (!session_may_retry(session, cmd, conn, others)) {
			list_del_init(&cmd->node);
			nbd_cmd_complete(cmd, nbd_status_from_errno(conn->err));
			continue;
		}
		cmd->overdue = others && conn->err == -ETIMEDOUT;
		atomic64_inc(&session->counters.resent);
		if (cmd->suspect)
			list_move_tail(&cmd->node, &suspects);
		else
			nbd_session_end_trial(session, cmd);
	}
	session_quarantine(session, &suspects);
	nbd_session_reissue(session, cmds);
}
