/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Attaching: servers to connections, connections to a device.
 */
#ifndef NBD_ATTACH_H
#define NBD_ATTACH_H

#include <stdio.h>

#include "error.h"
#include "model.h"

/**
 * nbd_attach - attach a device as the user asked
 * @params:	what to attach
 * @out:	gets the classic lines, of which the last names the device (not with
 *		-nonetlink), or just the name; before it is ready to be used, so that
 *		whoever is interrupted then knows what is attached
 * @err:	why it failed
 *
 * Return: 0 when the device is attached and, unless standard error tells what it lacks,
 * can be used, partitions included; otherwise nothing is attached.
 */
int nbd_attach(struct nbd_params *params, FILE *out,
	       struct nbd_err *err);

#endif /* NBD_ATTACH_H */
