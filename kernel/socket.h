/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sockets that userspace hands in: which ones are taken, what is changed on
 * them while they belong to a connection, and how that is undone.
 *
 * The file descriptor stays in userspace's hands. Whatever is done through it
 * counts as the peer's doing: it can cost the connection, nothing more. So:
 *
 * - Nobody can put another protocol on top of a TCP socket that a connection has (kernel
 *   TLS, SMC, a sockmap), or make it listen: the place for that is taken (nbd_seal.ulp),
 *   under the socket lock, and not given back, for the network code relies on a protocol's
 *   staying until the socket ends. Therefore what is sent is copied by TCP itself.
 * - What somebody else writes to a TCP socket shows in its sequence number, which is
 *   compared under the socket lock before each send. Nobody else can send on or receive
 *   from a Unix socket, which has no such number: its calls are others meanwhile
 *   (nbd_seal.unix_ops).
 * - With kernel TLS the calls are others, too (nbd_seal.ktls_ops): what it sends has no
 *   number that would tell, and its replies lie about until they are received. Where new
 *   keys can be set, which brings its own calls back, that is looked for at each step.
 * - Replies to TCP are taken out before a reader can come, whatever SO_RCVLOWAT says.
 * - A TCP socket that is disconnected costs the connection at once.
 *
 * What these places point to lives for ever and has no code of ours.
 */
#ifndef _NBD_SOCKET_H
#define _NBD_SOCKET_H

#include <linux/types.h>

struct cred;
struct file;
struct lock_class_key;
struct msghdr;
struct netlink_ext_ack;
struct nbd_conn;
struct nbd_stream;
struct nbd_tls_secrets;
struct proto_ops;
struct sock;
struct socket;

/**
 * struct nbd_socket - a socket of a connection, and what it was like before
 * @sock:	the socket, NULL without one
 * @file:	the file that keeps it, with a reference
 * @ops:	its calls
 * @stream:	what kind it is
 * @cred:	what security modules judge our calls by, and who counts references to it: one of
 *		all connections would be written by all CPUs
 * @hooked:	the callbacks are ours
 * @disconnects: sk_disconnects when it was taken
 * @wants_room:	see nbd_socket_wants_room()
 * @write_seq:	of a TCP socket: the end of what we have sent; under the socket lock
 * @memalloc:	the reserve-memory flag was set before
 * @nodelay:	TCP_NODELAY was set before
 * @rtt:	the shortest round trip, in microseconds, that it had seen when it was taken; 0 if
 *		that is not known, or no matter of the network
 * @rest:	fields as they were before the connection took it
 */
struct nbd_socket {
	struct socket *sock;
	struct file *file;
	const struct proto_ops *ops;
	const struct nbd_stream *stream;
	const struct cred *cred;
	bool hooked;
	bool wants_room;
	int disconnects;
	u32 write_seq;
	bool memalloc;
	bool nodelay;
	u32 rtt;
	gfp_t allocation;
	bool use_task_frag;
	int rcvlowat;
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
	void (*error_report)(struct sock *sk);
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	struct lock_class_key *slock_key;
	struct lock_class_key *sk_key;
#endif
};

/**
 * struct nbd_given - a socket that is to become a connection
 * @file:	see nbd_socket_get()
 * @structured:	its server was told, and agreed, to answer with structured replies
 * @secrets:	of its TLS keys, or NULL
 */
struct nbd_given {
	struct file *file;
	const struct nbd_tls_secrets *secrets;
	bool structured;
};

/*
 * The file of file descriptor @fd, with a reference, if it is a socket of a kind that a
 * device can use: TCP over IPv4 or IPv6, with kernel TLS or without, or a Unix stream, and
 * connected. Until it is
 * claimed it may become something else.
 * ERR_PTR: -EBADF, -ENOTSOCK, -EINVAL (kind), -EOPNOTSUPP (TCP in a state that cannot be
 * used), -EBUSY (somebody is using it), -ENOTCONN; told in @extack.
 */
struct file *nbd_socket_get(int fd, struct netlink_ext_ack *extack);
void nbd_socket_put(struct file *file);

/*
 * Makes the socket, and with it the caller's reference to @file, @conn's: -EBUSY if it
 * belongs to anybody else, or as nbd_socket_get() if it is not what it was any more. The
 * callbacks stay as they are until nbd_socket_hook().
 */
int nbd_socket_claim(struct nbd_conn *conn, struct file *file);
void nbd_socket_hook(struct nbd_conn *conn);

/* When it returns callbacks of ours that still run on this socket do nothing. */
void nbd_socket_unhook(struct nbd_conn *conn);

/*
 * Ends the stream: reset, so that nothing of what is unsent can reach the peer
 * later; or, if @orderly, sent to the end.
 */
void nbd_socket_cut(struct nbd_conn *conn, bool orderly);

/*
 * Wait until the peer has sent something, or has ended its side of the stream, for @timeout
 * jiffies at most. The callbacks are off; what comes is not read.
 */
void nbd_socket_await_data(struct nbd_socket *s, unsigned long timeout);
void nbd_socket_await_end(struct nbd_socket *s, unsigned long timeout);

/*
 * As sendmsg() and recvmsg(), with the kernel's own credentials if any are asked for, whoever's
 * request it is that is being served. -EBUSY: somebody else wrote to the socket. Without @wait
 * sending does not wait for a task that has locked the socket, and may do so for ever: -EALREADY.
 */
int nbd_socket_send(struct nbd_socket *s, struct msghdr *msg, bool wait);
int nbd_socket_recv(struct nbd_socket *s, struct msghdr *msg);

/*
 * How many bytes of long writes may be sent now so that what is sent next does not wait for
 * more than keeps the link busy. If none, nbd_socket_wants_room() has the callbacks say when
 * there is room again, or returns false because there is by now; tx_mutex is held.
 */
size_t nbd_socket_room(struct nbd_conn *conn);
bool nbd_socket_wants_room(struct nbd_conn *conn);

/*
 * A peer whose receive window is full, but whose TCP answers, is slow and not dead:
 * keeps TCP_USER_TIMEOUT from ending the connection. To be called every few seconds
 * while requests are unanswered; softirq.
 */
void nbd_socket_excuse(struct nbd_socket *s);

/*
 * Module start and end: -ENOMEM. When the last one returns nobody is in a callback any more,
 * not even in its first or last instruction.
 */
int nbd_sockets_init(void);
void nbd_sockets_exit(void);

/* Puts everything back as it was, but for nbd_seal.ulp, and drops the reference. */
void nbd_socket_release(struct nbd_conn *conn);

#endif /* _NBD_SOCKET_H */
