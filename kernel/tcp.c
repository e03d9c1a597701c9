// SPDX-License-Identifier: GPL-2.0
/* Streams over TCP: the receive queue is read in place, in the socket's callbacks. */
#include <linux/netlink.h>
#include <linux/string.h>
#include <linux/tcp.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>
#include <net/tcp.h>
#include "compat.h"
#include "conn.h"
#include "session.h"
#include "socket.h"
#include "stream.h"

#define NBD_ULP_NAME	"nbd"
/*
 * What may be on its way although the link would be as busy without: for the pauses between
 * what is acknowledged and the next message.
 */
#define NBD_TCP_SPARE		(64 << 10)
#define NBD_TCP_SPARE_MIN	(16 << 10)

static int nbd_tcp_init(struct nbd_seal *seal)
{
	strscpy(seal->ulp.name, NBD_ULP_NAME, sizeof(seal->ulp.name));
	return 0;
}

bool nbd_tcp_fits(const struct sock *sk)
{
	return (sk->sk_family == AF_INET || sk->sk_family == AF_INET6) &&
	       sk->sk_type == SOCK_STREAM && sk->sk_protocol == IPPROTO_TCP;
}

/* Ours, of a connection that it had before, does nothing. */
static bool nbd_tcp_has_ulp(const struct sock *sk)
{
	const struct tcp_ulp_ops *ulp = READ_ONCE(inet_csk(sk)->icsk_ulp_ops);

	return ulp && strcmp(ulp->name, NBD_ULP_NAME);
}

int nbd_tcp_check_repair(const struct sock *sk, struct netlink_ext_ack *extack)
{
	if (!tcp_sk(sk)->repair)
		return 0;
	NL_SET_ERR_MSG(extack, "TCP sockets in repair mode cannot be used");
	return -EOPNOTSUPP;
}

static int nbd_tcp_check(const struct sock *sk, struct netlink_ext_ack *extack)
{
	if (nbd_tcp_has_ulp(sk)) {
		NL_SET_ERR_MSG(extack, "TCP sockets with another protocol on top cannot be used");
		return -EOPNOTSUPP;
	}
	return nbd_tcp_check_repair(sk, extack);
}

static void nbd_tcp_seal(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	if (!inet_csk_has_ulp(sk))
		WRITE_ONCE(inet_csk(sk)->icsk_ulp_ops, &nbd_seal->ulp);
	/* Every byte is worth a callback, and whoever wants to wait for one in recv() need not. */
	sock_set_flag(sk, SOCK_DONE);
	s->write_seq = tcp_sk(sk)->write_seq;
	s->disconnects = sk->sk_disconnects;
}

void nbd_tcp_prepare(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	/* The three-way handshake is one, so that even a server that speaks first has it. */
	s->rtt = tcp_min_rtt(tcp_sk(sk));
	if (s->rtt == U32_MAX)
		s->rtt = 0;
	s->nodelay = tcp_sk(sk)->nonagle & TCP_NAGLE_OFF;
	tcp_sock_set_nodelay(sk);
}

void nbd_tcp_restore_nodelay(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	lockdep_assert_held(&sk->sk_lock);

	if (!s->nodelay)
		tcp_sk(sk)->nonagle &= ~TCP_NAGLE_OFF;
}

static void nbd_tcp_restore(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	lock_sock(sk);
	nbd_tcp_restore_nodelay(s);
	if (!(sk->sk_shutdown & RCV_SHUTDOWN))
		sock_reset_flag(sk, SOCK_DONE);
	release_sock(sk);
}

/* lock_sock(), unless somebody has it. */
static bool nbd_tcp_trylock(struct sock *sk)
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
static int nbd_tcp_send(struct nbd_socket *s, struct msghdr *msg, bool wait)
{
	struct sock *sk = s->sock->sk;
	struct tcp_sock *tp = tcp_sk(sk);
	int ret = -EBUSY;

	sock_rps_record_flow(sk);
	if (wait)
		lock_sock(sk);
	else if (!nbd_tcp_trylock(sk))
		return -EALREADY;
	if (likely(tp->write_seq == s->write_seq && !tp->repair)) {
		ret = tcp_sendmsg_locked(sk, msg, msg_data_left(msg));
		s->write_seq = tp->write_seq;
	}
	release_sock(sk);
	return ret;
}

static void nbd_tcp_data_ready(struct sock *sk)
{
	struct nbd_conn *conn = nbd_stream_enter(sk);

	if (conn)
		nbd_recv_tcp(conn);
	nbd_stream_leave(sk);
}

/*
 * Twice what has been seen to be under way at the pace of the link without waiting in it,
 * and a little that all connections to the server share.
 */
static u64 nbd_tcp_window(const struct tcp_sock *tp, unsigned int connections)
{
	u32 interval = READ_ONCE(tp->rate_interval_us);
	u64 bytes = 0;

	if (interval)
		bytes = div_u64((u64)READ_ONCE(tp->rate_delivered) * READ_ONCE(tp->mss_cache) *
				min_t(u32, tcp_min_rtt(tp), USEC_PER_SEC), interval);
	return 2 * bytes + max_t(u32, NBD_TCP_SPARE / max(connections, 1U), NBD_TCP_SPARE_MIN);
}

/* Bytes that the peer's TCP has not acknowledged. */
static u32 nbd_tcp_outstanding(const struct tcp_sock *tp)
{
	return READ_ONCE(tp->write_seq) - READ_ONCE(tp->snd_una);
}

static size_t nbd_tcp_room(struct nbd_conn *conn)
{
	const struct tcp_sock *tp = tcp_sk(conn->socket.sock->sk);
	u64 window = nbd_tcp_window(tp, READ_ONCE(conn->session->live));
	u32 outstanding = nbd_tcp_outstanding(tp);

	/* So little is not worth a message. */
	if (outstanding + window / 4 > window)
		return 0;
	return window - outstanding;
}

static void nbd_tcp_write_space(struct sock *sk)
{
	struct nbd_conn *conn = nbd_stream_enter(sk);

	if (conn && READ_ONCE(conn->tx_blocked) && sk_stream_is_writeable(sk) &&
	    (!READ_ONCE(conn->socket.wants_room) || nbd_tcp_room(conn)))
		nbd_stream_has_space(conn, sk);
	nbd_stream_leave(sk);
}

static void nbd_tcp_changed(struct nbd_conn *conn, struct sock *sk)
{
	int err = READ_ONCE(sk->sk_err);

	/* What came before the end is as good as ever. */
	if (sk->sk_state == TCP_CLOSE_WAIT)
		nbd_recv_tcp(conn);
	nbd_stream_broken(conn, err);
}

static void nbd_tcp_state_change(struct sock *sk)
{
	struct nbd_conn *conn = nbd_stream_enter(sk);

	if (conn) {
		if (sk->sk_state != TCP_ESTABLISHED)
			nbd_tcp_changed(conn, sk);
		conn->socket.state_change(sk);
	}
	nbd_stream_leave(sk);
}

/* Of the things that it reports only disconnecting, connect() to nowhere, changes no state. */
void nbd_tcp_error_report(struct sock *sk)
{
	struct nbd_conn *conn = nbd_stream_enter(sk);

	if (conn) {
		if (sk->sk_disconnects != conn->socket.disconnects)
			nbd_conn_kill(conn, -ECONNABORTED, "somebody else disconnected its socket");
		conn->socket.error_report(sk);
	}
	nbd_stream_leave(sk);
}

void nbd_tcp_excuse(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	bh_lock_sock(sk);
	/* Not more than the last probe of the window is unanswered. */
	if (!sock_owned_by_user(sk) && inet_csk(sk)->icsk_probes_out <= 1)
		inet_csk(sk)->icsk_probes_tstamp = 0;
	bh_unlock_sock(sk);
}

void nbd_tcp_cut(struct nbd_socket *s)
{
	tcp_abort(s->sock->sk, ECONNABORTED);
}

const struct nbd_stream nbd_stream_tcp = {
	.locked		= true,
	.init		= nbd_tcp_init,
	.fits		= nbd_tcp_fits,
	.check		= nbd_tcp_check,
	.seal		= nbd_tcp_seal,
	.prepare	= nbd_tcp_prepare,
	.restore	= nbd_tcp_restore,
	.send		= nbd_tcp_send,
	.room		= nbd_tcp_room,
	.receive	= nbd_recv_queue,
	.data_ready	= nbd_tcp_data_ready,
	.write_space	= nbd_tcp_write_space,
	.state_change	= nbd_tcp_state_change,
	.error_report	= nbd_tcp_error_report,
	.excuse		= nbd_tcp_excuse,
	.cut		= nbd_tcp_cut,
	.goodbye	= nbd_stream_shutdown,
};
