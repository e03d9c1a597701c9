/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The connection slots of a session. A slot is dead or has a connection, which leaves it
 * when it is buried (nbd_session_bury()) or replaced. The number of slots changes only by
 * replacing all of them: then there is another struct nbd_slots.
 */
#ifndef _NBD_SLOTS_H
#define _NBD_SLOTS_H

#include <linux/rcupdate.h>
#include "session.h"

struct nbd_given;
struct netlink_ext_ack;
struct work_struct;

/* Connections of one device; mainline has no limit. */
#define NBD_CONNS_MAX		1024

/**
 * struct nbd_slots - the connection slots of a session
 * @nr:		how many
 * @conn:	the connection of each, NULL while it is dead; readers under RCU,
 *		written under session->lock
 */
struct nbd_slots {
	struct rcu_head rcu;
	unsigned int nr;
	struct nbd_conn __rcu *conn[] __counted_by(nr);
};

/* The slots, for who holds session->lock or has the session alone. */
static inline struct nbd_slots *nbd_session_slots(struct nbd_session *session)
{
	return rcu_dereference_protected(session->slots, true);
}

/* The connection in a slot, for the same. */
static inline struct nbd_conn *nbd_slot_conn(struct nbd_slots *slots, unsigned int i)
{
	return rcu_dereference_protected(slots->conn[i], true);
}

/* Dead ones, or NULL. */
struct nbd_slots *nbd_slots_alloc(unsigned int nr);

/* Drops the references to sockets that did not become connections. */
void nbd_socks_put(struct nbd_given *socks, unsigned int nr);

/*
 * Makes connections of the sockets, all of them or none, and takes them over in every
 * case: as nbd_conn_create(), told in @extack.
 */
int nbd_conns_create(struct nbd_session *session, struct nbd_given *socks,
		     struct nbd_conn **conns, unsigned int nr, struct netlink_ext_ack *extack);

/**
 * struct nbd_added - what nbd_session_add_socks() did
 * @used:	sockets that became connections; the others were released
 * @closed:	live connections that retire for them
 */
struct nbd_added {
	unsigned int used;
	unsigned int closed;
};

/**
 * enum nbd_takeover - what becomes of the live connections when others are added
 * @NBD_FILL_DEAD:	they stay: the new ones take the place of dead ones
 * @NBD_REPLACE:	they retire when their servers have answered what they carry
 * @NBD_REPLACE_NOW:	they end at once, and so do those that retire already
 */
enum nbd_takeover {
	NBD_FILL_DEAD,
	NBD_REPLACE,
	NBD_REPLACE_NOW,
};

/*
 * Connects dead slots to @socks, or makes them the only connections, to which new commands
 * go; see nbd_conn_retire() for the old ones.
 * Takes the sockets over in every case, and releases those for which no slot is dead.
 * nbd_device.lock is held. -ENOMEM, -ESHUTDOWN while closing, or as nbd_conn_create(), told in
 * @extack; nothing has changed then.
 */
int nbd_session_add_socks(struct nbd_session *session, struct nbd_given *socks,
			  unsigned int nr, enum nbd_takeover how, struct nbd_added *added,
			  struct netlink_ext_ack *extack);

/*
 * The machine goes down, see leave.h: all connections retire, and none comes any more. With
 * @at_once those end that still have unanswered requests. A session that is being closed says
 * goodbye by itself.
 */
void nbd_session_leave(struct nbd_session *session, bool at_once);

/* Connections were started: they retire if the machine goes down by now. */
void nbd_session_started(struct nbd_session *session);

/* nbd_session.settle_work. */
void nbd_session_settle_work(struct work_struct *work);

/* Calls @visit with each connection, outside of session->lock and RCU. */
void nbd_session_visit(struct nbd_session *session, void (*visit)(struct nbd_conn *conn));

/* Calls @visit with each replaced connection, under session->lock. */
void nbd_session_visit_retiring(struct nbd_session *session,
				void (*visit)(struct nbd_conn *conn));

/* Sends what is pending on any connection. */
void nbd_session_flush(struct nbd_session *session);

/* How many connections retire, and how many commands their servers have not answered. */
unsigned int nbd_session_retiring(struct nbd_session *session, unsigned int *inflight);

#endif /* _NBD_SLOTS_H */
