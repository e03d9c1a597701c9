// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of commands when connections die: kernel/retry.c. The limits are
 * written out here again, because they are promises: a request is tried on four more
 * connections while others live, or that were silent while others were answered, on twenty
 * where there is one at a time.
 */
#include <linux/net.h>
#include "harness.h"

#define HOPS	4
#define PARKS	20

/* Jiffies that a connection may be silent. */
#define SILENCE	(60 * HZ)

/* Without a connection a command waits; the next connection gets it, under a new name. */
static void parked_and_sent_again(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct nbd_request first, second;
	unsigned int peer;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	nbd_conn_flush(rig_conn(rig, 0));
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, 0, &first));
	rig_kill(rig, rig_conn(rig, 0), -EPIPE);
	KUNIT_EXPECT_TRUE(test, rig_parked(rig, r));
	KUNIT_EXPECT_EQ(test, (int)rig->session->state, (int)NBD_STATE_WAITING);
	rig_expect_none(test, r);

	peer = rig_connect(test, NBD_FILL_DEAD);
	KUNIT_EXPECT_EQ(test, (int)rig->session->state, (int)NBD_STATE_LIVE);
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, peer, &second));
	KUNIT_EXPECT_EQ(test, second.from, first.from);
	KUNIT_EXPECT_EQ(test, second.len, first.len);
	KUNIT_EXPECT_EQ(test, second.type, first.type);
	KUNIT_EXPECT_EQ(test, atomic64_read(&rig->session->counters.resent), 1);
	rig_reply(test, peer, be64_to_cpu(second.cookie), 0);
	rig_expect_end(test, r, BLK_STS_OK);
}

/* What comes while there is no connection waits, too. */
static void issued_without_connection(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct nbd_request header;
	unsigned int peer;

	rig_kill(rig, rig_conn(rig, 0), -EPIPE);
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	KUNIT_EXPECT_TRUE(test, rig_parked(rig, r));
	peer = rig_connect(test, NBD_FILL_DEAD);
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, peer, &header));
	rig_reply(test, peer, be64_to_cpu(header.cookie), 0);
	rig_expect_end(test, r, BLK_STS_OK);
}

/* A command that is apart stays with its kind as long as one of those connections lives. */
static void apart(struct kunit *test)
{
	struct rig *rig = rig_new(test, 4, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct nbd_request header;
	struct rig_request *r;
	struct nbd_conn *conn;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		r = rig_request(test, REQ_OP_WRITE);
		r->cmd->apart = true;
		KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
		conn = rig_owner(rig, r);
		KUNIT_ASSERT_NOT_NULL(test, conn);
		if (i < 2)
			KUNIT_EXPECT_LT(test, conn->slot, 2U);
		else
			KUNIT_EXPECT_GE(test, conn->slot, 2U);
		nbd_conn_flush(conn);
		/* The peers have the numbers of the slots. */
		KUNIT_ASSERT_TRUE(test, rig_receive(rig, conn->slot, &header));
		KUNIT_EXPECT_EQ(test, header.cookie, r->cmd->header.cookie);
		rig_reply(test, conn->slot, be64_to_cpu(header.cookie), 0);
		rig_expect_end(test, r, BLK_STS_OK);
		rig_kill(rig, conn, -EPIPE);
	}
}

static void no_wait(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, 0, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct rig_request *late = rig_request(test, REQ_OP_WRITE);

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	rig_kill(rig, rig_conn(rig, 0), -EPIPE);
	rig_expect_end(test, r, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, (int)rig->session->state, (int)NBD_STATE_FAILED);
	KUNIT_EXPECT_FALSE(test, rig_issue(rig, late));
	nbd_cmd_complete(late->cmd, BLK_STS_IOERR);
}

/* The wait ends for all at once, one dead_timeout after the loss. */
static void wait_ends(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, 2, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct rig_request *late = rig_request(test, REQ_OP_WRITE);
	unsigned long begin = jiffies;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	rig_kill(rig, rig_conn(rig, 0), -EPIPE);
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, late));
	rig_expect_none(test, r);
	rig_expect_end(test, r, BLK_STS_IOERR);
	KUNIT_EXPECT_TRUE(test, time_after_eq(jiffies, begin + 2 * HZ));
	rig_expect_end(test, late, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, (int)rig->session->state, (int)NBD_STATE_FAILED);
}

/* For what a replaced connection carries, too: nobody is left who could send it again. */
static void wait_ends_for_replaced(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, 1, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	rig_connect(test, NBD_REPLACE);
	rig_kill(rig, rig_conn(rig, 0), -EPIPE);
	rig_expect_none(test, r);
	rig_expect_end(test, r, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, (int)rig->session->state, (int)NBD_STATE_FAILED);
}

/* A connection ends the failed state. */
static void back_from_failed(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, 0, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct nbd_request header;
	unsigned int peer;

	rig_kill(rig, rig_conn(rig, 0), -EPIPE);
	peer = rig_connect(test, NBD_FILL_DEAD);
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	nbd_conn_flush(rig_conn(rig, 0));
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, peer, &header));
	rig_reply(test, peer, be64_to_cpu(header.cookie), 0);
	rig_expect_end(test, r, BLK_STS_OK);
}

/* Connections die under a request while others live: bounded, and only that request. */
static void hops(struct kunit *test)
{
	struct rig *rig = rig_new(test, RIG_CONNS, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct nbd_conn *conn;
	unsigned int deaths = 0;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	while ((conn = rig_owner(rig, r))) {
		conn->heard = jiffies;	/* however slow this machine is */
		rig_kill(rig, conn, -EPIPE);
		deaths++;
	}
	KUNIT_EXPECT_EQ(test, deaths, (unsigned int)HOPS + 1);
	rig_expect_end(test, r, BLK_STS_IOERR);
	KUNIT_EXPECT_TRUE(test, rig_wait_live(rig, RIG_CONNS - HOPS - 1));
	KUNIT_EXPECT_EQ(test, (int)rig->session->state, (int)NBD_STATE_LIVE);
}

/* From the second death on it waits a little before it is tried on the next. */
static void quarantine(struct kunit *test)
{
	struct rig *rig = rig_new(test, 4, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	unsigned long begin;
	unsigned int i;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	rig_kill(rig, rig_owner(rig, r), -EPIPE);
	KUNIT_EXPECT_FALSE(test, rig_parked(rig, r));
	KUNIT_EXPECT_EQ(test, (int)r->cmd->hops, 1);
	begin = jiffies;
	rig_kill(rig, rig_owner(rig, r), -EPIPE);
	KUNIT_EXPECT_EQ(test, (int)r->cmd->hops, 2);
	KUNIT_EXPECT_NOT_NULL(test, rig_owner(rig, r));
	KUNIT_EXPECT_TRUE(test, time_after_eq(jiffies, begin + HZ / 5));
	/* All others die as well: nothing was this request's fault. */
	for (i = 0; i < 4; i++)
		if (rig_conn(rig, i))
			nbd_conn_kill(rig_conn(rig, i), -EPIPE, "a test");
	KUNIT_ASSERT_TRUE(test, rig_wait_live(rig, 0));
	KUNIT_EXPECT_EQ(test, (int)r->cmd->hops, 0);
	rig_expect_none(test, r);
}

/* One connection at a time: it is tried on so many, then it fails. */
static void parks(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	unsigned int deaths = 0;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	while (!atomic_read(&r->ends) && deaths < 2 * PARKS) {
		rig_kill(rig, rig_conn(rig, 0), -EPIPE);
		deaths++;
		rig_connect(test, NBD_FILL_DEAD);
	}
	KUNIT_EXPECT_EQ(test, deaths, (unsigned int)PARKS + 1);
	rig_expect_end(test, r, BLK_STS_IOERR);
}

/*
 * The only connection dies of one request each time. Who is under way with it does not
 * fail with it: after some deaths they are sent one at a time.
 */
static void innocent(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *guilty = rig_request(test, REQ_OP_READ);
	struct rig_request *other = rig_request(test, REQ_OP_WRITE);
	unsigned int deaths = 0, peer = 0;
	struct nbd_request header;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, guilty));
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, other));
	nbd_session_flush(rig->session);
	while (!atomic_read(&guilty->ends) && deaths < 2 * PARKS) {
		if (!atomic_read(&other->ends)) {
			KUNIT_ASSERT_TRUE(test, rig_receive(rig, peer, &header));
			if (be32_to_cpu(header.type) == NBD_CMD_WRITE && rig_parked(rig, guilty))
				rig_reply(test, peer, be64_to_cpu(header.cookie), 0);
		}
		if (!rig_owner(rig, guilty))
			break;
		rig_kill(rig, rig_conn(rig, 0), -EPIPE);
		deaths++;
		peer = rig_connect(test, NBD_FILL_DEAD);
	}
	KUNIT_EXPECT_EQ(test, deaths, (unsigned int)PARKS + 1);
	rig_expect_end(test, other, BLK_STS_OK);
	rig_expect_end(test, guilty, BLK_STS_IOERR);
}

/* A connection that was replaced, or timed out for another, is not held against the request. */
static void not_guilty(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	unsigned int i;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	for (i = 0; i < PARKS + 5; i++) {
		rig_kill(rig, rig_conn(rig, 0), i % 2 ? -ETIMEDOUT : -ECANCELED);
		rig_connect(test, NBD_FILL_DEAD);
	}
	rig_expect_none(test, r);
	KUNIT_EXPECT_EQ(test, (int)r->cmd->parks, 0);
	KUNIT_EXPECT_EQ(test, (int)r->cmd->hops, 0);
}

/* @conn is given up for its silence about the request; whether it answered others. */
static void be_silent(struct rig *rig, struct rig_request *r, struct nbd_conn *conn, bool answers)
{
	spin_lock_bh(&conn->lock);
	conn->timeout = SILENCE;
	r->cmd->issued = jiffies - SILENCE;
	conn->replies = 1;
	conn->heard = answers ? jiffies : jiffies - 2 * SILENCE;
	spin_unlock_bh(&conn->lock);
	rig_kill(rig, conn, -ETIMEDOUT);
}

/* A server that is silent about one request each time, and answers all others. */
static void silence_of_one(struct kunit *test)
{
	struct rig *rig = rig_new(test, RIG_CONNS, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	unsigned int deaths = 0;
	struct nbd_conn *conn;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	while (deaths < RIG_CONNS && (conn = rig_owner(rig, r))) {
		be_silent(rig, r, conn, true);
		deaths++;
	}
	KUNIT_EXPECT_EQ(test, deaths, (unsigned int)HOPS + 1);
	rig_expect_end(test, r, BLK_STS_IOERR);
}

/* A server that answers nobody may be stopped, and go on: that is waited for. */
static void silence_of_all(struct kunit *test)
{
	struct rig *rig = rig_new(test, RIG_CONNS, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	unsigned int i;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	for (i = 0; i < RIG_CONNS; i++)
		be_silent(rig, r, rig_owner(rig, r), false);
	KUNIT_EXPECT_TRUE(test, rig_parked(rig, r));
	rig_expect_none(test, r);
	KUNIT_EXPECT_EQ(test, (int)r->cmd->charges, 0);
}

/* The time of who came late is not over when its connection is given up. */
static void silence_of_another(struct kunit *test)
{
	struct rig *rig = rig_new(test, 4, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct rig_request *late = rig_request(test, REQ_OP_WRITE);

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, late));
	be_silent(rig, r, rig_owner(rig, r), true);
	KUNIT_EXPECT_EQ(test, (int)r->cmd->silences, 1);
	KUNIT_EXPECT_EQ(test, (int)late->cmd->silences, 0);
}

/* The third time it has a connection of its own, until that is the last one. */
static void alone(struct kunit *test)
{
	struct rig *rig = rig_new(test, 4, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct rig_request *other = rig_request(test, REQ_OP_WRITE);
	struct rig_request *another = rig_request(test, REQ_OP_WRITE);
	struct nbd_conn *conn;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	be_silent(rig, r, rig_owner(rig, r), true);
	be_silent(rig, r, rig_owner(rig, r), true);
	conn = rig_owner(rig, r);
	KUNIT_ASSERT_NOT_NULL(test, conn);
	KUNIT_EXPECT_TRUE(test, conn->reserved);
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, other));
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, another));
	KUNIT_EXPECT_EQ(test, conn->inflight, 1U);
	KUNIT_EXPECT_PTR_EQ(test, rig_owner(rig, other), rig_owner(rig, another));
	rig_kill(rig, rig_owner(rig, other), -EPIPE);
	KUNIT_EXPECT_PTR_EQ(test, rig_owner(rig, other), conn);
	KUNIT_EXPECT_PTR_EQ(test, rig_owner(rig, another), conn);
	KUNIT_EXPECT_PTR_EQ(test, rig_owner(rig, r), conn);
}

/* Where there is one connection, the others have it for a while first. */
static void last_in_line(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct rig_request *other = rig_request(test, REQ_OP_WRITE);
	struct nbd_request header;
	unsigned long begin;
	unsigned int peer;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	be_silent(rig, r, rig_conn(rig, 0), true);
	rig_connect(test, NBD_FILL_DEAD);
	be_silent(rig, r, rig_owner(rig, r), true);
	KUNIT_ASSERT_TRUE(test, rig_parked(rig, r));
	rig->session->params.timeout = 2;
	begin = jiffies;
	peer = rig_connect(test, NBD_FILL_DEAD);
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, other));
	nbd_session_flush(rig->session);
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, peer, &header));
	KUNIT_EXPECT_EQ(test, be64_to_cpu(header.cookie), other->cmd->cookie);
	rig_reply(test, peer, be64_to_cpu(header.cookie), 0);
	rig_expect_end(test, other, BLK_STS_OK);
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, peer, &header));
	KUNIT_EXPECT_TRUE(test, time_after_eq(jiffies, begin + 2 * HZ));
	rig_reply(test, peer, be64_to_cpu(header.cookie), 0);
	rig_expect_end(test, r, BLK_STS_OK);
}

/*
 * The server is gone and nobody noticed, for nothing was sent: each connection dies of the
 * first request that it gets, however many there are.
 */
static void stale(struct kunit *test)
{
	struct rig *rig = rig_new(test, RIG_CONNS, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct nbd_conn *conn;
	struct nbd_request header;
	unsigned int deaths = 0, peer, i;

	for (i = 0; i < RIG_CONNS; i++)
		rig_conn(rig, i)->heard -= 3 * HZ;
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	while ((conn = rig_owner(rig, r))) {
		rig_kill(rig, conn, -ECONNRESET);
		deaths++;
	}
	KUNIT_EXPECT_EQ(test, deaths, (unsigned int)RIG_CONNS);
	KUNIT_ASSERT_TRUE(test, rig_parked(rig, r));
	KUNIT_EXPECT_EQ(test, (int)rig->session->state, (int)NBD_STATE_WAITING);

	peer = rig_connect(test, NBD_FILL_DEAD);
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, peer, &header));
	rig_reply(test, peer, be64_to_cpu(header.cookie), 0);
	rig_expect_end(test, r, BLK_STS_OK);
}

/*
 * A request whose connection was given up for silence, and which then is on a connection
 * with a timeout that is replaced. Says whether it has moved to the new one. That happens
 * without regard to the time to answer, which does not end here.
 */
static bool moves_on(struct kunit *test, bool heard_since)
{
	struct rig *rig = rig_new(test, 2, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct nbd_conn *old;
	bool moved;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	rig_kill(rig, rig_owner(rig, r), -ETIMEDOUT);
	old = rig_owner(rig, r);
	KUNIT_ASSERT_NOT_NULL(test, old);
	KUNIT_ASSERT_TRUE(test, refcount_inc_not_zero(&old->refs));
	nbd_conn_set_timeout(old, SILENCE);
	spin_lock_bh(&old->lock);
	old->heard = heard_since ? jiffies : jiffies - SILENCE;
	r->cmd->issued = jiffies - 1;
	spin_unlock_bh(&old->lock);
	rig_connect(test, NBD_REPLACE);
	rig_flush();
	spin_lock_bh(&old->lock);
	moved = !rig_has(old, r->cmd);
	spin_unlock_bh(&old->lock);
	if (moved)
		KUNIT_EXPECT_PTR_EQ(test, rig_owner(rig, r), rig_conn(rig, 0));
	nbd_conn_put(old);
	return moved;
}

/* The server has had its time for it, and is silent here, too. */
static void silent_when_replaced(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, moves_on(test, false));
}

/* The server has answered something on this connection. */
static void well_when_replaced(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, moves_on(test, true));
}

/* What a server has is its own, however long it takes; new commands go to the new one. */
static void replaced(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct rig_request *later = rig_request(test, REQ_OP_WRITE);
	unsigned int peer, inflight;
	struct nbd_request header;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	nbd_session_flush(rig->session);
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, 0, &header));
	/* As if that were a long time ago: only the timeout could end it. */
	r->cmd->issued = jiffies - SILENCE;
	peer = rig_connect(test, NBD_REPLACE);
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, later));
	nbd_session_flush(rig->session);
	rig_flush();
	KUNIT_EXPECT_EQ(test, rig->session->live, 1U);
	KUNIT_EXPECT_EQ(test, (int)rig->session->state, (int)NBD_STATE_LIVE);
	KUNIT_EXPECT_EQ(test, nbd_session_retiring(rig->session, &inflight), 1U);
	KUNIT_EXPECT_EQ(test, inflight, 1U);
	rig_expect_none(test, r);
	rig_reply(test, 0, be64_to_cpu(header.cookie), 0);
	rig_expect_end(test, r, BLK_STS_OK);
	KUNIT_ASSERT_TRUE(test, rig_receive(rig, peer, &header));
	KUNIT_EXPECT_EQ(test, be64_to_cpu(header.cookie), later->cmd->cookie);
	rig_reply(test, peer, be64_to_cpu(header.cookie), 0);
	rig_expect_end(test, later, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, atomic64_read(&rig->session->counters.resent), 0);
}

/* A request on a connection that retires; true if @move makes it come to the new one. */
static bool leaves(struct kunit *test, void (*move)(struct kunit *test))
{
	struct rig *rig = rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	unsigned int inflight;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
	rig_connect(test, NBD_REPLACE);
	rig_flush();
	KUNIT_EXPECT_EQ(test, nbd_session_retiring(rig->session, &inflight), 1U);
	r->cmd->issued = jiffies - SILENCE;
	move(test);
	rig_flush();
	return rig_owner(rig, r) == rig_conn(rig, 0);
}

static void replace_now(struct kunit *test)
{
	rig_connect(test, NBD_REPLACE_NOW);
}

static void end_the_old_one(struct kunit *test)
{
	struct rig *rig = test->priv;

	kernel_sock_shutdown(rig->peers[0], SHUT_RDWR);
}

static void set_a_timeout(struct kunit *test)
{
	struct rig *rig = test->priv;

	rig->session->params.timeout = SILENCE / HZ / 2;
	mutex_lock(&rig->nbd->lock);
	nbd_session_apply_timeouts(rig->session);
	mutex_unlock(&rig->nbd->lock);
}

/* What ends a server's time: the word, its connection's end, and a timeout. */
static void replaced_now(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, leaves(test, replace_now));
}

static void replaced_and_dead(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, leaves(test, end_the_old_one));
}

static void replaced_and_late(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, leaves(test, set_a_timeout));
}

/* Detaching ends everything, wherever it is, once; nothing is taken afterwards. */
static void closed(struct kunit *test)
{
	struct rig *rig = rig_new(test, 2, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *pending = rig_request(test, REQ_OP_WRITE);
	struct rig_request *sent = rig_request(test, REQ_OP_READ);
	struct rig_request *parked = rig_request(test, REQ_OP_WRITE);
	struct nbd_session *session = rig->session;
	struct nbd_conn *conn;

	KUNIT_ASSERT_TRUE(test, rig_issue(rig, sent));
	nbd_session_flush(session);
	KUNIT_ASSERT_TRUE(test, rig_issue(rig, pending));
	spin_lock_bh(&session->lock);
	list_add_tail(&parked->cmd->node, &session->parked);
	spin_unlock_bh(&session->lock);
	refcount_inc(&session->refs);
	rig_detach(rig);
	rig_expect_end(test, pending, BLK_STS_IOERR);
	rig_expect_end(test, sent, BLK_STS_IOERR);
	rig_expect_end(test, parked, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, nbd_session_issue(session, parked->cmd, 0, &conn));
	nbd_session_put(session);
}

/* Who dispatches a request looks at the session under RCU only, and may be late. */
static void outlived(struct kunit *test)
{
	struct rig *rig = rig_new(test, 3, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *late = rig_request(test, REQ_OP_WRITE);
	struct nbd_session *session = rig->session;
	struct nbd_conn *conn;

	nbd_device_detach(rig->nbd, 0, 0);
	rig->session = NULL;
	rcu_read_lock();
	KUNIT_EXPECT_EQ(test, refcount_read(&session->refs), 1);
	nbd_session_put(session);
	KUNIT_EXPECT_FALSE(test, nbd_session_issue(session, late->cmd, 2, &conn));
	rcu_read_unlock();
	nbd_cmd_complete(late->cmd, BLK_STS_IOERR);
}

/* NBD_WRITE_STRICT: one flush tells that acknowledged writes may be lost. */
static void strict(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_STRICT);
	static const struct {
		enum req_op op;
		blk_status_t status;
	} cases[] = {
		{ REQ_OP_WRITE, BLK_STS_OK },
		{ REQ_OP_FLUSH, BLK_STS_IOERR },
		{ REQ_OP_FLUSH, BLK_STS_OK },
	};
	struct nbd_request header;
	struct rig_request *r;
	unsigned int i, peer = 0;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		r = rig_request(test, cases[i].op);
		KUNIT_ASSERT_TRUE(test, rig_issue(rig, r));
		nbd_conn_flush(rig_conn(rig, 0));
		KUNIT_ASSERT_TRUE(test, rig_receive(rig, peer, &header));
		rig_reply(test, peer, be64_to_cpu(header.cookie), 0);
		rig_expect_end(test, r, cases[i].status);
		if (i == 0) {
			rig_kill(rig, rig_conn(rig, 0), -EPIPE);
			peer = rig_connect(test, NBD_FILL_DEAD);
		}
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&rig->session->counters.failed), 1);
}

/* What dispatch refuses, which the block layer ends by itself, is counted there. */
static void refused(struct kunit *test)
{
	struct rig *rig = rig_new(test, 1, NBD_DEAD_CONN_FOREVER, NBD_WRITE_BACK);
	struct rig_request *r = rig_request(test, REQ_OP_WRITE);
	struct blk_mq_queue_data data = { .rq = r->rq, .last = true };

	rig->session->params.flags |= NBD_FLAG_READ_ONLY;
	KUNIT_EXPECT_EQ(test, (int)nbd_mq_ops.queue_rq(r->rq->mq_hctx, &data),
			(int)BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, atomic64_read(&rig->session->counters.failed), 1);
	nbd_cmd_complete(r->cmd, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, atomic64_read(&rig->session->counters.failed), 1);
}

static struct kunit_case session_cases[] = {
	KUNIT_CASE(parked_and_sent_again),
	KUNIT_CASE(issued_without_connection),
	KUNIT_CASE(apart),
	KUNIT_CASE(no_wait),
	KUNIT_CASE(wait_ends),
	KUNIT_CASE(wait_ends_for_replaced),
	KUNIT_CASE(back_from_failed),
	KUNIT_CASE(hops),
	KUNIT_CASE(quarantine),
	KUNIT_CASE(parks),
	KUNIT_CASE(innocent),
	KUNIT_CASE(not_guilty),
	KUNIT_CASE(silence_of_one),
	KUNIT_CASE(silence_of_all),
	KUNIT_CASE(silence_of_another),
	KUNIT_CASE(alone),
	KUNIT_CASE(last_in_line),
	KUNIT_CASE(stale),
	KUNIT_CASE(silent_when_replaced),
	KUNIT_CASE(well_when_replaced),
	KUNIT_CASE(replaced),
	KUNIT_CASE(replaced_now),
	KUNIT_CASE(replaced_and_dead),
	KUNIT_CASE(replaced_and_late),
	KUNIT_CASE(closed),
	KUNIT_CASE(outlived),
	KUNIT_CASE(strict),
	KUNIT_CASE(refused),
	{ }
};

static struct kunit_suite session_suite = {
	.name = "nbd_session",
	.exit = rig_exit,
	.test_cases = session_cases,
};

kunit_test_suites(&session_suite);
