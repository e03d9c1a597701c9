// SPDX-License-Identifier: GPL-2.0
#include <linux/blk-mq.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include "harness.h"

#define PATIENCE	(20 * HZ)

/* --- connections --- */

/* The near end of a new socket pair, as userspace would hand it in. */
static struct file *rig_socket(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct socket *near, *far;
	struct file *file;

	KUNIT_ASSERT_LT(test, rig->nr_peers, (unsigned int)ARRAY_SIZE(rig->peers));
	KUNIT_ASSERT_EQ(test, sock_create_kern(&init_net, AF_UNIX, SOCK_STREAM, 0, &far), 0);
	far->sk->sk_rcvtimeo = PATIENCE;
	rig->peers[rig->nr_peers++] = far;
	KUNIT_ASSERT_EQ(test, sock_create_kern(&init_net, AF_UNIX, SOCK_STREAM, 0, &near), 0);
	KUNIT_EXPECT_EQ(test, near->ops->socketpair(near, far), 0);
	/* From here on the file owns the socket, in case of an error too. */
	file = sock_alloc_file(near, 0, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	return file;
}

static struct nbd_slots *rig_slots(struct rig *rig)
{
	return rcu_dereference_protected(rig->session->slots, true);
}

struct nbd_conn *rig_conn(struct rig *rig, unsigned int slot)
{
	return rcu_dereference_protected(rig_slots(rig)->conn[slot], true);
}

unsigned int rig_connect(struct kunit *test, enum nbd_takeover how)
{
	struct rig *rig = test->priv;
	struct nbd_given sock = { .file = rig_socket(test) };
	struct nbd_added added;
	int err;

	mutex_lock(&rig->nbd->lock);
	err = nbd_session_add_socks(rig->session, &sock, 1, how, &added, NULL);
	mutex_unlock(&rig->nbd->lock);
	KUNIT_ASSERT_EQ(test, err, 0);
	KUNIT_ASSERT_EQ(test, added.used, 1U);
	return rig->nr_peers - 1;
}

static bool rig_has_live(struct rig *rig, unsigned int nr)
{
	bool done;

	spin_lock_bh(&rig->session->lock);
	done = rig->session->live == nr;
	spin_unlock_bh(&rig->session->lock);
	return done;
}

void rig_flush(void)
{
	flush_workqueue(nbd_wq);
	flush_workqueue(nbd_bulk_wq);
	flush_workqueue(nbd_lock_wq);
	/* What burials have started. */
	flush_workqueue(nbd_wq);
}

bool rig_wait_live(struct rig *rig, unsigned int nr)
{
	unsigned long end = jiffies + PATIENCE;

	while (!rig_has_live(rig, nr)) {
		if (time_after(jiffies, end))
			return false;
		msleep(20);
	}
	/* The rest of the burial, and what it has started. */
	rig_flush();
	return true;
}

void rig_kill(struct rig *rig, struct nbd_conn *conn, int err)
{
	nbd_conn_kill(conn, err, "a test");
	rig_flush();
}

/* --- the session --- */

static struct rig *rig_init(struct kunit *test)
{
	struct rig *rig = kunit_kzalloc(test, sizeof(*rig), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, rig);
	test->priv = rig;
	return rig;
}

struct rig *rig_new(struct kunit *test, unsigned int nr, u64 dead_timeout, u32 policy)
{
	struct nbd_given socks[RIG_CONNS] = { };
	struct rig *rig = rig_init(test);
	struct nbd_session_params params;
	struct nbd_device *nbd;
	unsigned int i;

	for (i = 0; i < nr; i++)
		socks[i].file = rig_socket(test);
	nbd_session_params_init(&params);
	params.size = 1 << 20;
	params.flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_CAN_MULTI_CONN;
	params.dead_timeout = dead_timeout;
	params.policy = policy;
	params.netlink = true;
	KUNIT_ASSERT_EQ(test, nbd_session_params_check(&params, nr, NULL), 0);
	nbd = nbd_device_claim(-1, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, nbd);
	rig->nbd = nbd;
	if (nbd_device_attach(nbd, &params, socks, nr, &rig->session, NULL)) {
		rig->session = NULL;
		nbd_device_unclaim(nbd);
		KUNIT_FAIL_AND_ABORT(test, "no session");
	}
	/* The first look of the workers at the sockets. */
	rig_flush();
	return rig;
}

void rig_detach(struct rig *rig)
{
	if (!rig->session)
		return;
	nbd_device_detach(rig->nbd, 0, 0);
	nbd_session_put(rig->session);
	rig->session = NULL;
}

static void rig_free_request(struct rig_request *r)
{
	if (r->rq)
		blk_mq_free_request(r->rq);
	kfree(r->page);
}

void rig_exit(struct kunit *test)
{
	struct rig *rig = test->priv;
	unsigned int i;

	if (!rig)
		return;
	rig_detach(rig);
	for (i = 0; i < rig->nr_requests; i++) {
		/* All of them ended with the session, if not before. */
		KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&rig->requests[i].ended,
								    PATIENCE));
		KUNIT_EXPECT_EQ(test, atomic_read(&rig->requests[i].ends), 1);
		rig_free_request(&rig->requests[i]);
	}
	for (i = 0; i < rig->nr_peers; i++)
		sock_release(rig->peers[i]);
	if (rig->nbd)
		nbd_device_put(rig->nbd);
}

/* --- requests --- */

static enum rq_end_io_ret rig_ended(struct request *rq, blk_status_t status)
{
	struct rig_request *r = rq->end_io_data;

	r->status = status;
	atomic_inc(&r->ends);
	complete_all(&r->ended);
	/* The test has it still. */
	return RQ_END_IO_NONE;
}

static void rig_prepare(struct rig *rig, struct rig_request *r, enum req_op op)
{
	struct request *rq = r->rq;
	struct nbd_cmd *cmd = r->cmd;
	u32 type = op == REQ_OP_READ ? NBD_CMD_READ :
		   op == REQ_OP_WRITE ? NBD_CMD_WRITE : NBD_CMD_FLUSH;

	memset(cmd, 0, sizeof(*cmd));
	cmd->index = rq->mq_hctx->queue_num * rig->nbd->tag_set.queue_depth + rq->tag;
	cmd->is_read = op == REQ_OP_READ;
	cmd->is_write = op == REQ_OP_WRITE;
	cmd->len = blk_rq_bytes(rq);
	cmd->started = jiffies;
	if (op == REQ_OP_FLUSH)
		cmd->stamp = atomic64_read(&rig->session->writes);
	nbd_wire_encode(&cmd->header, type, 0, 0, op == REQ_OP_FLUSH ? 0 : 0x10000, cmd->len);
}

struct rig_request *rig_request(struct kunit *test, enum req_op op)
{
	struct rig *rig = test->priv;
	struct request_queue *q = rig->nbd->disk->queue;
	struct rig_request *r;
	struct request *rq;

	KUNIT_ASSERT_LT(test, rig->nr_requests, (unsigned int)RIG_REQUESTS);
	r = &rig->requests[rig->nr_requests];
	init_completion(&r->ended);
	rq = blk_mq_alloc_request(q, op, BLK_MQ_REQ_NOWAIT);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, rq);
	/* Not accounted to a partition; no line about an error that the test wants. */
	rq->rq_flags = (rq->rq_flags & ~RQF_IO_STAT) | RQF_QUIET;
	rq->end_io = rig_ended;
	rq->end_io_data = r;
	r->rq = rq;
	r->cmd = blk_mq_rq_to_pdu(rq);
	if (op != REQ_OP_FLUSH) {
		r->page = kzalloc(RIG_BYTES, GFP_KERNEL);
		if (!r->page || blk_rq_map_kern(q, rq, r->page, RIG_BYTES, GFP_KERNEL)) {
			rig_free_request(r);
			KUNIT_FAIL_AND_ABORT(test, "no memory for a request");
		}
	}
	rig->nr_requests++;
	rig_prepare(rig, r, op);
	blk_mq_start_request(rq);
	return r;
}

bool rig_issue(struct rig *rig, struct rig_request *r)
{
	struct nbd_conn *conn;

	if (!nbd_session_issue(rig->session, r->cmd, 0, &conn))
		return false;
	if (conn)
		nbd_conn_put(conn);
	return true;
}

bool rig_has(const struct nbd_conn *conn, const struct nbd_cmd *cmd)
{
	const struct nbd_entry *entry = &conn->session->table[cmd->index];

	return READ_ONCE(entry->conn) == conn && READ_ONCE(entry->cmd) == cmd;
}

static struct nbd_conn *rig_look_for(struct rig *rig, struct nbd_cmd *cmd)
{
	struct nbd_conn *conn, *owner = NULL;
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < rig_slots(rig)->nr; i++) {
		conn = rig_conn(rig, i);
		if (conn && rig_has(conn, cmd))
			owner = conn;
	}
	rcu_read_unlock();
	return owner;
}

struct nbd_conn *rig_owner(struct rig *rig, struct rig_request *r)
{
	unsigned long end = jiffies + PATIENCE;
	struct nbd_conn *conn;

	for (;;) {
		conn = rig_look_for(rig, r->cmd);
		if (conn || atomic_read(&r->ends) || time_after(jiffies, end))
			return conn;
		msleep(20);
	}
}

bool rig_parked(struct rig *rig, struct rig_request *r)
{
	struct nbd_cmd *cmd;
	bool found = false;

	spin_lock_bh(&rig->session->lock);
	list_for_each_entry(cmd, &rig->session->parked, node)
		found |= cmd == r->cmd;
	spin_unlock_bh(&rig->session->lock);
	return found;
}

void rig_expect_end(struct kunit *test, struct rig_request *r, blk_status_t status)
{
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&r->ended, PATIENCE));
	KUNIT_EXPECT_EQ(test, atomic_read(&r->ends), 1);
	KUNIT_EXPECT_EQ(test, blk_status_to_errno(r->status), blk_status_to_errno(status));
}

void rig_expect_none(struct kunit *test, struct rig_request *r)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&r->ends), 0);
	KUNIT_EXPECT_EQ(test, (int)blk_mq_rq_state(r->rq), (int)MQ_RQ_IN_FLIGHT);
}

/* --- the far end --- */

static bool rig_receive_bytes(struct socket *sock, void *data, size_t len)
{
	struct kvec vec = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { };

	return kernel_recvmsg(sock, &msg, &vec, 1, len, MSG_WAITALL) == len;
}

bool rig_receive(struct rig *rig, unsigned int peer, struct nbd_request *header)
{
	struct socket *sock = rig->peers[peer];
	u8 *payload;
	bool good;

	if (!rig_receive_bytes(sock, header, sizeof(*header)))
		return false;
	if (be32_to_cpu(header->type) != NBD_CMD_WRITE)
		return true;
	payload = kmalloc(RIG_BYTES, GFP_KERNEL);
	good = payload && rig_receive_bytes(sock, payload, RIG_BYTES);
	kfree(payload);
	return good;
}

void rig_send(struct kunit *test, unsigned int peer, const void *data, size_t len)
{
	struct rig *rig = test->priv;
	struct kvec vec = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_flags = MSG_NOSIGNAL };

	KUNIT_EXPECT_EQ(test, kernel_sendmsg(rig->peers[peer], &msg, &vec, 1, len), (int)len);
}

void rig_reply(struct kunit *test, unsigned int peer, u64 cookie, u32 error)
{
	struct nbd_reply reply = {
		.magic = cpu_to_be32(NBD_REPLY_MAGIC),
		.error = cpu_to_be32(error),
		.cookie = cpu_to_be64(cookie),
	};

	rig_send(test, peer, &reply, sizeof(reply));
}
