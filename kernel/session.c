// SPDX-License-Identifier: GPL-2.0
/* The life of an attachment: made, started, waiting for connections, closed. */
#include <linux/blk-mq.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "compat.h"
#include "conn.h"
#include "device.h"
#include "event.h"
#include "issue.h"
#include "queue.h"
#include "retry.h"
#include "session.h"
#include "slots.h"

static atomic64_t session_ids = ATOMIC64_INIT(0);

static void session_dead_work(struct work_struct *work);

void nbd_session_set_state(struct nbd_session *session, enum nbd_device_state state)
{
	lockdep_assert_held(&session->lock);

	if (session->state == state || session->state == NBD_STATE_CLOSING)
		return;
	WRITE_ONCE(session->state, state);
	session->since = jiffies;
	wake_up_all(&session->changed);
}

static struct nbd_session *session_alloc(struct nbd_device *nbd,
					 const struct nbd_session_params *params)
{
	struct nbd_session *session;

	session = kzalloc(sizeof(*session), GFP_NOIO);
	if (!session)
		return NULL;
	session->nr_table = nbd->tag_set.nr_hw_queues * nbd->tag_set.queue_depth;
	session->table = kvcalloc(session->nr_table, sizeof(*session->table),
				  GFP_NOIO | __GFP_NOWARN);
	if (!session->table) {
		kfree(session);
		return NULL;
	}
	session->nbd = nbd;
	session->id = atomic64_inc_return(&session_ids);
	refcount_set(&session->refs, 1);
	session->params = *params;
	session->params.backend = NULL;
	session->pid = get_task_pid(current, PIDTYPE_PID);
	spin_lock_init(&session->lock);
	session->since = jiffies;
	session->short_until = jiffies;
	session->long_until = jiffies;
	INIT_LIST_HEAD(&session->parked);
	INIT_LIST_HEAD(&session->retiring);
	INIT_DELAYED_WORK(&session->dead_work, session_dead_work);
	INIT_DELAYED_WORK(&session->kick_work, nbd_session_kick_work);
	INIT_RCU_WORK(&session->settle_work, nbd_session_settle_work);
	init_waitqueue_head(&session->changed);
	return session;
}

/* Who found the session under RCU alone looks at its slots, too: nbd_queue_rq(). */
static void session_free(struct nbd_session *session)
{
	struct nbd_slots *slots = nbd_session_slots(session);

	kfree_rcu(slots, rcu);
	/* All connections are buried. */
	kvfree(session->table);
	kfree(session->params.backend);
	put_pid(session->pid);
	put_pid(session->keeper_pid);
	kfree_rcu(session, rcu);
}

void nbd_session_set_keeper(struct nbd_session *session, u64 keeper)
{
	struct pid *pid = get_pid(task_tgid(current));
	bool changed;

	spin_lock_bh(&session->lock);
	changed = session->keeper != keeper;
	session->keeper = keeper;
	swap(session->keeper_pid, pid);
	spin_unlock_bh(&session->lock);
	put_pid(pid);
	if (changed)
		nbd_event_keeper(session, keeper);
}

u64 nbd_session_keeper(struct nbd_session *session, int *pid)
{
	struct pid *process;
	u64 keeper;

	spin_lock_bh(&session->lock);
	keeper = session->keeper;
	process = get_pid(session->keeper_pid);
	spin_unlock_bh(&session->lock);
	rcu_read_lock();
	*pid = process && pid_task(process, PIDTYPE_TGID) ? pid_vnr(process) : -1;
	rcu_read_unlock();
	put_pid(process);
	return keeper;
}

struct nbd_session *nbd_session_create(struct nbd_device *nbd, struct nbd_session_params *params,
				       struct nbd_given *socks, unsigned int nr,
				       struct netlink_ext_ack *extack)
{
	struct nbd_session *session = session_alloc(nbd, params);
	struct nbd_slots *slots = nbd_slots_alloc(nr);
	int err = -ENOMEM;

	if (!session || !slots) {
		nbd_extack_text(extack, "out of memory for a session");
		goto err_socks;
	}
	if (!try_module_get(THIS_MODULE)) {
		nbd_extack_text(extack, "the module is being removed");
		err = -ENODEV;
		goto err_socks;
	}
	/* Nobody can see the slots yet, so their RCU pointers are plain memory. */
	err = nbd_conns_create(session, socks, (struct nbd_conn __force **)slots->conn, nr, extack);
	if (err) {
		module_put(THIS_MODULE);
		goto err_free;
	}
	rcu_assign_pointer(session->slots, slots);
	session->spread = nr > nbd->tag_set.nr_hw_queues;
	session->params.backend = params->backend;
	params->backend = NULL;
	refcount_inc(&nbd->refs);
	return session;

err_socks:
	nbd_socks_put(socks, nr);
err_free:
	kfree(slots);
	if (session) {
		kvfree(session->table);
		put_pid(session->pid);
	}
	kfree(session);
	return ERR_PTR(err);
}

void nbd_session_start(struct nbd_session *session)
{
	struct nbd_slots *slots = nbd_session_slots(session);
	unsigned int i;

	spin_lock_bh(&session->lock);
	WRITE_ONCE(session->live, slots->nr);
	nbd_session_set_state(session, NBD_STATE_LIVE);
	spin_unlock_bh(&session->lock);
	atomic64_set(&session->counters.connects, slots->nr);
	/* The first one may be dead and buried before the last one runs: no more slots->. */
	rcu_read_lock();
	for (i = 0; i < slots->nr; i++) {
		struct nbd_conn *conn = rcu_dereference(slots->conn[i]);

		if (conn)
			nbd_conn_start(conn);
	}
	rcu_read_unlock();
	nbd_session_started(session);
}

void nbd_session_put(struct nbd_session *session)
{
	struct nbd_device *nbd = session->nbd;

	if (!refcount_dec_and_test(&session->refs))
		return;
	session_free(session);
	nbd_device_put(nbd);
	module_put(THIS_MODULE);
}

/* Jiffies until requests that wait for a connection fail. */
static unsigned long session_time_left(struct nbd_session *session)
{
	unsigned long end = session->lost +
			    nbd_seconds_to_jiffies(READ_ONCE(session->params.dead_timeout));

	return time_after(end, jiffies) ? end - jiffies : 0;
}

/*
 * There is no connection. What becomes of the requests is the administrator's
 * choice: they wait for params.dead_timeout from the loss on, or fail.
 */
static void session_wait_or_fail(struct nbd_session *session)
{
	u64 wait = READ_ONCE(session->params.dead_timeout);

	lockdep_assert_held(&session->lock);

	if (session->leaving)
		wait = NBD_DEAD_CONN_FOREVER;
	if (!wait) {
		nbd_session_set_state(session, NBD_STATE_FAILED);
		return;
	}
	nbd_session_set_state(session, NBD_STATE_WAITING);
	if (wait == NBD_DEAD_CONN_FOREVER) {
		cancel_delayed_work(&session->dead_work);
		return;
	}
	mod_delayed_work(nbd_wq, &session->dead_work, session_time_left(session));
}

static void session_lost_all(struct nbd_session *session)
{
	lockdep_assert_held(&session->lock);

	nbd_cmds_absolve(&session->parked);
	session->lost = jiffies;
	session_wait_or_fail(session);
}

/* A new params.dead_timeout while there is no connection. */
static void session_apply_wait(struct nbd_session *session)
{
	enum nbd_device_state old;
	bool changed;
	LIST_HEAD(cmds);

	spin_lock_bh(&session->lock);
	old = session->state;
	if (!session->live && old != NBD_STATE_CLOSING)
		session_wait_or_fail(session);
	changed = session->state != old;
	if (session->state == NBD_STATE_FAILED)
		list_splice_init(&session->parked, &cmds);
	spin_unlock_bh(&session->lock);
	nbd_cmds_fail(&cmds);
	if (changed)
		nbd_event_state(session);
}

static void conn_apply_timeout(struct nbd_conn *conn)
{
	nbd_conn_set_timeout(conn, nbd_seconds_to_jiffies(conn->session->params.timeout));
}

void nbd_session_apply_timeouts(struct nbd_session *session)
{
	u64 slow = session->params.slow_timeout ?: NBD_SLOW_TIMEOUT_DEFAULT;

	blk_queue_rq_timeout(session->nbd->disk->queue,
			     min_t(unsigned long, nbd_seconds_to_jiffies(slow), INT_MAX));
	nbd_session_visit(session, conn_apply_timeout);
	nbd_session_visit_retiring(session, conn_apply_timeout);
	session_apply_wait(session);
}

/* A retiring one, when nobody could send again what it carries. */
static void conn_give_up(struct nbd_conn *conn)
{
	nbd_conn_kill(conn, -ECANCELED, "replaced, and no connection came");
}

static void session_dead_work(struct work_struct *work)
{
	struct nbd_session *session;
	unsigned int noio;
	LIST_HEAD(cmds);
	bool failed;

	session = container_of(to_delayed_work(work), struct nbd_session, dead_work);
	spin_lock_bh(&session->lock);
	failed = session->state == NBD_STATE_WAITING && !session->leaving &&
		 READ_ONCE(session->params.dead_timeout) != NBD_DEAD_CONN_FOREVER;
	/* Timers are cut off at some weeks; and the time may have been changed. */
	if (failed && session_time_left(session)) {
		mod_delayed_work(nbd_wq, &session->dead_work, session_time_left(session));
		failed = false;
	}
	if (failed) {
		nbd_session_set_state(session, NBD_STATE_FAILED);
		list_splice_init(&session->parked, &cmds);
	}
	spin_unlock_bh(&session->lock);
	if (!failed)
		return;
	nbd_warn(session->nbd, "no connection for %llu s, failing I/O\n",
		 READ_ONCE(session->params.dead_timeout));
	nbd_session_visit_retiring(session, conn_give_up);
	nbd_cmds_fail(&cmds);
	noio = memalloc_noio_save();
	nbd_event_state(session);
	memalloc_noio_restore(noio);
}

/* Takes the dead connection out of its slot; says whether others live. */
static bool session_remove_conn(struct nbd_session *session, struct nbd_conn *conn,
				bool *state_changed)
{
	struct nbd_slots *slots;
	enum nbd_device_state old;
	bool others;

	spin_lock_bh(&session->lock);
	slots = nbd_session_slots(session);
	old = session->state;
	list_del_init(&conn->retire_node);
	if (conn->slot < slots->nr && nbd_slot_conn(slots, conn->slot) == conn) {
		RCU_INIT_POINTER(slots->conn[conn->slot], NULL);
		if (session->state != NBD_STATE_CLOSING)
			strscpy(session->cause, conn->cause, sizeof(session->cause));
		WRITE_ONCE(session->live, session->live - 1);
		if (!session->live)
			session_lost_all(session);
		else if (session->live == 1)
			nbd_session_unreserve(session);
	}
	others = session->live;
	*state_changed = session->state != old;
	spin_unlock_bh(&session->lock);
	return others;
}

/* @carried: whether it had requests that were not answered. */
static void session_log_death(struct nbd_session *session, struct nbd_conn *conn, bool others,
			      bool carried)
{
	const char *what;

	if (READ_ONCE(session->state) == NBD_STATE_CLOSING || READ_ONCE(session->leaving))
		return;
	if (conn->err == -ECANCELED) {
		if (conn->retiring && carried)
			nbd_warn(session->nbd,
				 "replaced connection %u: what its server has not answered %s\n",
				 conn->slot,
				 READ_ONCE(session->state) == NBD_STATE_FAILED ?
				 "fails" : "is sent again");
		return;
	}
	if (others)
		what = "requests move to another connection";
	else if (READ_ONCE(session->params.dead_timeout))
		what = "requests wait for a new one";
	else
		what = "I/O fails";
	nbd_warn(session->nbd, "connection %u lost: %s; %s\n", conn->slot, conn->cause, what);
}

void nbd_session_doubt(struct nbd_session *session)
{
	if (atomic64_read(&session->writes) > atomic64_read(&session->flushed))
		atomic64_set(&session->doubt, atomic64_read(&session->writes));
}

void nbd_session_bury(struct nbd_session *session, struct nbd_conn *conn, struct list_head *cmds)
{
	bool carried = !list_empty(cmds);
	bool others, state_changed;

	atomic64_inc(&session->counters.conn_deaths);
	/* A retiring one has told all that it could. */
	if (!conn->retiring)
		nbd_session_doubt(session);
	others = session_remove_conn(session, conn, &state_changed);
	nbd_session_inherit(session, conn, cmds, others);
	if (state_changed && READ_ONCE(session->state) == NBD_STATE_FAILED) {
		/* Those that were parked while the last connection was dying. */
		LIST_HEAD(parked);

		nbd_session_take_parked(session, &parked);
		nbd_session_visit_retiring(session, conn_give_up);
		nbd_cmds_fail(&parked);
	}
	session_log_death(session, conn, others, carried);
	/* Whoever is told makes another one. */
	if (READ_ONCE(session->leaving))
		return;
	nbd_event_conn_dead(session, conn);
	if (state_changed)
		nbd_event_state(session);
}

/* Its burial says goodbye; what a retiring one carries has nowhere else to go. */
static void conn_dismiss(struct nbd_conn *conn)
{
	nbd_conn_kill(conn, -ECANCELED, "detached");
}

void nbd_session_close(struct nbd_session *session)
{
	unsigned int noio = memalloc_noio_save();
	LIST_HEAD(cmds);

	spin_lock_bh(&session->lock);
	nbd_session_set_state(session, NBD_STATE_CLOSING);
	list_splice_init(&session->parked, &cmds);
	strscpy(session->cause, "a task keeps a socket of its connections locked",
		sizeof(session->cause));
	spin_unlock_bh(&session->lock);

	nbd_session_visit(session, conn_dismiss);
	nbd_session_visit_retiring(session, conn_dismiss);
	nbd_cmds_fail(&cmds);
	memalloc_noio_restore(noio);
}

void nbd_session_wait_end(struct nbd_session *session)
{
	wait_event_idle(session->changed, !atomic_read(&session->unburied));
	cancel_delayed_work_sync(&session->dead_work);
	cancel_delayed_work_sync(&session->kick_work);
	/* It queues itself, but not while the session closes. */
	if (flush_rcu_work(&session->settle_work))
		flush_rcu_work(&session->settle_work);
	/* What a burial put into quarantine last. */
	nbd_session_kick(session);
}

void nbd_session_account_reply(struct nbd_conn *conn, struct nbd_cmd *cmd)
{
	struct nbd_session *session = conn->session;
	s64 doubt;

	if (session->params.policy != NBD_WRITE_STRICT || cmd->is_read)
		return;
	if (req_op(nbd_cmd_rq(cmd)) != REQ_OP_FLUSH) {
		atomic64_inc(&session->writes);
		/* Flushes go to other connections already. */
		if (READ_ONCE(conn->retiring))
			nbd_session_doubt(session);
		return;
	}
	doubt = atomic64_read(&session->doubt);
	if (doubt > atomic64_read(&session->flushed)) {
		/* Told once; who asked for the flush knows now what it is worth. */
		nbd_warn(session->nbd,
			 "flush fails: a connection was lost since writes were acknowledged\n");
		cmd->status = BLK_STS_IOERR;
		cmd->stamp = doubt;
	}
	if (cmd->stamp > atomic64_read(&session->flushed))
		atomic64_set(&session->flushed, cmd->stamp);
}

void nbd_session_resize(struct nbd_session *session, u64 size)
{
	WRITE_ONCE(session->params.size, size);
	nbd_device_set_size(session->nbd, size);
	nbd_event_resized(session);
}

bool nbd_session_can_wait(struct nbd_session *session, const struct nbd_conn *conn)
{
	unsigned int own = !READ_ONCE(conn->retiring);

	return READ_ONCE(session->params.dead_timeout) || READ_ONCE(session->live) > own;
}

/* The server's own words, behind those of ours. */
static void warn_error(struct nbd_session *session, struct nbd_cmd *cmd, u32 error,
		       const struct nbd_framing_error *told)
{
	struct request *rq = nbd_cmd_rq(cmd);
	char where[32] = "";

	if (told && told->has_where)
		snprintf(where, sizeof(where), " for byte %llu", told->where);
	nbd_warn(session->nbd, "server answers %s of %u bytes at byte %llu with error %u%s%s%s\n",
		 nbd_cmd_name(cmd), blk_rq_bytes(rq), (u64)blk_rq_pos(rq) << SECTOR_SHIFT,
		 error, where, told && told->len ? ": " : "", told ? told->text : "");
}

static void warn_refusal(struct nbd_session *session, struct nbd_cmd *cmd,
			 const struct nbd_framing_error *told)
{
	nbd_warn(session->nbd, "server refuses %s, not using it any more%s%s\n",
		 nbd_cmd_name(cmd), told && told->len ? ": " : "", told ? told->text : "");
}

void nbd_session_report_error(struct nbd_session *session, struct nbd_cmd *cmd, u32 error,
			      const struct nbd_framing_error *told)
{
	struct request *rq = nbd_cmd_rq(cmd);
	struct request_queue *q = rq->q;

	if (cmd->status == BLK_STS_NOTSUPP && req_op(rq) == REQ_OP_DISCARD) {
		warn_refusal(session, cmd, told);
		blk_queue_disable_discard(q);
	} else if (cmd->status == BLK_STS_NOTSUPP && req_op(rq) == REQ_OP_WRITE_ZEROES) {
		warn_refusal(session, cmd, told);
		blk_queue_disable_write_zeroes(q);
	} else {
		warn_error(session, cmd, error, told);
	}
}
