/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is attached: gathered once from the driver and the records, printed
 * for people or as JSON. Needs no root.
 *
 * The keys of the JSON are a promise: an object with "monitor" (bool),
 * "monitor_pid" and "devices" (array); nbd-client(8) lists the keys of a device.
 * What is not known is left out, what is endless is null.
 */
#ifndef NBD_STATUS_H
#define NBD_STATUS_H

#include <stdbool.h>
#include <stdio.h>

#include "error.h"
#include "util.h"

/**
 * nbd_print_status - print the status of attached devices
 * @index:	device, or NBD_INDEX_AUTO for all that are attached
 * @json:	for programs
 * @out:	gets the text
 * @err:	says why not
 *
 * Return: 0, -ENODEV when the device that was asked for is not attached, or
 * another negative errno.
 */
int nbd_print_status(s32 index, bool json, FILE *out, struct nbd_err *err);

#endif /* NBD_STATUS_H */
