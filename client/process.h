/* SPDX-License-Identifier: GPL-2.0 */
/* What our long-lived processes do to live as long as their devices. */
#ifndef NBD_PROCESS_H
#define NBD_PROCESS_H

#include <signal.h>
#include <stdbool.h>

/*
 * main() tells where the name of the process is. The three standard descriptors are open
 * afterwards.
 */
void nbd_process_init(char **argv);

/* Whether the driver will take a device's connections from us. */
bool nbd_process_is_privileged(void);

/* systemd spares processes whose name begins with "@" at shutdown. */
void nbd_process_mark_for_systemd(void);

/*
 * Neither page faults nor allocations of the caller, and of threads that it
 * makes later, wait for a block device from now on; they may use part of the
 * kernel's reserves, for the caller becomes a real-time task of the lowest
 * priority; and the OOM killer leaves it alone. What cannot be had is reported
 * by nbd_log() and done without.
 */
void nbd_process_survive_memory_pressure(void);

/* As many descriptors as the administrator allows; the usual limit is 1,024. */
void nbd_process_allow_descriptors(void);

/*
 * What the driver and the record must both know is not interrupted between the two:
 * SIGHUP, SIGINT, SIGQUIT and SIGTERM wait until nbd_process_interruptible() gets @old.
 */
void nbd_process_uninterruptible(sigset_t *old);
void nbd_process_interruptible(const sigset_t *old);

#endif /* NBD_PROCESS_H */
