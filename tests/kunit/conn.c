// SPDX-License-Identifier: GPL-2.0
/*
 * The command state machine on one connection: kernel/queue.h says who owns a command
 * when, kernel/conn.h how it is handed over. Each test is one hand-over, legal or not.
 */
#include <linux/net.h>
#include "harness.h"

static int conn_init_test(struct kunit *test)
{
	rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	return 0;
}

static void move_to_sending(struct nbd_conn *conn)
{
	mutex_lock(&conn->tx_mutex);
	spin_lock_bh(&conn->lock);
	list_splice_tail_init(&conn->pending, &conn->sending);
	conn->nr_pending = 0;
	conn->pending_bytes = 0;
	spin_unlock_bh(&conn->lock);
	mutex_unlock(&conn->tx_mutex);
}

/* Enqueueing puts a command into the table and on the list, with a name of its own. */
static void enqueue(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct nbd_conn *conn = rig_conn(rig, 0);
	struct rig_request *a = rig_request(test, REQ_OP_READ);
	struct rig_request *b = rig_request(test, REQ_OP_WRITE);

	KUNIT_ASSERT_TRUE(test, nbd_conn_enqueue(conn, a->cmd));
	KUNIT_ASSERT_TRUE(test, nbd_conn_enqueue(conn, b->cmd));
	KUNIT_EXPECT_EQ(test, nbd_cookie_index(a->cmd->cookie), a->cmd->index);
	KUNIT_EXPECT_EQ(test, nbd_cookie_index(b->cmd->cookie), b->cmd->index);
	KUNIT_EXPECT_EQ(test, (u32)(a->cmd->cookie >> 32) + 1, (u32)(b->cmd->cookie >> 32));
	KUNIT_EXPECT_EQ(test, be64_to_cpu(b->cmd->header.cookie), b->cmd->cookie);
	KUNIT_EXPECT_TRUE(test, rig_has(conn, a->cmd));
	KUNIT_EXPECT_TRUE(test, rig_has(conn, b->cmd));
	KUNIT_EXPECT_EQ(test, conn->inflight, 2U);
	KUNIT_EXPECT_EQ(test, conn->nr_pending, 2U);
	KUNIT_EXPECT_EQ(test, conn->pending_bytes, 2 * NBD_REQUEST_SIZE + (size_t)RIG_BYTES);
	KUNIT_EXPECT_EQ(test, atomic_read(&a->cmd->phase), 0);
	rig_expect_none(test, a);
}

/* What was not offered to the socket cannot have been answered. */
static void take_before_offer(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct nbd_conn *conn = rig_conn(rig, 0);
	struct rig_request *a = rig_request(test, REQ_OP_WRITE);

	nbd_conn_enqueue(conn, a->cmd);
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, a->cmd->cookie));
	move_to_sending(conn);
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, a->cmd->cookie));
	atomic_set(&a->cmd->phase, NBD_PHASE_OFFERED);
	KUNIT_EXPECT_PTR_EQ(test, nbd_conn_take(conn, a->cmd->cookie), a->cmd);
	KUNIT_EXPECT_FALSE(test, rig_has(conn, a->cmd));
	KUNIT_EXPECT_EQ(test, conn->inflight, 0U);
	/* A second reply. */
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, a->cmd->cookie));
}

/* Only the whole cookie names a command: no bit of it may differ. */
static void take_wrong_cookie(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct nbd_conn *conn = rig_conn(rig, 0);
	struct rig_request *a = rig_request(test, REQ_OP_READ);
	struct rig_request *b = rig_request(test, REQ_OP_READ);
	u64 cookie;
	int bit;

	nbd_conn_enqueue(conn, a->cmd);
	nbd_conn_enqueue(conn, b->cmd);
	move_to_sending(conn);
	atomic_set(&a->cmd->phase, NBD_PHASE_OFFERED);
	atomic_set(&b->cmd->phase, NBD_PHASE_OFFERED);
	cookie = a->cmd->cookie;
	for (bit = 0; bit < 64; bit++)
		KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, cookie ^ BIT_ULL(bit)));
	/* The generation of one and the index of the other. */
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, nbd_cookie(cookie >> 32, b->cmd->index)));
	cookie = nbd_cookie(a->cmd->cookie >> 32, rig->session->nr_table);
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, cookie));
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, 0));
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, ~0ULL));
	KUNIT_EXPECT_EQ(test, conn->inflight, 2U);
	KUNIT_EXPECT_PTR_EQ(test, nbd_conn_take(conn, a->cmd->cookie), a->cmd);
}

/* Each issue has another name, so the reply to an earlier one is nobody's. */
static void generation(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct nbd_conn *conn = rig_conn(rig, 0);
	struct rig_request *a = rig_request(test, REQ_OP_READ);
	u64 first;

	nbd_conn_enqueue(conn, a->cmd);
	first = a->cmd->cookie;
	move_to_sending(conn);
	atomic_set(&a->cmd->phase, NBD_PHASE_OFFERED);
	KUNIT_EXPECT_PTR_EQ(test, nbd_conn_take(conn, first), a->cmd);
	list_del_init(&a->cmd->node);
	nbd_conn_enqueue(conn, a->cmd);
	atomic_set(&a->cmd->phase, NBD_PHASE_OFFERED);
	KUNIT_EXPECT_NE(test, a->cmd->cookie, first);
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, first));
	KUNIT_EXPECT_PTR_EQ(test, nbd_conn_take(conn, a->cmd->cookie), a->cmd);
	nbd_conn_give_back(conn, a->cmd);
}

static void give_back(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct nbd_conn *conn = rig_conn(rig, 0);
	struct rig_request *a = rig_request(test, REQ_OP_WRITE);

	nbd_conn_enqueue(conn, a->cmd);
	move_to_sending(conn);
	atomic_set(&a->cmd->phase, NBD_PHASE_OFFERED);
	KUNIT_ASSERT_PTR_EQ(test, nbd_conn_take(conn, a->cmd->cookie), a->cmd);
	nbd_conn_give_back(conn, a->cmd);
	KUNIT_EXPECT_EQ(test, conn->inflight, 1U);
	KUNIT_EXPECT_PTR_EQ(test, nbd_conn_take(conn, a->cmd->cookie), a->cmd);
	nbd_conn_give_back(conn, a->cmd);
}

/* After a short send the commands that did not go out whole cannot be answered. */
static void unoffer(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct nbd_conn *conn = rig_conn(rig, 0);
	struct rig_request *a = rig_request(test, REQ_OP_WRITE);
	struct rig_request *b = rig_request(test, REQ_OP_WRITE);

	nbd_conn_enqueue(conn, a->cmd);
	nbd_conn_enqueue(conn, b->cmd);
	move_to_sending(conn);
	atomic_set(&a->cmd->phase, NBD_PHASE_OFFERED);
	atomic_set(&b->cmd->phase, NBD_PHASE_OFFERED);
	KUNIT_EXPECT_TRUE(test, nbd_conn_unoffer(conn));
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, a->cmd->cookie));
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, b->cmd->cookie));

	/* One of them was answered in the meantime. */
	atomic_set(&a->cmd->phase, NBD_PHASE_OFFERED);
	atomic_set(&b->cmd->phase, NBD_PHASE_OFFERED);
	KUNIT_EXPECT_PTR_EQ(test, nbd_conn_take(conn, b->cmd->cookie), b->cmd);
	KUNIT_EXPECT_FALSE(test, nbd_conn_unoffer(conn));
	KUNIT_EXPECT_EQ(test, atomic_read(&a->cmd->phase), 0);
}

/* Whoever lets go last completes the command, and only then. */
static void check_release(struct kunit *test, int first, int second, blk_status_t status)
{
	struct rig *rig = test->priv;
	struct nbd_conn *conn = rig_conn(rig, 0);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	DEFINE_IO_COMP_BATCH(batch);

	nbd_conn_enqueue(conn, r->cmd);
	move_to_sending(conn);
	atomic_set(&r->cmd->phase, NBD_PHASE_OFFERED);
	KUNIT_ASSERT_PTR_EQ(test, nbd_conn_take(conn, r->cmd->cookie), r->cmd);
	list_del_init(&r->cmd->node);
	r->cmd->status = status;
	nbd_cmd_release(r->cmd, first, &batch);
	rig_expect_none(test, r);
	nbd_cmd_release(r->cmd, second, &batch);
	nbd_batch_complete(&batch);
	rig_expect_end(test, r, status);
}

static void release_sent_first(struct kunit *test)
{
	check_release(test, NBD_PHASE_SENT, NBD_PHASE_REPLIED, BLK_STS_OK);
	check_release(test, NBD_PHASE_SENT, NBD_PHASE_REPLIED, BLK_STS_NOSPC);
}

static void release_replied_first(struct kunit *test)
{
	check_release(test, NBD_PHASE_REPLIED, NBD_PHASE_SENT, BLK_STS_OK);
	check_release(test, NBD_PHASE_REPLIED, NBD_PHASE_SENT, BLK_STS_NOSPC);
}

/* A dead connection takes no commands, knows no replies, and says why it died. */
static void killed(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct nbd_conn *conn = rig_conn(rig, 0);
	struct rig_request *a = rig_request(test, REQ_OP_READ);
	struct rig_request *b = rig_request(test, REQ_OP_READ);

	refcount_inc(&conn->refs);
	nbd_conn_enqueue(conn, a->cmd);
	move_to_sending(conn);
	atomic_set(&a->cmd->phase, NBD_PHASE_OFFERED);
	/* The lock holds the undertaker up. */
	mutex_lock(&conn->tx_mutex);
	nbd_conn_kill(conn, -EPROTO, "first %d", 1);
	nbd_conn_kill(conn, -EPIPE, "second");
	KUNIT_EXPECT_FALSE(test, nbd_conn_enqueue(conn, b->cmd));
	KUNIT_EXPECT_NULL(test, nbd_conn_take(conn, a->cmd->cookie));
	KUNIT_EXPECT_EQ(test, conn->err, -EPROTO);
	KUNIT_EXPECT_STREQ(test, conn->cause, "first 1");
	mutex_unlock(&conn->tx_mutex);
	rig_flush();
	KUNIT_EXPECT_EQ(test, (int)conn->state, (int)NBD_LIFE_BURIED);
	KUNIT_EXPECT_FALSE(test, nbd_conn_enqueue(conn, b->cmd));
	KUNIT_EXPECT_TRUE(test, list_empty(&conn->sending) && list_empty(&conn->pending));
	KUNIT_EXPECT_FALSE(test, rig_has(conn, a->cmd));
	KUNIT_EXPECT_TRUE(test, rig_parked(rig, a));
	rig_expect_none(test, a);
	nbd_conn_put(conn);
	nbd_cmd_complete(b->cmd, BLK_STS_IOERR);
}

/* The undertaker finds a command wherever the connection has it, and finds it once. */
static void collect(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct nbd_conn *conn = rig_conn(rig, 0);
	struct rig_request *sending = rig_request(test, REQ_OP_WRITE);
	struct rig_request *answered = rig_request(test, REQ_OP_WRITE);
	struct rig_request *sent = rig_request(test, REQ_OP_WRITE);
	struct rig_request *pending = rig_request(test, REQ_OP_WRITE);
	struct nbd_cmd *cmd;
	unsigned int nr = 0;

	nbd_conn_enqueue(conn, sending->cmd);
	nbd_conn_enqueue(conn, answered->cmd);
	nbd_conn_enqueue(conn, sent->cmd);
	move_to_sending(conn);
	/* Its reply was taken, but the transmit side has it still. */
	atomic_set(&answered->cmd->phase, NBD_PHASE_OFFERED);
	KUNIT_ASSERT_PTR_EQ(test, nbd_conn_take(conn, answered->cmd->cookie), answered->cmd);
	nbd_cmd_release(answered->cmd, NBD_PHASE_REPLIED, NULL);
	/* In the table only. */
	atomic_set(&sent->cmd->phase, NBD_PHASE_OFFERED);
	list_del_init(&sent->cmd->node);
	nbd_cmd_release(sent->cmd, NBD_PHASE_SENT, NULL);
	nbd_conn_enqueue(conn, pending->cmd);

	rig_kill(rig, conn, -EPIPE);
	list_for_each_entry(cmd, &rig->session->parked, node)
		nr++;
	KUNIT_EXPECT_EQ(test, nr, 4U);
	KUNIT_EXPECT_TRUE(test, rig_parked(rig, sending));
	KUNIT_EXPECT_TRUE(test, rig_parked(rig, answered));
	KUNIT_EXPECT_TRUE(test, rig_parked(rig, sent));
	KUNIT_EXPECT_TRUE(test, rig_parked(rig, pending));
	rig_expect_none(test, answered);
	rig_expect_none(test, sent);
}

/* What goes out is the header; the reply completes the request with its status. */
static void send_and_reply(struct kunit *test)
{
	static const struct {
		u32 error;
		blk_status_t status;
	} cases[] = { { 0, BLK_STS_OK }, { 28, BLK_STS_NOSPC }, { 5, BLK_STS_IOERR } };
	struct rig *rig = test->priv;
	struct nbd_conn *conn = rig_conn(rig, 0);
	struct nbd_request header;
	struct rig_request *r;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		r = rig_request(test, REQ_OP_WRITE);
		KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
		nbd_conn_flush(conn);
		KUNIT_ASSERT_TRUE(test, rig_receive(rig, 0, &header));
		KUNIT_EXPECT_EQ(test, memcmp(&header, &r->cmd->header, sizeof(header)), 0);
		rig_expect_none(test, r);
		rig_reply(test, 0, r->cmd->cookie, cases[i].error);
		rig_expect_end(test, r, cases[i].status);
	}
	KUNIT_EXPECT_PTR_EQ(test, rig_conn(rig, 0), conn);
	KUNIT_EXPECT_EQ(test, atomic64_read(&rig->session->counters.failed), 2);
}

/* A reply to what is not sent yet, however well it guesses, kills the connection. */
static void reply_too_early(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	rig_reply(test, 0, r->cmd->cookie, 0);
	KUNIT_EXPECT_TRUE(test, rig_wait_live(rig, 0));
	rig_expect_none(test, r);
	KUNIT_EXPECT_TRUE(test, rig_parked(rig, r));
}

static void reply_twice(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct nbd_request header;
	u64 cookie;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	nbd_conn_flush(rig_conn(rig, 0));
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, 0, &header));
	cookie = r->cmd->cookie;
	rig_reply(test, 0, cookie, 0);
	rig_expect_end(test, r, BLK_STS_OK);
	rig_reply(test, 0, cookie, 0);
	KUNIT_EXPECT_TRUE(test, rig_wait_live(rig, 0));
	KUNIT_EXPECT_EQ(test, atomic_read(&r->ends), 1);
}

/* A READ whose payload stops half-way is read again, whole, on the next connection. */
static void half_payload(struct kunit *test)
{
	struct rig *rig = test->priv;
	struct rig_request *r = rig_request(test, REQ_OP_READ);
	u8 *data = kunit_kzalloc(test, RIG_BYTES, GFP_KERNEL);
	struct nbd_request header;
	unsigned int peer;
	u64 cookie;

	KUNIT_ASSERT_NOT_NULL(test, data);
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	nbd_conn_flush(rig_conn(rig, 0));
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, 0, &header));
	cookie = r->cmd->cookie;
	memset(data, 0xaa, RIG_BYTES);
	rig_reply(test, 0, cookie, 0);
	rig_send(test, 0, data, RIG_BYTES / 2);
	rig_flush();
	KUNIT_EXPECT_PTR_EQ(test, rig_conn(rig, 0)->rx.cmd, r->cmd);
	rig_expect_none(test, r);
	kernel_sock_shutdown(rig->peers[0], SHUT_RDWR);
	KUNIT_ASSERT_TRUE(test, rig_wait_live(rig, 0));
	KUNIT_EXPECT_TRUE(test, rig_parked(rig, r));

	memset(data, 0x55, RIG_BYTES);
	peer = rig_connect(test, NBD_FILL_DEAD);
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, peer, &header));
	KUNIT_EXPECT_EQ(test, be32_to_cpu(header.len), (u32)RIG_BYTES);
	rig_reply(test, peer, be64_to_cpu(header.cookie), 0);
	rig_send(test, peer, data, RIG_BYTES);
	rig_expect_end(test, r, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, memcmp(r->page, data, RIG_BYTES), 0);
}

static struct kunit_case conn_cases[] = {
	KUNIT_CASE(enqueue),
	KUNIT_CASE(take_before_offer),
	KUNIT_CASE(take_wrong_cookie),
	KUNIT_CASE(generation),
	KUNIT_CASE(give_back),
	KUNIT_CASE(unoffer),
	KUNIT_CASE(release_sent_first),
	KUNIT_CASE(release_replied_first),
	KUNIT_CASE(killed),
	KUNIT_CASE(collect),
	KUNIT_CASE(send_and_reply),
	KUNIT_CASE(reply_too_early),
	KUNIT_CASE(reply_twice),
	KUNIT_CASE(half_payload),
	{ }
};

static struct kunit_suite conn_suite = {
	.name = "nbd_conn",
	.init = conn_init_test,
	.exit = rig_exit,
	.test_cases = conn_cases,
};

kunit_test_suites(&conn_suite);
