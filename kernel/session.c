// SPDX-License-Identifier: GPL-2.0
#include <linux/blk-mq.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "compat.h"
#include "conn.h"
#include "device.h"
#include "event.h"
#include "queue.h"
#include "session.h"
#include "suspect.h"

/*
 * How long a suspect waits for its trial while other connections live, see suspect.h. Where
 * there is one connection only, one that was met with silence waits for the request timeout
 * on each, so that the others have at least half of the time.
 */
#define NBD_QUARANTINE		(HZ / 5)

static atomic64_t session_ids = ATOMIC64_INIT(0);

static void session_dead_work(struct work_struct *work);
static void session_kick_work(struct work_struct *work);
static void session_settle_work(struct work_struct *work);

void nbd_params_init(struct nbd_params *params)
{
	*params = (struct nbd_params){ .slow_timeout = NBD_SLOW_TIMEOUT_DEFAULT };
}

static bool blksize_valid(u64 blksize)
{
	return blksize >= SECTOR_SIZE && blksize <= PAGE_SIZE && is_power_of_2(blksize);
}

static bool timeout_valid(u64 seconds)
{
	return seconds <= NBD_TIMEOUT_MAX;
}

static const char *params_complaint(const struct nbd_params *p, unsigned int nr_socks)
{
	if (!blksize_valid(p->blksize))
		return "block size is not a power of two from 512 to the page size";
	if (p->size > LLONG_MAX)
		return "size is larger than 2^63-1 bytes";
	if (!timeout_valid(p->timeout) || !timeout_valid(p->slow_timeout) ||
	    (!timeout_valid(p->dead_timeout) && p->dead_timeout != NBD_DEAD_CONN_FOREVER))
		return "timeout is too long";
	if (p->policy > NBD_WRITE_STRICT)
		return "unknown write policy";
	if (p->policy == NBD_WRITE_THROUGH && !(p->flags & NBD_FLAG_SEND_FUA))
		return "write-through needs a server that offers FUA";
	if (p->queue_depth > NBD_QUEUE_DEPTH_MAX)
		return "queue depth is too large";
	if (p->block_max && p->block_max < max_t(u64, p->blksize, PAGE_SIZE))
		return "the server's largest request is smaller than a page";
	if (!nr_socks)
		return "at least one socket is needed";
	if (nr_socks > NBD_CONNS_MAX)
		return "too many sockets";
	if (nr_socks > 1 && !(p->flags & NBD_FLAG_CAN_MULTI_CONN))
		return "the server does not support several connections for this export";
	return NULL;
}

int nbd_params_check(struct nbd_params *params, unsigned int nr_socks,
		     struct netlink_ext_ack *extack)
{
	const char *complaint;

	if (!params->blksize)
		params->blksize = NBD_BLKSIZE_DEFAULT;
	complaint = params_complaint(params, nr_socks);
	if (!complaint)
		return 0;
	nbd_extack_text(extack, complaint);
	return -EINVAL;
}

/* The only writer of session->state once the session is visible. */
static void session_set_state(struct nbd_session *session, enum nbd_device_state state)
{
	lockdep_assert_held(&session->lock);

	if (session->state == state || session->state == NBD_STATE_CLOSING)
		return;
	WRITE_ONCE(session->state, state);
	session->since = jiffies;
	wake_up_all(&session->changed);
}

static struct nbd_slots *slots_alloc(unsigned int nr)
{
	struct nbd_slots *slots;

	slots = kzalloc(struct_size(slots, conn, nr), GFP_NOIO);
	if (slots)
		slots->nr = nr;
	return slots;
}

/* The slots, for who holds session->lock or has the session alone. */
static struct nbd_slots *session_slots(struct nbd_session *session)
{
	return rcu_dereference_protected(session->slots, true);
}

static struct nbd_conn *slot_conn(struct nbd_slots *slots, unsigned int i)
{
	return rcu_dereference_protected(slots->conn[i], true);
}

static void socks_put(struct file **socks, unsigned int nr)
{
	while (nr--)
		nbd_socket_put(socks[nr]);
}

static void conns_discard(struct nbd_conn **conns, unsigned int nr)
{
	while (nr--)
		nbd_conn_discard(conns[nr]);
}

static const char *create_complaint(int err)
{
	switch (err) {
	case -EBUSY:
		return "socket is in use by another connection or kernel user";
	case -ENOTCONN:
		return "socket is not connected any more";
	case -EINVAL:
	case -EOPNOTSUPP:
		return "socket was changed into one that cannot be used";
	default:
		return "out of memory for a connection";
	}
}

/* All of the sockets become connections, or none; takes them over in every case. */
static int conns_create(struct nbd_session *session, struct file **socks,
			struct nbd_conn **conns, unsigned int nr, struct netlink_ext_ack *extack)
{
	unsigned int i;
	int err;

	for (i = 0; i < nr; i++) {
		conns[i] = nbd_conn_create(session, i, session->nr_table, socks[i]);
		if (IS_ERR(conns[i])) {
			err = PTR_ERR(conns[i]);
			nbd_extack_text(extack, create_complaint(err));
			socks_put(socks + i + 1, nr - i - 1);
			conns_discard(conns, i);
			return err;
		}
	}
	return 0;
}

static struct nbd_session *session_alloc(struct nbd_device *nbd, const struct nbd_params *params)
{
	struct nbd_session *session;

	session = kzalloc(sizeof(*session), GFP_NOIO);
	if (!session)
		return NULL;
	session->nbd = nbd;
	session->id = atomic64_inc_return(&session_ids);
	refcount_set(&session->refs, 1);
	session->params = *params;
	session->params.backend = NULL;
	session->pid = get_task_pid(current, PIDTYPE_PID);
	session->nr_table = nbd->tag_set.nr_hw_queues * nbd->tag_set.queue_depth;
	spin_lock_init(&session->lock);
	session->since = jiffies;
	INIT_LIST_HEAD(&session->parked);
	INIT_LIST_HEAD(&session->retiring);
	INIT_DELAYED_WORK(&session->dead_work, session_dead_work);
	INIT_DELAYED_WORK(&session->kick_work, session_kick_work);
	INIT_RCU_WORK(&session->settle_work, session_settle_work);
	init_waitqueue_head(&session->changed);
	return session;
}

/* Who found the session under RCU alone looks at its slots, too: nbd_queue_rq(). */
static void session_free(struct nbd_session *session)
{
	struct nbd_slots *slots = session_slots(session);

	kfree_rcu(slots, rcu);
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

struct nbd_session *nbd_session_create(struct nbd_device *nbd, struct nbd_params *params,
				       struct file **socks, unsigned int nr,
				       struct netlink_ext_ack *extack)
{
	struct nbd_session *session = session_alloc(nbd, params);
	struct nbd_slots *slots = slots_alloc(nr);
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
	err = conns_create(session, socks, (struct nbd_conn __force **)slots->conn, nr, extack);
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
	socks_put(socks, nr);
err_free:
	kfree(slots);
	if (session)
		put_pid(session->pid);
	kfree(session);
	return ERR_PTR(err);
}

void nbd_session_discard(struct nbd_session *session)
{
	struct nbd_slots *slots = session_slots(session);
	unsigned int i;

	for (i = 0; i < slots->nr; i++)
		nbd_conn_discard(slot_conn(slots, i));
	nbd_session_put(session);
}

void nbd_session_start(struct nbd_session *session)
{
	struct nbd_slots *slots = session_slots(session);
	unsigned int i;

	spin_lock_bh(&session->lock);
	WRITE_ONCE(session->live, slots->nr);
	session_set_state(session, NBD_STATE_LIVE);
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

/* A connection of its own for a suspect, unless it is the only one. Under RCU. */
static struct nbd_conn *session_reserve(struct nbd_session *session, struct nbd_slots *slots)
{
	struct nbd_conn *conn = slots_least_busy(slots);

	spin_lock_bh(&session->lock);
	if (conn)
		WRITE_ONCE(conn->reserved, session->live > 1);
	spin_unlock_bh(&session->lock);
	return conn;
}

/* The trial is over, or there is one connection for all. */
static void session_unreserve(struct nbd_session *session)
{
	struct nbd_slots *slots = session_slots(session);
	struct nbd_conn *conn;
	unsigned int i;

	lockdep_assert_held(&session->lock);

	for (i = 0; i < slots->nr; i++) {
		conn = slot_conn(slots, i);
		if (!conn || !conn->reserved)
			continue;
		WRITE_ONCE(conn->reserved, false);
		/* Who found no connection that takes it looks again, see nbd_session_issue(). */
		smp_store_release(&session->epoch, session->epoch + 1);
		mod_delayed_work(nbd_wq, &session->kick_work, 0);
	}
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
	struct nbd_conn *conn;
	unsigned int i;

	if (unlikely(cmd->suspect)) {
		conn = session_reserve(session, slots);
		hint = conn ? conn->slot : 0;
	} else if (session->spread) {
		/* Few queues, many connections: let the tag choose. */
		hint += cmd->index;
	}
	hint %= slots->nr;
	for (i = 0; i < slots->nr; i++) {
		conn = rcu_dereference(slots->conn[hint]);
		if (conn && nbd_conn_enqueue(conn, cmd)) {
			*taker = refcount_inc_not_zero(&conn->refs) ? conn : NULL;
			return true;
		}
		if (++hint == slots->nr)
			hint = 0;
	}
	return false;
}

static void session_park_locked(struct nbd_session *session, struct nbd_cmd *cmd)
{
	lockdep_assert_held(&session->lock);

	if (session->trial == cmd) {
		session->trial = NULL;
		session_unreserve(session);
	}
	list_add_tail(&cmd->node, &session->parked);
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
		session_park_locked(session, cmd);
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

static void cmds_fail(struct list_head *cmds)
{
	struct nbd_cmd *cmd, *next;

	list_for_each_entry_safe(cmd, next, cmds, node) {
		list_del_init(&cmd->node);
		nbd_cmd_complete(cmd, BLK_STS_IOERR);
	}
}

/* Sends the commands of @cmds, wherever there is a connection now. */
static void session_reissue(struct nbd_session *session, struct list_head *cmds)
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

static void session_take_parked(struct nbd_session *session, struct list_head *cmds)
{
	spin_lock_bh(&session->lock);
	list_splice_init(&session->parked, cmds);
	spin_unlock_bh(&session->lock);
}

/* Whether @cmd is no suspect, or may have its trial now; its time may come by itself. */
static bool session_try_now(struct nbd_session *session, struct nbd_cmd *cmd)
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
			if (session_try_now(session, cmd))
				list_move_tail(&cmd->node, cmds);
		}
	}
	spin_unlock_bh(&session->lock);
}

static void session_kick(struct nbd_session *session)
{
	LIST_HEAD(cmds);

	session_take_fit(session, &cmds);
	session_reissue(session, &cmds);
}

void nbd_session_end_trial(struct nbd_session *session, struct nbd_cmd *cmd)
{
	spin_lock_bh(&session->lock);
	if (session->trial == cmd) {
		session->trial = NULL;
		session_unreserve(session);
		mod_delayed_work(nbd_wq, &session->kick_work, 0);
	}
	spin_unlock_bh(&session->lock);
}

static void session_kick_work(struct work_struct *work)
{
	struct nbd_session *session;

	session = container_of(to_delayed_work(work), struct nbd_session, kick_work);
	session_kick(session);
}

/* The i-th connection with a reference, or NULL. *@nr is how many slots there are. */
static struct nbd_conn *session_conn_get(struct nbd_session *session, unsigned int i,
					 unsigned int *nr)
{
	struct nbd_conn *conn = NULL;
	struct nbd_slots *slots;

	rcu_read_lock();
	slots = rcu_dereference(session->slots);
	*nr = slots->nr;
	if (i < slots->nr)
		conn = rcu_dereference(slots->conn[i]);
	if (conn && !refcount_inc_not_zero(&conn->refs))
		conn = NULL;
	rcu_read_unlock();
	return conn;
}

/* Calls @visit with each connection, outside of all locks. */
static void session_visit(struct nbd_session *session, void (*visit)(struct nbd_conn *conn))
{
	struct nbd_conn *conn;
	unsigned int i = 0, nr;

	do {
		conn = session_conn_get(session, i++, &nr);
		if (!conn)
			continue;
		visit(conn);
		nbd_conn_put(conn);
	} while (i < nr);
}

static void conn_flush_pending(struct nbd_conn *conn)
{
	if (READ_ONCE(conn->nr_pending))
		nbd_conn_flush(conn);
}

void nbd_session_flush(struct nbd_session *session)
{
	session_visit(session, conn_flush_pending);
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

	if (!wait) {
		session_set_state(session, NBD_STATE_FAILED);
		return;
	}
	session_set_state(session, NBD_STATE_WAITING);
	if (wait == NBD_DEAD_CONN_FOREVER) {
		cancel_delayed_work(&session->dead_work);
		return;
	}
	mod_delayed_work(nbd_wq, &session->dead_work, session_time_left(session));
}

/* The server as a whole is gone: nothing is held against a request. */
static void cmds_absolve(struct list_head *cmds)
{
	struct nbd_cmd *cmd;

	list_for_each_entry(cmd, cmds, node)
		nbd_suspect_absolve(cmd);
}

static void session_lost_all(struct nbd_session *session)
{
	lockdep_assert_held(&session->lock);

	cmds_absolve(&session->parked);
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
	cmds_fail(&cmds);
	if (changed)
		nbd_event_state(session);
}

/* Calls @visit with each replaced connection, under session->lock. */
static void session_visit_retiring(struct nbd_session *session,
				   void (*visit)(struct nbd_conn *conn))
{
	struct nbd_conn *conn;

	spin_lock_bh(&session->lock);
	list_for_each_entry(conn, &session->retiring, retire_node)
		visit(conn);
	spin_unlock_bh(&session->lock);
}

unsigned int nbd_session_retiring(struct nbd_session *session, unsigned int *inflight)
{
	struct nbd_conn *conn;
	unsigned int nr = 0;

	*inflight = 0;
	spin_lock_bh(&session->lock);
	list_for_each_entry(conn, &session->retiring, retire_node) {
		*inflight += READ_ONCE(conn->inflight) + READ_ONCE(conn->receiving);
		nr++;
	}
	spin_unlock_bh(&session->lock);
	return nr;
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
	session_visit(session, conn_apply_timeout);
	session_visit_retiring(session, conn_apply_timeout);
	session_apply_wait(session);
}

static void session_dead_work(struct work_struct *work)
{
	struct nbd_session *session;
	unsigned int noio;
	LIST_HEAD(cmds);
	bool failed;

	session = container_of(to_delayed_work(work), struct nbd_session, dead_work);
	spin_lock_bh(&session->lock);
	failed = session->state == NBD_STATE_WAITING &&
		 READ_ONCE(session->params.dead_timeout) != NBD_DEAD_CONN_FOREVER;
	/* Timers are cut off at some weeks; and the time may have been changed. */
	if (failed && session_time_left(session)) {
		mod_delayed_work(nbd_wq, &session->dead_work, session_time_left(session));
		failed = false;
	}
	if (failed) {
		session_set_state(session, NBD_STATE_FAILED);
		list_splice_init(&session->parked, &cmds);
	}
	spin_unlock_bh(&session->lock);
	if (!failed)
		return;
	nbd_warn(session->nbd, "no connection for %llu s, failing I/O\n",
		 READ_ONCE(session->params.dead_timeout));
	cmds_fail(&cmds);
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
	slots = session_slots(session);
	old = session->state;
	list_del_init(&conn->retire_node);
	if (conn->slot < slots->nr && slot_conn(slots, conn->slot) == conn) {
		RCU_INIT_POINTER(slots->conn[conn->slot], NULL);
		if (session->state != NBD_STATE_CLOSING)
			strscpy(session->cause, conn->cause, sizeof(session->cause));
		WRITE_ONCE(session->live, session->live - 1);
		if (!session->live)
			session_lost_all(session);
		else if (session->live == 1)
			session_unreserve(session);
	}
	others = session->live;
	*state_changed = session->state != old;
	spin_unlock_bh(&session->lock);
	return others;
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

	if (nbd_suspect_may_retry(cmd, conn, others, answers))
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
		cmds_absolve(suspects);
	list_for_each_entry_safe(cmd, next, suspects, node) {
		list_del(&cmd->node);
		session_park_locked(session, cmd);
	}
	spin_unlock_bh(&session->lock);
	/* If the session closes meanwhile the work finds that and fails them. */
	mod_delayed_work(nbd_wq, &session->kick_work, NBD_QUARANTINE);
}

/* Sorts what a dead connection leaves: try again, try again later, or fail. */
static void session_inherit(struct nbd_session *session, struct nbd_conn *conn,
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
	session_reissue(session, cmds);
}

/* @carried: whether it had requests that were not answered. */
static void session_log_death(struct nbd_session *session, struct nbd_conn *conn, bool others,
			      bool carried)
{
	const char *what;

	if (READ_ONCE(session->state) == NBD_STATE_CLOSING)
		return;
	if (conn->err == -ECANCELED) {
		if (conn->retiring && carried)
			nbd_warn(session->nbd,
				 "replaced connection %u: what its server has not answered is sent again\n",
				 conn->slot);
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

/* NBD_WRITE_STRICT: what was acknowledged and not flushed may be lost with a connection. */
static void session_doubt(struct nbd_session *session)
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
		session_doubt(session);
	others = session_remove_conn(session, conn, &state_changed);
	session_inherit(session, conn, cmds, others);
	if (state_changed && READ_ONCE(session->state) == NBD_STATE_FAILED) {
		/* Those that were parked while the last connection was dying. */
		LIST_HEAD(parked);

		session_take_parked(session, &parked);
		cmds_fail(&parked);
	}
	session_log_death(session, conn, others, carried);
	nbd_event_conn_dead(session, conn);
	if (state_changed)
		nbd_event_state(session);
}

/* Chooses slots for @nr new connections: the dead ones. Returns how many there are. */
static unsigned int session_fill_dead(struct nbd_session *session, struct nbd_conn **conns,
				      unsigned int nr)
{
	struct nbd_slots *slots = session_slots(session);
	unsigned int i, used = 0;

	lockdep_assert_held(&session->lock);

	for (i = 0; i < slots->nr && used < nr; i++) {
		if (slot_conn(slots, i))
			continue;
		conns[used]->slot = i;
		rcu_assign_pointer(slots->conn[i], conns[used]);
		used++;
	}
	WRITE_ONCE(session->live, session->live + used);
	return used;
}

static void session_now_live(struct nbd_session *session)
{
	lockdep_assert_held(&session->lock);

	/* After the slots were filled: see nbd_session_issue(). */
	smp_store_release(&session->epoch, session->epoch + 1);
	session_set_state(session, NBD_STATE_LIVE);
	/* The work may be running: it looks at the state under the lock. */
	cancel_delayed_work(&session->dead_work);
}

/* Publishes the connections in the slots of dead ones; the others are not needed. */
static int session_add_conns(struct nbd_session *session, struct nbd_conn **conns,
			     unsigned int nr, struct nbd_added *added)
{
	int err = 0;

	spin_lock_bh(&session->lock);
	/* What may be silent again comes last on the only connection. */
	if (!session->live)
		session->trial_at = jiffies +
			nbd_seconds_to_jiffies(READ_ONCE(session->params.timeout));
	if (session->state == NBD_STATE_CLOSING)
		err = -ESHUTDOWN;
	else
		added->used = session_fill_dead(session, conns, nr);
	if (added->used)
		session_now_live(session);
	spin_unlock_bh(&session->lock);
	conns_discard(conns + added->used, nr - added->used);
	return err;
}

/*
 * What they carry is not sent again as long as a server that lives may answer it: it would
 * be done twice, and the second time perhaps after newer writes. Their burials do not find
 * them in a slot any more: they change no state. Returns how many there are.
 */
static unsigned int session_retire_conns(struct nbd_session *session, struct nbd_slots *old,
					 bool at_once)
{
	unsigned int i, nr = 0;
	struct nbd_conn *conn;

	lockdep_assert_held(&session->lock);

	for (i = 0; i < old->nr; i++) {
		conn = slot_conn(old, i);
		if (!conn)
			continue;
		list_add(&conn->retire_node, &session->retiring);
		nr++;
	}
	list_for_each_entry(conn, &session->retiring, retire_node)
		nbd_conn_retire(conn, at_once);
	return nr;
}

/* Publishes the connections as the only ones and retires the old ones. */
static int session_replace_conns(struct nbd_session *session, struct nbd_conn **conns,
				 unsigned int nr, bool at_once, struct nbd_added *added)
{
	struct nbd_slots *slots = slots_alloc(nr), *old;
	unsigned int i;

	if (!slots) {
		conns_discard(conns, nr);
		return -ENOMEM;
	}
	for (i = 0; i < nr; i++) {
		conns[i]->slot = i;
		RCU_INIT_POINTER(slots->conn[i], conns[i]);
	}

	spin_lock_bh(&session->lock);
	if (session->state == NBD_STATE_CLOSING) {
		spin_unlock_bh(&session->lock);
		kfree(slots);
		conns_discard(conns, nr);
		return -ESHUTDOWN;
	}
	/* A flush may be answered on the new ones before the old ones are buried. */
	session_doubt(session);
	old = session_slots(session);
	rcu_assign_pointer(session->slots, slots);
	WRITE_ONCE(session->spread, nr > session->nbd->tag_set.nr_hw_queues);
	WRITE_ONCE(session->live, nr);
	session_now_live(session);
	added->closed = session_retire_conns(session, old, at_once);
	spin_unlock_bh(&session->lock);
	kfree_rcu(old, rcu);
	added->used = nr;
	return 0;
}

/*
 * Who saw new connections before they ran may have parked a command since; and a batch
 * that began on other connections may end on the new ones, and then nobody flushes the
 * others. Once all of them are through, do both. Nobody waits for that: many devices may
 * get their connections again at once. A grace period that connections came in the middle
 * of does not count for them.
 */
static void session_settle_work(struct work_struct *work)
{
	struct nbd_session *session;
	unsigned int epoch;

	session = container_of(to_rcu_work(work), struct nbd_session, settle_work);
	epoch = READ_ONCE(session->epoch);
	session_kick(session);
	if (epoch == session->settled || READ_ONCE(session->state) == NBD_STATE_CLOSING)
		return;
	session->settled = epoch;
	queue_rcu_work(nbd_wq, &session->settle_work);
}

static void session_start_conns(struct nbd_session *session, struct nbd_conn **conns,
				unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		nbd_event_conn_up(session, conns[i]->slot);
		nbd_conn_start(conns[i]);
	}
	atomic64_add(nr, &session->counters.connects);
	session_kick(session);
	queue_rcu_work(nbd_wq, &session->settle_work);
	nbd_event_state(session);
}

int nbd_session_add_socks(struct nbd_session *session, struct file **socks, unsigned int nr,
			  enum nbd_takeover how, struct nbd_added *added,
			  struct netlink_ext_ack *extack)
{
	struct nbd_conn **conns;
	int err;

	*added = (struct nbd_added){ };
	conns = kcalloc(nr, sizeof(*conns), GFP_NOIO);
	if (!conns) {
		socks_put(socks, nr);
		return -ENOMEM;
	}
	err = conns_create(session, socks, conns, nr, extack);
	if (!err && how == NBD_FILL_DEAD)
		err = session_add_conns(session, conns, nr, added);
	else if (!err)
		err = session_replace_conns(session, conns, nr, how == NBD_REPLACE_NOW, added);
	if (err == -ESHUTDOWN)
		nbd_extack_text(extack, "device is being detached");
	if (added->used)
		session_start_conns(session, conns, added->used);
	kfree(conns);
	return err;
}

/* Its burial says goodbye. */
static void conn_dismiss(struct nbd_conn *conn)
{
	nbd_conn_kill(conn, -ECANCELED, "detached");
}

/* A retiring one: no connection is left that would take what it carries. */
static void conn_dismiss_locked(struct nbd_conn *conn)
{
	nbd_conn_kill(conn, -ECANCELED, "detached");
}

void nbd_session_close(struct nbd_session *session)
{
	unsigned int noio = memalloc_noio_save();
	LIST_HEAD(cmds);

	spin_lock_bh(&session->lock);
	session_set_state(session, NBD_STATE_CLOSING);
	list_splice_init(&session->parked, &cmds);
	strscpy(session->cause, "a task keeps a socket of its connections locked",
		sizeof(session->cause));
	spin_unlock_bh(&session->lock);

	session_visit(session, conn_dismiss);
	session_visit_retiring(session, conn_dismiss_locked);
	cmds_fail(&cmds);
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
	session_kick(session);
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
			session_doubt(session);
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
	session->params.size = size;
	nbd_device_set_size(session->nbd, size);
	nbd_event_resized(session);
}

bool nbd_session_can_wait(struct nbd_session *session, const struct nbd_conn *conn)
{
	unsigned int own = !READ_ONCE(conn->retiring);

	return READ_ONCE(session->params.dead_timeout) || READ_ONCE(session->live) > own;
}

void nbd_session_report_error(struct nbd_session *session, struct nbd_cmd *cmd, u32 error)
{
	struct request *rq = nbd_cmd_rq(cmd);
	struct request_queue *q = rq->q;

	if (cmd->status == BLK_STS_NOTSUPP && req_op(rq) == REQ_OP_DISCARD) {
		nbd_warn(session->nbd, "server refuses TRIM, not using it any more\n");
		blk_queue_disable_discard(q);
	} else if (cmd->status == BLK_STS_NOTSUPP && req_op(rq) == REQ_OP_WRITE_ZEROES) {
		nbd_warn(session->nbd, "server refuses WRITE_ZEROES, not using it any more\n");
		blk_queue_disable_write_zeroes(q);
	} else {
		nbd_warn(session->nbd, "server answers %s of %u bytes at byte %llu with error %u\n",
			 nbd_cmd_name(cmd), blk_rq_bytes(rq),
			 (u64)blk_rq_pos(rq) << SECTOR_SHIFT, error);
	}
}
