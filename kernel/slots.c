// SPDX-License-Identifier: GPL-2.0
/* The connection slots of a session: filled, filled again, replaced as a whole. */
#include <linux/blk-mq.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include "compat.h"
#include "conn.h"
#include "device.h"
#include "event.h"
#include "issue.h"
#include "leave.h"
#include "session.h"
#include "slots.h"

struct nbd_slots *nbd_slots_alloc(unsigned int nr)
{
	struct nbd_slots *slots;

	slots = kzalloc(struct_size(slots, conn, nr), GFP_NOIO);
	if (slots)
		slots->nr = nr;
	return slots;
}

void nbd_socks_put(struct nbd_given *socks, unsigned int nr)
{
	while (nr--)
		nbd_socket_put(socks[nr].file);
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

int nbd_conns_create(struct nbd_session *session, struct nbd_given *socks,
		     struct nbd_conn **conns, unsigned int nr, struct netlink_ext_ack *extack)
{
	unsigned int i;
	int err;

	for (i = 0; i < nr; i++) {
		conns[i] = nbd_conn_create(session, i, &socks[i]);
		if (IS_ERR(conns[i])) {
			err = PTR_ERR(conns[i]);
			nbd_extack_text(extack, create_complaint(err));
			nbd_socks_put(socks + i + 1, nr - i - 1);
			conns_discard(conns, i);
			return err;
		}
	}
	return 0;
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

void nbd_session_visit(struct nbd_session *session, void (*visit)(struct nbd_conn *conn))
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
	nbd_session_visit(session, conn_flush_pending);
}

void nbd_session_visit_retiring(struct nbd_session *session,
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

/* Chooses slots for @nr new connections: the dead ones. Returns how many there are. */
static unsigned int session_fill_dead(struct nbd_session *session, struct nbd_conn **conns,
				      unsigned int nr)
{
	struct nbd_slots *slots = nbd_session_slots(session);
	unsigned int i, used = 0;

	lockdep_assert_held(&session->lock);

	for (i = 0; i < slots->nr && used < nr; i++) {
		if (nbd_slot_conn(slots, i))
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
	nbd_session_set_state(session, NBD_STATE_LIVE);
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
	if (session->state == NBD_STATE_CLOSING || session->leaving)
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
		conn = nbd_slot_conn(old, i);
		if (!conn)
			continue;
		list_add(&conn->retire_node, &session->retiring);
		nr++;
	}
	list_for_each_entry(conn, &session->retiring, retire_node)
		nbd_conn_retire(conn, at_once);
	return nr;
}

void nbd_session_leave(struct nbd_session *session, bool at_once)
{
	struct nbd_slots *slots;
	struct nbd_conn *conn;
	unsigned int i;

	spin_lock_bh(&session->lock);
	slots = nbd_session_slots(session);
	WRITE_ONCE(session->leaving, true);
	for (i = 0; i < slots->nr; i++) {
		conn = nbd_slot_conn(slots, i);
		/* Who is about to start it comes here again, nbd_session_started(). */
		if (!conn || READ_ONCE(conn->state) == NBD_LIFE_NEW)
			continue;
		RCU_INIT_POINTER(slots->conn[i], NULL);
		list_add(&conn->retire_node, &session->retiring);
		WRITE_ONCE(session->live, session->live - 1);
		if (!session->live)
			nbd_session_set_state(session, NBD_STATE_WAITING);
	}
	list_for_each_entry(conn, &session->retiring, retire_node)
		nbd_conn_retire(conn, at_once);
	spin_unlock_bh(&session->lock);
}

void nbd_session_started(struct nbd_session *session)
{
	/* The connections run, and only then: leave.c says first, and looks then. */
	smp_mb();
	if (nbd_is_leaving())
		nbd_session_leave(session, false);
}

/* Publishes the connections as the only ones and retires the old ones. */
static int session_replace_conns(struct nbd_session *session, struct nbd_conn **conns,
				 unsigned int nr, bool at_once, struct nbd_added *added)
{
	struct nbd_slots *slots = nbd_slots_alloc(nr), *old;
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
	if (session->state == NBD_STATE_CLOSING || session->leaving) {
		spin_unlock_bh(&session->lock);
		kfree(slots);
		conns_discard(conns, nr);
		return -ESHUTDOWN;
	}
	/* A flush may be answered on the new ones before the old ones are buried. */
	nbd_session_doubt(session);
	old = nbd_session_slots(session);
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
void nbd_session_settle_work(struct work_struct *work)
{
	struct nbd_session *session;
	unsigned int epoch;

	session = container_of(to_rcu_work(work), struct nbd_session, settle_work);
	epoch = READ_ONCE(session->epoch);
	nbd_session_kick(session);
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
	nbd_session_started(session);
	atomic64_add(nr, &session->counters.connects);
	nbd_session_kick(session);
	queue_rcu_work(nbd_wq, &session->settle_work);
	nbd_event_state(session);
}

int nbd_session_add_socks(struct nbd_session *session, struct nbd_given *socks, unsigned int nr,
			  enum nbd_takeover how, struct nbd_added *added,
			  struct netlink_ext_ack *extack)
{
	struct nbd_conn **conns;
	int err;

	*added = (struct nbd_added){ };
	conns = kcalloc(nr, sizeof(*conns), GFP_NOIO);
	if (!conns) {
		nbd_socks_put(socks, nr);
		nbd_extack_text(extack, "out of memory for connections");
		return -ENOMEM;
	}
	err = nbd_conns_create(session, socks, conns, nr, extack);
	if (!err && how == NBD_FILL_DEAD)
		err = session_add_conns(session, conns, nr, added);
	else if (!err)
		err = session_replace_conns(session, conns, nr, how == NBD_REPLACE_NOW, added);
	if (err == -ESHUTDOWN)
		nbd_extack_text(extack, session->leaving ? "the machine goes down" :
				"device is being detached");
	else if (err == -ENOMEM)
		nbd_extack_text(extack, "out of memory for connections");
	if (added->used)
		session_start_conns(session, conns, added->used);
	kfree(conns);
	return err;
}
