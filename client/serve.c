// SPDX-License-Identifier: GPL-2.0
/*
 * The process that serves a device through the ioctl interface.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "device.h"
#include "entrust.h"
#include "fit.h"
#include "folders.h"
#include "handover.h"
#include "ioctl.h"
#include "log.h"
#include "process.h"
#include "resolver.h"
#include "retry.h"
#include "serve.h"
#include "settings.h"
#include "store.h"
#include "udev.h"

/* How long NBD_DO_IT may take to begin, and how often to look. */
#define START_WAIT_MS 5000
#define START_LOOK_MS 10
/* On a busy machine the announcement of a lost link comes so long after NBD_DO_IT ended. */
#define NOTICE_WAIT_MS 5000

/**
 * struct service - a device and the process that serves it
 * @record:	the attachment
 * @b:		connections
 * @device:	its node, open unless it is to be had by others
 * @file:	the record when NBD_DO_IT ended last; 0 when it was gone
 * @kernel:	to listen to; sock is NULL without a netlink interface
 * @notices:	announces lost links; NULL likewise
 * @link_lost:	one was announced
 * @detached:	so was the end of the attachment
 * @resolver:	asks for the servers' names anew
 * @resolved:	nbd_resolver_start()'s, or -1
 * @ended_at:	when NBD_DO_IT ended last
 * @lost_at:	when the last outage began
 * @mended_at:	when the device was attached again last, or 0
 */
struct service {
	struct nbd_record *record;
	struct nbd_bringup *b;
	struct nbd_kernel device;
	u64 file;
	struct nbd_kernel kernel;
	struct nl_sock *notices;
	bool link_lost;
	bool detached;
	struct nbd_resolver_job resolver;
	int resolved;
	s64 ended_at;
	s64 lost_at;
	s64 mended_at;
};

static s32 service_index(const struct service *s)
{
	return s->record->params.index;
}

/* --- in the serving process --- */

static void listen_to_driver(struct service *s)
{
	if (nbd_kernel_open(&s->kernel, false, NULL) ||
	    nbd_notices_open(&s->kernel, &s->notices, NULL))
		nbd_log(LOG_WARNING,
			"/dev/nbd%d: the driver announces no lost connections: it will not be reconnected",
			service_index(s));
}

/* Our driver says that the last one is gone; the stock one counts them not. */
static void note_link(void *arg, const struct nbd_notice *n)
{
	struct service *s = arg;

	if (n->index != service_index(s))
		return;
	if (!nbd_kernel_knows(&s->kernel, NBD_ATTR_SESSION_ID))
		s->link_lost |= n->link_dead;
	else if (!n->link_dead && n->event == NBD_EVENT_STATE)
		s->link_lost = n->state == NBD_STATE_FAILED;
	else if (!n->link_dead && n->event == NBD_EVENT_DETACHED)
		s->detached = true;
}

/* Nobody has detached the device, or attached it anew. */
static bool record_is_ours(const struct service *s)
{
	return s->file && nbd_record_id(service_index(s)) == s->file;
}

/*
 * NBD_DO_IT ends in the same way when the server hung up and when somebody
 * detached the device. The driver announces a lost link only in the first case, and
 * nbd-client removes the record before the second. The device is not kept meanwhile:
 * whoever detached it without nbd-client may want to attach it anew.
 */
static bool was_lost(struct service *s, int do_it_errno)
{
	struct pollfd pfd = { .events = POLLIN };
	s64 until = nbd_now_ms() + NOTICE_WAIT_MS;

	nbd_kernel_close(&s->device);
	if (do_it_errno == ETIMEDOUT)
		return true;
	if (do_it_errno == EINTR || !s->notices)
		return false;
	pfd.fd = nbd_notices_fd(s->notices);
	while (!s->link_lost && !s->detached && record_is_ours(s) &&
	       poll(&pfd, 1, nbd_poll_timeout(until)) > 0)
		if (nbd_notices_read(s->notices, note_link, s))
			break;
	return s->link_lost;
}

/* A positive errno, or 0. */
static int serve_once(struct service *s)
{
	int error;

	s->link_lost = false;
	s->detached = false;
	error = nbd_ioctl_serve(&s->device);
	s->ended_at = nbd_now_ms();
	s->file = nbd_record_id(service_index(s));
	return error;
}

/* The stock driver keeps dead sockets until nobody has the device open any more. */
static int reopen_device(struct service *s, struct nbd_err *err)
{
	nbd_kernel_close(&s->device);
	return nbd_ioctl_open(&s->device, service_index(s), err);
}

static int connect_device(struct service *s, struct nbd_kernel_config *config,
			  struct nbd_err *err)
{
	struct nbd_kernel_reply reply;

	config->index = service_index(s);
	config->params = &s->record->params;
	return nbd_hand_over(&s->device, nbd_kernel_connect, config, s->b,
			     s->b->nlinks, &reply, err);
}

/*
 * The last steps, if the record is still there: who detaches the device removes it, and
 * shall not find the device attached again.
 */
static int reattach(struct service *s, struct nbd_kernel_config *config,
		    struct nbd_err *err)
{
	int lock = nbd_record_try_lock(service_index(s), err), ret;

	if (lock < 0)
		return lock;
	if (nbd_record_id(service_index(s)))
		ret = reopen_device(s, err);
	else
		ret = nbd_fail(err, NBD_EXIT_FAILURE, ENODEV,
			       "the device was detached");
	if (!ret)
		ret = connect_device(s, config, err);
	if (!ret) {
		s->record->in_use = s->b->address;
		nbd_record_write(s->record, NULL);
	}
	close(lock);
	return ret;
}

static void start_resolver(struct service *s)
{
	const struct nbd_params *p = &s->record->params;
	struct nbd_resolver_job *job = &s->resolver;

	job->place = nbd_here;
	job->seconds = p->connect_timeout;
	job->nservers = p->nservers;
	memcpy(job->servers, p->servers, sizeof(job->servers));
	s->resolved = nbd_resolver_start(NULL);
}

/*
 * A name that cannot be resolved now keeps the addresses that it had last. They are tried
 * while it is asked for again.
 */
static void update_addresses(struct service *s)
{
	struct nbd_record *record = s->record;
	struct nbd_address_list list;

	if (s->resolved < 0)
		return;
	nbd_resolver_run();
	if (nbd_resolver_take(&s->resolver, &list)) {
		nbd_address_list_keep(&list, &record->addresses,
				      record->params.nservers);
		record->addresses = list;
	}
	nbd_resolver_submit(&s->resolver);
}

static int try_again(struct service *s, struct nbd_err *err)
{
	struct nbd_kernel_config config = { 0 };
	struct nbd_place place = nbd_here;
	int ret;

	place.owner = s->record->socket_owner;
	update_addresses(s);
	ret = nbd_bring_up(s->b, false, &s->record->params, &s->record->addresses,
			   &place, s->record, err);
	if (ret)
		return ret;
	ret = nbd_check_export(s->record, s->b->nlinks, &s->b->export, err);
	if (!ret)
		ret = nbd_fit(&config, &s->record->params, &s->b->export, err);
	if (!ret)
		ret = reattach(s, &config, err);
	if (ret)
		nbd_bringup_close(s->b);
	return ret;
}

/* The monitor has taken over, and NBD_DO_IT ended all the same. */
static bool is_adopted(const struct service *s)
{
	struct nbd_record record;
	bool adopted;

	if (nbd_record_read(&record, service_index(s), NULL))
		return false;
	adopted = record.session_id;
	nbd_record_free(&record);
	return adopted;
}

/* Sleeps, but wakes up when the record goes: somebody detached the device. */
static bool wait_for_turn(struct service *s, int inotify, s64 pause)
{
	struct pollfd pfd = { .fd = inotify, .events = POLLIN };
	s64 until = nbd_now_ms() + pause;
	char events[4096];

	while (nbd_record_id(service_index(s)) && nbd_poll_timeout(until))
		if (poll(&pfd, 1, nbd_poll_timeout(until)) > 0 &&
		    read(inotify, events, sizeof(events)) < 0)
			break;
	return nbd_record_id(service_index(s));
}

/* True when the device is attached again. */
static bool attach_again(struct service *s)
{
	unsigned int limit = s->record->params.reconnect_limit, attempts = 0;
	int inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	bool pause = nbd_outage_goes_on(s->mended_at, s->ended_at), up = false;
	struct nbd_err err;

	if (!pause)
		s->lost_at = s->ended_at;
	if (s->resolved < 0)
		start_resolver(s);
	inotify_add_watch(inotify, nbd_folder_enter(NBD_RUN_DIR), IN_DELETE);
	nbd_folder_leave();
	nbd_ioctl_open(&s->device, service_index(s), &err);	/* nobody else shall have it */
	while (wait_for_turn(s, inotify, pause ?
			     nbd_retry_pause(nbd_now_ms() - s->lost_at) : 0)) {
		up = !try_again(s, &err);
		if (up || (limit && ++attempts >= limit))
			break;
		pause = true;
	}
	nbd_resolver_abandon(&s->resolver);
	s->mended_at = nbd_now_ms();
	nbd_log(up ? LOG_NOTICE : LOG_ERR, "/dev/nbd%d: %s",
		service_index(s), up ? "reconnected" : "not reconnected");
	if (inotify >= 0)
		close(inotify);
	return up;
}

/* Whoever detached the device, and a lost connection, make no other error. */
static int check_refused(struct service *s, int error, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];

	if (!error || error == EINTR || error == ETIMEDOUT)
		return 0;
	return nbd_fail(err, nbd_exit_of_errno(error), error,
			"%s: the driver refused NBD_DO_IT: %s",
			nbd_device_path(service_index(s), path),
			strerror(error));
}

/* Until the device is detached; fails when the driver does not even begin. */
static int serve(struct service *s, struct nbd_err *err)
{
	const struct nbd_params *p = &s->record->params;
	struct nbd_err failure;
	bool began = false;
	int error, ret = 0;

	nbd_folders_keep();
	if (p->systemd_mark)
		nbd_process_mark_for_systemd();
	if (p->swap)
		nbd_process_survive_memory_pressure();
	listen_to_driver(s);
	do {
		error = serve_once(s);
		if (!began)
			ret = check_refused(s, error, err);
		began = true;
		if (ret || !was_lost(s, error))
			break;
		nbd_log(LOG_WARNING, "/dev/nbd%d: the connection is lost",
			p->index);
	} while (p->reconnect != NBD_RECONNECT_NEVER && !is_adopted(s) &&
		 attach_again(s));
	nbd_kernel_close(&s->device);
	if (record_is_ours(s) && nbd_record_remove_session(p->index, 0, &failure))
		nbd_log(LOG_WARNING, "%s", failure.text);
	return ret;
}

/* --- in the other process --- */

/* NBD_DO_IT tells nobody that it has begun. @end is readable when it has ended. */
static int wait_for_start(s32 index, int end, struct nbd_err *err)
{
	struct pollfd pfd = { .fd = end, .events = POLLIN };
	s64 deadline = nbd_now_ms() + START_WAIT_MS;
	char path[NBD_DEVICE_PATH_MAX];
	int ended = 0;
	pid_t pid;

	while (nbd_device_pid(index, &pid) && !ended &&
	       nbd_now_ms() < deadline)
		ended = poll(&pfd, 1, START_LOOK_MS) > 0;
	if (!nbd_device_pid(index, &pid))
		return 0;
	return nbd_fail(err, NBD_EXIT_FAILURE, EIO,
			"%s: the driver did not begin to serve it (NBD_DO_IT): the kernel log may say why",
			nbd_device_path(index, path));
}

static void take_session(void *arg, const struct nbd_status *status)
{
	struct nbd_record *record = arg;

	if (status->index == record->params.index)
		record->session_id = status->session_id;
}

/* From now on I/O waits for a connection, and the monitor makes it. */
static int wait_for_connections(struct nbd_kernel *k, struct nbd_record *record,
				struct nbd_err *err)
{
	struct nbd_kernel_config config = {
		.index = record->params.index,
		.session_id = record->session_id,
		.dead_timeout = nbd_dead_timeout(k, &record->params),
		.params = &record->params,
		.settings = record->params.given & nbd_settings_replaceable(),
		.set = NBD_CONFIG_SESSION_ID | NBD_CONFIG_DEAD_TIMEOUT,
	};
	struct nbd_kernel_reply reply;

	return nbd_kernel_reconfigure(k, &config, &reply, err);
}

/* Gives the device into the monitor's care, where the driver allows it. */
static int adopt(struct nbd_record *record, struct nbd_err *err)
{
	struct nbd_kernel k;
	int ret;

	if (record->params.reconnect == NBD_RECONNECT_NEVER ||
	    nbd_kernel_open(&k, false, NULL))
		return 0;
	if (!nbd_kernel_knows(&k, NBD_ATTR_SESSION_ID)) {
		nbd_kernel_close(&k);
		return 0;
	}
	ret = nbd_kernel_status(&k, record->params.index, take_session, record,
				err);
	if (!ret)
		ret = nbd_entrust(record, err);
	if (!ret)
		ret = wait_for_connections(&k, record, err);
	if (ret)
		nbd_kernel_disconnect(&k, record->params.index,
				      record->session_id, false, NULL);
	nbd_kernel_close(&k);
	return ret;
}

static int report(struct service *s, int end, FILE *out, struct nbd_err *err)
{
	int ret = wait_for_start(service_index(s), end, err);

	if (!ret)
		ret = adopt(s->record, err);
	if (ret)
		return ret;
	nbd_device_set_read_ahead(&s->record->params, service_index(s));
	nbd_device_make_ready(service_index(s));
	nbd_udev_refresh(service_index(s));
	fflush(out);
	return 0;
}

static void __noreturn serve_in_background(struct service *s)
{
	int null = open("/dev/null", O_RDWR);
	struct nbd_err err;

	setsid();
	if (chdir("/"))
		_exit(1);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	nbd_log_open(false);
	_exit(serve(s, &err) ? 1 : 0);
}

/* Nobody serves the device: it is free again with our end. */
static int no_process(const struct service *s, struct nbd_err *err)
{
	int ret = nbd_fail(err, NBD_EXIT_FAILURE, errno,
			   "cannot start a process: %s", strerror(errno));

	nbd_record_remove(service_index(s));
	return ret;
}

static int run_in_background(struct service *s, FILE *out, struct nbd_err *err)
{
	pid_t server = fork();
	int end, ret;

	if (server < 0)
		return no_process(s, err);
	if (!server)
		serve_in_background(s);
	nbd_kernel_close(&s->device);
	end = syscall(SYS_pidfd_open, server, 0);
	ret = report(s, end, out, err);
	if (end >= 0)
		close(end);
	return ret;
}

/* What goes wrong is for the serving process to tell, which has the exit status. */
static void __noreturn report_and_exit(struct service *s, int server, FILE *out)
{
	struct nbd_err err;

	nbd_kernel_close(&s->device);
	if (!report(s, server, out, &err))
		_exit(0);
	_exit(write(server, &err, sizeof(err)) != sizeof(err));
}

/* Serves the device; @reporter tells what went wrong meanwhile. */
static int serve_in_foreground(struct service *s, int reporter,
			       struct nbd_err *err)
{
	struct nbd_err reported;
	int ret;

	nbd_log_open(true);
	ret = serve(s, err);
	shutdown(reporter, SHUT_WR);
	if (recv(reporter, &reported, sizeof(reported), MSG_WAITALL) !=
	    sizeof(reported) || ret)
		return ret;
	*err = reported;
	return -EIO;
}

/* The part that waits for the partitions cannot be this process. */
static int run_in_foreground(struct service *s, FILE *out, struct nbd_err *err)
{
	pid_t reporter = -1;
	int ends[2], ret;

	if (!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		reporter = fork();
	if (reporter < 0)
		return no_process(s, err);
	if (!reporter) {
		close(ends[0]);
		report_and_exit(s, ends[1], out);
	}
	close(ends[1]);
	ret = serve_in_foreground(s, ends[0], err);
	close(ends[0]);
	waitpid(reporter, NULL, 0);
	return ret;
}

/* As the original: the size to both outputs. */
static void print_negotiated(const struct service *s,
			     const struct nbd_kernel_config *config, FILE *out)
{
	char path[NBD_DEVICE_PATH_MAX];

	if (s->record->params.print_device) {
		fprintf(out, "%s\n", nbd_device_path(service_index(s), path));
	} else {
		fprintf(out, "Negotiation: ..size = %lluMB\n",
			s->b->export.size >> 20);
		fflush(out);	/* in this order, too, where both are one file */
		fprintf(stderr, "bs=%llu, sz=%llu bytes\n",
			config->block_size, config->size);
	}
	fflush(out);
}

/* All that can fail is done before the driver has the connections. */
static int attach(struct service *s, struct nbd_kernel_config *config,
		  struct nbd_err *err)
{
	s32 index = service_index(s);
	int ret = nbd_record_draft(s->record, err);

	if (ret)
		return ret;
	ret = connect_device(s, config, err);
	if (ret) {
		nbd_record_discard(index);
		return ret;
	}
	ret = nbd_record_publish(index, err);
	if (ret)
		nbd_kernel_disconnect(&s->device, index, 0, false, NULL);
	return ret;
}

int nbd_serve(struct nbd_record *record, struct nbd_bringup *b,
	      struct nbd_kernel_config *config, FILE *out, struct nbd_err *err)
{
	struct service s = { .record = record, .b = b, .resolved = -1 };
	int ret = nbd_ioctl_open(&s.device, service_index(&s), err);

	if (!ret)
		ret = attach(&s, config, err);
	if (ret) {
		nbd_kernel_close(&s.device);
		return ret;
	}
	print_negotiated(&s, config, out);
	if (record->params.nofork)
		return run_in_foreground(&s, out, err);
	return run_in_background(&s, out, err);
}
