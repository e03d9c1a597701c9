/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command line.
 *
 * One table describes every option: its long name, its letter, its name in
 * nbdtab, what it takes, what it sets, and its line of help. Parsing argv,
 * parsing nbdtab's options, --help, the shell completion and the test of the
 * man page all come from it. Long options take one dash or two and may be
 * abbreviated; options and other arguments may be mixed.
 */
#ifndef NBD_OPTIONS_H
#define NBD_OPTIONS_H

#include <stdio.h>

#include "error.h"
#include "model.h"

/** enum nbd_action - what nbd-client is to do */
enum nbd_action {
	NBD_ACTION_ATTACH,
	NBD_ACTION_DETACH,
	NBD_ACTION_CHECK,
	NBD_ACTION_LIST,
	NBD_ACTION_REPLACE,
	NBD_ACTION_STATUS,
	NBD_ACTION_MONITOR,
	NBD_ACTION_HELP,
	NBD_ACTION_VERSION,
	NBD_ACTION_COMPLETION,
};

/**
 * struct nbd_command - the whole command line
 * @action:	what to do
 * @device:	argument of -check or -disconnect, or of -status if it was given;
 *		points into argv
 * @tab:	device whose parameters are in nbdtab; points into argv, or NULL
 * @tab_file:	the file, NULL for the usual one
 * @force:	detach even if the device is in use
 * @background:	with -monitor: it was started by nbd-client
 * @json:	with -status: for programs
 * @unix_socket: the first argument is the path of a Unix socket
 * @sdp:	-sdp was given
 * @params:	the attachment
 */
struct nbd_command {
	enum nbd_action action;
	const char *device;
	const char *tab;
	char *tab_file;
	bool force;
	bool background;
	bool json;
	bool unix_socket;
	bool sdp;
	struct nbd_params params;
};

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
void nbd_command_free(struct nbd_command *cmd);

/**
 * nbd_options_take_server - apply a server in words
 * @cmd:	its params get the server; its unix_socket decides what it is
 * @host:	URI, path of a Unix socket, or host
 * @port:	for a host
 * @err:	says what is wrong with it
 */
int nbd_options_take_server(struct nbd_command *cmd, const char *host,
			    const char *port, struct nbd_err *err);

/**
 * nbd_options_set_tab - apply one option of nbdtab
 * @cmd:	the command that it belongs to
 * @name:	its name there, without the value
 * @value:	what follows the "=", or NULL
 * @err:	says what is wrong with it
 *
 * Return: 0, -ENOENT for an unknown name, -EINVAL for a bad value.
 */
int nbd_options_set_tab(struct nbd_command *cmd, const char *name,
			const char *value, struct nbd_err *err);

void nbd_options_help(FILE *out);

/*
 * For the completion and for tests, one a line: "-name ARG" and "-n ARG" as on
 * the command line, "name=ARG" as in nbdtab.
 */
void nbd_options_list(FILE *out);

#endif /* NBD_OPTIONS_H */
