/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What nbdtab has, at once: attaching what is not attached yet, and detaching.
 *
 * Each device has a process of its own, so that one whose server is late keeps no other
 * waiting. A device that fails does not keep the others from it; what was wrong with it
 * is told on standard error, with its name.
 */
#ifndef NBD_ALL_H
#define NBD_ALL_H

#include <stdio.h>

#include "command.h"
#include "error.h"

/**
 * nbd_attach_tab - attach the devices of nbdtab, or @cmd->device alone
 * @cmd:	the command line; it is read once more for each device
 * @argc:	of main()
 * @argv:	of main()
 * @err:	how many have failed; of one device alone, why
 *
 * A device that is attached to a server and the export that its line names is left as it
 * is, and standard output says so.
 *
 * Return: 0, or a negative errno; the exit status is that of the first line that failed.
 */
int nbd_attach_tab(const struct nbd_command *cmd, int argc, char **argv,
		   struct nbd_err *err);

/* Detach the devices that nbdtab has and that are attached, whatever to; likewise. */
int nbd_detach_tab(const struct nbd_command *cmd, struct nbd_err *err);

/*
 * For nbd-generator: each device of nbdtab, and for how many seconds its server is waited
 * for, or "forever", and its links in /dev/disk, as far as the line says them. A line that is
 * wrong waits for none.
 */
int nbd_list_tab(const struct nbd_command *cmd, int argc, char **argv, FILE *out,
		 struct nbd_err *err);

#endif /* NBD_ALL_H */
