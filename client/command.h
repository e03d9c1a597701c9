/* SPDX-License-Identifier: GPL-2.0 */
/* What a command line comes to: the action, what it takes, and the attachment. */
#ifndef NBD_COMMAND_H
#define NBD_COMMAND_H

#include "model.h"

/** enum nbd_action - what nbd-client is to do */
enum nbd_action {
	NBD_ACTION_ATTACH,
	NBD_ACTION_DETACH,
	NBD_ACTION_ATTACH_TAB,
	NBD_ACTION_DETACH_TAB,
	NBD_ACTION_CHECK,
	NBD_ACTION_LIST,
	NBD_ACTION_INFO,
	NBD_ACTION_REPLACE,
	NBD_ACTION_STATUS,
	NBD_ACTION_MONITOR,
	NBD_ACTION_REPORT,
	NBD_ACTION_HELP,
	NBD_ACTION_VERSION,
	NBD_ACTION_COMPLETION,
	NBD_ACTION_LIST_TAB,
	NBD_ACTION_UDEV,
};

/**
 * struct nbd_command - the whole command line
 * @action:	what to do
 * @device:	argument of -check, -disconnect, -udev or -attach; points into argv
 * @tab:	device whose parameters are in nbdtab; points into argv, or NULL
 * @tab_file:	the file, NULL for the usual one
 * @force:	detach even if the device is in use
 * @background:	with -monitor: it was started by nbd-client
 * @json:	with -status, -list, -info: for programs
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

#endif /* NBD_COMMAND_H */
