// SPDX-License-Identifier: GPL-2.0
/* How far the page cache reads ahead. */
#include <linux/backing-dev.h>
#include <linux/blkdev.h>
#include <linux/pagemap.h>
#include "conn.h"
#include "device.h"
#include "distance.h"
#include "index.h"
#include "readahead.h"
#include "session.h"
#include "slots.h"

/* The shortest round trip, in microseconds; 0 if no connection knows its own. */
static u32 session_rtt(struct nbd_session *session)
{
	struct nbd_slots *slots;
	u32 shortest = U32_MAX;
	unsigned int i;

	rcu_read_lock();
	slots = rcu_dereference(session->slots);
	for (i = 0; i < slots->nr; i++) {
		struct nbd_conn *conn = rcu_dereference(slots->conn[i]);

		if (conn && conn->socket.rtt)
			shortest = min(shortest, conn->socket.rtt);
	}
	rcu_read_unlock();
	return shortest == U32_MAX ? 0 : shortest;
}

static unsigned long to_pages(u32 kib)
{
	return kib >> (PAGE_SHIFT - 10);
}

/*
 * Pages: what the block layer takes when a disk is made. At later attachments of the same
 * disk what was set for one before may still be there.
 */
static unsigned long read_ahead_near(struct nbd_device *nbd)
{
	return max_t(unsigned long, queue_io_opt(nbd->disk->queue) * 2 / PAGE_SIZE,
		     VM_READAHEAD_PAGES);
}

/* Pages; never less than what a near server would get. */
static unsigned long read_ahead_wanted(struct nbd_session *session)
{
	const struct nbd_session_params *p = &session->params;

	if (p->read_ahead != NBD_READ_AHEAD_AUTO)
		return to_pages(p->read_ahead);
	return max(session->ra_near,
		   to_pages(nbd_distance_read_ahead(session_rtt(session), p->block_preferred)));
}

static void read_ahead_set(struct nbd_session *session)
{
	session->ra_set = read_ahead_wanted(session);
	WRITE_ONCE(session->nbd->disk->bdi->ra_pages, session->ra_set);
}

void nbd_read_ahead_begin(struct nbd_session *session)
{
	lockdep_assert_held(&session->nbd->lock);

	session->ra_near = read_ahead_near(session->nbd);
	read_ahead_set(session);
}

void nbd_read_ahead_update(struct nbd_session *session)
{
	lockdep_assert_held(&session->nbd->lock);

	if (READ_ONCE(session->nbd->disk->bdi->ra_pages) == session->ra_set)
		read_ahead_set(session);
}

u32 nbd_read_ahead_now(struct nbd_device *nbd)
{
	u32 kib = 0;

	mutex_lock(&nbd_index_mutex);
	if (nbd->disk)
		kib = READ_ONCE(nbd->disk->bdi->ra_pages) << (PAGE_SHIFT - 10);
	mutex_unlock(&nbd_index_mutex);
	return kib;
}
