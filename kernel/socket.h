/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sockets that userspace hands in: which ones are taken, what is changed on
 * them while they belong to a connection, and how that is undone.
 *
 * The file descriptor stays in userspace's hands. Whatever is done through it
 * counts as the peer's doing: it can cost the connection, nothing more.
 */
#ifndef _NBD_SOCKET_H
#define _NBD_SOCKET_H

#include <linux/types.h>

struct lock_class_key;
struct msghdr;
struct netlink_ext_ack;
struct nbd_conn;
struct sock;
struct socket;

/**
 * struct nbd_socket - a socket of a connection, and what it was like before
 * @sock:	holds a reference to its file
 * @is_tcp:	replies are read from the TCP receive queue, else with recvmsg()
 * @hooked:	the callbacks are ours
 * @disconnects: sk_disconnects when it was taken
 * @memalloc:	the reserve-memory flag was set before
 * @nodelay:	TCP_NODELAY was set before
 * @rest:	fields as they were before the connection took it
 */
struct nbd_socket {
	struct socket *sock;
	bool is_tcp;
	bool hooked;
	int disconnects;
	bool memalloc;
	bool nodelay;
	gfp_t allocation;
	bool use_task_frag;
	int rcvlowat;
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	struct lock_class_key *slock_key;
	struct lock_class_key *sk_key;
#endif
};

/*
 * The socket of file descriptor @fd, with a reference, if it is of a kind that a
 * device can use: TCP over IPv4 or IPv6, or a Unix stream, and connected.
 * ERR_PTR: -EBADF, -ENOTSOCK, -EINVAL (kind), -ENOTCONN; told in @extack.
 */
struct socket *nbd_socket_get(int fd, struct netlink_ext_ack *extack);
void nbd_socket_put(struct socket *sock);

/*
 * Makes the socket @conn's: -EBUSY if it belongs to anybody else, -ENOTCONN if it
 * has no peer any more. The callbacks stay as they are until nbd_socket_hook().
 */
int nbd_socket_claim(struct nbd_conn *conn, struct socket *sock);
void nbd_socket_hook(struct nbd_conn *conn);

/* When it returns no callback of ours runs or will run on this socket. */
void nbd_socket_unhook(struct nbd_conn *conn);

/*
 * Ends the stream: reset, so that nothing of what is unsent can reach the peer
 * later; or, if @orderly, sent to the end.
 */
void nbd_socket_cut(struct nbd_conn *conn, bool orderly);

/*
 * sendmsg() and recvmsg() with the kernel's own credentials, whoever's request it
 * is that is being served.
 */
int nbd_socket_send(struct nbd_socket *s, struct msghdr *msg);
int nbd_socket_recv(struct nbd_socket *s, struct msghdr *msg);

/*
 * A peer whose receive window is full, but whose TCP answers, is slow and not dead:
 * keeps TCP_USER_TIMEOUT from ending the connection. To be called every few seconds
 * while requests are unanswered; softirq.
 */
void nbd_socket_excuse(struct nbd_socket *s);

/* Module start and end. -ENOMEM. */
int nbd_sockets_init(void);
void nbd_sockets_exit(void);

/* Puts everything back as it was and drops the reference. */
void nbd_socket_release(struct nbd_conn *conn);

#endif /* _NBD_SOCKET_H */
