// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel's headers can do, tried once for each kernel: kernel/probe/run compiles
 * this file with the kernel's flags and makes kernel/probed.h of the errors, for
 * kernel/compat.h. A probe is one function below a #line that names it:
 *	new:X, old:X	the newest kernels' form and that of older ones. NBD_HAS_X tells
 *			whether the newest is there; one of them must be
 *	has:X		NBD_HAS_X tells whether it is there
 *	need:X		must be there
 * What a macro tells is asked in kernel/compat.h. The compiler complains of an unknown
 * function only once, so no two probes may call the same that is not always there.
 */
#include <crypto/sha2.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/hrtimer.h>
#include <linux/net.h>
#include <linux/rcupdate.h>
#include <linux/timer.h>
#include <net/genetlink.h>
#include <net/sock.h>
#include <net/tls.h>

struct probe {
	struct timer_list timer;
};

#line 1 "need:BLOCK"
#ifndef CONFIG_BLOCK
#error "no block layer"
#endif

#line 1 "need:INET"
#ifndef CONFIG_INET
#error "no TCP"
#endif

#line 1 "need:TASKS_RCU"
#if defined(CONFIG_PREEMPTION) && !defined(CONFIG_TASKS_RCU)
#error "the kernel can be preempted and lacks CONFIG_TASKS_RCU (select CONFIG_KPROBES)"
#endif

#line 1 "need:TIMER_CONTAINER_OF"
struct probe *probe_timer_container_of(struct timer_list *t)
{
#ifdef timer_container_of
	struct probe *p = timer_container_of(p, t, timer);
#else
	struct probe *p = from_timer(p, t, timer);
#endif

	return p;
}

#line 1 "need:TIMER_DELETE_SYNC"
int probe_timer_delete_sync(struct timer_list *t)
{
	return timer_delete_sync(t);
}

#line 1 "has:RPS_HEADER"
#if !__has_include(<net/rps.h>)
#error "what it declares is in net/sock.h"
#endif

#line 1 "has:UNALIGNED_HEADER"
#if !__has_include(<linux/unaligned.h>)
#error "it is asm/unaligned.h"
#endif

#line 1 "has:SHOULD_MERGE"
unsigned int probe_should_merge(void)
{
	return BLK_MQ_F_SHOULD_MERGE;
}

#line 1 "new:HRTIMER_SETUP"
void probe_hrtimer_setup(struct hrtimer *timer, enum hrtimer_restart (*fn)(struct hrtimer *))
{
	hrtimer_setup(timer, fn, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
}

#line 1 "old:HRTIMER_SETUP"
void probe_hrtimer_init(struct hrtimer *timer, enum hrtimer_restart (*fn)(struct hrtimer *))
{
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	timer->function = fn;
}

#line 1 "new:BVEC_OFFSET"
unsigned int probe_bvec_offset(struct bvec_iter *iter)
{
	return iter->bi_offset;
}

#line 1 "old:BVEC_OFFSET"
unsigned int probe_bvec_done(struct bvec_iter *iter)
{
	return iter->bi_bvec_done;
}

#line 1 "has:TASK_FRAG"
bool probe_task_frag(struct sock *sk)
{
	return sk->sk_use_task_frag;
}

#line 1 "has:SENDPAGE"
void probe_sendpage(struct proto_ops *ops)
{
	ops->sendpage = sock_no_sendpage;
}

#line 1 "new:DISK_OPS"
void probe_disk_ops(struct block_device_operations *ops)
{
	int (*open)(struct gendisk *disk, blk_mode_t mode) = ops->open;
	void (*release)(struct gendisk *disk) = ops->release;

	(void)open;
	(void)release;
}

#line 1 "old:DISK_OPS"
void probe_disk_ops_old(struct block_device_operations *ops)
{
	int (*open)(struct block_device *bdev, fmode_t mode) = ops->open;
	void (*release)(struct gendisk *disk, fmode_t mode) = ops->release;

	(void)open;
	(void)release;
}

#line 1 "new:BDEV_FLAGS"
void probe_bdev_flags(struct block_device *bdev)
{
	bdev_clear_flag(bdev, BD_READ_ONLY);
}

#line 1 "old:BDEV_FLAGS"
void probe_bdev_flags_old(struct block_device *bdev)
{
	bdev->bd_read_only = false;
}

#line 1 "new:QUEUE_LIMITS"
int probe_queue_limits(struct blk_mq_tag_set *set)
{
	struct queue_limits lim = { .features = BLK_FEAT_WRITE_CACHE | BLK_FEAT_ROTATIONAL };
	struct gendisk *disk = blk_mq_alloc_disk(set, &lim, NULL);

	lim = queue_limits_start_update(disk->queue);
	return queue_limits_commit_update(disk->queue, &lim);
}

#line 1 "old:QUEUE_LIMITS"
void probe_queue_limits_old(struct blk_mq_tag_set *set)
{
	struct gendisk *disk = blk_mq_alloc_disk(set, NULL);

	blk_queue_max_hw_sectors(disk->queue, 1);
	blk_queue_write_cache(disk->queue, true, true);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
}

#line 1 "new:DUMP_INFO"
struct nlattr **probe_dump_info(struct netlink_callback *cb)
{
	return genl_info_dump(cb)->attrs;
}

#line 1 "old:DUMP_INFO"
struct nlattr **probe_dump_info_old(struct netlink_callback *cb)
{
	return genl_dumpit_info(cb)->attrs;
}

#line 1 "new:BDEV_MAPPING"
struct address_space *probe_bdev_mapping(struct block_device *bdev)
{
	return bdev->bd_mapping;
}

#line 1 "old:BDEV_MAPPING"
struct address_space *probe_bdev_mapping_old(struct block_device *bdev)
{
	return bdev->bd_inode->i_mapping;
}

#line 1 "new:HOLDER_OPS"
int probe_holder_ops(struct block_device *bdev)
{
	return bd_prepare_to_claim(bdev, bdev, NULL);
}

#line 1 "old:HOLDER_OPS"
int probe_holder_ops_old(struct block_device *bdev)
{
	return bd_prepare_to_claim(bdev, bdev);
}

#line 1 "new:MEDIA_CHANGE"
void probe_media_change(struct gendisk *disk)
{
	disk_force_media_change(disk);
}

#line 1 "old:MEDIA_CHANGE"
void probe_media_change_old(struct gendisk *disk)
{
	disk_force_media_change(disk, DISK_EVENT_MEDIA_CHANGE);
}

#line 1 "has:TLS_REKEY"
#if !IS_ENABLED(CONFIG_CRYPTO_LIB_SHA256) || !IS_ENABLED(CONFIG_CRYPTO_LIB_SHA512)
#error "the functions below are not there"
#endif
bool probe_tls_rekey(const struct tls_sw_context_rx *rx, u8 *out)
{
	hmac_sha256_usingrawkey(out, 1, out, 1, out);
	hmac_sha384_usingrawkey(out, 1, out, 1, out);
	return rx->key_update_pending;
}
