// SPDX-License-Identifier: GPL-2.0
/*
 * In which order requests go out (kernel/order.c), and long writes in parts (kernel/parts.c).
 * The commands here belong to no request: nothing is sent.
 */
#include <kunit/test.h>
#include <linux/nbd.h>
#include "../../kernel/conn.h"
#include "../../kernel/order.h"
#include "../../kernel/parts.h"
#include "../../kernel/session.h"

#define NR_CMDS	8
#define MIB	(1 << 20)

struct desk {
	struct nbd_conn *conn;
	struct nbd_cmd cmds[NR_CMDS];
	unsigned int nr;
};

static int order_init(struct kunit *test)
{
	struct desk *desk = kunit_kzalloc(test, sizeof(*desk), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, desk);
	desk->conn = kunit_kzalloc(test, sizeof(*desk->conn), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, desk->conn);
	mutex_init(&desk->conn->tx_mutex);
	spin_lock_init(&desk->conn->lock);
	INIT_LIST_HEAD(&desk->conn->sending);
	INIT_LIST_HEAD(&desk->conn->bulk);
	desk->conn->generation = 7;
	desk->conn->session = kunit_kzalloc(test, sizeof(*desk->conn->session), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, desk->conn->session);
	desk->conn->session->short_until = jiffies;
	desk->conn->session->long_until = jiffies;
	test->priv = desk;
	return 0;
}

/* A command that comes to the connection; a write of @len bytes, or a read if that is 0. */
static struct nbd_cmd *come(struct desk *desk, u32 len)
{
	struct nbd_cmd *cmd = &desk->cmds[desk->nr++];
	LIST_HEAD(cmds);

	cmd->index = desk->nr;
	cmd->is_write = len;
	cmd->is_read = !len;
	cmd->len = len ?: 4096;
	cmd->cookie = nbd_cookie(desk->conn->generation++, cmd->index);
	nbd_wire_encode(&cmd->header, len ? NBD_CMD_WRITE : NBD_CMD_READ, 0, cmd->cookie, 1 << 30,
			cmd->len);
	list_add(&cmd->node, &cmds);
	mutex_lock(&desk->conn->tx_mutex);
	nbd_order_add(desk->conn, &cmds);
	mutex_unlock(&desk->conn->tx_mutex);
	return cmd;
}

static void arrange(struct desk *desk)
{
	mutex_lock(&desk->conn->tx_mutex);
	nbd_order_arrange(desk->conn);
	mutex_unlock(&desk->conn->tx_mutex);
}

static void divide(struct desk *desk, struct nbd_cmd *cmd)
{
	mutex_lock(&desk->conn->tx_mutex);
	nbd_parts_divide(desk->conn, cmd);
	mutex_unlock(&desk->conn->tx_mutex);
}

static void expect_sending(struct kunit *test, struct nbd_cmd **expected, unsigned int nr)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *cmd;
	unsigned int i = 0;

	list_for_each_entry(cmd, &desk->conn->sending, node) {
		if (i < nr)
			KUNIT_EXPECT_PTR_EQ(test, cmd, expected[i]);
		i++;
	}
	KUNIT_EXPECT_EQ(test, i, nr);
}

#define EXPECT_SENDING(test, ...) do {							\
	struct nbd_cmd *expected[] = { __VA_ARGS__ };					\
											\
	expect_sending(test, expected, ARRAY_SIZE(expected));				\
} while (0)

/* The socket takes the first @bytes of what comes first. */
static void take(struct desk *desk, size_t bytes)
{
	struct nbd_cmd *cmd = list_first_entry(&desk->conn->sending, struct nbd_cmd, node);

	mutex_lock(&desk->conn->tx_mutex);
	nbd_order_note_sent(desk->conn, cmd, bytes);
	mutex_unlock(&desk->conn->tx_mutex);
	desk->conn->tx_off += bytes;
	if (desk->conn->tx_off < nbd_part_wire_len(cmd))
		return;
	desk->conn->tx_off = 0;
	if (!nbd_parts_next(cmd))
		list_del_init(&cmd->node);
}

/* Writes only: all of them, as they came, and whole. */
static void one_kind(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *a = come(desk, MIB), *b = come(desk, MIB);

	arrange(desk);
	EXPECT_SENDING(test, a, b);
	KUNIT_EXPECT_EQ(test, nbd_parts(a), 1U);
}

/* What is short goes before a long write that came before it, which is divided. */
static void short_ones_first(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *a = come(desk, MIB), *b = come(desk, MIB);
	struct nbd_cmd *r = come(desk, 0), *w = come(desk, 4096);

	arrange(desk);
	EXPECT_SENDING(test, r, w, a);
	KUNIT_EXPECT_EQ(test, nbd_parts(a), 8U);
	KUNIT_EXPECT_EQ(test, nbd_parts(b), 1U);
}

/* Also if the long ones were to go out already. */
static void overtaken_late(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *a = come(desk, MIB), *b = come(desk, MIB), *c = come(desk, MIB), *r;

	arrange(desk);
	take(desk, 1000);
	r = come(desk, 0);
	arrange(desk);
	EXPECT_SENDING(test, a, r);
	KUNIT_EXPECT_PTR_EQ(test, list_first_entry(&desk->conn->bulk, struct nbd_cmd, node), b);
	KUNIT_EXPECT_PTR_EQ(test, list_last_entry(&desk->conn->bulk, struct nbd_cmd, node), c);
}

/* A part that has begun is finished, the others wait. */
static void between_parts(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *r = come(desk, 0), *a = come(desk, MIB), *b = come(desk, MIB), *s;

	arrange(desk);
	EXPECT_SENDING(test, r, a);
	take(desk, NBD_REQUEST_SIZE);
	take(desk, 1000);
	s = come(desk, 0);
	arrange(desk);
	EXPECT_SENDING(test, a, s);
	take(desk, nbd_part_wire_len(a) - 1000);
	arrange(desk);
	EXPECT_SENDING(test, s, a);
	KUNIT_EXPECT_EQ(test, a->nr_sent, 1U);
	KUNIT_EXPECT_EQ(test, nbd_parts(a) - a->nr_sent, 7U);
	KUNIT_EXPECT_EQ(test, nbd_part_wire_len(a), (size_t)NBD_REQUEST_SIZE + NBD_PART_BYTES);
	KUNIT_EXPECT_PTR_EQ(test, list_first_entry(&desk->conn->bulk, struct nbd_cmd, node), b);
}

/* However many short ones come, a long one has its turn. */
static void no_starvation(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *a = come(desk, MIB), *w = come(desk, NBD_LONG_BYTES), *v;

	arrange(desk);
	EXPECT_SENDING(test, w, a);
	desk->conn->overtaken = NBD_OVERTAKE_BYTES - NBD_LONG_BYTES;
	take(desk, nbd_part_wire_len(w));
	v = come(desk, NBD_LONG_BYTES);
	arrange(desk);
	EXPECT_SENDING(test, a, v);
	take(desk, nbd_part_wire_len(a));
	arrange(desk);
	EXPECT_SENDING(test, v, a);
}

/* When no short ones come any more the long ones go on together. */
static void mixed_no_more(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *r = come(desk, 0), *a = come(desk, MIB), *b = come(desk, MIB);

	arrange(desk);
	EXPECT_SENDING(test, r, a);
	take(desk, NBD_REQUEST_SIZE);
	desk->conn->session = kunit_kzalloc(test, sizeof(*desk->conn->session), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, desk->conn->session);
	desk->conn->session->short_until = jiffies;
	arrange(desk);
	EXPECT_SENDING(test, a, b);
}

/* Also if it is the only long one, and a part of it has begun. */
static void between_last_parts(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *r = come(desk, 0), *a = come(desk, MIB), *s;

	arrange(desk);
	EXPECT_SENDING(test, r, a);
	take(desk, NBD_REQUEST_SIZE);
	take(desk, NBD_REQUEST_SIZE);
	arrange(desk);
	s = come(desk, 0);
	arrange(desk);
	EXPECT_SENDING(test, a, s);
	KUNIT_EXPECT_TRUE(test, desk->conn->overtakable);
	take(desk, NBD_PART_BYTES);
	arrange(desk);
	EXPECT_SENDING(test, s, a);
}

/* Whoever comes when the other kind has come is apart; after a pause nobody is. */
static void comes_apart(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_session *session = desk->conn->session;
	struct nbd_cmd *a = come(desk, MIB), *r;

	KUNIT_EXPECT_FALSE(test, nbd_order_comes_apart(session, a));
	r = come(desk, 0);
	KUNIT_EXPECT_TRUE(test, nbd_order_comes_apart(session, r));
	KUNIT_EXPECT_TRUE(test, nbd_order_comes_apart(session, a));
	session->short_until = jiffies;
	KUNIT_EXPECT_FALSE(test, nbd_order_comes_apart(session, a));
	session->long_until = jiffies;
	KUNIT_EXPECT_FALSE(test, nbd_order_comes_apart(session, r));
}

/* However many slots there are each kind has some, and none belongs to nobody. */
static void shares(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *r = come(desk, 0), *a = come(desk, MIB);
	struct nbd_share few, many;
	unsigned int nr;

	for (nr = 1; nr <= 9; nr++) {
		r->apart = false;
		a->apart = false;
		few = nbd_order_share(r, nr);
		many = nbd_order_share(a, nr);
		KUNIT_EXPECT_TRUE(test, !few.first && few.nr == nr);
		KUNIT_EXPECT_TRUE(test, !many.first && many.nr == nr);
		r->apart = true;
		a->apart = true;
		few = nbd_order_share(r, nr);
		many = nbd_order_share(a, nr);
		KUNIT_EXPECT_EQ(test, few.first, 0U);
		KUNIT_EXPECT_GT(test, few.nr, 0U);
		KUNIT_EXPECT_EQ(test, many.first + many.nr, nr);
		KUNIT_EXPECT_EQ(test, many.first, nr > 1 ? few.nr : 0U);
	}
}

/* Who sends long writes between short requests has its share of a processor. */
static void takes_share(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_conn *conn = desk->conn;

	conn->session->live = 2;
	come(desk, MIB);
	arrange(desk);
	KUNIT_EXPECT_FALSE(test, nbd_order_takes_share(conn));
	come(desk, MIB);
	come(desk, 0);
	arrange(desk);
	KUNIT_EXPECT_TRUE(test, nbd_order_takes_share(conn));
	conn->burst.urgent = true;
	KUNIT_EXPECT_FALSE(test, nbd_order_takes_share(conn));
	conn->burst.urgent = false;
	conn->session->live = 1;
	KUNIT_EXPECT_FALSE(test, nbd_order_takes_share(conn));
	conn->session->live = 2;
	conn->session->short_until = jiffies;
	KUNIT_EXPECT_FALSE(test, nbd_order_takes_share(conn));
}

/* A short one waits for others of its kind; where there are none, a long one for others. */
static void busy(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_conn *conn = desk->conn;

	conn->inflight = NBD_BUSY;
	KUNIT_EXPECT_FALSE(test, nbd_order_is_busy(conn));
	conn->inflight++;
	KUNIT_EXPECT_TRUE(test, nbd_order_is_busy(conn));
	conn->nr_long = 1;
	KUNIT_EXPECT_FALSE(test, nbd_order_is_busy(conn));
	conn->nr_long = NBD_BUSY;
	KUNIT_EXPECT_FALSE(test, nbd_order_is_busy(conn));
	conn->nr_long++;
	KUNIT_EXPECT_TRUE(test, nbd_order_is_busy(conn));
}

/* The parts are the write: in order, without gaps, each with a name of its own. */
static void parts(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *cmd = come(desk, 2 * NBD_PART_BYTES + 512);
	struct nbd_request header;
	u64 from = 1 << 30;
	unsigned int i;

	KUNIT_ASSERT_TRUE(test, nbd_parts_can_divide(cmd));
	divide(desk, cmd);
	KUNIT_ASSERT_EQ(test, nbd_parts(cmd), 3U);
	KUNIT_EXPECT_FALSE(test, nbd_parts_can_divide(cmd));
	for (i = 0; i < 3; i++) {
		nbd_parts_encode(cmd, i, &header);
		KUNIT_EXPECT_EQ(test, be64_to_cpu(header.cookie), cmd->cookie + ((u64)i << 32));
		KUNIT_EXPECT_EQ(test, be64_to_cpu(header.from), from);
		KUNIT_EXPECT_EQ(test, be32_to_cpu(header.len), i < 2 ? NBD_PART_BYTES : 512);
		KUNIT_EXPECT_EQ(test, header.type, cmd->header.type);
		from += be32_to_cpu(header.len);
	}
	KUNIT_EXPECT_EQ(test, desk->conn->generation, 7U + 1 + 3);
}

/* No write has more parts than there are bits for. */
static void largest(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *cmd = come(desk, 64 * MIB - 512);

	divide(desk, cmd);
	KUNIT_EXPECT_LE(test, nbd_parts(cmd), (unsigned int)NBD_PARTS_MAX);
	KUNIT_EXPECT_EQ(test, nbd_part_len(cmd, nbd_parts(cmd) - 1),
			cmd->len - (nbd_parts(cmd) - 1) * cmd->part);
}

/* Each part is answered once, in any order, and not before it was offered. */
static void answers(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *cmd = come(desk, 3 * NBD_PART_BYTES);
	u64 part = 1ULL << 32;

	divide(desk, cmd);
	KUNIT_EXPECT_FALSE(test, nbd_parts_answer(cmd, cmd->cookie, true));
	nbd_parts_offer(cmd, 2);
	KUNIT_EXPECT_FALSE(test, nbd_parts_answer(cmd, cmd->cookie - part, true));
	KUNIT_EXPECT_FALSE(test, nbd_parts_answer(cmd, cmd->cookie + 2 * part, true));
	KUNIT_EXPECT_TRUE(test, nbd_parts_answer(cmd, cmd->cookie + part, true));
	KUNIT_EXPECT_FALSE(test, nbd_parts_answer(cmd, cmd->cookie + part, true));
	KUNIT_EXPECT_TRUE(test, nbd_parts_answer(cmd, cmd->cookie, true));
	KUNIT_EXPECT_FALSE(test, nbd_parts_answered(cmd));
	nbd_parts_offer(cmd, 3);
	KUNIT_EXPECT_TRUE(test, nbd_parts_answer(cmd, cmd->cookie + 2 * part, true));
	KUNIT_EXPECT_TRUE(test, nbd_parts_answered(cmd));
}

/* What the socket did not take cannot have been answered. */
static void unoffered(struct kunit *test)
{
	struct desk *desk = test->priv;
	struct nbd_cmd *cmd = come(desk, 3 * NBD_PART_BYTES);
	u64 part = 1ULL << 32;

	divide(desk, cmd);
	nbd_parts_offer(cmd, 3);
	cmd->nr_sent = 1;
	KUNIT_EXPECT_TRUE(test, nbd_parts_answer(cmd, cmd->cookie, true));
	KUNIT_EXPECT_TRUE(test, nbd_parts_unoffer(cmd));
	KUNIT_EXPECT_FALSE(test, nbd_parts_answer(cmd, cmd->cookie + part, true));
	nbd_parts_offer(cmd, 3);
	KUNIT_EXPECT_TRUE(test, nbd_parts_answer(cmd, cmd->cookie + 2 * part, true));
	KUNIT_EXPECT_FALSE(test, nbd_parts_unoffer(cmd));
}

static struct kunit_case order_cases[] = {
	KUNIT_CASE(one_kind),
	KUNIT_CASE(short_ones_first),
	KUNIT_CASE(overtaken_late),
	KUNIT_CASE(between_parts),
	KUNIT_CASE(between_last_parts),
	KUNIT_CASE(no_starvation),
	KUNIT_CASE(mixed_no_more),
	KUNIT_CASE(comes_apart),
	KUNIT_CASE(shares),
	KUNIT_CASE(takes_share),
	KUNIT_CASE(busy),
	KUNIT_CASE(parts),
	KUNIT_CASE(largest),
	KUNIT_CASE(answers),
	KUNIT_CASE(unoffered),
	{ }
};

static struct kunit_suite order_suite = {
	.name = "nbd_order",
	.init = order_init,
	.test_cases = order_cases,
};

kunit_test_suites(&order_suite);
