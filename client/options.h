/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command line.
 *
 * The table of settings describes every option. Long options take one dash or
 * two and may be abbreviated; options and other arguments may be mixed. A device
 * without a server is looked up in nbdtab, whose options are those of the table
 * as well.
 */
#ifndef NBD_OPTIONS_H
#define NBD_OPTIONS_H

#include <stdio.h>

#include "command.h"
#include "error.h"
#include "nbdtab.h"

/**
 * nbd_options_parse - read the command line
 * @cmd:	filled in; nbd_command_free() it, on failure too
 * @argc:	of main()
 * @argv:	of main(); permuted
 * @err:	says what is wrong with it
 *
 * Return: 0, or -EINVAL.
 */
int nbd_options_parse(struct nbd_command *cmd, int argc, char **argv,
		      struct nbd_err *err);

/**
 * nbd_options_parse_tab - read the command line again, for one of several devices
 * @cmd:	filled in; nbd_command_free() it, on failure too
 * @device:	as nbdtab calls it; stays in use
 * @argc:	of main()
 * @argv:	of main(), which nbd_options_parse() has taken
 * @err:	names file and line if these are to blame
 *
 * What @cmd says is what it says of "nbd-client OPTIONS DEVICE".
 *
 * Return: 0, -EINVAL, or -ENOENT.
 */
int nbd_options_parse_tab(struct nbd_command *cmd, const char *device, int argc, char **argv,
			  struct nbd_err *err);

/* The devices in the file that @cmd names; 0 or a negative errno. Free @names anyway. */
int nbd_options_tab_names(const struct nbd_command *cmd, struct nbd_tab_list *names,
			  struct nbd_err *err);
void nbd_command_free(struct nbd_command *cmd);

/**
 * nbd_options_apply_tab - apply what a file in the format of nbdtab says about a device
 * @cmd:	@cmd->tab names the device; its params get the server, the export name and
 *		the options
 * @file:	the file
 * @name:	what messages call it
 * @err:	names file and line
 *
 * An unknown option is only warned about.
 *
 * Return: 0, -ENOENT without a line of the device, -EINVAL for a bad one.
 */
int nbd_options_apply_tab(struct nbd_command *cmd, FILE *file, const char *name,
			  struct nbd_err *err);

void nbd_options_help(FILE *out);

/*
 * For the completion and for tests, one a line: "-name ARG" and "-n ARG" as on
 * the command line, with the words behind it that ARG can be, "name=ARG" as in nbdtab.
 */
void nbd_options_list(FILE *out);

#endif /* NBD_OPTIONS_H */
