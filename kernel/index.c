// SPDX-License-Identifier: GPL-2.0
/* The table of devices: who has which index, and who may attach to it. */
#include <linux/blkdev.h>
#include <linux/idr.h>
#include <linux/netlink.h>
#include <linux/wait.h>
#include "device.h"
#include "index.h"

/* See the header. */
DEFINE_MUTEX(nbd_index_mutex);
static DEFINE_IDR(nbd_index_idr);
/* How often an index has become free, and who waits for the next time. */
static unsigned int nbd_removals;
static DECLARE_WAIT_QUEUE_HEAD(nbd_removed);

void nbd_index_free(int index)
{
	mutex_lock(&nbd_index_mutex);
	idr_remove(&nbd_index_idr, index);
	WRITE_ONCE(nbd_removals, nbd_removals + 1);
	mutex_unlock(&nbd_index_mutex);
	wake_up_all(&nbd_removed);
}

int nbd_index_reserve(struct nbd_device *nbd, int index)
{
	int start = index < 0 ? 0 : index;
	int end = (index < 0 ? nbd_index_max() : index) + 1;
	int ret;

	mutex_lock(&nbd_index_mutex);
	ret = idr_alloc(&nbd_index_idr, nbd, start, end, GFP_KERNEL);
	if (ret >= 0)
		nbd->index = ret;
	mutex_unlock(&nbd_index_mutex);
	return ret == -ENOSPC && index >= 0 ? -EEXIST : ret;
}

struct nbd_device *nbd_device_next(int index)
{
	struct nbd_device *nbd;

	mutex_lock(&nbd_index_mutex);
	nbd = idr_get_next(&nbd_index_idr, &index);
	while (nbd && nbd->dying) {
		index++;
		nbd = idr_get_next(&nbd_index_idr, &index);
	}
	if (nbd)
		refcount_inc(&nbd->refs);
	mutex_unlock(&nbd_index_mutex);
	return nbd;
}

struct nbd_device *nbd_device_find(int index)
{
	struct nbd_device *nbd = index < 0 ? NULL : nbd_device_next(index);

	if (nbd && nbd->index != index) {
		nbd_device_put(nbd);
		nbd = NULL;
	}
	return nbd;
}

static bool device_claimed_by_holder(struct nbd_device *nbd)
{
	/* A mount or device mapper is still there from the session before. */
	return READ_ONCE(nbd->disk->part0->bd_holder);
}

static bool device_try_claim(struct nbd_device *nbd)
{
	lockdep_assert_held(&nbd_index_mutex);

	if (nbd->busy || nbd->dying || !nbd->disk || device_claimed_by_holder(nbd))
		return false;
	nbd->busy = true;
	return true;
}

bool nbd_device_try_claim(struct nbd_device *nbd)
{
	bool claimed;

	mutex_lock(&nbd_index_mutex);
	claimed = device_try_claim(nbd);
	mutex_unlock(&nbd_index_mutex);
	return claimed;
}

void nbd_device_unclaim(struct nbd_device *nbd)
{
	mutex_lock(&nbd_index_mutex);
	nbd->busy = false;
	mutex_unlock(&nbd_index_mutex);
}

/* While neither busy nor dying the disk stays. */
static bool device_open_now(struct nbd_device *nbd)
{
	return !nbd->busy && !nbd->dying && nbd->disk && disk_openers(nbd->disk);
}

/* A free device that nobody has open: somebody may be about to set it up. */
static struct nbd_device *device_claim_free(void)
{
	struct nbd_device *nbd;
	int index;

	mutex_lock(&nbd_index_mutex);
	idr_for_each_entry(&nbd_index_idr, nbd, index)
		if (!device_open_now(nbd) && device_try_claim(nbd)) {
			refcount_inc(&nbd->refs);
			break;
		}
	mutex_unlock(&nbd_index_mutex);
	return nbd;
}

/* -EEXIST: somebody else was quicker. */
static struct nbd_device *device_claim_new(int index, struct netlink_ext_ack *extack)
{
	struct nbd_device *nbd = nbd_device_make(index);

	if (!IS_ERR(nbd))
		refcount_inc(&nbd->refs);
	else if (PTR_ERR(nbd) == -ENOSPC)
		NL_SET_ERR_MSG(extack, "no index is free");
	else if (PTR_ERR(nbd) != -EEXIST)
		NL_SET_ERR_MSG(extack, "device cannot be created");
	return nbd;
}

/*
 * The device of @index claimed, NULL if there is none yet, or why not: -EAGAIN if it is
 * being removed, which ends when nbd_removals is no longer @removals.
 */
static struct nbd_device *device_claim_existing(int index, unsigned int *removals)
{
	struct nbd_device *nbd;

	mutex_lock(&nbd_index_mutex);
	*removals = nbd_removals;
	nbd = idr_find(&nbd_index_idr, index);
	if (nbd && nbd->dying)
		nbd = ERR_PTR(-EAGAIN);
	else if (nbd && device_try_claim(nbd))
		refcount_inc(&nbd->refs);
	else if (nbd)
		nbd = ERR_PTR(-EBUSY);
	mutex_unlock(&nbd_index_mutex);
	return nbd;
}

/* Until the attach or detach that is under way is over. */
static int device_settle(int index)
{
	struct nbd_device *nbd = nbd_device_find(index);
	int err;

	if (!nbd)
		return 0;
	err = mutex_lock_killable(&nbd->lock);
	if (!err)
		mutex_unlock(&nbd->lock);
	if (!err)
		err = nbd_device_wait_end(nbd);
	nbd_device_put(nbd);
	return err;
}

/* Why the device of that index cannot be had. */
static void device_refuse(int index, struct netlink_ext_ack *extack)
{
	struct nbd_device *nbd = nbd_device_find(index);

	if (nbd && READ_ONCE(nbd->ending_id))
		NL_SET_ERR_MSG(extack,
			       "the attachment before has not ended: pages that were written to the device are held back, or a socket is locked");
	else
		NL_SET_ERR_MSG(extack, "device is in use");
	if (nbd)
		nbd_device_put(nbd);
}

struct nbd_device *nbd_device_claim(int index, struct netlink_ext_ack *extack)
{
	unsigned int removals;
	struct nbd_device *nbd;
	bool settled = false;

	if (index < 0)
		return device_claim_free() ?: device_claim_new(-1, extack);
	for (;;) {
		nbd = device_claim_existing(index, &removals);
		if (PTR_ERR_OR_ZERO(nbd) == -EAGAIN) {
			/*
			 * Its removal waits for nobody but local users. Afterwards somebody
			 * else may be quicker to make it anew.
			 */
			if (wait_event_killable(nbd_removed, READ_ONCE(nbd_removals) != removals))
				return ERR_PTR(-EINTR);
			continue;
		}
		if (PTR_ERR_OR_ZERO(nbd) == -EBUSY && !settled) {
			/* At the end of a detach it looks free already. */
			if (device_settle(index))
				return ERR_PTR(-EINTR);
			settled = true;
			continue;
		}
		if (PTR_ERR_OR_ZERO(nbd) == -EBUSY)
			device_refuse(index, extack);
		if (nbd)
			return nbd;
		nbd = device_claim_new(index, extack);
		if (PTR_ERR_OR_ZERO(nbd) != -EEXIST)
			return nbd;
	}
}

void nbd_index_exit(void)
{
	idr_destroy(&nbd_index_idr);
}
