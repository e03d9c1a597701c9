/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What processes that stay report: the monitor, and one that serves a device in
 * NBD_DO_IT. It never blocks: a journal that lives on the very device that waits
 * for them must not stop them. Without a syslog the messages go to the kernel's
 * log, and in the foreground to standard error.
 */
#ifndef NBD_LOG_H
#define NBD_LOG_H

#include <stdbool.h>
#include <syslog.h>

#include "util.h"

/**
 * nbd_log_open - say where messages go
 * @foreground:	to standard error, with the priority as systemd reads it
 */
void nbd_log_open(bool foreground);

/* One line; @priority is LOG_ERR, LOG_WARNING, LOG_NOTICE or LOG_INFO. */
void nbd_log(int priority, const char *fmt, ...)
	__printf(2, 3);

#endif /* NBD_LOG_H */
