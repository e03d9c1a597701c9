/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NBD devices as the system shows them: names, /dev nodes, sysfs.
 */
#ifndef NBD_DEVICE_H
#define NBD_DEVICE_H

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"
#include "model.h"
#include "util.h"

#define NBD_MAJOR 43
#define NBD_DEVICE_PATH_MAX 32

/* "nbd3" or "/dev/nbd3", in form; such a device need not exist. */
bool nbd_device_looks_like(const char *name);

/**
 * nbd_device_parse - which device a name means
 * @name:	"nbd3", "/dev/nbd3", or a path that leads to such a node
 * @index:	gets its number
 * @err:	says why it is none
 *
 * Return: 0 or -EINVAL; a partition is not a device.
 */
int nbd_device_parse(const char *name, s32 *index, struct nbd_err *err);

/* The same, where a partition, in form, means the disk that it is on. */
int nbd_device_parse_disk(const char *name, s32 *index, struct nbd_err *err);

/* Whether the driver has such a device, attached or not. */
bool nbd_device_exists(s32 index);

/* "/dev/nbd3" in @buf of NBD_DEVICE_PATH_MAX bytes; returns @buf. */
char *nbd_device_path(s32 index, char *buf);

/*
 * The first line of /sys/block/nbd3/@name, without its end, into @text of @size bytes; false if
 * there is none.
 */
bool nbd_device_attribute(s32 index, const char *name, char *text, int size);

/* /sys/block/nbd3/pid: 0 and *@pid, -ENOENT when it is not attached. */
int nbd_device_pid(s32 index, pid_t *pid);

/* Waits until the device is not attached any more; -ETIMEDOUT. */
int nbd_device_wait_free(s32 index, s64 deadline);

/*
 * What an attached device lacks to be used: the nodes of the device and of its partitions.
 * What goes wrong is told on standard error; the device stays attached.
 */
void nbd_device_make_ready(s32 index);

/* Read-ahead as asked for, where the driver was not told of it; errors likewise. */
void nbd_device_set_read_ahead(const struct nbd_params *params, s32 index);

/*
 * The name of the process in which nbd_device_make_ready() opens a device for the first time. It
 * may be left behind when the server does not answer; whoever detaches the device does not
 * take it for a user.
 */
#define NBD_PROBE_NAME_MAX 24
char *nbd_device_probe_name(s32 index, char *buf);

#endif /* NBD_DEVICE_H */
