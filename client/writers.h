/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who may have given a disk another identity without udev's knowledge yet.
 *
 * udev looks at a disk anew when a program that had it open for writing has closed it:
 * until then, what such a program (mkfs, a partitioner, a virtual machine) has written can
 * be newer than what udev knows. File systems, device-mapper, MD and swap have no
 * descriptor of the disk, and do not change its UUIDs.
 */
#ifndef NBD_WRITERS_H
#define NBD_WRITERS_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

/**
 * nbd_writer_find - a program that has the disk itself, no partition, open for writing
 * @proc:	descriptor of /proc
 * @disk:	device number
 * @server:	thread in NBD_DO_IT, whose process is none; or 0
 * @who:	receives "PID (name)", printable
 * @size:	of @who
 */
bool nbd_writer_find(int proc, dev_t disk, pid_t server, char *who, size_t size);

#endif /* NBD_WRITERS_H */
