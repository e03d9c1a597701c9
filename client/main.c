// SPDX-License-Identifier: GPL-2.0
/*
 * nbd-client: from the command line to what it asks for.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "all.h"
#include "attach.h"
#include "credentials.h"
#include "detach.h"
#include "device.h"
#include "list.h"
#include "monitor.h"
#include "options.h"
#include "process.h"
#include "replace.h"
#include "report.h"
#include "status.h"
#include "udev.h"
#include "uri.h"

static int run_check(const struct nbd_command *cmd, struct nbd_err *err)
{
	s32 index;
	pid_t pid;
	int ret;

	ret = nbd_device_parse_disk(cmd->device, &index, err);
	if (ret) {
		/* As the original: a device that does not exist is not attached. */
		fprintf(stderr, "nbd-client: %s\n", err->text);
		return NBD_EXIT_FAILURE;
	}
	ret = nbd_device_pid(index, &pid);
	if (!ret) {
		printf("%d\n", pid);
		return NBD_EXIT_OK;
	}
	if (ret == -ENOENT)
		return NBD_EXIT_FAILURE;
	fprintf(stderr, "nbd-client: /dev/nbd%d: %s\n", index, strerror(-ret));
	return NBD_EXIT_CHECK;
}

static int run_detach(const struct nbd_command *cmd, struct nbd_err *err)
{
	s32 index;
	int ret = nbd_device_parse(cmd->device, &index, err);

	return ret ? ret : nbd_detach(index, cmd->force, err);
}

static int run_udev(const struct nbd_command *cmd, struct nbd_err *err)
{
	s32 index;
	int ret = nbd_device_parse(cmd->device, &index, err);

	if (!ret)
		nbd_udev_print(index, stdout);
	return ret;
}

/* Before any server is bothered; and their paths are kept for those who reconnect. */
static int prepare_attach(struct nbd_command *cmd, struct nbd_err *err)
{
	if (cmd->action == NBD_ACTION_LIST || cmd->action == NBD_ACTION_INFO)
		return nbd_credentials_load(&cmd->params, err);
	if (cmd->action != NBD_ACTION_ATTACH && cmd->action != NBD_ACTION_ATTACH_TAB &&
	    cmd->action != NBD_ACTION_REPLACE)
		return 0;
	if (!nbd_process_is_privileged())
		return nbd_fail(err, NBD_EXIT_PERM, EPERM,
				"only root can attach devices (CAP_SYS_ADMIN in the initial user namespace is needed)");
	return nbd_servers_absolute(&cmd->params, err);
}

static int run(struct nbd_command *cmd, int argc, char **argv, struct nbd_err *err)
{
	switch (cmd->action) {
	case NBD_ACTION_ATTACH:
		return nbd_attach(&cmd->params, stdout, err);
	case NBD_ACTION_ATTACH_TAB:
		return nbd_attach_tab(cmd, argc, argv, err);
	case NBD_ACTION_DETACH:
		return run_detach(cmd, err);
	case NBD_ACTION_DETACH_TAB:
		return nbd_detach_tab(cmd, err);
	case NBD_ACTION_REPLACE:
		return nbd_replace(&cmd->params, err);
	case NBD_ACTION_STATUS:
		return nbd_print_status(cmd->params.index, cmd->json, stdout,
					err);
	case NBD_ACTION_MONITOR:
		return nbd_monitor_run(cmd->background, err);
	case NBD_ACTION_REPORT:
		nbd_report(NBD_VERSION, stdout);
		return 0;
	case NBD_ACTION_LIST:
		return nbd_list(&cmd->params, cmd->json, stdout, err);
	case NBD_ACTION_INFO:
		return nbd_info(&cmd->params, cmd->json, stdout, err);
	case NBD_ACTION_LIST_TAB:
		return nbd_list_tab(cmd, argc, argv, stdout, err);
	case NBD_ACTION_UDEV:
		return run_udev(cmd, err);
	case NBD_ACTION_HELP:
		nbd_options_help(stdout);
		return 0;
	case NBD_ACTION_VERSION:
		printf("This is nbd-client, version %s\n", NBD_VERSION);
		return 0;
	default:
		nbd_options_list(stdout);
		return 0;
	}
}

int main(int argc, char **argv)
{
	struct nbd_command cmd;
	struct nbd_err err = { .status = NBD_EXIT_FAILURE };
	int status = NBD_EXIT_OK;
	int ret;

	nbd_process_init(argv);
	signal(SIGPIPE, SIG_IGN);
	ret = nbd_options_parse(&cmd, argc, argv, &err);
	if (!ret)
		ret = prepare_attach(&cmd, &err);
	if (!ret && cmd.action == NBD_ACTION_CHECK)
		status = run_check(&cmd, &err);
	else if (!ret)
		ret = run(&cmd, argc, argv, &err);
	if (ret) {
		fprintf(stderr, "nbd-client: %s\n", err.text);
		status = err.status;
	}
	nbd_command_free(&cmd);
	return status;
}
