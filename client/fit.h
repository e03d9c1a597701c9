/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What goes together: the user's wishes and the server's export when a device is attached,
 * and the device and the export that a server has later.
 */
#ifndef NBD_FIT_H
#define NBD_FIT_H

#include "error.h"
#include "kernel.h"
#include "model.h"
#include "record.h"

/**
 * nbd_fit - what the kernel shall be told about an export
 * @config:	size, block sizes, flags and their bits are filled in
 * @params:	the user's wishes
 * @export:	the server's conditions
 * @err:	says where they contradict each other, or the kernel's limits
 *
 * A device has whole blocks only: what the export has behind the last is left out.
 *
 * Return: 0 or -EINVAL.
 */
int nbd_fit(struct nbd_kernel_config *config, const struct nbd_params *params,
	    const struct nbd_export *export, struct nbd_err *err);

/**
 * nbd_fit_ioctl - can the ioctl interface say this size?
 * @config:	what nbd_fit() said
 * @most:	the most blocks that an ioctl's argument can count: ULONG_MAX
 * @err:	says what can be done
 *
 * Return: 0 or -EINVAL.
 */
int nbd_fit_ioctl(const struct nbd_kernel_config *config, u64 most,
		  struct nbd_err *err);

/* How long I/O waits for a connection: as was asked for, or while somebody tries to make one. */
u64 nbd_dead_timeout(const struct nbd_kernel *k,
		     const struct nbd_params *params);

/**
 * nbd_check_export - may this export go on under a device that is in use?
 * @record:	the device
 * @nconns:	connections that it will have
 * @e:		the export as a server offers it now
 * @err:	says what would corrupt or break something
 *
 * Return: 0, -EINVAL or -EROFS.
 */
int nbd_check_export(const struct nbd_record *record, unsigned int nconns,
		     const struct nbd_export *e, struct nbd_err *err);

/*
 * The device goes on with the export @e, which nbd_check_export() has accepted. What
 * that has more than the device relies on, it may lack again the next time.
 */
void nbd_record_set_export(struct nbd_record *record,
			   const struct nbd_export *e);

/* Size for a device whose export has grown; 0 if it has not, or is fixed. */
u64 nbd_grown_size(const struct nbd_record *record,
		   const struct nbd_export *e);

/*
 * What the kernel shall be told of the export @e, with which an attached device goes on:
 * flags, a size that has grown, and their bits in @config are filled in.
 */
void nbd_fit_again(struct nbd_kernel_config *config,
		   const struct nbd_record *record, const struct nbd_export *e);

#endif /* NBD_FIT_H */
