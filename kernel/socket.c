// SPDX-License-Identifier: GPL-2.0
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/sched/task.h>
#include <linux/socket.h>
#include <linux/tcp.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>
#include <net/tcp.h>
#include "conn.h"
#include "socket.h"

/* What security modules judge our socket calls by. */
static const struct cred *nbd_cred;
/* We hold memalloc_socks_key, once for all sockets. */
static atomic_t nbd_memalloc_held = ATOMIC_INIT(0);

int nbd_sockets_init(void)
{
	nbd_cred = prepare_kernel_cred(&init_task);
	return nbd_cred ? 0 : -ENOMEM;
}

void nbd_sockets_exit(void)
{
	put_cred(nbd_cred);
	if (atomic_read(&nbd_memalloc_held))
		static_branch_dec(&memalloc_socks_key);
}

/*
 * Whether there is any socket with access to memory reserves is patched into the
 * network code. Up with the first of ours and down with the module, so that the
 * code is not patched at each death and reconnect.
 */
static void socket_hold_memalloc_key(void)
{
	if (!atomic_xchg(&nbd_memalloc_held, 1))
		static_branch_inc(&memalloc_socks_key);
}

int nbd_socket_send(struct nbd_socket *s, struct msghdr *msg)
{
	const struct cred *old = override_creds(nbd_cred);
	int ret = sock_sendmsg(s->sock, msg);

	revert_creds(old);
	return ret;
}

int nbd_socket_recv(struct nbd_socket *s, struct msghdr *msg)
{
	const struct cred *old = override_creds(nbd_cred);
	int ret = sock_recvmsg(s->sock, msg, msg->msg_flags);

	revert_creds(old);
	return ret;
}

static bool socket_is_tcp(const struct sock *sk)
{
	return (sk->sk_family == AF_INET || sk->sk_family == AF_INET6) &&
	       sk->sk_type == SOCK_STREAM && sk->sk_protocol == IPPROTO_TCP;
}

static bool socket_is_unix_stream(const struct sock *sk)
{
	return sk->sk_family == AF_UNIX && sk->sk_type == SOCK_STREAM;
}

void nbd_socket_excuse(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	if (!socket_is_tcp(sk))
		return;
	bh_lock_sock(sk);
	/* Not more than the last probe of the window is unanswered. */
	if (!sock_owned_by_user(sk) && inet_csk(sk)->icsk_probes_out <= 1)
		inet_csk(sk)->icsk_probes_tstamp = 0;
	bh_unlock_sock(sk);
}

static bool socket_connected(const struct socket *sock)
{
	/*
	 * sock->state lags behind after a connect() that did not wait. A TCP socket whose
	 * peer has closed its half passes, and dies as soon as it is started.
	 */
	return (1 << READ_ONCE(sock->sk->sk_state)) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT);
}

struct socket *nbd_socket_get(int fd, struct netlink_ext_ack *extack)
{
	struct socket *sock;
	int err;

	sock = sockfd_lookup(fd, &err);
	if (!sock) {
		if (err == -ENOTSOCK)
			NL_SET_ERR_MSG(extack, "file descriptor is not a socket");
		else
			NL_SET_ERR_MSG(extack, "bad file descriptor for a socket");
		return ERR_PTR(err);
	}
	if (!socket_is_tcp(sock->sk) && !socket_is_unix_stream(sock->sk)) {
		NL_SET_ERR_MSG(extack, "only TCP and Unix stream sockets can be used");
		err = -EINVAL;
	} else if (socket_is_tcp(sock->sk) && inet_csk_has_ulp(sock->sk)) {
		/* TLS takes references to the pages that it sends, which ours do not count. */
		NL_SET_ERR_MSG(extack, "TCP sockets with kernel TLS cannot be used");
		err = -EOPNOTSUPP;
	} else if (!socket_connected(sock)) {
		NL_SET_ERR_MSG(extack, "socket is not connected");
		err = -ENOTCONN;
	} else {
		return sock;
	}
	sockfd_put(sock);
	return ERR_PTR(err);
}

void nbd_socket_put(struct socket *sock)
{
	sockfd_put(sock);
}

#ifdef CONFIG_DEBUG_LOCK_ALLOC
/*
 * Memory that is allocated under some other socket's lock may have to be written
 * back through ours. With classes of their own for our sockets' locks lockdep can
 * tell that this is no recursion. One pair a family, for a class has one name.
 */
static struct lock_class_key nbd_slock_keys[3];
static struct lock_class_key nbd_sk_keys[3];

static int family_index(const struct sock *sk)
{
	switch (sk->sk_family) {
	case AF_INET:
		return 0;
	case AF_INET6:
		return 1;
	default:
		return 2;
	}
}

/*
 * The socket is in use while this happens. Name and key are read together, so only
 * one of them may change: the name stays. Returns the key as it was.
 */
static struct lock_class_key *lock_set_key(struct lockdep_map *map, struct lock_class_key *key)
{
	struct lock_class_key *old = map->key;
	int i;

	WRITE_ONCE(map->key, key);
	for (i = 0; i < NR_LOCKDEP_CACHING_CLASSES; i++)
		WRITE_ONCE(map->class_cache[i], NULL);
	return old;
}

static void socket_reclassify(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;
	int i = family_index(sk);

	s->slock_key = lock_set_key(&sk->sk_lock.slock.dep_map, &nbd_slock_keys[i]);
	s->sk_key = lock_set_key(&sk->sk_lock.dep_map, &nbd_sk_keys[i]);
}

/* The socket may live longer than this module, and with it the keys. */
static void socket_declassify(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	lock_set_key(&sk->sk_lock.slock.dep_map, s->slock_key);
	lock_set_key(&sk->sk_lock.dep_map, s->sk_key);
}
#else
static void socket_reclassify(struct nbd_socket *s)
{
}

static void socket_declassify(struct nbd_socket *s)
{
}
#endif

/*
 * The reserve-memory flag. sk_set_memalloc() and sk_clear_memalloc() also count in the
 * static key, under the lock of CPU hotplug. Who takes a processor away holds that while
 * the requests of its hardware queue end, which may be waiting for this very connection;
 * so the module's own count (socket_hold_memalloc_key()) stands for all sockets.
 */
static void socket_set_memalloc(struct sock *sk)
{
	lock_sock(sk);
	sock_set_flag(sk, SOCK_MEMALLOC);
	release_sock(sk);
}

static void socket_clear_memalloc(struct sock *sk)
{
	lock_sock(sk);
	sock_reset_flag(sk, SOCK_MEMALLOC);
	/* It was allowed more memory than its limits, which hold again. */
	sk_mem_reclaim(sk);
	release_sock(sk);
}

/*
 * No allocation for this socket may wait for a write to a device of ours, nor
 * borrow the page fragment of a task that may be in the middle of another send.
 */
static void socket_prepare(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	s->memalloc = sock_flag(sk, SOCK_MEMALLOC);
	s->allocation = sk->sk_allocation;
	s->use_task_frag = sk->sk_use_task_frag;
	s->rcvlowat = sk->sk_rcvlowat;
	socket_hold_memalloc_key();
	if (!s->memalloc)
		socket_set_memalloc(sk);
	sk->sk_allocation = GFP_NOIO | __GFP_MEMALLOC;
	sk->sk_use_task_frag = false;
	WRITE_ONCE(sk->sk_rcvlowat, 1);
	if (socket_is_tcp(sk)) {
		s->nodelay = tcp_sk(sk)->nonagle & TCP_NAGLE_OFF;
		tcp_sock_set_nodelay(sk);
	}
}

static void socket_restore(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	if (!s->memalloc)
		socket_clear_memalloc(sk);
	sk->sk_allocation = s->allocation;
	sk->sk_use_task_frag = s->use_task_frag;
	WRITE_ONCE(sk->sk_rcvlowat, s->rcvlowat);
	if (socket_is_tcp(sk) && !s->nodelay) {
		lock_sock(sk);
		tcp_sk(sk)->nonagle &= ~TCP_NAGLE_OFF;
		release_sock(sk);
	}
}

int nbd_socket_claim(struct nbd_conn *conn, struct socket *sock)
{
	struct nbd_socket *s = &conn->socket;
	struct sock *sk = sock->sk;
	int err = 0;

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_user_data)
		err = -EBUSY;
	else if (!socket_connected(sock))
		err = -ENOTCONN;
	else
		/* Sockets that it accepts, should userspace make it listen, are not ours. */
		__rcu_assign_sk_user_data_with_flags(sk, conn, SK_USER_DATA_NOCOPY);
	s->disconnects = sk->sk_disconnects;
	write_unlock_bh(&sk->sk_callback_lock);
	if (err)
		return err;

	s->sock = sock;
	/* With kernel TLS the receive queue holds records, not replies. */
	s->is_tcp = socket_is_tcp(sk) && !inet_csk_has_ulp(sk);
	socket_reclassify(s);
	socket_prepare(s);
	return 0;
}

/* The connection whose socket it is, or NULL. sk_callback_lock is held. */
static struct nbd_conn *socket_conn(const struct sock *sk)
{
	return __locked_read_sk_user_data_with_flags(sk, SK_USER_DATA_NOCOPY);
}

/*
 * The callbacks run with softirqs off even where the socket's backlog is worked
 * off in process context: completing a request must not look like a place that
 * may sleep, for the socket is locked.
 */
static void nbd_sk_data_ready(struct sock *sk)
{
	struct nbd_conn *conn;

	read_lock_bh(&sk->sk_callback_lock);
	conn = socket_conn(sk);
	if (conn) {
		if (conn->socket.is_tcp)
			nbd_recv_tcp(conn);
		else
			queue_work(nbd_wq, &conn->rx_work);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void nbd_sk_write_space(struct sock *sk)
{
	struct nbd_conn *conn;

	read_lock_bh(&sk->sk_callback_lock);
	conn = socket_conn(sk);
	if (conn) {
		if (READ_ONCE(conn->tx_blocked) &&
		    (sk->sk_family == AF_UNIX ? sock_writeable(sk) : sk_stream_is_writeable(sk))) {
			clear_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
			queue_work(nbd_wq, &conn->tx_work);
		}
		/* Kernel TLS sends what it holds back from here. */
		if (sk->sk_family != AF_UNIX && !conn->socket.is_tcp)
			conn->socket.write_space(sk);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void nbd_tcp_state_change(struct nbd_conn *conn, struct sock *sk)
{
	int err = READ_ONCE(sk->sk_err);

	/* What came before the end is as good as ever. */
	if (sk->sk_state == TCP_CLOSE_WAIT)
		nbd_recv_tcp(conn);
	if (err == ETIMEDOUT)
		nbd_conn_kill(conn, -ETIMEDOUT, "server does not answer at TCP level");
	else if (err)
		nbd_conn_kill(conn, -err, "connection broken (error %d)", err);
	else
		nbd_conn_kill(conn, -EPIPE, "connection closed");
}

static void nbd_sk_state_change(struct sock *sk)
{
	struct nbd_conn *conn;

	read_lock_bh(&sk->sk_callback_lock);
	conn = socket_conn(sk);
	if (conn) {
		if (!conn->socket.is_tcp)
			queue_work(nbd_wq, &conn->rx_work);
		else if (sk->sk_state != TCP_ESTABLISHED)
			nbd_tcp_state_change(conn, sk);
		conn->socket.state_change(sk);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

void nbd_socket_hook(struct nbd_conn *conn)
{
	struct nbd_socket *s = &conn->socket;
	struct sock *sk = s->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	s->data_ready = sk->sk_data_ready;
	s->write_space = sk->sk_write_space;
	s->state_change = sk->sk_state_change;
	sk->sk_data_ready = nbd_sk_data_ready;
	sk->sk_write_space = nbd_sk_write_space;
	sk->sk_state_change = nbd_sk_state_change;
	s->hooked = true;
	write_unlock_bh(&sk->sk_callback_lock);
}

void nbd_socket_unhook(struct nbd_conn *conn)
{
	struct nbd_socket *s = &conn->socket;
	struct sock *sk = s->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	rcu_assign_sk_user_data(sk, NULL);
	/* One that was disconnected may have listened: what it accepted has our callbacks. */
	if (s->hooked && sk->sk_disconnects != s->disconnects)
		__module_get(THIS_MODULE);
	if (s->hooked && (sk->sk_data_ready != nbd_sk_data_ready ||
			  sk->sk_write_space != nbd_sk_write_space ||
			  sk->sk_state_change != nbd_sk_state_change)) {
		/*
		 * Userspace has put something on top that will go on calling us, where
		 * there is nothing to do any more; but the code has to stay.
		 */
		__module_get(THIS_MODULE);
	} else if (s->hooked) {
		sk->sk_data_ready = s->data_ready;
		sk->sk_write_space = s->write_space;
		sk->sk_state_change = s->state_change;
	}
	s->hooked = false;
	write_unlock_bh(&sk->sk_callback_lock);
}

void nbd_socket_cut(struct nbd_conn *conn, bool orderly)
{
	struct socket *sock = conn->socket.sock;

	if (!orderly && socket_is_tcp(sock->sk))
		tcp_abort(sock->sk, ECONNABORTED);
	else
		kernel_sock_shutdown(sock, SHUT_RDWR);
}

void nbd_socket_release(struct nbd_conn *conn)
{
	socket_restore(&conn->socket);
	socket_declassify(&conn->socket);
	sockfd_put(conn->socket.sock);
	conn->socket.sock = NULL;
}
