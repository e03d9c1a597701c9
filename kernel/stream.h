/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kinds of sockets that a connection can have, and all that differs between them. The
 * rest of the driver asks for no protocol, and for the family only to tell lockdep of it.
 *
 * A new kind is a file with its struct nbd_stream, and its place in the list of socket.c,
 * before any other kind whose fits() is true for its sockets, too.
 */
#ifndef _NBD_STREAM_H
#define _NBD_STREAM_H

#include <linux/net.h>
#include <linux/types.h>
#include <net/tcp.h>

struct nbd_conn;
struct nbd_socket;
struct netlink_ext_ack;

/**
 * struct nbd_seal - what sockets point to that a connection has, or had
 * @ulp:	an upper-layer protocol of TCP without functions. The network code reads it
 *		without a lock for as long as the socket lives, and nobody says when it ends
 * @unix_ops:	those of Unix streams, but for sending and receiving. A system call may
 *		go to sleep with the pointer in its hands
 * @ktls_ops:	the same of TCP over IPv4 and IPv6, for sockets with kernel TLS; of zeroes
 *		where the kernel lacks the family
 * @used:	some socket pointed to it: it can never be freed
 */
struct nbd_seal {
	struct tcp_ulp_ops ulp;
	struct proto_ops unix_ops;
	struct proto_ops ktls_ops[2];
	bool used;
};

/* One for the module. */
extern struct nbd_seal *nbd_seal;

/**
 * struct nbd_stream - what is done with sockets of one kind
 * @staged:	replies are read with recvmsg(), first into nbd_conn.rx_buf
 * @locked:	@receive waits for the socket lock, which others may keep; it runs on
 *		nbd_lock_wq
 * @patient:	so does @send, always: only nbd_conn.tx_wait sends
 *
 * @init:	makes its part of nbd_seal; a negative errno when that fails
 * @fits:	whether the socket is of this kind, in whatever state
 * @check:	whether it is in a state in which it can be used: -EOPNOTSUPP, told in the
 *		extack; NULL if there is nothing to ask. Under the socket lock when it is
 *		claimed, before that without
 * @seal:	keeps others from it, under the socket lock
 * @prepare:	sets its options; NULL if there are none
 * @restore:	undoes @seal and @prepare, as far as can be
 * @send:	as nbd_socket_send()
 * @recv:	as nbd_socket_recv(); NULL if @receive has no use for it
 * @readable:	whether @recv may find something now; what comes later is told by a callback. NULL
 *		if @receive has no use for it
 * @room:	as nbd_socket_room(); NULL if there is no limit but the socket's buffer
 * @receive:	receives what there is, from nbd_conn.rx_work
 * @data_ready, @write_space, @state_change, @error_report: the socket's callbacks
 * @excuse:	as nbd_socket_excuse(); NULL if nothing of the kind ends a connection
 * @cut:	ends it: what is not sent yet must not reach the peer any more
 * @goodbye:	ends it in order, after NBD_CMD_DISC: all that is sent arrives
 */
struct nbd_stream {
	bool staged;
	bool locked;
	bool patient;

	int (*init)(struct nbd_seal *seal);
	bool (*fits)(const struct sock *sk);
	int (*check)(const struct sock *sk, struct netlink_ext_ack *extack);
	void (*seal)(struct nbd_socket *s);
	void (*prepare)(struct nbd_socket *s);
	void (*restore)(struct nbd_socket *s);
	int (*send)(struct nbd_socket *s, struct msghdr *msg, bool wait);
	int (*recv)(struct nbd_socket *s, struct msghdr *msg);
	bool (*readable)(struct sock *sk);
	size_t (*room)(struct nbd_conn *conn);
	void (*receive)(struct nbd_conn *conn);
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
	void (*error_report)(struct sock *sk);
	void (*excuse)(struct nbd_socket *s);
	void (*cut)(struct nbd_socket *s);
	void (*goodbye)(struct nbd_socket *s);
};

extern const struct nbd_stream nbd_stream_ktls;
extern const struct nbd_stream nbd_stream_tcp;
extern const struct nbd_stream nbd_stream_unix;

/*
 * For callbacks, which run with softirqs off even where the socket's backlog is worked off
 * in process context: completing a request must not look like a place that may sleep, for
 * the socket is locked. Begin with the first one, which returns the connection whose socket
 * it is or NULL, and end with the second.
 */
struct nbd_conn *nbd_stream_enter(struct sock *sk) __acquires(&sk->sk_callback_lock);
void nbd_stream_leave(struct sock *sk) __releases(&sk->sk_callback_lock);

/* The socket has space again: goes on sending if that is waited for. */
void nbd_stream_has_space(struct nbd_conn *conn, struct sock *sk);

/*
 * What a kind needs that has nothing better: sendmsg(), recvmsg(), and shutdown() of both
 * directions.
 */
int nbd_stream_sendmsg(struct nbd_socket *s, struct msghdr *msg, bool wait);
int nbd_stream_recvmsg(struct nbd_socket *s, struct msghdr *msg);
void nbd_stream_shutdown(struct nbd_socket *s);

/* sk_data_ready() of a kind whose replies are received by nbd_conn.rx_work. */
void nbd_stream_data_ready(struct sock *sk);

/*
 * @ops becomes a copy of the calls of such stream sockets, but for sending and receiving, which
 * fail. It stays as it is, and the return value is 0, if the kernel lacks the family: there are
 * no sockets to seal then.
 */
int nbd_stream_copy_ops(struct proto_ops *ops, int family, int protocol);

/* The connection broke, of error @err, or is closed if that is 0. */
void nbd_stream_broken(struct nbd_conn *conn, int err);

/* Of TCP streams, for what is on top of them, too. */
bool nbd_tcp_fits(const struct sock *sk);
void nbd_tcp_prepare(struct nbd_socket *s);
/* A part of nbd_stream.check. */
int nbd_tcp_check_repair(const struct sock *sk, struct netlink_ext_ack *extack);
/* Under the socket lock. */
void nbd_tcp_restore_nodelay(struct nbd_socket *s);
void nbd_tcp_error_report(struct sock *sk);
void nbd_tcp_excuse(struct nbd_socket *s);
void nbd_tcp_cut(struct nbd_socket *s);

#endif /* _NBD_STREAM_H */
