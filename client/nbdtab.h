/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /etc/nbdtab, nbdtab(5): one device a line, "nbd0 HOST EXPORT [OPTIONS]".
 */
#ifndef NBD_NBDTAB_H
#define NBD_NBDTAB_H

#include <stdio.h>

#include "error.h"

struct nbd_command;

/**
 * nbd_tab_apply - take over what nbdtab says about a device
 * @cmd:	@cmd->tab names the device, @cmd->tab_file the file; its params
 *		get the server, the export name and the options
 * @err:	names file and line
 *
 * An unknown option is only warned about; one that begins with an underscore
 * is ignored silently.
 *
 * Return: 0, -ENOENT without such a line, -EINVAL for a bad one.
 */
int nbd_tab_apply(struct nbd_command *cmd, struct nbd_err *err);

/* The same, from an open file that messages call @name. */
int nbd_tab_read(struct nbd_command *cmd, FILE *file, const char *name,
		 struct nbd_err *err);

#endif /* NBD_NBDTAB_H */
