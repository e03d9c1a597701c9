// SPDX-License-Identifier: GPL-2.0
/* Sockets, as they are taken from userspace and given back. */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/kmemleak.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include "compat.h"
#include "conn.h"
#include "socket.h"
#include "stream.h"

/* We hold memalloc_socks_key, once for all sockets. */
static atomic_t nbd_memalloc_held = ATOMIC_INIT(0);

/* The first that fits is it. */
static const struct nbd_stream *const nbd_streams[] = {
	&nbd_stream_ktls,
	&nbd_stream_tcp,
	&nbd_stream_unix,
};

struct nbd_seal *nbd_seal;

int nbd_stream_copy_ops(struct proto_ops *ops, int family, int protocol)
{
	struct socket *sock;
	int err;

	err = sock_create_kern(&init_net, family, SOCK_STREAM, protocol, &sock);
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

static int seal_init(struct nbd_seal *seal)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(nbd_streams) && !err; i++)
		err = nbd_streams[i]->init(seal);
	return err;
}

int nbd_sockets_init(void)
{
	int err;

	nbd_seal = kzalloc(sizeof(*nbd_seal), GFP_KERNEL);
	if (!nbd_seal)
		return -ENOMEM;
	err = seal_init(nbd_seal);
	if (err)
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

int nbd_stream_sendmsg(struct nbd_socket *s, struct msghdr *msg, bool wait)
{
	const struct cred *old = override_creds(s->cred);
	int ret = s->ops->sendmsg(s->sock, msg, msg_data_left(msg));

	revert_creds(old);
	return ret;
}

int nbd_socket_send(struct nbd_socket *s, struct msghdr *msg, bool wait)
{
	return s->stream->send(s, msg, wait);
}

int nbd_stream_recvmsg(struct nbd_socket *s, struct msghdr *msg)
{
	const struct cred *old = override_creds(s->cred);
	int ret = s->ops->recvmsg(s->sock, msg, msg_data_left(msg), msg->msg_flags);

	revert_creds(old);
	return ret;
}

int nbd_socket_recv(struct nbd_socket *s, struct msghdr *msg)
{
	return s->stream->recv(s, msg);
}

size_t nbd_socket_room(struct nbd_conn *conn)
{
	const struct nbd_stream *stream = conn->socket.stream;

	/* Of the others, Unix sockets have small buffers. */
	return stream->room ? stream->room(conn) : S32_MAX;
}

bool nbd_socket_wants_room(struct nbd_conn *conn)
{
	WRITE_ONCE(conn->socket.wants_room, true);
	set_bit(SOCK_NOSPACE, &conn->socket.sock->flags);
	/* What is acknowledged from here on is told. */
	smp_mb__after_atomic();
	if (!nbd_socket_room(conn))
		return true;
	WRITE_ONCE(conn->socket.wants_room, false);
	return false;
}

void nbd_socket_excuse(struct nbd_socket *s)
{
	if (s->stream->excuse)
		s->stream->excuse(s);
}

static const struct nbd_stream *socket_stream(const struct sock *sk)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nbd_streams); i++)
		if (nbd_streams[i]->fits(sk))
			return nbd_streams[i];
	return NULL;
}

static bool socket_connected(const struct socket *sock)
{
	/*
	 * sock->state lags behind after a connect() that did not wait. A TCP socket whose
	 * peer has closed its half passes, and dies as soon as it is started.
	 */
	return (1 << READ_ONCE(sock->sk->sk_state)) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT);
}

static int socket_check(const struct socket *sock, struct netlink_ext_ack *extack)
{
	const struct nbd_stream *stream = socket_stream(sock->sk);
	int err;

	if (!stream) {
		NL_SET_ERR_MSG(extack, "only TCP and Unix stream sockets can be used");
		return -EINVAL;
	}
	err = stream->check ? stream->check(sock->sk, extack) : 0;
	if (err)
		return err;
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
	if (s->stream->prepare)
		s->stream->prepare(s);
}

static void socket_restore(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	if (!s->memalloc)
		socket_clear_memalloc(sk);
	sk->sk_allocation = s->allocation;
	nbd_set_task_frag(sk, s->use_task_frag);
	WRITE_ONCE(sk->sk_rcvlowat, s->rcvlowat);
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
	lockdep_assert_held(&s->sock->sk->sk_lock);

	WRITE_ONCE(nbd_seal->used, true);
	s->stream->seal(s);
}

/* The credentials that every kernel thread has. */
static const struct cred *socket_make_cred(void)
{
	unsigned int noio = memalloc_noio_save();
	const struct cred *cred = prepare_kernel_cred(&init_task);

	memalloc_noio_restore(noio);
	return cred;
}

int nbd_socket_claim(struct nbd_conn *conn, struct file *file)
{
	struct nbd_socket *s = &conn->socket;
	struct socket *sock = sock_from_file(file);
	struct sock *sk = sock->sk;
	int err;

	s->cred = socket_make_cred();
	if (!s->cred)
		return -ENOMEM;
	/* SMC of older kernels takes the file away from a TCP socket that is not connected. */
	lock_sock(sk);
	err = sock_from_file(file) == sock ? socket_check(sock, NULL) : -EINVAL;
	if (!err)
		err = socket_take(conn, sk);
	if (!err) {
		s->sock = sock;
		s->file = file;
		s->ops = sock->ops;
		s->stream = socket_stream(sk);
		socket_seal(s);
	}
	release_sock(sk);
	if (err) {
		put_cred(s->cred);
		return err;
	}

	socket_reclassify(s);
	socket_prepare(s);
	return 0;
}

struct nbd_conn *nbd_stream_enter(struct sock *sk)
	__acquires(&sk->sk_callback_lock)
{
	read_lock_bh(&sk->sk_callback_lock);
	return __locked_read_sk_user_data_with_flags(sk, SK_USER_DATA_NOCOPY);
}

void nbd_stream_leave(struct sock *sk)
	__releases(&sk->sk_callback_lock)
{
	read_unlock_bh(&sk->sk_callback_lock);
}

void nbd_stream_data_ready(struct sock *sk)
{
	struct nbd_conn *conn = nbd_stream_enter(sk);

	if (conn)
		nbd_recv_ready(conn);
	nbd_stream_leave(sk);
}

void nbd_stream_broken(struct nbd_conn *conn, int err)
{
	if (err == ETIMEDOUT)
		nbd_conn_kill(conn, -ETIMEDOUT, "server does not answer at TCP level");
	else if (err)
		nbd_conn_kill(conn, -err, "connection broken (error %d)", err);
	else
		nbd_conn_kill(conn, -EPIPE, "connection closed");
}

void nbd_stream_has_space(struct nbd_conn *conn, struct sock *sk)
{
	clear_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	WRITE_ONCE(conn->socket.wants_room, false);
	/* Whoever is sending, and was told before that there is none, tries again. */
	WRITE_ONCE(conn->tx_blocked, false);
	nbd_xmit_ready(conn);
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
	sk->sk_data_ready = s->stream->data_ready;
	sk->sk_write_space = s->stream->write_space;
	sk->sk_state_change = s->stream->state_change;
	sk->sk_error_report = s->stream->error_report;
	s->hooked = true;
	write_unlock_bh(&sk->sk_callback_lock);
}

/* Nobody has put callbacks of his own on top. */
static bool socket_has_callbacks(const struct sock *sk, const struct nbd_stream *stream)
{
	return sk->sk_data_ready == stream->data_ready &&
	       sk->sk_write_space == stream->write_space &&
	       sk->sk_state_change == stream->state_change &&
	       sk->sk_error_report == stream->error_report;
}

void nbd_socket_unhook(struct nbd_conn *conn)
{
	struct nbd_socket *s = &conn->socket;
	struct sock *sk = s->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	rcu_assign_sk_user_data(sk, NULL);
	if (s->hooked && !socket_has_callbacks(sk, s->stream)) {
		/* What is on top will go on calling ours, which do nothing, but have to stay. */
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

void nbd_stream_shutdown(struct nbd_socket *s)
{
	kernel_sock_shutdown(s->sock, SHUT_RDWR);
}

void nbd_socket_cut(struct nbd_conn *conn, bool orderly)
{
	struct nbd_socket *s = &conn->socket;

	if (orderly)
		s->stream->goodbye(s);
	else
		s->stream->cut(s);
}

static bool socket_has_ended(const struct sock *sk)
{
	return READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN;
}

void nbd_socket_await_data(struct nbd_socket *s, unsigned long timeout)
{
	struct sock *sk = s->sock->sk;

	wait_event_timeout(*sk_sleep(sk), socket_has_ended(sk) ||
			   !skb_queue_empty_lockless(&sk->sk_receive_queue), timeout);
}

void nbd_socket_await_end(struct nbd_socket *s, unsigned long timeout)
{
	struct sock *sk = s->sock->sk;

	wait_event_timeout(*sk_sleep(sk), socket_has_ended(sk), timeout);
}

void nbd_socket_release(struct nbd_conn *conn)
{
	socket_restore(&conn->socket);
	socket_declassify(&conn->socket);
	conn->socket.stream->restore(&conn->socket);
	put_cred(conn->socket.cred);
	fput(conn->socket.file);
	conn->socket.sock = NULL;
}
