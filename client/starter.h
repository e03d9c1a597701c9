/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Starting the monitor, from the process that needs it: by systemd where that has a service for
 * it, else as a process of its own.
 */
#ifndef NBD_STARTER_H
#define NBD_STARTER_H

#include <stdbool.h>

#include "error.h"

/**
 * nbd_monitor_ensure - start the monitor if none is at work
 * @systemd_mark: as -systemd-mark
 * @err:	says why it could not be started
 *
 * Call with nbd_monitor_hold() held, and write the record before giving that back. Others
 * that start it too are waited for.
 *
 * Return: 0 when one is at work, or a negative errno.
 */
int nbd_monitor_ensure(bool systemd_mark, struct nbd_err *err);

#endif /* NBD_STARTER_H */
