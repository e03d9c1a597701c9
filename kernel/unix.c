// SPDX-License-Identifier: GPL-2.0
/* Unix streams: replies are received by a work, with recvmsg(). */
#include <linux/net.h>
#include <net/sock.h>
#include "conn.h"
#include "socket.h"
#include "stream.h"

static int nbd_unix_init(struct nbd_seal *seal)
{
	return nbd_stream_copy_ops(&seal->unix_ops, AF_UNIX, 0);
}

static bool nbd_unix_fits(const struct sock *sk)
{
	return sk->sk_family == AF_UNIX && sk->sk_type == SOCK_STREAM;
}

static void nbd_unix_seal(struct nbd_socket *s)
{
	WRITE_ONCE(s->sock->ops, &nbd_seal->unix_ops);
}

static void nbd_unix_restore(struct nbd_socket *s)
{
	WRITE_ONCE(s->sock->ops, s->ops);
}

static bool nbd_unix_readable(struct sock *sk)
{
	return !skb_queue_empty_lockless(&sk->sk_receive_queue);
}

static void nbd_unix_write_space(struct sock *sk)
{
	struct nbd_conn *conn = nbd_stream_enter(sk);

	if (conn && READ_ONCE(conn->tx_blocked) && sock_writeable(sk))
		nbd_stream_has_space(conn, sk);
	nbd_stream_leave(sk);
}

static void nbd_unix_state_change(struct sock *sk)
{
	struct nbd_conn *conn = nbd_stream_enter(sk);

	if (conn) {
		nbd_recv_later(conn);
		conn->socket.state_change(sk);
	}
	nbd_stream_leave(sk);
}

static void nbd_unix_error_report(struct sock *sk)
{
	struct nbd_conn *conn = nbd_stream_enter(sk);

	if (conn)
		conn->socket.error_report(sk);
	nbd_stream_leave(sk);
}

const struct nbd_stream nbd_stream_unix = {
	.staged		= true,
	.init		= nbd_unix_init,
	.fits		= nbd_unix_fits,
	.seal		= nbd_unix_seal,
	.restore	= nbd_unix_restore,
	/* Never waits: it is locked for moments only, and its receivers have another lock. */
	.send		= nbd_stream_sendmsg,
	.recv		= nbd_stream_recvmsg,
	.readable	= nbd_unix_readable,
	.receive	= nbd_recv_messages,
	.data_ready	= nbd_stream_data_ready,
	.write_space	= nbd_unix_write_space,
	.state_change	= nbd_unix_state_change,
	.error_report	= nbd_unix_error_report,
	/* What it has taken is in the peer's queue: there is nothing that could follow. */
	.cut		= nbd_stream_shutdown,
	.goodbye	= nbd_stream_shutdown,
};
