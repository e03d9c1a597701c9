// SPDX-License-Identifier: GPL-2.0
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/kmemleak.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <linux/tcp.h>
#include <net/inet_connection_sock.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp.h>
#include "compat.h"
#include "conn.h"
#include "socket.h"

/* What security modules judge our socket calls by. */
static const struct cred *nbd_cred;
/* We hold memalloc_socks_key, once for all sockets. */
static atomic_t nbd_memalloc_held = ATOMIC_INIT(0);

#define NBD_ULP_NAME	"nbd"

/**
 * struct nbd_seal - what sockets point to that a connection has, or had
 * @ulp:	an upper-layer protocol of TCP without functions. The network code reads it
 *		without a lock for as long as the socket lives, and nobody says when it ends
 * @unix_ops:	those of Unix streams, but for sending and receiving. A system call may
 *		go to sleep with the pointer in its hands
 * @used:	some socket pointed to it: it can never be freed
 */
struct nbd_seal {
	struct tcp_ulp_ops ulp;
	struct proto_ops unix_ops;
	bool used;
};

static struct nbd_seal *nbd_seal;

static int seal_unix_ops(struct proto_ops *ops)
{
	struct socket *sock;
	int err;

	err = sock_create_kern(&init_net, AF_UNIX, SOCK_STREAM, 0, &sock);
	if (err)
		return err == -EAFNOSUPPORT ? 0 : err;
	*ops = *sock->ops;
	ops->sendmsg = sock_no_sendmsg;
	ops->recvmsg = sock_no_recvmsg;
	/* Made of recvmsg() then. */
	ops->splice_read = NULL;
	nbd_ops_without_sendpage(ops);
	sock_release(sock);
	return 0;
}

int nbd_sockets_init(void)
{
	int err;

	nbd_seal = kzalloc(sizeof(*nbd_seal), GFP_KERNEL);
	if (!nbd_seal)
		return -ENOMEM;
	strscpy(nbd_seal->ulp.name, NBD_ULP_NAME, sizeof(nbd_seal->ulp.name));
	err = seal_unix_ops(&nbd_seal->unix_ops);
	if (err)
		goto err_seal;
	err = -ENOMEM;
	nbd_cred = prepare_kernel_cred(&init_task);
	if (!nbd_cred)
		goto err_seal;
	return 0;

err_seal:
	kfree(nbd_seal);
	return err;
}

/*
 * Callbacks are called without a lock that their removal takes: a peer's send() on a Unix
 * socket, for example, has read the pointer, and stands preempted before our first
 * instruction, or behind the lock that made its removal wait. There it holds a reference to
 * the socket and nothing else. But no caller sleeps between reading the pointer and coming
 * back, so all have come back once each task has slept or was in userspace; those in
 * interrupts, once a grace period is over. That takes long, so it is done once, when all
 * callbacks have been removed, and not for each connection. With TCP the socket lock is held,
 * which the end of the connection takes after the removal, but for what frees sent data.
 */
void nbd_sockets_exit(void)
{
	if (nbd_seal->used) {
		kmemleak_not_leak(nbd_seal);
		nbd_wait_for_callers();
	} else {
		kfree(nbd_seal);
	}
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

/* lock_sock(), unless somebody has it. */
static bool socket_trylock(struct sock *sk)
{
	bool free;

	spin_lock_bh(&sk->sk_lock.slock);
	free = !sk->sk_lock.owned;
	if (free) {
		sk->sk_lock.owned = 1;
		mutex_acquire(&sk->sk_lock.dep_map, 0, 1, _RET_IP_);
	}
	spin_unlock_bh(&sk->sk_lock.slock);
	return free;
}

/* The part of sendmsg() that nothing can be put in place of. It has no use for credentials. */
static int tcp_send(struct nbd_socket *s, struct msghdr *msg, bool wait)
{
	struct sock *sk = s->sock->sk;
	struct tcp_sock *tp = tcp_sk(sk);
	int ret = -EBUSY;

	sock_rps_record_flow(sk);
	if (wait)
		lock_sock(sk);
	else if (!socket_trylock(sk))
		return -EALREADY;
	if (likely(tp->write_seq == s->write_seq && !tp->repair)) {
		ret = tcp_sendmsg_locked(sk, msg, msg_data_left(msg));
		s->write_seq = tp->write_seq;
	}
	release_sock(sk);
	return ret;
}

/* A Unix socket is locked for moments only; its receivers have a lock of their own. */
int nbd_socket_send(struct nbd_socket *s, struct msghdr *msg, bool wait)
{
	const struct cred *old;
	int ret;

	if (s->is_tcp)
		return tcp_send(s, msg, wait);
	old = override_creds(nbd_cred);
	ret = s->ops->sendmsg(s->sock, msg, msg_data_left(msg));
	revert_creds(old);
	return ret;
}

int nbd_socket_recv(struct nbd_socket *s, struct msghdr *msg)
{
	const struct cred *old = override_creds(nbd_cred);
	int ret = s->ops->recvmsg(s->sock, msg, msg_data_left(msg), msg->msg_flags);

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

/* Ours, of a connection that it had before, does nothing. */
static bool socket_has_ulp(const struct sock *sk)
{
	const struct tcp_ulp_ops *ulp = READ_ONCE(inet_csk(sk)->icsk_ulp_ops);

	return ulp && strcmp(ulp->name, NBD_ULP_NAME);
}

static int socket_check(const struct socket *sock, struct netlink_ext_ack *extack)
{
	const struct sock *sk = sock->sk;

	if (!socket_is_tcp(sk) && !socket_is_unix_stream(sk)) {
		NL_SET_ERR_MSG(extack, "only TCP and Unix stream sockets can be used");
		return -EINVAL;
	}
	if (socket_is_tcp(sk) && socket_has_ulp(sk)) {
		NL_SET_ERR_MSG(extack, "TCP sockets with kernel TLS cannot be used");
		return -EOPNOTSUPP;
	}
	if (socket_is_tcp(sk) && tcp_sk(sk)->repair) {
		NL_SET_ERR_MSG(extack, "TCP sockets in repair mode cannot be used");
		return -EOPNOTSUPP;
	}
	if (!socket_connected(sock)) {
		NL_SET_ERR_MSG(extack, "socket is not connected");
		return -ENOTCONN;
	}
	return 0;
}

struct file *nbd_socket_get(int fd, struct netlink_ext_ack *extack)
{
	struct file *file = fget(fd);
	struct socket *sock;
	int err;

	if (!file) {
		NL_SET_ERR_MSG(extack, "bad file descriptor for a socket");
		return ERR_PTR(-EBADF);
	}
	sock = sock_from_file(file);
	if (sock) {
		err = socket_check(sock, extack);
	} else {
		NL_SET_ERR_MSG(extack, "file descriptor is not a socket");
		err = -ENOTSOCK;
	}
	if (!err)
		return file;
	fput(file);
	return ERR_PTR(err);
}

void nbd_socket_put(struct file *file)
{
	fput(file);
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
	s->use_task_frag = nbd_task_frag(sk);
	s->rcvlowat = sk->sk_rcvlowat;
	socket_hold_memalloc_key();
	if (!s->memalloc)
		socket_set_memalloc(sk);
	sk->sk_allocation = GFP_NOIO | __GFP_MEMALLOC;
	nbd_set_task_frag(sk, false);
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
	nbd_set_task_frag(sk, s->use_task_frag);
	WRITE_ONCE(sk->sk_rcvlowat, s->rcvlowat);
	if (socket_is_tcp(sk) && !s->nodelay) {
		lock_sock(sk);
		tcp_sk(sk)->nonagle &= ~TCP_NAGLE_OFF;
		release_sock(sk);
	}
}

/* The first of those who want it. */
static int socket_take(struct nbd_conn *conn, struct sock *sk)
{
	int err = 0;

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_user_data)
		err = -EBUSY;
	else
		/* Sockets that it accepts, should it come to listen, are not ours. */
		__rcu_assign_sk_user_data_with_flags(sk, conn, SK_USER_DATA_NOCOPY);
	write_unlock_bh(&sk->sk_callback_lock);
	return err;
}

static void socket_seal(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	lockdep_assert_held(&sk->sk_lock);

	WRITE_ONCE(nbd_seal->used, true);
	s->ops = s->sock->ops;
	s->is_tcp = socket_is_tcp(sk);
	if (!s->is_tcp) {
		WRITE_ONCE(s->sock->ops, &nbd_seal->unix_ops);
		return;
	}
	if (!inet_csk_has_ulp(sk))
		WRITE_ONCE(inet_csk(sk)->icsk_ulp_ops, &nbd_seal->ulp);
	/* Every byte is worth a callback, and whoever wants to wait for one in recv() need not. */
	sock_set_flag(sk, SOCK_DONE);
	s->write_seq = tcp_sk(sk)->write_seq;
	s->disconnects = sk->sk_disconnects;
}

static void socket_unseal(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	if (!s->is_tcp) {
		WRITE_ONCE(s->sock->ops, s->ops);
		return;
	}
	lock_sock(sk);
	if (!(sk->sk_shutdown & RCV_SHUTDOWN))
		sock_reset_flag(sk, SOCK_DONE);
	release_sock(sk);
}

int nbd_socket_claim(struct nbd_conn *conn, struct file *file)
{
	struct nbd_socket *s = &conn->socket;
	struct socket *sock = sock_from_file(file);
	struct sock *sk = sock->sk;
	int err;

	/* SMC of older kernels takes the file away from a TCP socket that is not connected. */
	lock_sock(sk);
	err = sock_from_file(file) == sock ? socket_check(sock, NULL) : -EINVAL;
	if (!err)
		err = socket_take(conn, sk);
	if (!err) {
		s->sock = sock;
		s->file = file;
		socket_seal(s);
	}
	release_sock(sk);
	if (err)
		return err;

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

/* Of the things that it reports only disconnecting, connect() to nowhere, changes no state. */
static void nbd_sk_error_report(struct sock *sk)
{
	struct nbd_conn *conn;

	read_lock_bh(&sk->sk_callback_lock);
	conn = socket_conn(sk);
	if (conn) {
		if (conn->socket.is_tcp && sk->sk_disconnects != conn->socket.disconnects)
			nbd_conn_kill(conn, -ECONNABORTED, "somebody else disconnected its socket");
		conn->socket.error_report(sk);
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
	s->error_report = sk->sk_error_report;
	sk->sk_data_ready = nbd_sk_data_ready;
	sk->sk_write_space = nbd_sk_write_space;
	sk->sk_state_change = nbd_sk_state_change;
	sk->sk_error_report = nbd_sk_error_report;
	s->hooked = true;
	write_unlock_bh(&sk->sk_callback_lock);
}

void nbd_socket_unhook(struct nbd_conn *conn)
{
	struct nbd_socket *s = &conn->socket;
	struct sock *sk = s->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	rcu_assign_sk_user_data(sk, NULL);
	if (s->hooked && (sk->sk_data_ready != nbd_sk_data_ready ||
			  sk->sk_write_space != nbd_sk_write_space ||
			  sk->sk_state_change != nbd_sk_state_change ||
			  sk->sk_error_report != nbd_sk_error_report)) {
		/*
		 * Userspace has put something on top that will go on calling us, where
		 * there is nothing to do any more; but the code has to stay.
		 */
		__module_get(THIS_MODULE);
	} else if (s->hooked) {
		sk->sk_data_ready = s->data_ready;
		sk->sk_write_space = s->write_space;
		sk->sk_state_change = s->state_change;
		sk->sk_error_report = s->error_report;
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
	socket_unseal(&conn->socket);
	fput(conn->socket.file);
	conn->socket.sock = NULL;
}
