// SPDX-License-Identifier: GPL-2.0
/* Devices and their disks: made, attached, detached, removed. */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/kobject.h>
#include <linux/major.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/pagemap.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include "compat.h"
#include "debugfs.h"
#include "device.h"
#include "event.h"
#include "index.h"
#include "ioctl.h"
#include "queue.h"
#include "readahead.h"
#include "session.h"
#include "slots.h"
#include "sysfs.h"

/* Sectors of a request on the wire, whose length field has 32 bits. */
#define NBD_WIRE_SECTORS	(UINT_MAX >> SECTOR_SHIFT)
/* What every server takes in one request: proto.md, "Block size constraints". */
#define NBD_MAX_SECTORS		((32 << 20) >> SECTOR_SHIFT)
#define NBD_IO_OPT		(128 << 10)

/*
 * How long a detach is waited for by who asked for it, by who asked for it only if nobody
 * uses the device, and by who wants the device next.
 */
#define NBD_DETACH_PATIENCE	(3 * HZ / 2)
#define NBD_UNUSED_PATIENCE	(5 * HZ)
#define NBD_CLAIM_PATIENCE	(3 * HZ)

unsigned int nbds_max = 16;
int max_part = 16;
static int part_shift;

static void device_end_work(struct work_struct *work);

static int device_open(NBD_OPEN_ARGS)
{
	struct nbd_device *nbd = nbd_open_disk(disk)->private_data;

	/* Racy against the removal, like any open: the block layer refuses dead disks. */
	return READ_ONCE(nbd->dying) ? -ENXIO : 0;
}

static void device_release(NBD_RELEASE_ARGS)
{
	struct nbd_device *nbd = disk->private_data;
	struct gendisk *now = READ_ONCE(nbd->disk);
	struct nbd_session *session;

	/* One that was replaced has nothing to do with users of the new. */
	if (now && now != disk)
		return;
	if (READ_ONCE(nbd->lingering)) {
		WRITE_ONCE(nbd->lingering, disk_openers(disk));
		wake_up_all(&nbd->ended);
	}
	if (disk_openers(disk))
		return;
	nbd_setup_drop(nbd);
	session = nbd_device_session(nbd);
	if (!session)
		return;
	if (READ_ONCE(session->params.cflags) & NBD_CFLAG_DISCONNECT_ON_CLOSE) {
		WRITE_ONCE(nbd->closed_id, session->id);
		refcount_inc(&nbd->refs);
		if (!queue_work(nbd_detach_wq, &nbd->close_work))
			nbd_device_put(nbd);
	}
	nbd_session_put(session);
}

static void device_close_work(struct work_struct *work)
{
	struct nbd_device *nbd = container_of(work, struct nbd_device, close_work);

	/* Somebody may have opened it again meanwhile, or attached it anew. */
	nbd_device_detach(nbd, READ_ONCE(nbd->closed_id),
			  NBD_DETACH_IF_UNUSED | NBD_DETACH_ON_CLOSE | NBD_DETACH_NO_WAIT);
	nbd_device_put(nbd);
}

static void device_free_disk(struct gendisk *disk)
{
	nbd_device_put(disk->private_data);
}

static const struct block_device_operations nbd_fops = {
	.owner		= THIS_MODULE,
	.open		= device_open,
	.release	= device_release,
	.ioctl		= nbd_ioctl,
	.compat_ioctl	= nbd_ioctl,
	.free_disk	= device_free_disk,
};

static int device_init_tags(struct nbd_device *nbd, unsigned int depth)
{
	struct blk_mq_tag_set *set = &nbd->tag_set;

	memset(set, 0, sizeof(*set));
	set->ops = &nbd_mq_ops;
	set->nr_hw_queues = 1;
	set->queue_depth = depth;
	set->numa_node = NUMA_NO_NODE;
	set->cmd_size = sizeof(struct nbd_cmd);
	/* Sending takes the socket lock, which may sleep. */
	set->flags = NBD_MQ_F_MERGE | BLK_MQ_F_BLOCKING | BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	set->driver_data = nbd;
	return blk_mq_alloc_tag_set(set);
}

/* What holds for every session; the rest is set at attach. */
static void limits_init(struct queue_limits *lim)
{
	lim->max_hw_sectors = NBD_MAX_SECTORS;
	lim->io_opt = NBD_IO_OPT;
	lim->max_segments = USHRT_MAX;
	lim->max_segment_size = UINT_MAX;
}

/* Who looks at the disk and does not have the lock has the mutex. */
static void device_set_disk(struct nbd_device *nbd, struct gendisk *disk)
{
	lockdep_assert_held(&nbd->lock);

	mutex_lock(&nbd_index_mutex);
	WRITE_ONCE(nbd->disk, disk);
	mutex_unlock(&nbd_index_mutex);
}

/* Makes the disk and shows it. The device's index is reserved. */
static int device_add_disk_of(struct nbd_device *nbd, unsigned int depth)
{
	struct queue_limits lim = { };
	struct gendisk *disk;
	int err;

	err = device_init_tags(nbd, depth);
	if (err)
		return err;
	limits_init(&lim);
	disk = nbd_alloc_disk(&nbd->tag_set, &lim, nbd);
	if (IS_ERR(disk)) {
		err = PTR_ERR(disk);
		goto err_tags;
	}
	disk->major = NBD_MAJOR;
	disk->first_minor = nbd->index << part_shift;
	disk->minors = 1 << part_shift;
	disk->fops = &nbd_fops;
	disk->private_data = nbd;
	snprintf(disk->disk_name, sizeof(disk->disk_name), "nbd%d", nbd->index);
	device_set_disk(nbd, disk);
	err = device_add_disk(NULL, disk, nbd_attr_groups);
	if (err)
		goto err_disk;
	/* free_disk drops it, which is called for disks only that were added. */
	refcount_inc(&nbd->refs);
	return 0;

err_disk:
	device_set_disk(nbd, NULL);
	put_disk(disk);
err_tags:
	blk_mq_free_tag_set(&nbd->tag_set);
	return err;
}

/* Nobody finds the disk any more; who looked before has a reference or the lock. */
static void device_del_disk(struct nbd_device *nbd, struct gendisk *disk)
{
	if (!disk)
		return;
	del_gendisk(disk);
	/* The queue has ended with the disk; openers keep only the shell. */
	blk_mq_free_tag_set(&nbd->tag_set);
	put_disk(disk);
}

static struct gendisk *device_take_disk(struct nbd_device *nbd)
{
	struct gendisk *disk = nbd->disk;

	device_set_disk(nbd, NULL);
	return disk;
}

int nbd_index_max(void)
{
	return MINORMASK >> part_shift;
}

void nbd_device_put(struct nbd_device *nbd)
{
	if (!refcount_dec_and_test(&nbd->refs))
		return;
	put_pid(nbd->served_by);
	kfree(nbd);
}

struct nbd_device *nbd_device_make(int index)
{
	unsigned int noio = memalloc_noio_save();
	struct nbd_device *nbd;
	int err = -ENOMEM;

	nbd = kzalloc(sizeof(*nbd), GFP_KERNEL);
	if (!nbd)
		goto err_memory;
	refcount_set(&nbd->refs, 1);
	nbd->busy = true;
	mutex_init(&nbd->lock);
	mutex_init(&nbd->setup_lock);
	INIT_WORK(&nbd->close_work, device_close_work);
	INIT_WORK(&nbd->end_work, device_end_work);
	init_waitqueue_head(&nbd->ended);

	err = nbd_index_reserve(nbd, index);
	if (err < 0)
		goto err_free;
	/* It is in the table, and may be looked at. */
	mutex_lock(&nbd->lock);
	err = device_add_disk_of(nbd, NBD_QUEUE_DEPTH_DEFAULT);
	mutex_unlock(&nbd->lock);
	if (err)
		goto err_index;
	memalloc_noio_restore(noio);
	return nbd;

err_index:
	nbd_index_free(nbd->index);
err_free:
	nbd_device_put(nbd);
err_memory:
	memalloc_noio_restore(noio);
	return ERR_PTR(err);
}

/* Nothing that was submitted to the disk before its last attachment ended is held back. */
static bool device_may_end(struct nbd_device *nbd)
{
	return !READ_ONCE(nbd->lingering) || !nbd_disk_end_may_hang(nbd->disk);
}

/*
 * Removes a device that is marked dying. The index stays reserved until all is gone. Nobody
 * changes the disk meanwhile, or opens it.
 */
static void device_remove(struct nbd_device *nbd)
{
	struct gendisk *disk;

	wait_event_idle(nbd->ended, !nbd->disk || device_may_end(nbd));
	mutex_lock(&nbd->lock);
	disk = device_take_disk(nbd);
	mutex_unlock(&nbd->lock);
	device_del_disk(nbd, disk);
	nbd_index_free(nbd->index);
	nbd_device_put(nbd);
}

int nbd_device_wait_end(struct nbd_device *nbd)
{
	long left = wait_event_killable_timeout(nbd->ended, !READ_ONCE(nbd->ending_id),
						NBD_CLAIM_PATIENCE);

	return left < 0 ? -EINTR : 0;
}

/*
 * Nobody had the disk open before the attachment before ended and has it now, but the
 * caller, who has it open; or who served that one goes on with it.
 */
static bool device_left_alone(struct nbd_device *nbd, struct gendisk *disk)
{
	return !READ_ONCE(nbd->lingering) || rcu_access_pointer(nbd->session) ||
	       disk_openers(disk) <= 1 || READ_ONCE(nbd->served_by) == task_tgid(current);
}

int nbd_device_wait_alone(struct nbd_device *nbd, struct gendisk *disk)
{
	long left = READ_ONCE(nbd->leave_by) - jiffies;

	left = wait_event_killable_timeout(nbd->ended, device_left_alone(nbd, disk),
					   clamp_t(long, left, 0, NBD_CLAIM_PATIENCE));
	if (left)
		return left < 0 ? -EINTR : 0;
	dev_warn_ratelimited(disk_to_dev(disk),
			     "still open by who used it before, ioctl refused\n");
	return -EBUSY;
}

struct nbd_session *nbd_device_session(struct nbd_device *nbd)
{
	struct nbd_session *session;

	rcu_read_lock();
	session = rcu_dereference(nbd->session);
	if (session && !refcount_inc_not_zero(&session->refs))
		session = NULL;
	rcu_read_unlock();
	return session;
}

/* A task in NBD_DO_IT has the device open for as long as the session lasts. */
static unsigned int device_users(struct gendisk *disk, const struct nbd_session *session)
{
	unsigned int openers = disk ? disk_openers(disk) : 0;

	return openers && session && !session->params.netlink ? openers - 1 : openers;
}

unsigned int nbd_device_users(struct nbd_device *nbd, bool *ending)
{
	struct nbd_session *session = nbd_device_session(nbd);
	unsigned int users;

	mutex_lock(&nbd_index_mutex);
	*ending = READ_ONCE(nbd->ending_id);
	users = device_users(nbd->disk, session);
	mutex_unlock(&nbd_index_mutex);
	if (session)
		nbd_session_put(session);
	return users;
}

/* Sectors of the largest READ or WRITE. */
static unsigned int params_max_sectors(const struct nbd_session_params *p)
{
	u32 max = p->block_max ? p->block_max >> SECTOR_SHIFT : NBD_MAX_SECTORS;

	return round_down(min_t(u32, max, NBD_MAX_SECTORS), p->blksize >> SECTOR_SHIFT);
}

static u32 params_preferred(const struct nbd_session_params *p)
{
	u32 preferred = p->block_preferred;

	if (!is_power_of_2(preferred) || preferred < p->blksize)
		return p->blksize;
	return min_t(u32, preferred, NBD_MAX_SECTORS << SECTOR_SHIFT);
}

/*
 * Everything that depends on the export, computed afresh for each session, so that
 * nothing sticks to the index. The device has no capacity now, so no request looks at
 * the limits, and the queue need not be frozen: that takes several RCU grace periods,
 * most of the time that attaching takes.
 */
static int device_set_limits(struct nbd_device *nbd, const struct nbd_session_params *p)
{
	struct request_queue *q = nbd->disk->queue;
	struct queue_limits lim = nbd_limits_start(q);
	unsigned int wire = round_down(NBD_WIRE_SECTORS, p->blksize >> SECTOR_SHIFT);
	bool cache = p->flags & NBD_FLAG_SEND_FLUSH && p->policy != NBD_WRITE_THROUGH;
	bool fua = p->flags & NBD_FLAG_SEND_FUA;
	bool rotational = p->flags & NBD_FLAG_ROTATIONAL;
	int err;

	limits_init(&lim);
	lim.logical_block_size = p->blksize;
	lim.physical_block_size = min_t(u32, params_preferred(p), PAGE_SIZE);
	lim.io_min = params_preferred(p);
	lim.io_opt = max_t(u32, NBD_IO_OPT, params_preferred(p));
	lim.max_hw_sectors = params_max_sectors(p);
	lim.discard_granularity = p->blksize;
	nbd_limits_discard(&lim, p->flags & NBD_FLAG_SEND_TRIM ? wire : 0);
	lim.max_write_zeroes_sectors = p->flags & NBD_FLAG_SEND_WRITE_ZEROES ? wire : 0;
	nbd_limits_cache(&lim, cache, fua, rotational);
	err = nbd_limits_commit(q, &lim);
	if (!err)
		nbd_queue_cache(q, cache, fua, rotational);
	return err;
}

void nbd_device_set_size(struct nbd_device *nbd, u64 size)
{
	/* A partial last block cannot be addressed. */
	u64 bytes = round_down(size, queue_logical_block_size(nbd->disk->queue));

	lockdep_assert_held(&nbd->lock);

	/* The number of a page is a long: on 32 bits it ends at 16 TiB of 4 KiB pages. */
	if (bytes > MAX_LFS_FILESIZE)
		nbd_warn(nbd, "%llu bytes are more than the page cache of this 32-bit kernel can address: do not use what is beyond %llu\n",
			 bytes, (u64)MAX_LFS_FILESIZE);
	if (max_part)
		set_bit(GD_NEED_PART_SCAN, &nbd->disk->state);
	if (!set_capacity_and_notify(nbd->disk, bytes >> SECTOR_SHIFT))
		kobject_uevent(&nbd_dev(nbd)->kobj, KOBJ_CHANGE);
}

/* One hardware queue a connection, as far as there are CPUs to use them. */
static void device_set_queues(struct nbd_device *nbd, unsigned int nr_conns)
{
	unsigned int nr = min(nr_conns, nr_cpu_ids);

	if (nbd->tag_set.nr_hw_queues != nr)
		blk_mq_update_nr_hw_queues(&nbd->tag_set, nr);
}

/* Who has the old one open keeps a dead disk, and whatever they submitted to it fails. */
static int device_replace_disk(struct nbd_device *nbd, unsigned int depth,
			       struct netlink_ext_ack *extack)
{
	unsigned int old_depth = nbd->tag_set.queue_depth;
	int err;

	device_del_disk(nbd, device_take_disk(nbd));
	WRITE_ONCE(nbd->lingering, false);
	nbd_setup_drop(nbd);
	err = device_add_disk_of(nbd, depth);
	if (err) {
		NL_SET_ERR_MSG(extack, "the disk cannot be made anew");
		/* As it was before; if not even that works the index stays without a disk. */
		if (device_add_disk_of(nbd, old_depth))
			pr_err("nbd%d: disk is lost, reload the module to get it back\n",
			       nbd->index);
	}
	return err;
}

/*
 * Another queue depth needs another disk; one that is open stays as it is. So does an
 * attachment, if the disk has been open since before the one before ended: what was
 * submitted then may be on its way still, held back by a cgroup's limit, where nobody but
 * the end of the disk can stop it. An attachment by ioctl comes with a descriptor of the
 * disk; it waits instead, see nbd_device_wait_alone().
 */
static int device_renew_disk(struct nbd_device *nbd, const struct nbd_session_params *params,
			     struct netlink_ext_ack *extack)
{
	unsigned int depth = params->queue_depth ?: nbd->tag_set.queue_depth;

	if (params->netlink && READ_ONCE(nbd->lingering)) {
		if (device_may_end(nbd))
			return device_replace_disk(nbd, depth, extack);
		NL_SET_ERR_MSG(extack,
			       "still open by who used it before, whose writes a cgroup may hold back");
		return -EBUSY;
	}
	if (depth == nbd->tag_set.queue_depth)
		return 0;
	if (disk_openers(nbd->disk)) {
		NL_SET_ERR_MSG(extack, "queue depth cannot be changed while the device is open");
		return -EBUSY;
	}
	return device_replace_disk(nbd, depth, extack);
}

/*
 * Whoever still has the disk open may hold pages that are mapped or dirty, which
 * invalidate_bdev() leaves alone. The disk has no capacity. A holder's pages stay, for a
 * file system submits buffers that it has looked up, and they must be mapped: -EBUSY then.
 * Holders to be wait as long as we claim the disk ourselves. Pages that are being written
 * are waited for.
 */
static int device_drop_cache(struct gendisk *disk)
{
	struct address_space *mapping = nbd_disk_mapping(disk);
	int err;

	err = nbd_start_claiming(disk->part0, disk);
	if (err)
		return err;
	filemap_invalidate_lock(mapping);
	truncate_inode_pages(mapping, 0);
	filemap_invalidate_unlock(mapping);
	bd_abort_claiming(disk->part0, disk);
	return 0;
}

static int device_prepare(struct nbd_device *nbd, struct nbd_session_params *params,
			  unsigned int nr, struct netlink_ext_ack *extack)
{
	int err;

	lockdep_assert_held(&nbd->lock);

	/* A write may have begun when the session before ended, or a holder had its pages. */
	if (nbd->disk->open_partitions || device_drop_cache(nbd->disk)) {
		NL_SET_ERR_MSG(extack, "the device or a partition is still mounted or claimed");
		return -EBUSY;
	}
	err = device_renew_disk(nbd, params, extack);
	if (err)
		return err;
	device_set_queues(nbd, nr);
	err = device_set_limits(nbd, params);
	if (err)
		NL_SET_ERR_MSG(extack, "the block layer does not take the limits of this export");
	return err;
}

/* Everything that can fail is done; in this order it becomes visible. */
static void device_publish(struct nbd_device *nbd, struct nbd_session *session)
{
	nbd_session_start(session);
	rcu_assign_pointer(nbd->session, session);
	nbd_read_ahead_begin(session);
	nbd_session_apply_timeouts(session);
	set_disk_ro(nbd->disk, session->params.flags & NBD_FLAG_READ_ONLY);
	nbd_sysfs_update(nbd);
	nbd_debugfs_add(session);
	nbd_device_set_size(nbd, session->params.size);
	nbd_event_attached(session);
	if (session->params.keeper)
		nbd_session_set_keeper(session, session->params.keeper);
}

int nbd_device_attach(struct nbd_device *nbd, struct nbd_session_params *params,
		      struct nbd_given *socks, unsigned int nr,
		      struct nbd_session **session, struct netlink_ext_ack *extack)
{
	unsigned int noio = memalloc_noio_save();
	int err;

	mutex_lock(&nbd->lock);
	err = device_prepare(nbd, params, nr, extack);
	if (err) {
		nbd_socks_put(socks, nr);
		goto out;
	}
	*session = nbd_session_create(nbd, params, socks, nr, extack);
	if (IS_ERR(*session)) {
		err = PTR_ERR(*session);
		goto out;
	}
	/* The caller's; the other one is nbd->session's. */
	refcount_inc(&(*session)->refs);
	device_publish(nbd, *session);
out:
	mutex_unlock(&nbd->lock);
	memalloc_noio_restore(noio);
	return err;
}

/* What is dirty is lost, and fsync() says so. */
static void device_mark_lost(struct gendisk *disk)
{
	struct address_space *mapping = nbd_disk_mapping(disk);

	if (mapping_tagged(mapping, PAGECACHE_TAG_DIRTY))
		mapping_set_error(mapping, -EIO);
}

/*
 * Nothing of the old medium may be seen again: caches, partitions, and a new
 * sequence number for those who watch. There is no session any more. May wait for long.
 */
static void device_forget_medium(struct nbd_device *nbd)
{
	struct gendisk *disk = nbd->disk;

	/* What is dirty then has no place any more, and would vanish unnoticed. */
	device_mark_lost(disk);
	set_capacity(disk, 0);
	/* A holder's pages are dropped before the next attachment, which waits for its end. */
	if (device_drop_cache(disk))
		sync_blockdev(disk->part0);
	nbd_media_change(disk);
	mutex_lock(&disk->open_mutex);
	/* -EBUSY if a partition is open: it goes when the disk is opened next. */
	if (bdev_disk_changed(disk, false) && max_part)
		set_bit(GD_NEED_PART_SCAN, &disk->state);
	/* Without a size nothing can be submitted by who opens it from now on. */
	WRITE_ONCE(nbd->leave_by, jiffies + NBD_CLAIM_PATIENCE);
	WRITE_ONCE(nbd->lingering, disk_openers(disk));
	mutex_unlock(&disk->open_mutex);
	kobject_uevent(&nbd_dev(nbd)->kobj, KOBJ_CHANGE);
}

static int detach_allowed(struct nbd_device *nbd, struct nbd_session *session, u64 id,
			  unsigned int flags)
{
	if (id && session->id != id)
		return -ESTALE;
	if (flags & NBD_DETACH_IF_UNUSED && device_users(nbd->disk, session))
		return -EBUSY;
	if (flags & NBD_DETACH_ON_CLOSE &&
	    !(session->params.cflags & NBD_CFLAG_DISCONNECT_ON_CLOSE))
		return -EBUSY;
	return 0;
}

/* The process that is in DO_IT, or NULL. */
static struct pid *session_server(struct nbd_session *session)
{
	struct task_struct *task;
	struct pid *pid = NULL;

	rcu_read_lock();
	task = session->params.netlink ? NULL : pid_task(session->pid, PIDTYPE_PID);
	if (task)
		pid = get_pid(task_tgid(task));
	rcu_read_unlock();
	return pid;
}

/* Nobody finds the session any more, and what it showed is gone. */
static void device_forget_session(struct nbd_device *nbd, struct nbd_session *session)
{
	struct pid *server = session_server(session);

	mutex_lock(&nbd->lock);
	swap(nbd->served_by, server);
	rcu_assign_pointer(nbd->session, NULL);
	nbd_sysfs_update(nbd);
	/* A client that attached read-only said so with BLKROSET, too. */
	nbd_forget_roset(nbd->disk);
	set_disk_ro(nbd->disk, false);
	mutex_unlock(&nbd->lock);
	put_pid(server);
	/* It waits for readers, whose own memory may have been on this device. */
	nbd_debugfs_remove(session);
}

/* The device can be had again, unless it is to be removed. */
static void device_free(struct nbd_device *nbd, bool destroy)
{
	mutex_lock(&nbd_index_mutex);
	nbd->busy = false;
	WRITE_ONCE(nbd->ending_id, 0);
	if (destroy)
		WRITE_ONCE(nbd->dying, true);
	mutex_unlock(&nbd_index_mutex);
}

/* The second part of a detach. Session and disk stay: the device is busy. */
static void device_end_work(struct work_struct *work)
{
	struct nbd_device *nbd = container_of(work, struct nbd_device, end_work);
	struct nbd_session *session = rcu_dereference_protected(nbd->session, true);
	unsigned int noio = memalloc_noio_save();
	u64 id = session->id;
	bool destroy;

	nbd_session_wait_end(session);
	destroy = session->params.cflags & NBD_CFLAG_DESTROY_ON_DISCONNECT;
	device_forget_session(nbd, session);
	device_forget_medium(nbd);
	nbd_event_detached(session);
	device_free(nbd, destroy);
	/* Before anybody is told: with it the module's last reference may go. */
	nbd_session_put(session);
	if (destroy)
		device_remove(nbd);
	WRITE_ONCE(nbd->ended_id, id);
	wake_up_all(&nbd->ended);
	memalloc_noio_restore(noio);
	nbd_device_put(nbd);
}

/* The first part of a detach. Waits for nobody. */
static void device_close(struct nbd_device *nbd, struct nbd_session *session)
{
	lockdep_assert_held(&nbd->lock);

	WRITE_ONCE(nbd->ending_id, session->id);
	nbd_session_close(session);
	refcount_inc(&nbd->refs);
	queue_work(nbd_detach_wq, &nbd->end_work);
}

/* Begins the detach, unless that was done. *@ending is the session, 0 if there is none. */
static int device_begin_detach(struct nbd_device *nbd, u64 id, unsigned int flags, u64 *ending)
{
	struct nbd_session *session;
	int err = 0;

	mutex_lock(&nbd->lock);
	session = rcu_dereference_protected(nbd->session, lockdep_is_held(&nbd->lock));
	*ending = READ_ONCE(nbd->ending_id);
	if (*ending || !session) {
		if (id && id != *ending)
			err = -ESTALE;
	} else {
		err = detach_allowed(nbd, session, id, flags);
		if (!err) {
			*ending = session->id;
			device_close(nbd, session);
		}
	}
	mutex_unlock(&nbd->lock);
	return err;
}

static bool device_ended(struct nbd_device *nbd, u64 id)
{
	return READ_ONCE(nbd->ended_id) >= id;
}

static int device_detach(struct nbd_device *nbd, u64 id, unsigned int flags)
{
	long patience = flags & NBD_DETACH_IF_UNUSED ? NBD_UNUSED_PATIENCE : NBD_DETACH_PATIENCE;
	u64 ending;
	int err;

	err = device_begin_detach(nbd, id, flags, &ending);
	if (err || !ending || flags & NBD_DETACH_NO_WAIT)
		return err;
	if (!wait_event_timeout(nbd->ended, device_ended(nbd, ending), patience))
		pr_warn_ratelimited("nbd%d: detached, but not free yet: written pages are held back, or a socket is locked\n",
				    nbd->index);
	return 0;
}

int nbd_device_detach(struct nbd_device *nbd, u64 id, unsigned int flags)
{
	unsigned int noio = memalloc_noio_save();
	int err = device_detach(nbd, id, flags);

	memalloc_noio_restore(noio);
	return err;
}

static int params_validate(void)
{
	if (max_part < 0) {
		pr_err("nbd: max_part must be >= 0\n");
		return -EINVAL;
	}
	part_shift = max_part ? fls(max_part) : 0;
	/* Users read it back: what the minor numbers really allow. */
	max_part = (1 << part_shift) - 1;
	if (1UL << part_shift > DISK_MAX_PARTS) {
		pr_err("nbd: max_part must be below %d\n", DISK_MAX_PARTS);
		return -EINVAL;
	}
	if (nbds_max > 1UL << (MINORBITS - part_shift)) {
		pr_err("nbd: nbds_max and max_part together exceed the minor numbers\n");
		return -EINVAL;
	}
	return 0;
}

static int devices_create(void)
{
	struct nbd_device *nbd;
	unsigned int i;

	for (i = 0; i < nbds_max; i++) {
		nbd = nbd_device_make(i);
		if (IS_ERR(nbd))
			return PTR_ERR(nbd);
		nbd_device_unclaim(nbd);
	}
	return 0;
}

int nbd_devices_init(void)
{
	int err;

	err = params_validate();
	if (err)
		return err;
	err = register_blkdev(NBD_MAJOR, "nbd");
	if (err == -EBUSY)
		pr_err("nbd: major %d is taken, is another nbd driver loaded?\n", NBD_MAJOR);
	if (err)
		return err;
	err = devices_create();
	if (err)
		nbd_devices_exit();
	return err;
}

/* No session exists and none can begin: each would hold the module. */
void nbd_devices_exit(void)
{
	struct nbd_device *nbd;

	while ((nbd = nbd_device_next(0))) {
		mutex_lock(&nbd_index_mutex);
		WRITE_ONCE(nbd->dying, true);
		mutex_unlock(&nbd_index_mutex);
		device_remove(nbd);
		nbd_device_put(nbd);
	}
	/* Removals that detaching tasks began hold the module; those are over. */
	nbd_index_exit();
	unregister_blkdev(NBD_MAJOR, "nbd");
}
