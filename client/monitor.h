/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The monitor: one process for all attachments of the machine.
 *
 * It listens to the driver, keeps a watch (watch.h) for each record in /run/nbd, and ends when
 * there is none left, unless a service manager runs it. All that it knows is in the records and
 * in the driver, so that it can be killed and started again at any time. Its memory is locked,
 * its allocations never wait for a block device, and the OOM killer leaves it alone.
 */
#ifndef NBD_MONITOR_H
#define NBD_MONITOR_H

#include <stdbool.h>

#include "error.h"

/*
 * The monitor in the background closes this descriptor when it is at work, or gives up;
 * before that, it may have written why.
 */
#define NBD_MONITOR_READY_FD 3

/**
 * nbd_monitor_run - be the monitor
 * @background:	was started by nbd_monitor_ensure(): ends when nothing is left, and does
 *		not wait for the end of another one
 * @err:	says why not
 *
 * Return: 0 when told to end or nothing is left; -EEXIST if another one runs and
 * @background; -ENOENT when /run/nbd is gone; or another negative errno.
 */
int nbd_monitor_run(bool background, struct nbd_err *err);

#endif /* NBD_MONITOR_H */
