/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Adopting an attachment whose record is gone, or is in a place that this one is to
 * take over from: a new record is made of what the driver says.
 */
#ifndef NBD_ADOPT_H
#define NBD_ADOPT_H

#include "error.h"
#include "kernel.h"
#include "model.h"
#include "record.h"

/**
 * nbd_adopt - a record for an attached device
 * @k:		our driver
 * @index:	device
 * @record:	filled in, but for the servers and what else the user has to say; to be
 *		nbd_record_free()d
 * @err:	says why not
 *
 * Size, flags, block size, identifier and the settings that the driver tells are the
 * device's, so that a server is compared with those, as one that comes back is.
 *
 * Return: 0 or a negative errno.
 */
int nbd_adopt(struct nbd_kernel *k, s32 index, struct nbd_record *record,
	      struct nbd_err *err);

/*
 * The server of an adopted device has the export @e. If that is larger than the device, it
 * is not known whether it has grown or was to be used in part: the device stays as it is.
 */
void nbd_adopt_fix_size(struct nbd_record *record, const struct nbd_export *e);

#endif /* NBD_ADOPT_H */
