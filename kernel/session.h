/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A session: one attachment of a device to an export, with its parameters, its
 * connection slots, and the requests that wait for a connection.
 *
 * Validate first (params.h), then create, which does everything that can
 * fail, then publish. nbd_session_close() is one-way; after it no connection can
 * be added and no request waits. When nbd_session_wait_end() has returned nothing of the
 * session runs any more.
 *
 * The driver's own words:
 * park		a command waits: there is no connection, or it is not its turn (issue.h)
 * hop		a connection died under a command while others lived
 * suspect	a command that connections died of (suspect.h)
 * trial	the one suspect that is under way again, alone (retry.h)
 * absolve	the server as a whole was gone: a death is held against no command
 * retire	a replaced connection takes no more commands, and ends with its last answer
 * bury		what a worker does with a dead connection (conn.h)
 * excuse	not to take a server for dead whose TCP answers (nbd_socket_excuse())
 * doubt	acknowledged writes may be lost with a connection (NBD_WRITE_STRICT)
 * keeper	who makes lost connections again; who takes that over has adopted the device
 *
 * References: nbd_device.session, each connection, a task in NBD_DO_IT. Readers of
 * nbd_device.session are under RCU and take a reference with
 * nbd_device_session(). The last reference drops the module's.
 */
#ifndef _NBD_SESSION_H
#define _NBD_SESSION_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/nbd-netlink.h>
#include <linux/pid.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "conn.h"
#include "params.h"

struct dentry;
struct nbd_cmd;
struct nbd_device;
struct nbd_given;
struct nbd_slots;
struct netlink_ext_ack;

/* Counters of a session; atomics, for they are touched on rare paths only. */
struct nbd_counters {
	atomic64_t resent;
	atomic64_t slow;
	atomic64_t timedout;
	atomic64_t conn_deaths;
	atomic64_t connects;
	atomic64_t server_errors;
	atomic64_t failed;
};

/**
 * struct nbd_entry - which connection has a command
 * @conn:	NULL if none; only a connection itself, under its lock, makes this that connection,
 *		or anything else after it was. Others compare it with themselves and look no further
 * @cmd:	the command, while @conn is one; that connection's, under its lock
 *
 * No two commands that are under way have the same index, so one table does for all
 * connections, however many of these and of hardware queues there are.
 */
struct nbd_entry {
	struct nbd_conn *conn;
	struct nbd_cmd *cmd;
};

/**
 * struct nbd_session - one attachment
 * @nbd:	the device; outlives the session
 * @id:		names this attachment to userspace
 * @refs:	see above
 * @params:	@params.size, timeouts and cflags change under nbd_device.lock; requests and
 *		dying connections read them without
 * @pid:	task that attached, counted
 * @ra_near:	pages of read-ahead for a server that is near; under nbd_device.lock
 * @ra_set:	what it was set to last, see readahead.h; under nbd_device.lock
 * @nr_table:	commands that can be in flight, the entries of @table
 * @table:	by nbd_cmd.index, which connection has the command
 * @lock:	protects @slots, @state, @live, @epoch, @spread, @parked, @retiring, @trial,
 *		@trial_at, @cause, @since, @keeper, @keeper_pid; nests inside RCU, conn->tx_mutex
 *		and the lock of the connection's socket, and only conn->lock nests inside it
 * @slots:	replaced as a whole when all connections are
 * @state:	enum nbd_device_state; nbd_session_set_state() is the only writer
 * @live:	slots with a connection
 * @epoch:	changes when connections are added, or one is not reserved any more
 * @spread:	there are more connections than hardware queues
 * @parked:	commands that wait for a connection, and suspects that wait for their turn
 * @retiring:	connections that were replaced and are not buried yet
 * @trial:	the one command that connections died of which is under way again
 * @trial_at:	jiffies; before it no command has its trial on the only connection that a server
 *		was silent about
 * @cause:	for people: why the last connection died; while closing, why that lasts
 * @since:	jiffies of the last change of @state
 * @lost:	jiffies of the loss of the last connection, under @lock
 * @dead_work:	ends the wait after params.dead_timeout
 * @kick_work:	sends the next of the commands that connections died of
 * @settle_work: after a grace period, sends what was parked or put off while connections
 *		were being added; @settled is the @epoch that it has seen
 * @unburied:	connections that were created and not buried yet
 * @changed:	woken when @state or @unburied change
 * @timed_out:	a connection was given up because of a timeout
 * @leaving:	the machine goes down: no connection comes, nothing fails; under @lock
 * @short_until: jiffies until when short requests are expected, see order.h
 * @long_until:	the same for long writes; both are written without a lock
 * @writes:	NBD_WRITE_STRICT: acknowledged writes; @flushed: how many of them the
 *		last successful flush covers; @doubt: how many there were when a
 *		connection died
 * @keeper:	names who makes lost connections again, or 0; changes under nbd_device.lock too
 * @keeper_pid:	the process that said so last, or NULL; counted
 * @dbg_dir:	debugfs
 */
struct nbd_session {
	struct nbd_device *nbd;
	u64 id;
	refcount_t refs;
	struct nbd_session_params params;
	struct pid *pid;
	unsigned long ra_near;
	unsigned long ra_set;
	unsigned int nr_table;
	struct nbd_entry *table;

	spinlock_t lock;	/* slots and state, see above */
	struct nbd_slots __rcu *slots;
	enum nbd_device_state state;
	unsigned int live;
	unsigned int epoch;
	bool spread;
	struct list_head parked;
	struct list_head retiring;
	struct nbd_cmd *trial;
	unsigned long trial_at;
	char cause[NBD_CAUSE_LEN];
	unsigned long since;
	unsigned long lost;

	struct delayed_work dead_work;
	struct delayed_work kick_work;
	struct rcu_work settle_work;
	unsigned int settled;
	atomic_t unburied;
	wait_queue_head_t changed;
	bool timed_out;
	unsigned long short_until;
	unsigned long long_until;
	bool leaving;
	atomic64_t writes;
	atomic64_t flushed;
	atomic64_t doubt;
	struct nbd_counters counters;
	u64 keeper;
	struct pid *keeper_pid;
	struct dentry *dbg_dir;
	struct rcu_head rcu;
};

/*
 * A session with @nr connections over @socks, which it takes over in every case.
 * @params.backend moves into the session if it succeeds. nbd_device.lock is held. ERR_PTR:
 * -ENOMEM, -ENODEV (the module is being removed), or as nbd_conn_create(); told in @extack.
 */
struct nbd_session *nbd_session_create(struct nbd_device *nbd, struct nbd_session_params *params,
				       struct nbd_given *socks, unsigned int nr,
				       struct netlink_ext_ack *extack);

/*
 * The only way of session->state to another value once the session is visible. It does
 * not leave NBD_STATE_CLOSING. session->lock is held.
 */
void nbd_session_set_state(struct nbd_session *session, enum nbd_device_state state);

/* Starts the connections. */
void nbd_session_start(struct nbd_session *session);

void nbd_session_put(struct nbd_session *session);

/* The caller's process says that @keeper makes lost connections again; tells of a change. */
void nbd_session_set_keeper(struct nbd_session *session, u64 keeper);

/*
 * Who that is, or 0. *@pid is the process that said so, if it is there, by its number in
 * the caller's PID namespace, 0 if it has none there; -1 if it has ended.
 */
u64 nbd_session_keeper(struct nbd_session *session, int *pid);

/*
 * Detaches: gives up all connections, which say goodbye where that does not wait, and
 * fails what waits for one. Waits for nobody. nbd_device.lock is held.
 */
void nbd_session_close(struct nbd_session *session);

/*
 * Waits until the connections of a closed session are buried, their requests have failed
 * and no work of it runs. That takes as long as a task that has a descriptor of a socket
 * keeps this socket locked; no lock may be held.
 */
void nbd_session_wait_end(struct nbd_session *session);

/* The undertaker brings the commands of a dead connection. */
void nbd_session_bury(struct nbd_session *session, struct nbd_conn *conn,
		      struct list_head *cmds);

/*
 * NBD_WRITE_STRICT: from now on what was acknowledged and not flushed may be lost, with a
 * connection or because flushes go elsewhere.
 */
void nbd_session_doubt(struct nbd_session *session);

/* A reply without error was received on @conn for @cmd; may change its status. */
void nbd_session_account_reply(struct nbd_conn *conn, struct nbd_cmd *cmd);

/*
 * The server refused @cmd with the protocol's error number @error, and maybe a text, which
 * is in @told; else that is NULL: told in the log,
 * and an optional operation that it does not support is not offered any more.
 */
void nbd_session_report_error(struct nbd_session *session, struct nbd_cmd *cmd, u32 error,
			      const struct nbd_framing_error *told);

/* True if there is something to wait for when @conn goes. */
bool nbd_session_can_wait(struct nbd_session *session, const struct nbd_conn *conn);

/* Changes the size of an attached device, in bytes, live. nbd_device.lock is held. */
void nbd_session_resize(struct nbd_session *session, u64 size);

/* Applies the timeouts in session->params to all that runs. nbd_device.lock is held. */
void nbd_session_apply_timeouts(struct nbd_session *session);

#endif /* _NBD_SESSION_H */
