// SPDX-License-Identifier: GPL-2.0
/* Requests that come together, on one connection of many. */
#include <linux/percpu.h>
#include <linux/sched.h>
#include "conn.h"
#include "device.h"
#include "order.h"
#include "queue.h"
#include "session.h"
#include "slots.h"
#include "spread.h"

/* So many requests under way on a connection are what is worth a message of its own. */
#define NBD_LOAD_ENOUGH	(NBD_TX_VECS / 2)
/* A task that submits so many before it sleeps has got as many replies at once, or is to. */
#define NBD_RUN_LONG	4
/* So many connections are compared. */
#define NBD_RUN_TRIES	8u

/**
 * struct nbd_run - requests of one task that come together
 * @session:	theirs; compared only
 * @task:	who submits them; compared only
 * @slept:	how often it had slept then
 * @offset:	what the last one went to, counted from the home of its queue
 * @nr:		how many there were
 *
 * Each CPU has one. A task that is moved to another CPU, or two at the same time on one,
 * spoil the choice, nothing else.
 */
struct nbd_run {
	const struct nbd_session *session;
	const struct task_struct *task;
	unsigned long slept;
	unsigned int offset;
	unsigned int nr;
};

static DEFINE_PER_CPU(struct nbd_run, nbd_runs);

/* Whether the current task has submitted the last request, too, and has not slept since. */
static bool run_goes_on(const struct nbd_run *run, const struct nbd_session *session)
{
	return READ_ONCE(run->session) == session && READ_ONCE(run->task) == current &&
	       READ_ONCE(run->slept) == current->nvcsw;
}

/* How many requests the connection in slot @i of @share carries; a dead one is not chosen. */
static unsigned int slot_load(struct nbd_slots *slots, struct nbd_share share, unsigned int i)
{
	struct nbd_conn *conn = rcu_dereference(slots->conn[share.first + i % share.nr]);

	return conn ? READ_ONCE(conn->inflight) : UINT_MAX;
}

/* The slot with the least load, of @slot and some after it; @slot if none has less. */
static unsigned int slot_of_least_load(struct nbd_slots *slots, struct nbd_share share,
				       unsigned int slot)
{
	unsigned int least = slot_load(slots, share, slot), best = slot, i, load;

	for (i = 1; i < min(share.nr, NBD_RUN_TRIES) && least; i++) {
		load = slot_load(slots, share, slot + i);
		if (load < least) {
			least = load;
			best = slot + i;
		}
	}
	return best;
}

/*
 * Where the hardware queue @queue begins: queues are as far from each other as they can be, so
 * that each CPU has a connection, and a thread of the server, for itself.
 */
static unsigned int queue_home(const struct nbd_session *session, struct nbd_share share,
			       unsigned int queue)
{
	return queue * share.nr / session->nbd->tag_set.nr_hw_queues;
}

/*
 * Where the next request of a run goes, the last one went to @slot: on, as long as there is no
 * message's worth under way there.
 */
static unsigned int slot_in_run(struct nbd_slots *slots, struct nbd_share share,
				unsigned int slot, const struct nbd_cmd *cmd)
{
	if (cmd->len < NBD_LONG_BYTES && slot_load(slots, share, slot) < NBD_LOAD_ENOUGH)
		return slot;
	return slot_of_least_load(slots, share, slot + 1);
}

unsigned int nbd_spread_choose(const struct nbd_session *session, struct nbd_slots *slots,
			       struct nbd_share share, const struct nbd_cmd *cmd,
			       unsigned int queue)
{
	struct nbd_run *run = raw_cpu_ptr(&nbd_runs);
	unsigned int home = queue_home(session, share, queue);
	unsigned int slot = home + READ_ONCE(run->offset), nr = READ_ONCE(run->nr);
	bool goes_on = run_goes_on(run, session);

	if (READ_ONCE(run->session) != session)
		slot = slot_of_least_load(slots, share, home);
	else if (goes_on || nr >= NBD_RUN_LONG)
		slot = slot_in_run(slots, share, slot, cmd);
	else
		slot = slot_of_least_load(slots, share, slot);
	if (!goes_on) {
		WRITE_ONCE(run->session, session);
		WRITE_ONCE(run->task, current);
		WRITE_ONCE(run->slept, current->nvcsw);
		nr = 0;
	}
	WRITE_ONCE(run->nr, nr + 1);
	WRITE_ONCE(run->offset, slot - home);
	return slot;
}
