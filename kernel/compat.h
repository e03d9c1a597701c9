/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every difference between kernels. The code is written for the newest one; this file
 * bends older ones, from 6.1 on, to it, by what their headers can do and not by their
 * version: NBD_HAS_ is what kernel/probe found in them. A fault that no header tells of goes
 * by the version that mended it.
 */
#ifndef _NBD_COMPAT_H
#define _NBD_COMPAT_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/net.h>
#include <linux/rcupdate.h>
#include <linux/timer.h>
#include <linux/version.h>
#include <net/sock.h>
#include <net/tls.h>
#include "probed.h"
#if NBD_HAS_TLS_REKEY
#include <crypto/sha2.h>
#endif
#if NBD_HAS_UNALIGNED_HEADER
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif
#if NBD_HAS_RPS_HEADER
#include <net/rps.h>
#endif

#ifndef __counted_by
#define __counted_by(member)
#endif

#ifndef timer_container_of
#define timer_container_of(var, timer, field)	from_timer(var, timer, field)
#endif

/* A timer and its function were set up apart. */
static inline void nbd_hrtimer_setup(struct hrtimer *timer,
				     enum hrtimer_restart (*fn)(struct hrtimer *),
				     clockid_t clock, enum hrtimer_mode mode)
{
#if NBD_HAS_HRTIMER_SETUP
	hrtimer_setup(timer, fn, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = fn;
#endif
}

/* Requests were merged on demand only. */
#if NBD_HAS_SHOULD_MERGE
#define NBD_MQ_F_MERGE	BLK_MQ_F_SHOULD_MERGE
#else
#define NBD_MQ_F_MERGE	0
#endif

/* How far the iterator is in its first segment. */
static inline unsigned int nbd_bvec_offset(const struct bvec_iter *iter)
{
#if NBD_HAS_BVEC_OFFSET
	return iter->bi_offset;
#else
	return iter->bi_bvec_done;
#endif
}

/*
 * Whether the socket may use the page fragment of the task that sends. Where there is no
 * such field it does not: its allocations may not wait for a file system.
 */
static inline bool nbd_task_frag(const struct sock *sk)
{
#if NBD_HAS_TASK_FRAG
	return sk->sk_use_task_frag;
#else
	return false;
#endif
}

static inline void nbd_set_task_frag(struct sock *sk, bool use)
{
#if NBD_HAS_TASK_FRAG
	sk->sk_use_task_frag = use;
#endif
}

/* Seconds to jiffies, for any number of seconds. */
static inline unsigned long nbd_seconds_to_jiffies(u64 seconds)
{
	return min_t(u64, seconds, MAX_JIFFY_OFFSET / HZ) * HZ;
}

/* The block layer had no word for EINVAL. */
#ifdef BLK_STS_INVAL
#define NBD_STS_INVAL	BLK_STS_INVAL
#else
#define NBD_STS_INVAL	BLK_STS_IOERR
#endif

/* open, release and ioctl got the device and fmode_t. */
#if NBD_HAS_DISK_OPS
#define NBD_OPEN_ARGS		struct gendisk *disk, blk_mode_t mode
#define NBD_RELEASE_ARGS	struct gendisk *disk
#define NBD_IOCTL_MODE		blk_mode_t
#define nbd_open_disk(disk)	(disk)
#else
#define NBD_OPEN_ARGS		struct block_device *disk, fmode_t mode
#define NBD_RELEASE_ARGS	struct gendisk *disk, fmode_t mode
#define NBD_IOCTL_MODE		fmode_t
#define nbd_open_disk(bdev)	((bdev)->bd_disk)
#endif

/* What BLKROSET set was a field of its own. */
static inline void nbd_forget_roset(struct gendisk *disk)
{
#if NBD_HAS_BDEV_FLAGS
	bdev_clear_flag(disk->part0, BD_READ_ONLY);
#else
	disk->part0->bd_read_only = false;
#endif
}

/* Queue limits were set one by one, and the cache flags were no limits. */
#if NBD_HAS_QUEUE_LIMITS

static inline struct gendisk *nbd_alloc_disk(struct blk_mq_tag_set *set,
					     struct queue_limits *lim, void *queuedata)
{
	return blk_mq_alloc_disk(set, lim, queuedata);
}

static inline struct queue_limits nbd_limits_start(struct request_queue *q)
{
	return queue_limits_start_update(q);
}

static inline int nbd_limits_commit(struct request_queue *q, struct queue_limits *lim)
{
	return queue_limits_commit_update(q, lim);
}

static inline void nbd_limits_cache(struct queue_limits *lim, bool cache, bool fua,
				    bool rotational)
{
	lim->features &= ~(BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA | BLK_FEAT_ROTATIONAL);
	if (cache)
		lim->features |= BLK_FEAT_WRITE_CACHE;
	if (cache && fua)
		lim->features |= BLK_FEAT_FUA;
	if (rotational)
		lim->features |= BLK_FEAT_ROTATIONAL;
}

/* The cache flags went with the limits. */
static inline void nbd_queue_cache(struct request_queue *q, bool cache, bool fua, bool rotational)
{
}

static inline void nbd_limits_discard(struct queue_limits *lim, unsigned int sectors)
{
	lim->max_hw_discard_sectors = sectors;
}

#else

static inline struct gendisk *nbd_alloc_disk(struct blk_mq_tag_set *set,
					     struct queue_limits *lim, void *queuedata)
{
	return blk_mq_alloc_disk(set, queuedata);
}

static inline struct queue_limits nbd_limits_start(struct request_queue *q)
{
	return q->limits;
}

static inline int nbd_limits_commit(struct request_queue *q, struct queue_limits *lim)
{
	blk_queue_logical_block_size(q, lim->logical_block_size);
	blk_queue_physical_block_size(q, lim->physical_block_size);
	blk_queue_io_min(q, lim->io_min);
	blk_queue_io_opt(q, lim->io_opt);
	blk_queue_max_hw_sectors(q, lim->max_hw_sectors);
	blk_queue_max_segments(q, lim->max_segments);
	blk_queue_max_segment_size(q, lim->max_segment_size);
	blk_queue_max_discard_sectors(q, lim->max_hw_discard_sectors);
	q->limits.discard_granularity = lim->discard_granularity;
	blk_queue_max_write_zeroes_sectors(q, lim->max_write_zeroes_sectors);
	return 0;
}

static inline void nbd_limits_cache(struct queue_limits *lim, bool cache, bool fua,
				    bool rotational)
{
}

static inline void nbd_queue_cache(struct request_queue *q, bool cache, bool fua, bool rotational)
{
	blk_queue_write_cache(q, cache, cache && fua);
	if (rotational)
		blk_queue_flag_clear(QUEUE_FLAG_NONROT, q);
	else
		blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
}

static inline void nbd_limits_discard(struct queue_limits *lim, unsigned int sectors)
{
	lim->max_hw_discard_sectors = sectors;
}

static inline void blk_queue_disable_discard(struct request_queue *q)
{
	blk_queue_max_discard_sectors(q, 0);
}

static inline void blk_queue_disable_write_zeroes(struct request_queue *q)
{
	blk_queue_max_write_zeroes_sectors(q, 0);
}

#endif

/* The attributes of a dump request were not in a struct genl_info. */
#if NBD_HAS_DUMP_INFO
#define nbd_dump_attrs(cb)	(genl_info_dump(cb)->attrs)
#else
#define nbd_dump_attrs(cb)	(genl_dumpit_info(cb)->attrs)
#endif

/* sendpage() was not a part of sendmsg(). */
static inline void nbd_ops_without_sendpage(struct proto_ops *ops)
{
#if NBD_HAS_SENDPAGE
	ops->sendpage = sock_no_sendpage;
#endif
}

/*
 * Waits until no task runs, or stands preempted in, code that nothing leads to any more.
 * On a kernel that does not preempt itself the first one is that.
 */
static inline void nbd_wait_for_callers(void)
{
	/* Interrupts. */
	synchronize_rcu();
	/* Tasks: until each has slept, or was in userspace. */
	synchronize_rcu_tasks();
}

/* The page cache of the whole disk; block devices had an inode. */
static inline struct address_space *nbd_disk_mapping(struct gendisk *disk)
{
#if NBD_HAS_BDEV_MAPPING
	return disk->part0->bd_mapping;
#else
	return disk->part0->bd_inode->i_mapping;
#endif
}

/*
 * Keeps others from claiming the disk until bd_abort_claiming(); waits for those who are
 * just doing so. -EBUSY if it is claimed. Holders had no operations.
 */
static inline int nbd_start_claiming(struct block_device *bdev, void *holder)
{
#if NBD_HAS_HOLDER_OPS
	return bd_prepare_to_claim(bdev, holder, NULL);
#else
	return bd_prepare_to_claim(bdev, holder);
#endif
}

/* The kind of event was not implied. */
#if NBD_HAS_MEDIA_CHANGE
#define nbd_media_change(disk)	disk_force_media_change(disk)
#else
#define nbd_media_change(disk)	disk_force_media_change(disk, DISK_EVENT_MEDIA_CHANGE)
#endif

/*
 * Keys of kernel TLS were set once: before a record of another key it has to stop, and did not.
 * HMAC that needs no module to be loaded when it is used came some releases later.
 */
#if NBD_HAS_TLS_REKEY
#define NBD_CAN_REKEY		true
#define nbd_hmac_sha256		hmac_sha256_usingrawkey
#define nbd_hmac_sha384		hmac_sha384_usingrawkey

static inline void nbd_tls_has_new_key(struct tls_sw_context_rx *rx)
{
	WRITE_ONCE(rx->key_update_pending, false);
}
#else
#define NBD_CAN_REKEY		false
#define nbd_hmac_sha256		NULL
#define nbd_hmac_sha384		NULL

static inline void nbd_tls_has_new_key(struct tls_sw_context_rx *rx)
{
}
#endif

/*
 * Whether the end of the disk may hang a processor: before Linux 6.3 it corrupted the tree of
 * what the limits of cgroups hold back. Whether they hold anything back nobody outside can
 * see, but a group beside the root has submitted something then.
 */
static inline bool nbd_disk_end_may_hang(struct gendisk *disk)
{
	bool groups = false;
#if defined(CONFIG_BLK_CGROUP) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	struct request_queue *q = disk->queue;

	spin_lock_irq(&q->queue_lock);
	groups = !list_empty(&q->blkg_list) && !list_is_singular(&q->blkg_list);
	spin_unlock_irq(&q->queue_lock);
#endif
	return groups;
}

#endif /* _NBD_COMPAT_H */
