// SPDX-License-Identifier: GPL-2.0
/*
 * All devices of nbdtab.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "all.h"
#include "attach.h"
#include "detach.h"
#include "device.h"
#include "keeper.h"
#include "kernel.h"
#include "options.h"
#include "store.h"
#include "udev.h"
#include "uri.h"

/* Processes at a time. */
#define AT_ONCE 64

/**
 * struct work - what is to be done with each device
 * @one:	does it; prints nothing when it fails
 * @what:	has become of a device, for a message that counts
 * @cmd:	the command line
 * @argc:	of main()
 * @argv:	of main()
 */
struct work {
	int (*one)(const struct work *work, const char *device, struct nbd_err *err);
	const char *what;
	const struct nbd_command *cmd;
	int argc;
	char **argv;
};

static bool is_same_server(const struct nbd_server *a, const struct nbd_server *b)
{
	return a->family == b->family && a->host_len == b->host_len &&
	       !memcmp(a->host, b->host, a->host_len) && !strcmp(a->port, b->port);
}

/* One server in common, and the same export. */
static bool is_same_disk(const struct nbd_params *a, const struct nbd_params *b)
{
	unsigned int i, j;

	if (strcmp(a->export_name ?: "", b->export_name ?: ""))
		return false;
	for (i = 0; i < a->nservers; i++)
		for (j = 0; j < b->nservers; j++)
			if (is_same_server(&a->servers[i], &b->servers[j]))
				return true;
	return false;
}

static int attached_elsewhere(const struct nbd_params *is, const struct nbd_params *wanted,
			      struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX], server[2][NBD_SERVER_TEXT_MAX];
	char export[2][NBD_ERR_TEXT_MAX];

	return nbd_fail(err, NBD_EXIT_BUSY, EBUSY,
			"%s is attached to %s, %s, and nbdtab says %s, %s: detach it first, or move it with -replace",
			nbd_device_path(wanted->index, path),
			nbd_server_text(&is->servers[0], server[0], sizeof(server[0])),
			nbd_export_text(is, export[0], sizeof(export[0])),
			nbd_server_text(&wanted->servers[0], server[1], sizeof(server[1])),
			nbd_export_text(wanted, export[1], sizeof(export[1])));
}

/* The record of the attachment, once whoever attaches it now is done. */
static int find_record(s32 index, struct nbd_record *record, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX], hint[NBD_CARE_TEXT_MAX + 2];
	int lock = nbd_record_lock(index, err), ret;

	if (lock < 0)
		return lock;
	ret = nbd_keeper_find_record(index, record, err);
	close(lock);
	if (ret != -ENOENT)
		return ret;
	return nbd_fail(err, NBD_EXIT_BUSY, EBUSY,
			"%s is attached, and nothing here knows to which server%s",
			nbd_device_path(index, path),
			nbd_care_hint(index, hint, sizeof(hint)));
}

/* 0 if the device is attached as it should be. */
static int check_attached(const struct nbd_params *params, struct nbd_err *err)
{
	struct nbd_record record;
	int ret = find_record(params->index, &record, err);

	if (ret)
		return ret;
	if (!is_same_disk(&record.params, params))
		ret = attached_elsewhere(&record.params, params, err);
	nbd_record_free(&record);
	return ret;
}

static int attach_or_keep(struct nbd_params *params, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];
	pid_t pid;
	int ret;

	if (nbd_device_pid(params->index, &pid))
		return nbd_attach(params, stdout, err);
	ret = check_attached(params, err);
	if (!ret)
		printf(params->print_device ? "%s\n" : "%s is attached already\n",
		       nbd_device_path(params->index, path));
	return ret;
}

static int attach_one(const struct work *work, const char *device, struct nbd_err *err)
{
	struct nbd_command cmd;
	int ret = nbd_options_parse_tab(&cmd, device, work->argc, work->argv, err);

	if (!ret)
		ret = nbd_servers_absolute(&cmd.params, err);
	if (!ret)
		ret = attach_or_keep(&cmd.params, err);
	nbd_command_free(&cmd);
	return ret;
}

static int detach_one(const struct work *work, const char *device, struct nbd_err *err)
{
	pid_t pid;
	s32 index;
	int ret = nbd_device_parse(device, &index, err);

	if (ret || nbd_device_pid(index, &pid) == -ENOENT)
		return ret;
	return nbd_detach(index, work->cmd->force, err);
}

/* In a process of its own, which ends with its parent. */
static void __noreturn run_child(const struct work *work, const char *device)
{
	struct nbd_err err = { .status = NBD_EXIT_FAILURE };
	char clean[64];
	int ret;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	ret = work->one(work, device, &err);
	if (ret)
		fprintf(stderr, "nbd-client: %s: %s\n",
			nbd_sanitize(clean, sizeof(clean), device, strlen(device)),
			err.text);
	exit(ret ? err.status : NBD_EXIT_OK);
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : NBD_EXIT_FAILURE;
}

/* Waits for a child; its status is kept where its process id was. */
static void reap(int *child, unsigned int n)
{
	int status;
	pid_t pid = wait(&status);
	unsigned int i = 0;

	while (i < n && child[i] != -pid)
		i++;
	if (i < n)
		child[i] = exit_status(status);
}

/* @child: process ids, negative, which become exit statuses. */
static void run_children(const struct work *work, const struct nbd_tab_list *names,
			 int *child)
{
	unsigned int i, running = 0;
	pid_t pid;

	fflush(stdout);
	for (i = 0; i < names->n; i++) {
		if (running == AT_ONCE) {
			reap(child, i);
			running--;
		}
		pid = fork();
		if (!pid)
			run_child(work, names->text[i]);
		if (pid < 0)
			fprintf(stderr,
				"nbd-client: a line of nbdtab is left out: cannot make a process: %s\n",
				strerror(errno));
		child[i] = pid < 0 ? NBD_EXIT_FAILURE : -pid;
		running += pid > 0;
	}
	while (running--)
		reap(child, names->n);
}

static int run_all(const struct work *work, const struct nbd_tab_list *names,
		   struct nbd_err *err)
{
	int *child = calloc(names->n + 1, sizeof(*child));
	enum nbd_exit status = NBD_EXIT_OK;
	unsigned int i, failed = 0;

	if (!child)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	run_children(work, names, child);
	for (i = 0; i < names->n; i++) {
		failed += child[i] != NBD_EXIT_OK;
		if (status == NBD_EXIT_OK)
			status = child[i];
	}
	free(child);
	if (!failed)
		return 0;
	return nbd_fail(err, status, EIO, "%u of %u devices of nbdtab %s", failed, names->n,
			work->what);
}

static int work_through(const struct work *work, struct nbd_err *err)
{
	struct nbd_tab_list names;
	int ret = nbd_options_tab_names(work->cmd, &names, err);

	if (!ret)
		ret = run_all(work, &names, err);
	nbd_tab_list_free(&names);
	return ret;
}

int nbd_attach_tab(const struct nbd_command *cmd, int argc, char **argv,
		   struct nbd_err *err)
{
	const struct work work = {
		.one = attach_one,
		.what = "are not attached",
		.cmd = cmd,
		.argc = argc,
		.argv = argv,
	};

	return cmd->device ? attach_one(&work, cmd->device, err) :
			     work_through(&work, err);
}

int nbd_detach_tab(const struct nbd_command *cmd, struct nbd_err *err)
{
	const struct work work = {
		.one = detach_one,
		.what = "are still attached",
		.cmd = cmd,
	};

	return work_through(&work, err);
}

static void list_one(const char *device, int argc, char **argv, FILE *out)
{
	struct nbd_command cmd;
	struct nbd_err ignored;
	bool is_right = !nbd_options_parse_tab(&cmd, device, argc, argv, &ignored) &&
			!nbd_servers_absolute(&cmd.params, &ignored);

	if (is_right && cmd.params.wait == NBD_DEAD_CONN_FOREVER)
		fprintf(out, "%s forever", device);
	else
		fprintf(out, "%s %llu", device, is_right ? cmd.params.wait : 0);
	if (is_right)
		nbd_udev_print_links(&cmd.params, out);
	fputc('\n', out);
	nbd_command_free(&cmd);
}

int nbd_list_tab(const struct nbd_command *cmd, int argc, char **argv, FILE *out,
		 struct nbd_err *err)
{
	struct nbd_tab_list names;
	int ret = nbd_options_tab_names(cmd, &names, err);
	unsigned int i;

	for (i = 0; !ret && i < names.n; i++)
		list_one(names.text[i], argc, argv, out);
	nbd_tab_list_free(&names);
	return ret;
}
