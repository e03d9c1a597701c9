/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Giving an attachment into the monitor's care: a monitor is there, then the record comes, and
 * the monitor does not end before that. The stock driver tells once only, and maybe at once,
 * what was lost.
 */
#ifndef NBD_ENTRUST_H
#define NBD_ENTRUST_H

#include "error.h"
#include "model.h"
#include "record.h"

/**
 * nbd_entrust_begin - see to it that a monitor runs, if the device is to be reconnected
 * @params:	of the attachment
 * @err:	says why none can be had
 *
 * Return: a descriptor to close when the record is written: the monitor does not end
 * before that; or a negative errno.
 */
int nbd_entrust_begin(const struct nbd_params *params, struct nbd_err *err);

/**
 * nbd_entrust_record - write the record of a new attachment
 * @record:	its namespaces are filled in, and kept
 * @err:	says why not
 *
 * Call with nbd_record_lock() held, between nbd_entrust_begin() and the closing of its
 * descriptor.
 *
 * Return: 0; -ESTALE if somebody has detached the device meanwhile, and attached it anew;
 * or another negative errno, and there is no record.
 */
int nbd_entrust_record(struct nbd_record *record, struct nbd_err *err);

/*
 * All of it, locks included, for a device that is attached; @record gets a new keeper where
 * there are sessions. 0 or a negative errno.
 */
int nbd_entrust(struct nbd_record *record, struct nbd_err *err);

#endif /* NBD_ENTRUST_H */
