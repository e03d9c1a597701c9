// SPDX-License-Identifier: GPL-2.0
/* The life of one connection, from its socket to its burial. */
#include <linux/blk-mq.h>
#include <linux/net.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "compat.h"
#include "conn.h"
#include "device.h"
#include "leave.h"
#include "order.h"
#include "parts.h"
#include "queue.h"
#include "session.h"
#include "stream.h"

/* How often a peer that has requests to answer is excused. */
#define NBD_EXCUSE_INTERVAL	(2 * HZ)
/* How often a retiring connection is looked at: at first, and after some seconds. */
#define NBD_RETIRE_INTERVAL	(HZ / 50)
#define NBD_RETIRE_PATIENCE	(5 * HZ)
#define NBD_RETIRE_INTERVAL_LONG (HZ / 2)

static void nbd_conn_request_timeout(struct timer_list *timer);
static void nbd_conn_excuse(struct timer_list *timer);
static void nbd_conn_bury(struct work_struct *work);

static void conn_init(struct nbd_conn *conn, struct nbd_session *session, unsigned int slot)
{
	conn->slot = slot;
	refcount_set(&conn->refs, 1);
	mutex_init(&conn->tx_mutex);
	INIT_LIST_HEAD(&conn->sending);
	INIT_LIST_HEAD(&conn->bulk);
	INIT_WORK(&conn->tx_work, nbd_xmit_work);
	INIT_WORK(&conn->tx_bulk, nbd_xmit_bulk_work);
	INIT_WORK(&conn->tx_wait, nbd_xmit_wait_work);
	INIT_WORK(&conn->rx_work, nbd_recv_work);
	nbd_later_init(&conn->tx_later, nbd_xmit_put_off);
	nbd_later_init(&conn->rx_later, nbd_recv_put_off);
	spin_lock_init(&conn->lock);
	INIT_LIST_HEAD(&conn->pending);
	INIT_LIST_HEAD(&conn->retire_node);
	conn->generation = 1;
	conn->timeout = nbd_seconds_to_jiffies(session->params.timeout);
	timer_setup(&conn->request_timer, nbd_conn_request_timeout, 0);
	timer_setup(&conn->excuse, nbd_conn_excuse, 0);
	INIT_WORK(&conn->burial, nbd_conn_bury);
	refcount_inc(&session->refs);
	atomic_inc(&session->unburied);
	conn->session = session;
}

static void conn_free(struct nbd_conn *conn)
{
	kfree(conn->rx_buf);
	free_page((unsigned long)conn->tx_headers);
	nbd_rekey_wipe(&conn->rekey);
	kfree_rcu(conn, rcu);
}

struct nbd_conn *nbd_conn_create(struct nbd_session *session, unsigned int slot,
				 const struct nbd_given *sock)
{
	struct nbd_conn *conn;
	int err;

	conn = kzalloc(sizeof(*conn), GFP_NOIO);
	if (!conn) {
		nbd_socket_put(sock->file);
		return ERR_PTR(-ENOMEM);
	}
	conn->rx_buf = kmalloc(NBD_RX_BUF, GFP_NOIO);
	conn->tx_headers = (void *)__get_free_page(GFP_NOIO);
	if (sock->secrets)
		conn->rekey.secrets = *sock->secrets;
	err = conn->rx_buf && conn->tx_headers ? nbd_socket_claim(conn, sock->file) : -ENOMEM;
	if (err) {
		nbd_socket_put(sock->file);
		conn_free(conn);
		return ERR_PTR(err);
	}
	if (!conn->socket.stream->staged) {
		kfree(conn->rx_buf);
		conn->rx_buf = NULL;
	}
	if (!conn->rekey.able)
		nbd_rekey_wipe(&conn->rekey);
	nbd_framing_init(&conn->rx.framing, sock->structured);
	conn_init(conn, session, slot);
	return conn;
}

/* The last step of every connection: nothing refers to it but users of nbd_conn_put(). */
static void conn_detach_session(struct nbd_conn *conn)
{
	struct nbd_session *session = conn->session;

	nbd_conn_put(conn);
	/*
	 * Whoever waits for the last connection has a reference, and when that is dropped
	 * the module can be unloaded: ours has to go first. RCU keeps the memory.
	 */
	rcu_read_lock();
	nbd_session_put(session);
	if (atomic_dec_and_test(&session->unburied))
		wake_up_all(&session->changed);
	rcu_read_unlock();
}

void nbd_conn_discard(struct nbd_conn *conn)
{
	nbd_socket_unhook(conn);
	nbd_socket_release(conn);
	conn_detach_session(conn);
}

void nbd_conn_start(struct nbd_conn *conn)
{
	/* Callbacks do nothing yet; what they would have told is looked for below. */
	nbd_socket_hook(conn);
	/*
	 * Under the lock, so that a burial, which cancels the works, comes after they
	 * were queued.
	 */
	spin_lock_bh(&conn->lock);
	WRITE_ONCE(conn->state, NBD_LIFE_RUNNING);
	conn->heard = jiffies;
	nbd_recv_later(conn);
	queue_work(nbd_wq, &conn->tx_work);
	spin_unlock_bh(&conn->lock);
}

void nbd_conn_put(struct nbd_conn *conn)
{
	if (refcount_dec_and_test(&conn->refs))
		conn_free(conn);
}

void nbd_conn_put_off(struct nbd_conn *conn, struct nbd_later *later,
		      struct nbd_later_queue *queue)
{
	/* Between the two nobody else can put it off, or wake the thread: not to be kept from. */
	preempt_disable();
	if (nbd_later_claim(later)) {
		refcount_inc(&conn->refs);
		nbd_later_add(queue, later);
	}
	preempt_enable();
}

static void conn_arm_request_timer(struct nbd_conn *conn)
{
	unsigned long timeout = READ_ONCE(conn->timeout);

	if (timeout && !timer_pending(&conn->request_timer))
		mod_timer(&conn->request_timer, jiffies + timeout);
}

static void conn_arm_excuse(struct nbd_conn *conn)
{
	if (!timer_pending(&conn->excuse))
		mod_timer(&conn->excuse, jiffies + NBD_EXCUSE_INTERVAL);
}

/* The command of that index, if the connection has it. */
static struct nbd_cmd *conn_find(struct nbd_conn *conn, unsigned int index)
{
	struct nbd_entry *entry = &conn->session->table[index];

	lockdep_assert_held(&conn->lock);

	return READ_ONCE(entry->conn) == conn ? entry->cmd : NULL;
}

static bool conn_has(struct nbd_conn *conn, const struct nbd_cmd *cmd)
{
	return conn_find(conn, cmd->index) == cmd;
}

static void conn_enter(struct nbd_conn *conn, struct nbd_cmd *cmd)
{
	struct nbd_entry *entry = &conn->session->table[cmd->index];

	lockdep_assert_held(&conn->lock);

	entry->cmd = cmd;
	WRITE_ONCE(entry->conn, conn);
	WRITE_ONCE(conn->inflight, conn->inflight + 1);
	WRITE_ONCE(conn->nr_long, conn->nr_long + nbd_is_long(cmd));
}

static void conn_remove(struct nbd_conn *conn, const struct nbd_cmd *cmd)
{
	lockdep_assert_held(&conn->lock);

	WRITE_ONCE(conn->session->table[cmd->index].conn, NULL);
	WRITE_ONCE(conn->inflight, conn->inflight - 1);
	WRITE_ONCE(conn->nr_long, conn->nr_long - nbd_is_long(cmd));
}

bool nbd_conn_enqueue(struct nbd_conn *conn, struct nbd_cmd *cmd)
{
	spin_lock_bh(&conn->lock);
	if (conn->state != NBD_LIFE_RUNNING || (READ_ONCE(conn->reserved) && !cmd->suspect)) {
		spin_unlock_bh(&conn->lock);
		return false;
	}
	cmd->cookie = nbd_cookie(conn->generation++, cmd->index);
	cmd->header.cookie = cpu_to_be64(cmd->cookie);
	atomic_set(&cmd->phase, 0);
	nbd_parts_init(cmd);
	cmd->status = BLK_STS_OK;
	cmd->issued = jiffies;
	nbd_cover_init(&cmd->cover);
	conn_enter(conn, cmd);
	list_add_tail(&cmd->node, &conn->pending);
	WRITE_ONCE(conn->nr_pending, conn->nr_pending + 1);
	WRITE_ONCE(conn->pending_bytes, conn->pending_bytes + nbd_part_wire_len(cmd));
	WRITE_ONCE(conn->requests, conn->requests + 1);
	conn_arm_request_timer(conn);
	conn_arm_excuse(conn);
	spin_unlock_bh(&conn->lock);
	return true;
}

static bool cmd_answered_by(struct nbd_conn *conn, struct nbd_cmd *cmd, u64 cookie)
{
	if (unlikely(cmd->part))
		return nbd_parts_answer(cmd, cookie, nbd_framing_is_last(&conn->rx.framing));
	return cmd->cookie == cookie && atomic_read(&cmd->phase) & NBD_PHASE_OFFERED;
}

struct nbd_cmd *nbd_conn_take(struct nbd_conn *conn, u64 cookie)
{
	u32 index = nbd_cookie_index(cookie);
	struct nbd_cmd *cmd = NULL;

	if (index >= conn->session->nr_table)
		return NULL;
	spin_lock_bh(&conn->lock);
	if (conn->state == NBD_LIFE_RUNNING)
		cmd = conn_find(conn, index);
	if (cmd && !cmd_answered_by(conn, cmd, cookie))
		cmd = NULL;
	if (cmd && nbd_parts_answered(cmd)) {
		conn_remove(conn, cmd);
		if (cmd->is_read || conn->rx.framing.structured) {
			conn->heard_before = conn->heard;
			conn->receiving_since = cmd->issued;
			WRITE_ONCE(conn->receiving, true);
		}
	}
	if (cmd)
		WRITE_ONCE(conn->heard, jiffies);
	spin_unlock_bh(&conn->lock);
	return cmd;
}

static void conn_set_dying(struct nbd_conn *conn, int err)
{
	lockdep_assert_held(&conn->lock);

	WRITE_ONCE(conn->state, NBD_LIFE_DYING);
	conn->err = err;
	conn->ended = jiffies;
	queue_work(nbd_lock_wq, &conn->burial);
}

void nbd_conn_kill(struct nbd_conn *conn, int err, const char *fmt, ...)
{
	va_list args;

	spin_lock_bh(&conn->lock);
	if (conn->state == NBD_LIFE_RUNNING) {
		conn_set_dying(conn, err);
		va_start(args, fmt);
		vscnprintf(conn->cause, sizeof(conn->cause), fmt, args);
		va_end(args);
	}
	spin_unlock_bh(&conn->lock);
}

void nbd_conn_give_back(struct nbd_conn *conn, struct nbd_cmd *cmd)
{
	spin_lock_bh(&conn->lock);
	/* It has not left the table while parts of it are unanswered. */
	if (!conn_has(conn, cmd))
		conn_enter(conn, cmd);
	spin_unlock_bh(&conn->lock);
}

bool nbd_conn_unoffer(struct nbd_conn *conn)
{
	struct nbd_cmd *cmd;
	bool good = true;

	spin_lock_bh(&conn->lock);
	list_for_each_entry(cmd, &conn->sending, node) {
		if (!atomic_read(&cmd->phase))
			break;
		if (!conn_has(conn, cmd))
			good = false;
		else if (cmd->part)
			good &= nbd_parts_unoffer(cmd);
		else
			atomic_set(&cmd->phase, 0);
	}
	spin_unlock_bh(&conn->lock);
	return good;
}

/*
 * Since when the server owes the answer to @cmd. A server that left it unanswered on another
 * connection and has said nothing on this one since does not get its time anew when the
 * command can go somewhere else: its silence has begun with its last reply.
 */
static unsigned long conn_owes_since(struct nbd_conn *conn, struct nbd_cmd *cmd)
{
	lockdep_assert_held(&conn->lock);

	if (conn->retiring && cmd->overdue && time_before(conn->heard, cmd->issued))
		return conn->heard;
	return cmd->issued;
}

/* When the oldest answer will have been owed for the timeout; false if that never comes. */
static bool conn_deadline(struct nbd_conn *conn, unsigned long *deadline)
{
	unsigned long timeout = READ_ONCE(conn->timeout);
	bool found = READ_ONCE(conn->receiving);
	unsigned long since, oldest = 0;
	struct nbd_cmd *cmd;
	unsigned int i;

	lockdep_assert_held(&conn->lock);

	if (!timeout)
		return false;
	if (found)
		oldest = conn->receiving_since;
	for (i = 0; i < conn->session->nr_table; i++) {
		cmd = conn_find(conn, i);
		if (!cmd)
			continue;
		since = conn_owes_since(conn, cmd);
		if (!found || time_before(since, oldest))
			oldest = since;
		found = true;
	}
	*deadline = oldest + timeout;
	return found;
}

/*
 * For a retiring connection: whether the oldest answer has been owed for the timeout. That
 * moment only moves away while commands leave, so the table is not looked through before it.
 */
static bool conn_expired(struct nbd_conn *conn)
{
	unsigned long deadline;

	if (time_before(jiffies, conn->retire_by) || !conn_deadline(conn, &deadline))
		return false;
	conn->retire_by = deadline;
	return time_after_eq(jiffies, deadline);
}

static unsigned long conn_retire_interval(const struct nbd_conn *conn)
{
	if (time_before(jiffies, conn->retired_at + NBD_RETIRE_PATIENCE))
		return NBD_RETIRE_INTERVAL;
	return NBD_RETIRE_INTERVAL_LONG;
}

/*
 * Whether the server has answered everything, or has had its time. Without a timeout it has
 * all the time that it needs: what it works on must not be sent to another one meanwhile.
 */
static void conn_retire_locked(struct nbd_conn *conn, bool at_once)
{
	bool idle = !conn->inflight && !READ_ONCE(conn->receiving);

	lockdep_assert_held(&conn->lock);

	if (!idle && !at_once && !conn_expired(conn)) {
		/* Of a batch whose end went to a new connection. */
		if (conn->nr_pending)
			queue_work(nbd_wq, &conn->tx_work);
		mod_timer(&conn->request_timer, jiffies + conn_retire_interval(conn));
		return;
	}
	conn_set_dying(conn, -ECANCELED);
	strscpy(conn->cause, idle ? "replaced" : "replaced, with requests unanswered",
		sizeof(conn->cause));
}

void nbd_conn_retire(struct nbd_conn *conn, bool at_once)
{
	spin_lock_bh(&conn->lock);
	/* One that is dying has lost what only a retiring one can tell. */
	if (conn->state == NBD_LIFE_RUNNING) {
		if (!conn->retiring) {
			conn->retired_at = jiffies;
			conn->retire_by = jiffies;
		}
		WRITE_ONCE(conn->retiring, true);
		conn_retire_locked(conn, at_once);
	}
	spin_unlock_bh(&conn->lock);
}

/* The request timeout: a command without an answer costs the connection. */
static void nbd_conn_request_timeout(struct timer_list *timer)
{
	struct nbd_conn *conn = timer_container_of(conn, timer, request_timer);
	unsigned long timeout = READ_ONCE(conn->timeout);
	unsigned long deadline;
	bool expired = false;

	spin_lock_bh(&conn->lock);
	if (conn->state == NBD_LIFE_RUNNING && conn->retiring) {
		conn_retire_locked(conn, false);
	} else if (conn->state == NBD_LIFE_RUNNING && conn_deadline(conn, &deadline)) {
		expired = time_after_eq(jiffies, deadline);
		if (!expired)
			mod_timer(&conn->request_timer, deadline);
	}
	spin_unlock_bh(&conn->lock);
	if (!expired)
		return;
	WRITE_ONCE(conn->session->timed_out, true);
	atomic64_inc(&conn->session->counters.timedout);
	nbd_conn_kill(conn, -ETIMEDOUT, "no answer to a request for %lu s", timeout / HZ);
}

void nbd_conn_set_timeout(struct nbd_conn *conn, unsigned long timeout)
{
	unsigned long deadline;

	spin_lock_bh(&conn->lock);
	WRITE_ONCE(conn->timeout, timeout);
	conn->retire_by = jiffies;
	if (conn->state == NBD_LIFE_RUNNING && conn->retiring)
		conn_retire_locked(conn, false);
	else if (conn->state == NBD_LIFE_RUNNING && conn_deadline(conn, &deadline))
		mod_timer(&conn->request_timer, max(deadline, jiffies + 1));
	spin_unlock_bh(&conn->lock);
}

/*
 * Runs while commands are under way. The last bytes of one may be in the socket, and wait
 * there for a server that reads nothing.
 */
static void nbd_conn_excuse(struct timer_list *timer)
{
	struct nbd_conn *conn = timer_container_of(conn, timer, excuse);

	if (READ_ONCE(conn->inflight))
		nbd_socket_excuse(&conn->socket);
	spin_lock_bh(&conn->lock);
	if (conn->state == NBD_LIFE_RUNNING && conn->inflight) {
		/* It may have been memory that was lacking, of which no callback tells. */
		if (READ_ONCE(conn->tx_blocked))
			queue_work(nbd_wq, &conn->tx_work);
		conn_arm_excuse(conn);
	}
	spin_unlock_bh(&conn->lock);
}

/* Ends the transmit side and the workers. The receiver has no callbacks any more. */
static void conn_drain(struct nbd_conn *conn)
{
	nbd_conn_close(conn);
	cancel_work_sync(&conn->tx_work);
	cancel_work_sync(&conn->tx_bulk);
	cancel_work_sync(&conn->tx_wait);
	cancel_work_sync(&conn->rx_work);
	timer_delete_sync(&conn->request_timer);
	timer_delete_sync(&conn->excuse);
}

/* Takes off a list what is not in the table, and what is there will be found there. */
static void conn_collect_list(struct nbd_conn *conn, struct list_head *list,
			      struct list_head *cmds)
{
	struct nbd_cmd *cmd, *next;

	list_for_each_entry_safe(cmd, next, list, node) {
		list_del_init(&cmd->node);
		if (!conn_has(conn, cmd))
			list_add_tail(&cmd->node, cmds);
	}
}

/* All that the drained connection owns, whichever of its sides had it last. */
static void conn_collect(struct nbd_conn *conn, struct list_head *cmds)
{
	struct nbd_cmd *cmd = conn->rx.cmd;
	unsigned int i;

	spin_lock_bh(&conn->lock);
	WRITE_ONCE(conn->state, NBD_LIFE_BURIED);
	/* Commands that are not sent to the end are on the lists; a reply may have come. */
	if (cmd && !conn_has(conn, cmd) && atomic_read(&cmd->phase) & NBD_PHASE_SENT)
		list_add_tail(&cmd->node, cmds);
	conn->rx.cmd = NULL;
	conn_collect_list(conn, &conn->sending, cmds);
	conn_collect_list(conn, &conn->bulk, cmds);
	conn_collect_list(conn, &conn->pending, cmds);
	for (i = 0; conn->inflight && i < conn->session->nr_table; i++) {
		cmd = conn_find(conn, i);
		if (!cmd)
			continue;
		conn_remove(conn, cmd);
		list_add_tail(&cmd->node, cmds);
	}
	spin_unlock_bh(&conn->lock);
}

static bool conn_can_flush(const struct nbd_conn *conn)
{
	return conn->session->params.flags & NBD_FLAG_SEND_FLUSH;
}

/*
 * Whether NBD_CMD_DISC is in the socket. The flush is answered before it: a server that has
 * read a goodbye may begin nothing any more (nbdkit).
 */
static bool conn_say_goodbye(struct nbd_conn *conn, bool flush)
{
	if (!nbd_conn_close(conn))
		return false;
	if (flush) {
		if (!nbd_conn_say(conn, NBD_CMD_FLUSH))
			return false;
		nbd_leave_await_answer(conn);
	}
	return nbd_conn_say(conn, NBD_CMD_DISC);
}

static void nbd_conn_bury(struct work_struct *work)
{
	struct nbd_conn *conn = container_of(work, struct nbd_conn, burial);
	unsigned int noio = memalloc_noio_save();
	bool idle, over, leaving, said_goodbye = false;
	LIST_HEAD(cmds);

	/* It is dying: neither becomes more. */
	spin_lock_bh(&conn->lock);
	idle = !conn->inflight && !READ_ONCE(conn->receiving);
	spin_unlock_bh(&conn->lock);
	over = READ_ONCE(conn->session->state) == NBD_STATE_CLOSING;
	leaving = READ_ONCE(conn->session->leaving);
	nbd_socket_unhook(conn);
	/* All is answered, or nobody wants the answers any more: the server may be told so. */
	if (conn->err == -ECANCELED && (over || leaving || (conn->retiring && idle)))
		said_goodbye = conn_say_goodbye(conn, leaving && conn_can_flush(conn));
	if (leaving && said_goodbye)
		nbd_leave_await_end(conn);
	/* A write that failed must not be executed after all, once the network is back. */
	nbd_socket_cut(conn, said_goodbye && (idle || leaving));
	conn_drain(conn);
	conn_collect(conn, &cmds);
	nbd_socket_release(conn);
	nbd_session_bury(conn->session, conn, &cmds);
	conn_detach_session(conn);
	memalloc_noio_restore(noio);
}
