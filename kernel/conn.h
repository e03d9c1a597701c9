/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A connection: one socket, from the moment it is attached until it is buried.
 * It is never revived; a reconnect makes a new one in the same slot.
 *
 * Life: nbd_conn_create() takes the socket, nbd_conn_start() hooks its callbacks.
 * nbd_conn_kill() ends it, for whoever notices its death first, and nbd_conn_retire() one
 * that was replaced, both from any context. They queue nbd_conn_bury(), which runs in a
 * worker in these steps:
 * unreachable (the callbacks are taken off, so that nothing is received any more),
 * cut (the socket is reset, or shut down in order after a goodbye), drained (the
 * transmit side is closed, the workers have ended), empty (the commands go back
 * to the session).
 *
 * References: the slot's, from create to the end of the burial; one for each who goes on
 * with it outside of RCU. Memory goes after a grace period, so slots may be looked at
 * under RCU. Works hold no reference. They are queued by the callbacks; under conn->lock,
 * while it is running, by the start, the timers, retiring and what is put off (later.h), which
 * has a reference of its own; under tx_mutex by who sends;
 * and by themselves. The burial cancels them when none of these comes any more.
 *
 * Locks, in the order in which they may be taken:
 *   tx_mutex		-> socket lock -> sk_callback_lock -> lock
 * Any task with a descriptor of the socket can keep the socket lock for as long as it
 * likes. Once the connection is started only works of its own wait for it, on nbd_lock_wq:
 * @tx_wait, the first look of @rx_work, @burial. Everybody else goes on without.
 */
#ifndef _NBD_CONN_H
#define _NBD_CONN_H

#include <linux/bvec.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/uio.h>
#include <linux/workqueue.h>
#include "framing.h"
#include "later.h"
#include "rekey.h"
#include "socket.h"
#include "tlsrec.h"
#include "wire.h"

struct io_comp_batch;
struct nbd_cmd;
struct nbd_session;

/* What I/O depends on runs here, and on the two below; drained when the module goes. */
extern struct workqueue_struct *nbd_wq;
/* What may have no more of a processor than its share: nbd_order_takes_share(). */
extern struct workqueue_struct *nbd_bulk_wq;
/*
 * What may wait for a socket's lock, each work for its own connection; not on nbd_wq,
 * whose works would wait behind it when there is no memory for another worker.
 */
extern struct workqueue_struct *nbd_lock_wq;

/* Segments of one sendmsg(): enough for a batch of small requests. */
#define NBD_TX_VECS	128
/*
 * Staging buffer of a socket that is read with recvmsg(), for headers and short payloads
 * of which many come at a time.
 */
#define NBD_RX_BUF	(16 << 10)
#define NBD_CAUSE_LEN	80

/**
 * enum nbd_conn_state - nbd_conn.state
 * @NBD_LIFE_NEW:	not started
 * @NBD_LIFE_RUNNING:	takes commands
 * @NBD_LIFE_DYING:	killed; takes no commands, receives nothing new
 * @NBD_LIFE_BURIED:	its commands are gone
 */
enum nbd_conn_state {
	NBD_LIFE_NEW,
	NBD_LIFE_RUNNING,
	NBD_LIFE_DYING,
	NBD_LIFE_BURIED,
};

/**
 * struct nbd_rx - where the receiver is in the byte stream
 * @framing:	what remains to be read
 * @cmd:	the command whose reply that is, from its header to its end; else NULL
 * @bio:	the part of it that is being filled
 * @bio_start:	where in the request that begins
 * @iter:	what is left of @bio
 * @apart:	for so many replies it is likely that the next one has a long payload
 * @batch:	completions of this run, valid while the receiver runs
 */
struct nbd_rx {
	struct nbd_framing framing;
	struct nbd_cmd *cmd;
	struct bio *bio;
	u32 bio_start;
	struct iov_iter iter;
	unsigned int apart;
	struct io_comp_batch *batch;
};

/**
 * struct nbd_burst - how requests come: one at a time, or many before the submitter
 * sleeps. Hints, written without a lock: to guess wrong costs time, nothing else
 * @task:	who submitted last; only compared
 * @slept:	its voluntary context switches then
 * @preempted:	its involuntary ones
 * @now:	requests since it slept
 * @before:	requests of the burst before
 * @lone:	requests that are not worth waiting with: the last one that was put off
 *		remained alone
 * @urgent:	the last one's submitter comes before ordinary tasks
 */
struct nbd_burst {
	const struct task_struct *task;
	unsigned long slept;
	unsigned long preempted;
	unsigned int now;
	unsigned int before;
	unsigned int lone;
	bool urgent;
};

/**
 * struct nbd_conn_tls - kernel TLS of a connection, as it is told in a status
 * @version:	TLS_1_2_VERSION or TLS_1_3_VERSION, 0 without TLS
 * @cipher:	TLS_CIPHER_*
 * @sent:	number of the next record that is sent
 * @received:	of the next one that is received
 */
struct nbd_conn_tls {
	u16 version;
	u16 cipher;
	u64 sent;
	u64 received;
};

/**
 * struct nbd_conn - one connection
 * @session:	counted
 * @slot:	its place in the session
 * @socket:	the socket and what it was like before
 * @refs:	see above
 * @timeout:	jiffies until an unanswered command kills it, 0 never
 * @tx_mutex:	protects @sending, @bulk, @tx_off, @tx_vec, @tx_headers, @tx_closed, @overtakable,
 *		@overtaken; held across sendmsg(), which never waits for the network.
 *		@overtakable is read without
 * @sending:	commands being sent, the first one up to @tx_off
 * @bulk:	long writes that others may overtake, see order.h
 * @tx_off:	bytes of the first command, or of the part of it that is sent next, that the
 *		socket has taken
 * @overtakable: long writes, or parts of one, on @bulk or @sending have not begun
 * @overtaken:	bytes that went out before one of those
 * @tx_closed:	nothing may be sent any more
 * @tx_headers: a page for copies of the headers of one sendmsg(): others may take references to
 *		it, as they may not to the memory of requests
 * @last_words:	of the burial, see nbd_conn_say()
 * @tx_blocked:	a send was cut short for want of space, of which sk_write_space() has not told
 *		since; it goes on
 * @tx_left:	who sent has had enough, and has left the rest to @tx_work, or @tx_bulk
 * @tx_work:	goes on sending when there is space, or where another has left off
 * @tx_bulk:	the same on nbd_bulk_wq
 * @tx_wait:	sends when it has got the socket's lock
 * @burst:	whether it pays to put off sending
 * @tx_later:	sends what was put off; has a reference while it is queued
 * @rx:		owned by the receiver: the holder of the socket lock for TCP, @rx_work
 *		otherwise
 * @rx_buf:	staging buffer of @rx_work, NBD_RX_BUF bytes; NULL if the stream has no use for it
 * @talk:	with kernel TLS, what came beside the data; the receiver's
 * @rekey:	with kernel TLS, its next keys: each direction's is that direction's
 * @tls:	with kernel TLS; written by the start, the sender and the receiver
 * @rx_work:	receives
 * @rx_later:	queues @rx_work; has a reference while it is queued
 * @lock:	protects @state, @pending, @generation, @retiring, @cause, @err, and the entries of
 *		session->table that are this connection's; taken from softirq
 * @state:	enum nbd_conn_state
 * @pending:	commands that are to be sent, @nr_pending of them, @pending_bytes on the
 *		wire
 * @generation:	of the next cookie
 * @inflight:	its entries of session->table; as @nr_pending, written under @lock, read without
 * @nr_long:	long writes of these (order.h), likewise
 * @receiving:	the payload of a command is being received, which was issued at
 *		@receiving_since; @heard was @heard_before then; set under @lock, cleared by the
 *		receiver
 * @retiring:	replaced at @retired_at (jiffies): gets no new commands, and dies when its
 *		own are answered or have exceeded @timeout
 * @retire_by:	jiffies; while @retiring, none exceeds @timeout before that
 * @retire_node: on session->retiring, under session->lock
 * @reserved:	for the one suspect that is on trial, see retry.h; written under
 *		session->lock
 * @cause:	why it died, for people
 * @err:	the same as a negative errno
 * @request_timer: fires when the oldest command may have exceeded @timeout; while @retiring, at
 *		intervals
 * @excuse:	runs while commands are @inflight, see nbd_socket_excuse()
 * @burial:	nbd_conn_bury()
 * @ended:	jiffies of its death
 * @heard:	jiffies when it was last known to be good: started, or a reply came; under @lock
 * @requests:	issued on it; written under @lock
 * @replies:	whose headers have come; written by the receiver
 */
struct nbd_conn {
	struct nbd_session *session;
	unsigned int slot;
	struct nbd_socket socket;
	refcount_t refs;
	unsigned long timeout;

	struct mutex tx_mutex;	/* transmit side, see above */
	struct list_head sending;
	struct list_head bulk;
	size_t tx_off;
	bool overtakable;
	size_t overtaken;
	bool tx_closed;
	bool tx_blocked;
	bool tx_left;
	struct work_struct tx_work;
	struct work_struct tx_bulk;
	struct work_struct tx_wait;
	struct nbd_later tx_later;
	struct nbd_burst burst;
	struct bio_vec tx_vec[NBD_TX_VECS];
	struct nbd_request *tx_headers;
	struct nbd_request last_words;

	struct nbd_rx rx;
	u8 *rx_buf;
	struct nbd_tls_talk talk;
	struct nbd_rekey rekey;
	struct nbd_conn_tls tls;
	struct work_struct rx_work;
	struct nbd_later rx_later;

	spinlock_t lock;	/* entries and state, see above */
	enum nbd_conn_state state;
	struct list_head pending;
	unsigned int nr_pending;
	size_t pending_bytes;
	u32 generation;
	unsigned int inflight;
	unsigned int nr_long;
	bool receiving;
	unsigned long receiving_since;
	unsigned long heard_before;
	bool retiring;
	unsigned long retired_at;
	unsigned long retire_by;
	struct list_head retire_node;
	bool reserved;
	char cause[NBD_CAUSE_LEN];
	int err;
	struct timer_list request_timer;
	struct timer_list excuse;
	struct work_struct burial;
	unsigned long ended;
	unsigned long heard;
	u64 requests;
	u64 replies;
	struct rcu_head rcu;
};

/* conn.c */

/*
 * Takes over the file of @sock, reference included, in every case. Returns the connection with
 * the slot's reference, or ERR_PTR: -ENOMEM, or as nbd_socket_claim().
 */
struct nbd_conn *nbd_conn_create(struct nbd_session *session, unsigned int slot,
				 const struct nbd_given *sock);

/* Undoes nbd_conn_create() for a connection that was never started. */
void nbd_conn_discard(struct nbd_conn *conn);

/* From here on replies are received and the connection can die. */
void nbd_conn_start(struct nbd_conn *conn);

void nbd_conn_put(struct nbd_conn *conn);

/* Puts @later, which is part of @conn, on @queue unless it is on one. There is a reference. */
void nbd_conn_put_off(struct nbd_conn *conn, struct nbd_later *later,
		      struct nbd_later_queue *queue);

/*
 * Gives @cmd to the connection. False if it is not running, or is reserved for a suspect
 * and @cmd is none; @cmd is then the caller's as before. Does not send: see
 * nbd_conn_flush().
 */
bool nbd_conn_enqueue(struct nbd_conn *conn, struct nbd_cmd *cmd);

/*
 * The receiver's side of the table: the command that @cookie names, or NULL if there is none
 * that may be answered. It is removed from the table unless parts of it are unanswered
 * (nbd_parts_answered()): then it is the connection's as before.
 */
struct nbd_cmd *nbd_conn_take(struct nbd_conn *conn, u64 cookie);

/* Undoes nbd_conn_take(): @cmd is unanswered as before. */
void nbd_conn_give_back(struct nbd_conn *conn, struct nbd_cmd *cmd);

/*
 * The transmit side's view after a short send: the commands of the sending list
 * that the socket did not take whole cannot be answered yet. False if one of
 * them was.
 */
bool nbd_conn_unoffer(struct nbd_conn *conn);

/* Declares the connection dead, for the reason given. Any context. */
__printf(3, 4)
void nbd_conn_kill(struct nbd_conn *conn, int err, const char *fmt, ...);

/*
 * Gives the connection up as soon as the server has answered what it carries, however long
 * that takes, or the timeout is exceeded; with @at_once whatever is unanswered. The caller
 * has seen to it that no commands come any more. May be called again. Any context.
 */
void nbd_conn_retire(struct nbd_conn *conn, bool at_once);

/* Sets the timeout of a running connection, in jiffies. */
void nbd_conn_set_timeout(struct nbd_conn *conn, unsigned long timeout);

/* xmit.c */

/*
 * Sends what is pending, as far as the socket takes it without waiting; the
 * rest goes out when there is space, or when the socket is not locked any more. Long writes
 * between short requests are left to a work, unless the task at hand is urgent.
 */
void nbd_conn_flush(struct nbd_conn *conn);
void nbd_xmit_work(struct work_struct *work);
void nbd_xmit_bulk_work(struct work_struct *work);
void nbd_xmit_wait_work(struct work_struct *work);

/*
 * As nbd_conn_flush(), now or as soon as this CPU has nothing better to do: a busy
 * connection gains more from one message with many requests than from each
 * request's leaving a little earlier. With @more another one comes at once, as a rule to the
 * same connection, which sends both.
 */
void nbd_conn_submit(struct nbd_conn *conn, bool more);

/* There is space in the socket again: sends in a work, or puts that off. For sk_write_space(). */
void nbd_xmit_ready(struct nbd_conn *conn);

/* The run function of nbd_conn.tx_later. */
void nbd_xmit_put_off(struct nbd_later *later);

/*
 * Closes the transmit side: no command is sent any more. Whether the stream is at a message
 * boundary.
 */
bool nbd_conn_close(struct nbd_conn *conn);

/*
 * For who has closed it there: sends a request of @type that no command is behind and whose
 * answer nobody receives. Whether the socket took it, all of it and at once.
 */
bool nbd_conn_say(struct nbd_conn *conn, u16 type);

/* recv.c */

/* Receives what is in the TCP receive queue, from a callback, under the socket lock. */
void nbd_recv_tcp(struct nbd_conn *conn);

/* Two ways of nbd_stream.receive: from the TCP receive queue; with recvmsg(). */
void nbd_recv_queue(struct nbd_conn *conn);
void nbd_recv_messages(struct nbd_conn *conn);

/* Queues @rx_work; the caller sees to it that the burial has not cancelled it yet. */
void nbd_recv_later(struct nbd_conn *conn);
/*
 * As nbd_recv_later(), for sk_data_ready(); of a patient stream as soon as this CPU has nothing
 * better to do: a busy connection gains more from many replies that are received together than
 * from each one's being received a little earlier, by a work that preempts who sends more.
 */
void nbd_recv_ready(struct nbd_conn *conn);
/* The run function of nbd_conn.rx_later. */
void nbd_recv_put_off(struct nbd_later *later);
void nbd_recv_work(struct work_struct *work);

#endif /* _NBD_CONN_H */
