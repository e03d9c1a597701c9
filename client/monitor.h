/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The monitor: one process for all attachments of the machine.
 *
 * It listens to the driver, keeps a watch (watch.h) for each record in
 * /run/nbd, and ends when there is none left, unless a service manager runs
 * it. All that it knows is in the records and in the driver, so that it can be
 * killed and started again at any time. Its memory is locked, its allocations
 * never wait for a block device, and the OOM killer leaves it alone.
 */
#ifndef NBD_MONITOR_H
#define NBD_MONITOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"
#include "util.h"

/**
 * nbd_monitor_ensure - start the monitor if none is running
 * @systemd_mark: as -systemd-mark
 * @err:	says why it could not be started
 *
 * Call with nbd_monitor_hold() held, and write the record before giving that back. Others
 * that start it too are waited for.
 */
int nbd_monitor_ensure(bool systemd_mark, struct nbd_err *err);

/*
 * No monitor ends for want of records before the descriptor is closed that this returns.
 * Any number of clients may hold it; one that wants it does not wait for them. A negative
 * errno with @err if it cannot be had.
 */
int nbd_monitor_hold(struct nbd_err *err);

/**
 * nbd_monitor_run - be the monitor
 * @background:	was started by nbd_monitor_ensure(): end when nothing is left
 * @err:	says why not
 *
 * Return: 0 when told to end or nothing is left; -EEXIST if one is running.
 */
int nbd_monitor_run(bool background, struct nbd_err *err);

/* A monitor is at work. */
bool nbd_monitor_runs(void);

/* Its process, 0 if none is, -1 if it is not known. Needs no root. */
pid_t nbd_monitor_pid(void);

/* Waits until the monitor has ended, if there is nothing left to watch. */
void nbd_monitor_wait_idle(void);

#endif /* NBD_MONITOR_H */
