// SPDX-License-Identifier: GPL-2.0
/*
 * Which connection requests go to where there are many (kernel/spread.c). The state is the
 * CPU's, so the tests stay on one.
 */
#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include "../../kernel/conn.h"
#include "../../kernel/device.h"
#include "../../kernel/order.h"
#include "../../kernel/queue.h"
#include "../../kernel/session.h"
#include "../../kernel/slots.h"
#include "../../kernel/spread.h"

#define NR_CONNS	4
#define SHORT		4096
#define LONG		BIT(20)
#define NR_QUEUES	2
/* A message's worth. */
#define MANY		(NBD_TX_VECS / 2)

struct board {
	struct nbd_session *session;
	struct nbd_slots *slots;
	struct nbd_conn *conns[NR_CONNS];
	struct nbd_cmd cmd;
	unsigned int queue;
};

static struct nbd_session *new_session(struct kunit *test)
{
	struct nbd_session *session = kunit_kzalloc(test, sizeof(*session), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, session);
	session->nbd = kunit_kzalloc(test, sizeof(*session->nbd), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, session->nbd);
	session->nbd->tag_set.nr_hw_queues = NR_QUEUES;
	return session;
}

static int spread_init(struct kunit *test)
{
	struct board *board = kunit_kzalloc(test, sizeof(*board), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, board);
	board->session = new_session(test);
	board->slots = kunit_kzalloc(test, struct_size(board->slots, conn, NR_CONNS), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, board->slots);
	board->slots->nr = NR_CONNS;
	for (i = 0; i < NR_CONNS; i++) {
		board->conns[i] = kunit_kzalloc(test, sizeof(*board->conns[i]), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, board->conns[i]);
		RCU_INIT_POINTER(board->slots->conn[i], board->conns[i]);
	}
	test->priv = board;
	/* Of the thread that runs this case only. */
	return set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
}

/* Sends a request of @len bytes; the slot among those of @share that it goes to. */
static unsigned int send_in(struct board *board, struct nbd_share share, u32 len)
{
	unsigned int slot;

	board->cmd.len = len;
	rcu_read_lock();
	slot = nbd_spread_choose(board->session, board->slots, share, &board->cmd, board->queue) %
	       share.nr;
	rcu_read_unlock();
	board->conns[share.first + slot]->inflight++;
	return slot;
}

static unsigned int send(struct board *board, u32 len)
{
	return send_in(board, (struct nbd_share){ .nr = NR_CONNS }, len);
}

/* The slot that each of @nr short requests goes to. */
static unsigned int send_run(struct kunit *test, unsigned int nr)
{
	struct board *board = test->priv;
	unsigned int slot = send(board, SHORT);

	while (--nr)
		KUNIT_EXPECT_EQ(test, send(board, SHORT), slot);
	return slot;
}

/* As one that waits for a reply does. */
static void sleep_once(void)
{
	schedule_timeout_uninterruptible(1);
}

static void spread_keeps_together(struct kunit *test)
{
	struct board *board = test->priv;
	unsigned int slot;

	slot = send_run(test, MANY);
	KUNIT_EXPECT_EQ(test, send(board, SHORT), (slot + 1) % NR_CONNS);
}

static void spread_long_ones_alternate(struct kunit *test)
{
	struct board *board = test->priv;
	unsigned int slot = send(board, LONG), i;

	for (i = 1; i < 3 * NR_CONNS; i++)
		KUNIT_EXPECT_EQ(test, send(board, LONG), (slot + i) % NR_CONNS);
}

/* Nothing is under way any more: there is no better connection. */
static void spread_stays_when_done(struct kunit *test)
{
	struct board *board = test->priv;
	unsigned int slot = send_run(test, MANY);

	board->conns[slot]->inflight = 0;
	sleep_once();
	KUNIT_EXPECT_EQ(test, send_run(test, MANY), slot);
	board->conns[slot]->inflight = 0;
	sleep_once();
	KUNIT_EXPECT_EQ(test, send_run(test, 1), slot);
}

/* Replies to several at once: the same connection, until it has enough to do. */
static void spread_batches_stay(struct kunit *test)
{
	struct board *board = test->priv;
	unsigned int slot = send_run(test, MANY);

	board->conns[slot]->inflight = MANY / 2;
	sleep_once();
	KUNIT_EXPECT_EQ(test, send_run(test, MANY / 2), slot);
	sleep_once();
	KUNIT_EXPECT_EQ(test, send_run(test, MANY), (slot + 1) % NR_CONNS);
}

/* Each queue has connections for itself. */
static void spread_queues_begin_apart(struct kunit *test)
{
	struct board *board = test->priv;
	struct nbd_session *mine = board->session, *other = new_session(test);
	unsigned int slot = send_run(test, 1);

	board->conns[slot]->inflight = 0;
	board->session = other;
	KUNIT_EXPECT_EQ(test, send_run(test, MANY / 2), 0);
	board->session = mine;
	board->queue = 1;
	KUNIT_EXPECT_EQ(test, send_run(test, MANY / 2), NR_CONNS / NR_QUEUES);
	sleep_once();
	KUNIT_EXPECT_EQ(test, send_run(test, MANY / 2), NR_CONNS / NR_QUEUES);
}

/* Servers that answer one by one, in turns, get requests on all connections, evenly. */
static void spread_evens_out(struct kunit *test)
{
	struct board *board = test->priv;
	unsigned int slot = send_run(test, MANY), i;

	for (i = 0; i < NR_CONNS * MANY; i++) {
		board->conns[slot]->inflight--;
		sleep_once();
		send(board, SHORT);
		do
			slot = (slot + 1) % NR_CONNS;
		while (!board->conns[slot]->inflight);
	}
	for (i = 0; i < NR_CONNS; i++) {
		KUNIT_EXPECT_GE(test, board->conns[i]->inflight, MANY / NR_CONNS - 2);
		KUNIT_EXPECT_LE(test, board->conns[i]->inflight, MANY / NR_CONNS + 2);
	}
}

static void spread_avoids_dead(struct kunit *test)
{
	struct board *board = test->priv;
	unsigned int slot = send_run(test, 1);

	RCU_INIT_POINTER(board->slots->conn[(slot + 1) % NR_CONNS], NULL);
	sleep_once();
	KUNIT_EXPECT_EQ(test, send_run(test, 1), (slot + 2) % NR_CONNS);
	RCU_INIT_POINTER(board->slots->conn[(slot + 2) % NR_CONNS], NULL);
	sleep_once();
	KUNIT_EXPECT_EQ(test, send_run(test, 1), (slot + 3) % NR_CONNS);
	/* The others are dead or have as much to do. */
	sleep_once();
	KUNIT_EXPECT_EQ(test, send_run(test, 1), (slot + 3) % NR_CONNS);
}

/* Another device's requests in between begin anew, and go where there is less to do. */
static void spread_of_two_sessions(struct kunit *test)
{
	struct board *board = test->priv;
	struct nbd_session *mine = board->session, *other = new_session(test);
	unsigned int slot = send_run(test, 2);

	board->session = other;
	KUNIT_EXPECT_EQ(test, send(board, SHORT), (slot + 1) % NR_CONNS);
	board->session = mine;
	KUNIT_EXPECT_EQ(test, send(board, SHORT), (slot + 2) % NR_CONNS);
}

static void spread_within_share(struct kunit *test)
{
	struct nbd_share share = { .first = 2, .nr = 2 };
	struct board *board = test->priv;
	unsigned int i;

	for (i = 0; i < 2 * NR_CONNS; i++)
		send_in(board, share, LONG);
	KUNIT_EXPECT_EQ(test, board->conns[0]->inflight, 0);
	KUNIT_EXPECT_EQ(test, board->conns[1]->inflight, 0);
	KUNIT_EXPECT_EQ(test, board->conns[2]->inflight, NR_CONNS);
	KUNIT_EXPECT_EQ(test, board->conns[3]->inflight, NR_CONNS);
}

static struct kunit_case spread_cases[] = {
	KUNIT_CASE(spread_keeps_together),
	KUNIT_CASE(spread_long_ones_alternate),
	KUNIT_CASE(spread_stays_when_done),
	KUNIT_CASE(spread_batches_stay),
	KUNIT_CASE(spread_queues_begin_apart),
	KUNIT_CASE(spread_evens_out),
	KUNIT_CASE(spread_avoids_dead),
	KUNIT_CASE(spread_of_two_sessions),
	KUNIT_CASE(spread_within_share),
	{ }
};

static struct kunit_suite spread_suite = {
	.name = "nbd_spread",
	.init = spread_init,
	.test_cases = spread_cases,
};

kunit_test_suites(&spread_suite);
