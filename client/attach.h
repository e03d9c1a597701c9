/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Attaching: servers to connections, connections to a device.
 */
#ifndef NBD_ATTACH_H
#define NBD_ATTACH_H

#include <stdio.h>

#include "error.h"
#include "kernel.h"
#include "model.h"

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

/* How long I/O waits for a connection: as long as somebody tries to make one. */
u64 nbd_dead_timeout(const struct nbd_kernel *k,
		     const struct nbd_params *params);

/* "export "name"" or "the default export", printable; returns @buf. */
char *nbd_export_text(const struct nbd_params *params, char *buf, size_t size);

/* Addresses of all servers, asked for at @place; fails only if none of them has any. */
struct nbd_address_list;
struct nbd_place;
int nbd_resolve_servers(const struct nbd_params *params,
			const struct nbd_place *place,
			struct nbd_address_list *list, struct nbd_err *err);

/*
 * What an attached device lacks to be used: its read-ahead as asked for, and the partition
 * table. What goes wrong is told on standard error; the device stays attached.
 */
void nbd_make_ready(const struct nbd_params *params, s32 index);

/*
 * If the device is to be reconnected, a monitor runs that does not end before the
 * descriptor is closed which is returned; or a negative errno.
 */
int nbd_bring_monitor(const struct nbd_params *params, struct nbd_err *err);

/* Write the record, and see to it that a monitor acts upon it. */
struct nbd_record;
int nbd_watch_over(struct nbd_record *record, struct nbd_err *err);

/*
 * Connections to an export, for attaching and for -replace; blocks. @disk is the attachment
 * whose disk it must be, NULL for a device that has none yet.
 */
struct nbd_bringup;
int nbd_bring_up(struct nbd_bringup *b, const struct nbd_params *params,
		 const struct nbd_address_list *list,
		 const struct nbd_place *place,
		 const struct nbd_record *disk, struct nbd_err *err);

/**
 * nbd_attach - attach a device as the user asked
 * @params:	what to attach
 * @out:	gets the classic lines, of which the last names the device, or just
 *		the name; before it is ready to be used, so that whoever is
 *		interrupted then knows what is attached
 * @err:	why it failed
 *
 * Return: 0 when the device can be used, partitions included; otherwise
 * nothing is attached.
 */
int nbd_attach(const struct nbd_params *params, FILE *out,
	       struct nbd_err *err);

/* Print the server's exports in the classic form. */
int nbd_list(const struct nbd_params *params, FILE *out, struct nbd_err *err);

#endif /* NBD_ATTACH_H */
