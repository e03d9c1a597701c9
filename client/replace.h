/* SPDX-License-Identifier: GPL-2.0 */
/* Switch-over: an attached device gets other connections while it is in use. */
#ifndef NBD_REPLACE_H
#define NBD_REPLACE_H

#include "error.h"
#include "model.h"

/**
 * nbd_replace - give an attached device new connections
 * @params:	@index is the device. What nbd-client(8) says that can be replaced is
 *		taken from here if it is given, otherwise it stays; -EINVAL for what
 *		belongs to the attachment
 * @err:	why nothing was changed
 *
 * The new connections are made and negotiated first; then they become the
 * device's only ones in one step. What is in flight on the old ones stays there
 * until it is answered; with @replace_now it is sent again at once. The export
 * must fit the device as for a reconnect, and have its disk.
 *
 * A device whose record is not here is adopted (adopt.h) if there are servers.
 *
 * Return: 0, or a negative errno when the device still has its old ones; or new ones, if
 * the record cannot be put into its place, where all of it is written before.
 */
int nbd_replace(const struct nbd_params *params, struct nbd_err *err);

#endif /* NBD_REPLACE_H */
