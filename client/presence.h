/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whether a monitor is there: one in each NBD_RUN_DIR, which shows itself by locks that it has
 * on a file of that folder for as long as it lives. (One of the release before locks the whole
 * file.) Its number is in that file, and in another for those who are not root.
 *
 * What begins with nbd_presence_ is for the monitor itself, the rest for all others.
 */
#ifndef NBD_PRESENCE_H
#define NBD_PRESENCE_H

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"

/**
 * nbd_presence_claim - become the monitor
 * @wait:	for the end of the one that is there
 * @err:	says why not
 *
 * In the foreground a monitor waits, so that a service manager has its own when the other
 * ends; in the background a second one is not needed.
 *
 * Return: a descriptor, -EEXIST if one is there, or another negative errno.
 */
int nbd_presence_claim(bool wait, struct nbd_err *err);

/* From now on it misses nothing. */
void nbd_presence_at_work(int presence);

/* It is the monitor no more; closes @presence. */
void nbd_presence_end(int presence);

/*
 * Until the descriptor is closed that this returns, nobody begins to need a monitor.
 * -EWOULDBLOCK if somebody is about to, or another negative errno.
 */
int nbd_presence_try_end(void);

/*
 * No monitor ends for want of records before the descriptor is closed that this returns.
 * Any number of clients may hold it; one that wants it does not wait for them. A negative
 * errno with @err if it cannot be had.
 */
int nbd_monitor_hold(struct nbd_err *err);

/* A monitor is there, and may be at work already. Needs no root. */
bool nbd_monitor_runs(void);

/* A monitor is at work; false also for those who may not open the lock. */
bool nbd_monitor_is_at_work(void);

/* Its process, 0 if none is there, -1 if it is not known. Needs no root. */
pid_t nbd_monitor_pid(void);

/* Waits until the monitor that is there has ended, but no longer than @ms. */
void nbd_monitor_wait_end(int ms);

#endif /* NBD_PRESENCE_H */
