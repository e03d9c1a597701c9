// SPDX-License-Identifier: GPL-2.0
/*
 * Streams over TCP with kernel TLS: requests are encrypted by sendmsg() and replies decrypted
 * by recvmsg(), both from works, for both wait for the socket's lock.
 *
 * What is shown to TLS as the kernel's addresses it copies. Pages that it may refer to
 * (tlspages.h) are encrypted from where they are, if there are many behind each other: the
 * header before them is a record of its own. And what is received is decrypted to where it
 * belongs.
 */
#include <linux/highmem.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/socket.h>
#include <linux/string.h>
#include <linux/tcp.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/tls.h>
#include "compat.h"
#include "conn.h"
#include "socket.h"
#include "stream.h"
#include "tlspages.h"
#include "tlsrec.h"

#define KTLS_ULP_NAME	"tls"
/* Segments of one call. */
#define KTLS_VECS	32

/* Room for the type of a record beside its bytes. */
union ktls_control {
	struct cmsghdr header;
	u8 bytes[CMSG_SPACE(sizeof(u8))];
};

static int nbd_ktls_init(struct nbd_seal *seal)
{
	return nbd_stream_copy_ops(&seal->ktls_ops[0], AF_INET, IPPROTO_TCP) ?:
	       nbd_stream_copy_ops(&seal->ktls_ops[1], AF_INET6, IPPROTO_TCP);
}

static struct proto_ops *ktls_ops(const struct sock *sk)
{
	return &nbd_seal->ktls_ops[sk->sk_family == AF_INET6];
}

static bool nbd_ktls_fits(const struct sock *sk)
{
	const struct tcp_ulp_ops *ulp;

	if (!nbd_tcp_fits(sk))
		return false;
	ulp = READ_ONCE(inet_csk(sk)->icsk_ulp_ops);
	return ulp && !strcmp(ulp->name, KTLS_ULP_NAME);
}

static bool ktls_has_keys(unsigned int conf)
{
	return conf == TLS_SW || conf == TLS_HW;
}

/* A call of somebody else's that is under way would go on; the socket's lock is held then. */
static bool ktls_is_in_use(struct tls_context *ctx)
{
	const struct tls_sw_context_rx *rx = tls_sw_ctx_rx(ctx);

	return READ_ONCE(rx->reader_present) || mutex_is_locked(&ctx->tx_lock);
}

static int nbd_ktls_check(const struct sock *sk, struct netlink_ext_ack *extack)
{
	struct tls_context *ctx = tls_get_ctx(sk);
	int err;

	if (IS_ENABLED(CONFIG_HIGHMEM) || !ktls_ops(sk)->family) {
		NL_SET_ERR_MSG(extack, "TCP sockets with kernel TLS cannot be used on this kernel");
		return -EOPNOTSUPP;
	}
	if (!ctx || !ktls_has_keys(ctx->tx_conf) || !ktls_has_keys(ctx->rx_conf)) {
		NL_SET_ERR_MSG(extack, "kernel TLS of the socket lacks the keys of a direction");
		return -EOPNOTSUPP;
	}
	err = nbd_tcp_check_repair(sk, extack);
	if (err)
		return err;
	if (ktls_is_in_use(ctx)) {
		NL_SET_ERR_MSG(extack, "somebody is sending or receiving on the socket");
		return -EBUSY;
	}
	return 0;
}

static struct nbd_conn *ktls_conn(struct nbd_socket *s)
{
	return container_of(s, struct nbd_conn, socket);
}

/* Only sending, and only receiving, counts on: each by its own work. */
static u64 ktls_number(const struct cipher_context *direction)
{
	return get_unaligned_be64(direction->rec_seq);
}

static void nbd_ktls_seal(struct nbd_socket *s)
{
	struct nbd_conn_tls *tls = &ktls_conn(s)->tls;
	struct sock *sk = s->sock->sk;
	const struct tls_context *ctx = tls_get_ctx(sk);

	WRITE_ONCE(s->sock->ops, ktls_ops(sk));
	s->disconnects = sk->sk_disconnects;
	tls->version = ctx->crypto_send.info.version;
	tls->cipher = ctx->crypto_send.info.cipher_type;
	tls->sent = ktls_number(&ctx->tx);
	tls->received = ktls_number(&ctx->rx);
	nbd_rekey_init(&ktls_conn(s)->rekey, sk);
	ktls_conn(s)->talk.follows = ktls_conn(s)->rekey.able;
}

/* New keys, which newer kernels take, bring TLS' own calls back; then anybody can receive. */
static bool ktls_is_sealed(const struct nbd_socket *s)
{
	return READ_ONCE(s->sock->ops) == ktls_ops(s->sock->sk) &&
	       !tcp_sk(s->sock->sk)->repair;
}

static void nbd_ktls_restore(struct nbd_socket *s)
{
	struct sock *sk = s->sock->sk;

	if (READ_ONCE(s->sock->ops) == ktls_ops(sk))
		WRITE_ONCE(s->sock->ops, s->ops);
	lock_sock(sk);
	nbd_tcp_restore_nodelay(s);
	release_sock(sk);
	nbd_rekey_wipe(&ktls_conn(s)->rekey);
}

/* A record that is no data; what was put off of the data (MSG_MORE) goes before it. */
static int ktls_say(struct nbd_socket *s, u8 type, u8 *bytes, size_t n)
{
	struct kvec vec = { .iov_base = bytes, .iov_len = n };
	union ktls_control control = {
		.header.cmsg_level = SOL_TLS,
		.header.cmsg_type = TLS_SET_RECORD_TYPE,
		.header.cmsg_len = CMSG_LEN(sizeof(u8)),
	};
	struct msghdr msg = {
		.msg_control = &control,
		.msg_controllen = sizeof(control),
		.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL,
	};

	*(u8 *)CMSG_DATA(&control.header) = type;
	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, &vec, 1, n);
	return nbd_stream_sendmsg(s, &msg, true);
}

/*
 * The server wants our next key before the next data: KeyUpdate, which wants none of the
 * server's, is the last record with the old one. Its being in the socket means that nothing
 * is being encrypted any more, for the cipher is a synchronous one (nbd_rekey_init()).
 */
static int ktls_change_key(struct nbd_socket *s)
{
	struct nbd_rekey *rekey = &ktls_conn(s)->rekey;
	u8 update[] = { NBD_TLS_KEY_UPDATE, 0, 0, 1, 0 };
	int ret;

	/* Before: one that asks again from here on has not seen the answer. */
	WRITE_ONCE(rekey->asked, false);
	ret = ktls_say(s, NBD_TLS_HANDSHAKE_RECORD, update, sizeof(update));
	if (ret == sizeof(update))
		return nbd_rekey_send(rekey, s->sock->sk);
	WRITE_ONCE(rekey->asked, true);
	return ret < 0 ? ret : -EIO;
}

/* The same memory, @left bytes and KTLS_VECS segments of it at most: @to, for @direction. */
static void ktls_map(const struct iov_iter *from, struct iov_iter *to, struct kvec *vec,
		     unsigned int direction, size_t left)
{
	size_t skip = from->iov_offset, bytes = 0;
	const struct bio_vec *bv = from->bvec;
	unsigned int n;

	for (n = 0; left && n < KTLS_VECS; n++, bv++) {
		size_t len = min_t(size_t, bv->bv_len - skip, left);

		vec[n].iov_base = page_address(bv->bv_page) + bv->bv_offset + skip;
		vec[n].iov_len = len;
		bytes += len;
		left -= len;
		skip = 0;
	}
	iov_iter_kvec(to, direction, vec, n, bytes);
}

/* Makes @part what can be sent of @iter in one call; @vec is room for it. Returns its bytes. */
static size_t ktls_cut(const struct iov_iter *iter, struct msghdr *part, struct kvec *vec)
{
	size_t pages, before = nbd_tls_find_pages(iter, &pages), bytes;

	if (before) {
		ktls_map(iter, &part->msg_iter, vec, ITER_SOURCE, before);
	} else {
		part->msg_iter = *iter;
		iov_iter_truncate(&part->msg_iter, pages);
	}
	bytes = msg_data_left(part);
	if (pages && bytes == before)	/* they begin a record */
		part->msg_flags &= ~MSG_MORE;
	else if (bytes < iov_iter_count(iter))
		part->msg_flags |= MSG_MORE;
	return bytes;
}

static int nbd_ktls_send(struct nbd_socket *s, struct msghdr *msg, bool wait)
{
	struct iov_iter *iter = &msg->msg_iter;
	const size_t size = iov_iter_count(iter);
	/* Only the last record ends a TCP segment that has room for more. */
	const bool cork = size > TLS_MAX_PAYLOAD_SIZE;
	struct kvec vec[KTLS_VECS];
	size_t bytes;
	int ret;

	if (!ktls_is_sealed(s))
		return -EBUSY;
	if (unlikely(READ_ONCE(ktls_conn(s)->rekey.asked))) {
		ret = ktls_change_key(s);
		if (ret)
			return ret;
	}
	if (iov_iter_is_kvec(iter))
		return nbd_stream_sendmsg(s, msg, wait);
	if (cork)
		tcp_sock_set_cork(s->sock->sk, true);
	do {
		struct msghdr part = { .msg_flags = msg->msg_flags };

		bytes = ktls_cut(iter, &part, vec);
		ret = nbd_stream_sendmsg(s, &part, wait);
		if (ret > 0)
			iov_iter_advance(iter, ret);
	} while (ret == bytes && iov_iter_count(iter));
	if (cork)
		tcp_sock_set_cork(s->sock->sk, false);
	WRITE_ONCE(ktls_conn(s)->tls.sent, ktls_number(&tls_get_ctx(s->sock->sk)->tx));
	return size - iov_iter_count(iter) ?: ret;
}

/* What the server sends from here on has its next key. True if the connection goes on. */
static bool ktls_follow(struct nbd_conn *conn, bool asked)
{
	int err = nbd_rekey_receive(&conn->rekey, conn->socket.sock->sk);

	if (err) {
		nbd_conn_kill(conn, err, "the server's next TLS key cannot be used (error %d)",
			      -err);
		return false;
	}
	WRITE_ONCE(conn->tls.received, 0);
	if (asked)
		WRITE_ONCE(conn->rekey.asked, true);
	return true;
}

/* True if the connection goes on. */
static bool ktls_judge(struct nbd_conn *conn, enum nbd_tls_verdict verdict)
{
	const char *text = nbd_tls_verdict_text(verdict);

	if (verdict == NBD_TLS_UPDATED || verdict == NBD_TLS_ASKED)
		return ktls_follow(conn, verdict == NBD_TLS_ASKED);
	if (!text)
		return true;
	if (verdict == NBD_TLS_CLOSED)
		nbd_conn_kill(conn, -EPIPE, "%s", text);
	else if (verdict == NBD_TLS_ALERTED)
		nbd_conn_kill(conn, -ECONNRESET, "%s: number %u", text, conn->talk.alert);
	else if (verdict == NBD_TLS_NEW_KEYS)
		nbd_conn_kill(conn, -EKEYEXPIRED, "%s", text);
	else
		nbd_conn_kill(conn, -EPROTO, "protocol violation: %s", text);
	return false;
}

/* The record is no data. True if the connection goes on. */
static bool ktls_recv_control(struct nbd_conn *conn)
{
	struct kvec vec = { .iov_base = conn->rx_buf, .iov_len = NBD_RX_BUF };
	union ktls_control control = { };
	struct msghdr msg = {
		.msg_control = &control,
		.msg_controllen = sizeof(control),
		.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL,
	};
	u8 type;
	int ret;

	iov_iter_kvec(&msg.msg_iter, ITER_DEST, &vec, 1, vec.iov_len);
	ret = nbd_stream_recvmsg(&conn->socket, &msg);
	type = *(u8 *)CMSG_DATA(&control.header);
	if (ret < 0 || control.header.cmsg_level != SOL_TLS ||
	    control.header.cmsg_type != TLS_GET_RECORD_TYPE || type == NBD_TLS_DATA_RECORD) {
		nbd_conn_kill(conn, -EIO, "cannot receive (error %d)", EIO);
		return false;
	}
	/* Of an empty record the return value says something else. */
	return ktls_judge(conn, nbd_tls_talk_take(&conn->talk, type, conn->rx_buf,
						  vec.iov_len - msg_data_left(&msg)));
}

static void ktls_failed(struct nbd_conn *conn, int err)
{
	if (err == -EBADMSG)
		nbd_conn_kill(conn, err, "a TLS record of the server cannot be decrypted");
	else if (err == -EMSGSIZE || err == -EINVAL)
		nbd_conn_kill(conn, err, "protocol violation: what the server sends is no TLS");
	else if (err == -EKEYEXPIRED)
		/* The kernel takes a record for a KeyUpdate that is in the middle of something. */
		nbd_conn_kill(conn, err, "%s", nbd_tls_verdict_text(NBD_TLS_NEW_KEYS));
	else
		nbd_stream_broken(conn, -err);
}

/* The data of the records that are there. */
static int ktls_recv_data(struct nbd_conn *conn, struct msghdr *msg)
{
	struct msghdr part = { .msg_flags = msg->msg_flags };
	struct kvec vec[KTLS_VECS];
	size_t bytes;
	int ret;

	if (iov_iter_is_kvec(&msg->msg_iter) || nbd_tls_may_refer(&msg->msg_iter))
		part.msg_iter = msg->msg_iter;
	else
		ktls_map(&msg->msg_iter, &part.msg_iter, vec, ITER_DEST,
			 msg_data_left(msg));
	bytes = msg_data_left(&part);
	ret = nbd_stream_recvmsg(&conn->socket, &part);
	if (ret <= 0)
		return ret;
	ret = bytes - msg_data_left(&part);
	WRITE_ONCE(conn->tls.received, ktls_number(&tls_get_ctx(conn->socket.sock->sk)->rx));
	/* Only now: whoever has received in between had to break the seal before. */
	if (!ktls_is_sealed(&conn->socket)) {
		nbd_conn_kill(conn, -EBUSY, "somebody else used its socket");
		return -EBUSY;
	}
	return ktls_judge(conn, nbd_tls_talk_data(&conn->talk)) ? ret : -EPROTO;
}

/* Records that are no data are left where they are if there is no room for their type. */
static int nbd_ktls_recv(struct nbd_socket *s, struct msghdr *msg)
{
	struct nbd_conn *conn = ktls_conn(s);
	int ret;

	do {
		ret = ktls_recv_data(conn, msg);
	} while (ret == -EIO && ktls_recv_control(conn));
	if (ret < 0 && ret != -EAGAIN && ret != -EINTR)
		ktls_failed(conn, ret);
	return ret;
}

/* Whether there is a record, or what is left of one. */
static bool nbd_ktls_readable(struct sock *sk)
{
	return !sk->sk_prot->sock_is_readable || sk_is_readable(sk);
}

/* Records that are encrypted already are TLS' to send. */
static void nbd_ktls_write_space(struct sock *sk)
{
	struct nbd_conn *conn = nbd_stream_enter(sk);

	if (conn) {
		conn->socket.write_space(sk);
		if (READ_ONCE(conn->tx_blocked) && sk_stream_is_writeable(sk))
			nbd_stream_has_space(conn, sk);
	}
	nbd_stream_leave(sk);
}

/* What came before the end is as good as ever, and may say why that came. */
static void nbd_ktls_state_change(struct sock *sk)
{
	struct nbd_conn *conn = nbd_stream_enter(sk);

	if (conn) {
		if (sk->sk_state != TCP_ESTABLISHED)
			nbd_recv_later(conn);
		conn->socket.state_change(sk);
	}
	nbd_stream_leave(sk);
}

/* Says close_notify (RFC 8446, section 6.1), that nobody takes the end for a broken stream. */
static void nbd_ktls_goodbye(struct nbd_socket *s)
{
	u8 alert[] = { 1, 0 };

	ktls_say(s, NBD_TLS_ALERT_RECORD, alert, sizeof(alert));
	nbd_stream_shutdown(s);
}

const struct nbd_stream nbd_stream_ktls = {
	.staged		= true,
	.locked		= true,
	.patient	= true,
	.init		= nbd_ktls_init,
	.fits		= nbd_ktls_fits,
	.check		= nbd_ktls_check,
	.seal		= nbd_ktls_seal,
	.prepare	= nbd_tcp_prepare,
	.restore	= nbd_ktls_restore,
	.send		= nbd_ktls_send,
	.recv		= nbd_ktls_recv,
	.readable	= nbd_ktls_readable,
	.receive	= nbd_recv_messages,
	.data_ready	= nbd_stream_data_ready,
	.write_space	= nbd_ktls_write_space,
	.state_change	= nbd_ktls_state_change,
	.error_report	= nbd_tcp_error_report,
	.excuse		= nbd_tcp_excuse,
	.cut		= nbd_tcp_cut,
	.goodbye	= nbd_ktls_goodbye,
};
