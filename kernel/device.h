/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Devices: /dev/nbdX, their disks, and attaching a session to one. index.h has the table
 * of them.
 *
 * References of struct nbd_device: the table's, from creation until the disk is
 * gone; the disk's, until block layer and openers let go; each session's; that of a queued
 * work; one for each user between nbd_device_find() and nbd_device_put().
 *
 * Locks, in the order in which they may be taken:
 *   nbd_device.lock -> claiming of the disk -> disk->open_mutex -> nbd_device.setup_lock
 *   nbd_index_mutex is innermost.
 * Whoever holds nbd_device.lock or nbd_index_mutex allocates as GFP_NOIO: those who make a
 * device work again wait for both, and memory may be full of what that device shall store.
 * open takes none of them, and release setup_lock and nbd_index_mutex, so nobody waits for a
 * peer in them. STATUS takes nbd_index_mutex only.
 *
 * A detach has two parts. nbd_device_detach() closes the session under the lock: from then
 * on no request waits for a server and nothing can be attached or reconfigured. Whatever
 * may wait is done by end_work, without the lock: for connections whose sockets somebody
 * keeps locked, and for pages that were written to the device and are held back by the block
 * layer, for instance by a cgroup's limit, whose requests nobody can cancel. The device stays
 * busy until both are gone, so that nothing of them can reach the next attachment.
 *
 * The same may hold back what an opener wrote past the page cache. So between two attachments
 * of an index the disk was not open for a moment, or it is another disk, and the one before is
 * dead to those who have it open. The exception is a process that attaches with ioctls, and
 * has served the attachment before, as ioctl clients do that reconnect, or is the only one who
 * has the disk open: it goes on with that one.
 */
#ifndef _NBD_DEVICE_H
#define _NBD_DEVICE_H

#include <linux/blk-mq.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct nbd_given;
struct gendisk;
struct nbd_session_params;
struct nbd_session;
struct nbd_setup;
struct netlink_ext_ack;

#define NBD_QUEUE_DEPTH_DEFAULT	128

/**
 * struct nbd_device - one /dev/nbdX
 * @index:	X
 * @refs:	see above
 * @busy:	a session is attached, or being attached or detached; or an ioctl user is
 *		setting the device up; under nbd_index_mutex
 * @dying:	the disk is being removed; under nbd_index_mutex
 * @disk:	changed under @lock and nbd_index_mutex while @busy or @dying; NULL if it was
 *		removed, or could not be made again
 * @tag_set:	of @disk
 * @lock:	serializes attach, detach and reconfigure; protects writes to @session;
 *		whoever holds it does not wait for what a user of the device does
 * @session:	the attachment, or NULL; readers under RCU
 * @setup_lock:	protects @setup
 * @setup:	what ioctls have prepared, or NULL
 * @closed_id:	the session of the last close that began @close_work
 * @close_work:	detaches after the last close, NBD_CFLAG_DISCONNECT_ON_CLOSE; runs on
 *		nbd_detach_wq with a reference
 * @ending_id:	the session whose detach has begun and not ended, or 0; set under @lock,
 *		cleared under nbd_index_mutex together with @busy
 * @ended_id:	the last session whose detach has ended, device removal included
 * @ended:	woken when @ended_id changes, and at a close while @lingering
 * @end_work:	the second part of a detach, see above; runs on nbd_detach_wq with a
 *		reference
 * @lingering:	the disk has been open ever since before the last attachment ended; set and
 *		cleared under disk->open_mutex, or with @disk
 * @leave_by:	jiffies until which an ioctl waits for those who @lingering means
 * @served_by:	the process that was in DO_IT when that ended, counted, or NULL; changed under
 *		@lock
 */
struct nbd_device {
	int index;
	refcount_t refs;
	bool busy;
	bool dying;
	struct gendisk *disk;
	struct blk_mq_tag_set tag_set;
	struct mutex lock;		/* attach, detach, reconfigure */
	struct nbd_session __rcu *session;
	struct mutex setup_lock;	/* setup */
	struct nbd_setup *setup;
	u64 closed_id;
	struct work_struct close_work;
	u64 ending_id;
	u64 ended_id;
	wait_queue_head_t ended;
	struct work_struct end_work;
	bool lingering;
	unsigned long leave_by;
	struct pid *served_by;
};

/* Detaches after a close, and the ends of all, which wait for burials on nbd_lock_wq. */
extern struct workqueue_struct *nbd_detach_wq;

extern unsigned int nbds_max;
extern int max_part;

/* Module start and end: the devices of nbds_max, and all devices. */
int nbd_devices_init(void);
void nbd_devices_exit(void);

/* The largest index that has minor numbers. */
int nbd_index_max(void);

/* Drops a reference. */
void nbd_device_put(struct nbd_device *nbd);

/*
 * A new device, busy, with the table's reference, of @index or of any for -1. ERR_PTR:
 * -EEXIST if the index is taken, -ENOSPC if all are, -ENOMEM, or what else keeps a disk from
 * being made.
 */
struct nbd_device *nbd_device_make(int index);

/* Until the end of a detach that has begun, or for some seconds. -EINTR. */
int nbd_device_wait_end(struct nbd_device *nbd);

/*
 * For who has @disk open and wants to set it up: until those have closed it who had it open
 * when the last attachment ended, unless the caller has served that. 0 at once if there is
 * an attachment. -EBUSY when that attachment ended some seconds ago, -EINTR.
 */
int nbd_device_wait_alone(struct nbd_device *nbd, struct gendisk *disk);

/*
 * Attaches a claimed device. Takes over the sockets in every case, the claim only
 * on success, when *@session is the new session with a reference. -EBUSY (still claimed or
 * open), what keeps its disk from being made anew, or as nbd_session_create(); told in @extack.
 */
int nbd_device_attach(struct nbd_device *nbd, struct nbd_session_params *params,
		      struct nbd_given *socks, unsigned int nr,
		      struct nbd_session **session, struct netlink_ext_ack *extack);

/**
 * enum nbd_detach_flags - how to detach
 * @NBD_DETACH_IF_UNUSED:	-EBUSY if anybody has the device open but a task in NBD_DO_IT
 * @NBD_DETACH_ON_CLOSE:	-EBUSY without NBD_CFLAG_DISCONNECT_ON_CLOSE
 * @NBD_DETACH_NO_WAIT:		returns when the detach has begun
 */
enum nbd_detach_flags {
	NBD_DETACH_IF_UNUSED = 1,
	NBD_DETACH_ON_CLOSE = 2,
	NBD_DETACH_NO_WAIT = 4,
};

/*
 * Ends the session and returns when the device is free: capacity 0, partitions gone,
 * or the device itself with NBD_CFLAG_DESTROY_ON_DISCONNECT; or after some seconds, less
 * than two if anybody may have been using it, see above. @id is the session that is meant,
 * -ESTALE if that is not attached; or 0, any, no error if there is none.
 */
int nbd_device_detach(struct nbd_device *nbd, u64 id, unsigned int flags);

/* The session with a reference, or NULL. */
struct nbd_session *nbd_device_session(struct nbd_device *nbd);

/*
 * How many have the device or a partition open; a task that serves it in NBD_DO_IT is none
 * of them. *@ending: a detach has begun and not ended.
 */
unsigned int nbd_device_users(struct nbd_device *nbd, bool *ending);

/* Changes the size of an attached device, in bytes; nbd_device.lock is held. */
void nbd_device_set_size(struct nbd_device *nbd, u64 size);

#define nbd_dev(nbd)	disk_to_dev((nbd)->disk)
#define nbd_info(nbd, fmt, ...)	\
	dev_info_ratelimited(nbd_dev(nbd), fmt, ##__VA_ARGS__)
#define nbd_warn(nbd, fmt, ...)	\
	dev_warn_ratelimited(nbd_dev(nbd), fmt, ##__VA_ARGS__)

#endif /* _NBD_DEVICE_H */
