// SPDX-License-Identifier: GPL-2.0
/*
 * Detaching.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "clock.h"
#include "detach.h"
#include "device.h"
#include "holders.h"
#include "kernel.h"
#include "presence.h"
#include "store.h"

/* How long a probing udev may keep a device open. */
#define PROBE_WAIT_MS 3000
/* An open that is not announced (another /dev) is noticed after this time. */
#define PROBE_LOOK_MS 50
#define FREE_WAIT_MS 5000
/* For the end of a monitor that has nothing left to do. */
#define IDLE_WAIT_MS 2000

/* Wakes up when somebody closes the device, or after a moment. */
static void wait_for_close(int inotify)
{
	struct pollfd pfd = { .fd = inotify, .events = POLLIN };
	char events[1024];

	if (poll(&pfd, 1, PROBE_LOOK_MS) > 0 &&
	    read(inotify, events, sizeof(events)) < 0)
		poll(NULL, 0, PROBE_LOOK_MS);
}

static int busy(s32 index, const struct nbd_holders *holders,
		struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];

	return nbd_fail(err, NBD_EXIT_BUSY, EBUSY,
			"%s is in use (%s): end that first, or take the device away with -force",
			nbd_device_path(index, path),
			holders->n ? holders->text : "by whom cannot be seen");
}

/*
 * With the stock driver a process in NBD_DO_IT cannot tell a detached device
 * from a lost one: it looks whether the record is still there.
 */
static void warn_server(s32 index)
{
	struct nbd_record record;

	if (nbd_record_read(&record, index, NULL))
		return;
	if (record.params.ioctl_mode && !record.session_id)
		nbd_record_remove(index);
	nbd_record_free(&record);
}

static void copy_status(void *arg, const struct nbd_status *status)
{
	*(struct nbd_status *)arg = *status;
}

/*
 * Nobody but the process that serves it, which may have several files, and clients that
 * have attached it and wait for the first read.
 */
static bool only_served(struct nbd_kernel *k, s32 index,
			const struct nbd_holders *holders)
{
	struct nbd_status status = { .openers = ~0U };
	unsigned int files = holders->probed;
	struct nbd_err ignored;

	/* The driver has left one file of the server out already. */
	if (holders->served)
		files += holders->served - 1;
	return !holders->n && (holders->served || holders->probed) &&
	       !nbd_kernel_status(k, index, copy_status, &status, &ignored) &&
	       status.openers <= files;
}

/*
 * Our driver refuses by itself, in one step with the detaching; for the stock
 * driver the holders are looked for before. The task in NBD_DO_IT keeps the
 * device open, but not because it uses it: our driver leaves it out. A client that
 * waits for the first read does not use it either.
 */
static int detach_if_unused(struct nbd_kernel *k, s32 index,
			    struct nbd_holders *holders, struct nbd_err *err)
{
	bool atomic = nbd_kernel_knows(k, NBD_ATTR_IF_UNUSED);
	int ret;

	if (!atomic) {
		nbd_holders_find(index, holders);
		if (holders->n)
			return -EBUSY;
		warn_server(index);
	}
	ret = nbd_kernel_disconnect(k, index, 0, true, err);
	if (ret != -EBUSY || !atomic)
		return ret;
	nbd_holders_find(index, holders);
	if (only_served(k, index, holders))
		ret = nbd_kernel_disconnect(k, index, 0, false, err);
	return ret;
}

/* Somebody has it open; @inotify tells when it is closed, or is -1. */
static int detach_after_close(struct nbd_kernel *k, s32 index, int inotify,
			      struct nbd_err *err)
{
	s64 deadline = nbd_now_ms() + PROBE_WAIT_MS;
	struct nbd_holders holders;
	int ret;

	while ((ret = detach_if_unused(k, index, &holders, err)) == -EBUSY) {
		if (holders.lasting || nbd_now_ms() >= deadline)
			return busy(index, &holders, err);
		wait_for_close(inotify);
	}
	return ret;
}

static int detach_when_unused(struct nbd_kernel *k, s32 index,
			      struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];
	struct nbd_holders holders;
	int inotify, ret;

	/* To close a watch of inotify takes the kernel a grace period. */
	ret = detach_if_unused(k, index, &holders, err);
	if (ret != -EBUSY)
		return ret;
	inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (inotify >= 0)
		inotify_add_watch(inotify, nbd_device_path(index, path),
				  IN_CLOSE);
	ret = detach_after_close(k, index, inotify, err);
	if (inotify >= 0)
		close(inotify);
	return ret;
}

/*
 * Our driver waits by itself, but not for everything. If what is left are pages
 * the attachment is over nevertheless.
 */
static int look_whether_free(struct nbd_kernel *k, s32 index,
			     struct nbd_err *err)
{
	struct nbd_status status = { .state = NBD_STATE_FREE };
	char path[NBD_DEVICE_PATH_MAX];
	int ret;

	ret = nbd_kernel_status(k, index, copy_status, &status, err);
	if (ret || status.state != NBD_STATE_CLOSING)
		return ret;
	nbd_device_path(index, path);
	if (status.session_id)
		return nbd_fail(err, NBD_EXIT_BUSY, EBUSY,
				"%s does not work any more, but is not detached yet: %s",
				path, status.cause);
	fprintf(stderr,
		"nbd-client: %s is detached, but cannot be attached again yet: %s\n",
		path, status.cause);
	return 0;
}

static int wait_until_free(struct nbd_kernel *k, s32 index, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];
	struct nbd_holders holders;

	if (nbd_kernel_knows(k, NBD_ATTR_SESSION_ID))
		return look_whether_free(k, index, err);
	if (!nbd_device_wait_free(index, nbd_now_ms() + FREE_WAIT_MS))
		return 0;
	nbd_holders_find(index, &holders);
	return nbd_fail(err, NBD_EXIT_BUSY, EBUSY,
			"%s is disconnected from its server, but the driver keeps it until it is let go (%s)",
			nbd_device_path(index, path),
			holders.n ? holders.text : "by whom cannot be seen");
}

/* The attachment that the record is of; 0 without a record, or sessions. */
static u64 recorded_session(s32 index, bool *has_record)
{
	struct nbd_record record;
	u64 session;

	*has_record = !nbd_record_read(&record, index, NULL);
	session = record.session_id;
	nbd_record_free(&record);
	return session;
}

static int disconnect(struct nbd_kernel *k, s32 index, bool force,
		      struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];
	pid_t pid;

	if (!nbd_device_exists(index))
		return nbd_fail(err, NBD_EXIT_FAILURE, ENODEV,
				"%s does not exist, so it cannot be detached",
				nbd_device_path(index, path));
	if (nbd_device_pid(index, &pid) == -ENOENT)
		return 0;
	if (!force)
		return detach_when_unused(k, index, err);
	warn_server(index);
	return nbd_kernel_disconnect(k, index, 0, false, err);
}

static void forget(s32 index, u64 session)
{
	struct nbd_err failure;

	/* The monitor will do it, when it can. */
	if (nbd_record_remove_session(index, session, &failure))
		fprintf(stderr, "nbd-client: %s\n", failure.text);
	if (!nbd_records_monitored())
		nbd_monitor_wait_end(IDLE_WAIT_MS);
}

/* The record is gone; what was kept for it may be there. */
static void forget_places(s32 index)
{
	int folder = nbd_rundir_open(NULL);

	if (folder < 0)
		return;
	close(folder);
	/* No attachment's number: a record by now is of one that came meanwhile. */
	nbd_record_remove_session(index, ~0ULL, NULL);
}

int nbd_detach(s32 index, bool force, struct nbd_err *err)
{
	struct nbd_kernel kernel;
	bool has_record;
	u64 session;
	int ret;

	ret = nbd_kernel_open(&kernel, false, err);
	if (ret)
		return ret;
	session = recorded_session(index, &has_record);
	ret = disconnect(&kernel, index, force, err);
	if (!ret)
		ret = wait_until_free(&kernel, index, err);
	nbd_kernel_close(&kernel);
	if (!ret && has_record)
		forget(index, session);
	else if (!ret)
		forget_places(index);
	return ret;
}
