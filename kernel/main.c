// SPDX-License-Identifier: GPL-2.0
/* Module parameters, start and end, in order. See the headers for who does what. */
#include <linux/major.h>
#include <linux/module.h>
#include <linux/workqueue.h>
#include "compat.h"
#include "conn.h"
#include "debugfs.h"
#include "device.h"
#include "later.h"
#include "leave.h"
#include "netlink.h"
#include "socket.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

struct workqueue_struct *nbd_wq;
struct workqueue_struct *nbd_bulk_wq;
struct workqueue_struct *nbd_lock_wq;
struct workqueue_struct *nbd_detach_wq;

module_param(nbds_max, uint, 0444);
MODULE_PARM_DESC(nbds_max, "number of devices made at load (default 16)");
module_param(max_part, int, 0444);
MODULE_PARM_DESC(max_part, "number of partitions a device can have (default 16)");

static void workqueues_exit(void)
{
	if (nbd_detach_wq)
		destroy_workqueue(nbd_detach_wq);
	if (nbd_lock_wq)
		destroy_workqueue(nbd_lock_wq);
	if (nbd_bulk_wq)
		destroy_workqueue(nbd_bulk_wq);
	if (nbd_wq)
		destroy_workqueue(nbd_wq);
}

static int __init workqueues_init(void)
{
	/* Unbound: a real-time task may keep the CPU at hand for as long as it likes. */
	nbd_wq = alloc_workqueue("nbd", WQ_MEM_RECLAIM | WQ_HIGHPRI | WQ_UNBOUND, 0);
	nbd_bulk_wq = alloc_workqueue("nbd-bulk", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	nbd_lock_wq = alloc_workqueue("nbd-lock", WQ_MEM_RECLAIM | WQ_HIGHPRI | WQ_UNBOUND, 0);
	nbd_detach_wq = alloc_workqueue("nbd-detach", WQ_UNBOUND, 0);
	if (nbd_wq && nbd_bulk_wq && nbd_lock_wq && nbd_detach_wq)
		return 0;
	workqueues_exit();
	return -ENOMEM;
}

static int __init nbd_init(void)
{
	int err;

	err = workqueues_init();
	if (err)
		return err;
	err = nbd_sockets_init();
	if (err)
		goto err_wq;
	err = nbd_later_init_threads();
	if (err)
		goto err_sockets;
	nbd_debugfs_init();
	err = nbd_devices_init();
	if (err)
		goto err_debugfs;
	err = nbd_leave_init();
	if (err)
		goto err_devices;
	err = nbd_netlink_init();
	if (err)
		goto err_leave;
	return 0;

err_leave:
	nbd_leave_exit();
err_devices:
	nbd_devices_exit();
err_debugfs:
	nbd_debugfs_exit();
	nbd_later_exit_threads();
err_sockets:
	nbd_sockets_exit();
err_wq:
	workqueues_exit();
	return err;
}

static void __exit nbd_exit(void)
{
	/* The last detaches and burials, which hold no module reference at their very end. */
	flush_workqueue(nbd_detach_wq);
	flush_workqueue(nbd_lock_wq);
	flush_workqueue(nbd_wq);
	nbd_netlink_exit();
	nbd_leave_exit();
	nbd_devices_exit();
	nbd_debugfs_exit();
	nbd_later_exit_threads();
	nbd_sockets_exit();
	workqueues_exit();
	/* Connections and sessions are freed by RCU, without code of ours. */
}

module_init(nbd_init);
module_exit(nbd_exit);

MODULE_DESCRIPTION("Network Block Device");
MODULE_LICENSE("GPL");
/* DKMS puts no module in the place of one of the same version, nor one without beside such. */
MODULE_VERSION(NBD_RELEASE);
MODULE_ALIAS_BLOCKDEV_MAJOR(NBD_MAJOR);
