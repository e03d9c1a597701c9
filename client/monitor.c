// SPDX-License-Identifier: GPL-2.0
/*
 * The monitor: one process for all attachments of the machine.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "folders.h"
#include "kernel.h"
#include "log.h"
#include "monitor.h"
#include "pace.h"
#include "presence.h"
#include "process.h"
#include "resolver.h"
#include "store.h"
#include "watch.h"

/* Descriptors that are always polled: events, records, signals, resolver. */
#define FIXED_FDS 4
/* Attempts that can be polled at once; more wait for their turn. */
#define POLL_MAX 4096
/* What could not be done, for want of a lock or a descriptor, is tried again then. */
#define AGAIN_MS 200

/**
 * struct early_loss - LINK_DEAD messages of the stock driver before the record came
 * @index:	device
 * @links:	how many; the device may have been attached several times meanwhile
 * @next:	list of the monitor
 */
struct early_loss {
	s32 index;
	unsigned int links;
	struct early_loss *next;
};

/**
 * struct monitor - the whole state
 * @kernel:	the driver; its sock is NULL while it is not loaded
 * @notices:	listens to the driver; NULL likewise
 * @inotify:	on NBD_RUN_DIR
 * @signals:	signalfd
 * @resolved:	readable when the resolver is done with a job
 * @presence:	nbd_presence_claim()'s, or -1 when it is given up
 * @background:	end when nothing is left
 * @lost_notices: ask about every device
 * @unheard:	the stock driver may have said something that was not heard, of devices
 *		whose records come now
 * @reload:	a record could not be read: read all again
 * @quit:	end now
 * @held:	some client is about to need the monitor: look again soon
 * @astray:	the folder of the records is gone, or another one is there
 * @watches:	all attachments
 * @early:	losses of devices that have no record yet
 */
struct monitor {
	struct nbd_kernel kernel;
	struct nl_sock *notices;
	int inotify;
	int signals;
	int resolved;
	int presence;
	bool background;
	bool lost_notices;
	bool unheard;
	bool reload;
	bool quit;
	bool held;
	bool astray;
	struct nbd_watch *watches;
	struct early_loss *early;
};

static struct pollfd pollfds[POLL_MAX];

static struct nbd_watch *find_watch(struct monitor *m, s32 index)
{
	struct nbd_watch *w;

	for (w = m->watches; w; w = w->next)
		if (w->record.params.index == index)
			return w;
	return NULL;
}

static void drop_watch(struct monitor *m, struct nbd_watch *watch)
{
	struct nbd_watch **at = &m->watches;

	while (*at != watch)
		at = &(*at)->next;
	*at = watch->next;
	nbd_watch_free(watch);
}

/* --- the driver --- */

static void close_driver(struct monitor *m)
{
	if (m->notices)
		nbd_notices_close(m->notices);
	m->notices = NULL;
	if (m->kernel.sock)
		nbd_kernel_close(&m->kernel);
}

/* A driver that was loaded anew has new numbers: the old socket is deaf. */
static bool driver_is_the_same(const struct monitor *m)
{
	struct nbd_kernel now;
	bool same;

	if (!m->kernel.sock || nbd_kernel_open(&now, false, NULL))
		return false;
	same = now.family == m->kernel.family && now.group == m->kernel.group;
	nbd_kernel_close(&now);
	return same;
}

static void open_driver(struct monitor *m)
{
	struct nbd_err err;

	if (driver_is_the_same(m))
		return;
	close_driver(m);
	m->lost_notices = true;
	m->unheard = true;
	if (!nbd_kernel_open(&m->kernel, false, &err) &&
	    !nbd_notices_open(&m->kernel, &m->notices, &err))
		return;
	if (m->watches)
		nbd_log(LOG_ERR, "%s", err.text);
}

static bool is_ours(const struct monitor *m)
{
	return nbd_kernel_knows(&m->kernel, NBD_ATTR_SESSION_ID);
}

/* An outage whose event came too early for this watch, or was lost, shows in the status. */
static void log_state(struct nbd_watch *w, u32 state)
{
	if (state == w->told)
		return;
	w->told = state;
	if (state == NBD_STATE_WAITING)
		nbd_log(LOG_WARNING, "/dev/nbd%d: no connection is left, I/O waits",
			w->record.params.index);
	else if (state == NBD_STATE_FAILED)
		nbd_log(LOG_ERR, "/dev/nbd%d: no connection is left, I/O fails",
			w->record.params.index);
}

/* Someone has adopted it, in a place that has a record of its own. */
static void check_keeper(struct nbd_watch *w, u64 keeper)
{
	if (!keeper || keeper == w->record.keeper)
		return;
	nbd_log(LOG_NOTICE, "/dev/nbd%d: another monitor cares for it by now",
		w->record.params.index);
	w->state = NBD_WATCH_GONE;
}

static void handle_event(struct nbd_watch *w, const struct nbd_notice *n)
{
	switch (n->event) {
	case NBD_EVENT_CONN_DEAD:
		memcpy(w->cause, n->cause, sizeof(w->cause));
		w->dirty = true;
		break;
	case NBD_EVENT_DETACHED:
		nbd_log(LOG_INFO, "/dev/nbd%d: detached", n->index);
		w->state = NBD_WATCH_GONE;
		break;
	case NBD_EVENT_KEEPER:
		check_keeper(w, n->keeper);
		break;
	case NBD_EVENT_STATE:
		log_state(w, n->state);
		w->dirty = true;
		break;
	case NBD_EVENT_RESIZED:
		nbd_log(LOG_INFO, "/dev/nbd%d: has %llu bytes now", n->index,
			n->size);
		break;
	}
}

static void note_early_loss(struct monitor *m, s32 index)
{
	struct early_loss *e = m->early;

	while (e && e->index != index)
		e = e->next;
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e) {
			nbd_log(LOG_ERR, "out of memory");
			return;
		}
		e->index = index;
		e->next = m->early;
		m->early = e;
	}
	e->links++;
}

/* Forgets it, and tells how many links they were. */
static unsigned int take_early_loss(struct monitor *m, s32 index)
{
	struct early_loss **at = &m->early, *e;
	unsigned int links;

	while (*at && (*at)->index != index)
		at = &(*at)->next;
	e = *at;
	if (!e)
		return 0;
	links = e->links;
	*at = e->next;
	free(e);
	return links;
}

static void handle_notice(void *arg, const struct nbd_notice *n)
{
	struct monitor *m = arg;
	struct nbd_watch *w = find_watch(m, n->index);

	if (!w) {
		if (n->link_dead && !is_ours(m))
			note_early_loss(m, n->index);
		return;
	}
	if (!n->link_dead) {
		if (n->session_id == w->record.session_id)
			handle_event(w, n);
	} else if (!is_ours(m)) {
		w->dead_links++;
		w->dirty = true;
	}
}

/* The stock driver does not tell how many connections are left. */
static void count_stock(struct nbd_watch *w, const struct nbd_status *s)
{
	unsigned int n = w->record.nconns;
	unsigned int missing = w->dead_links < n ? w->dead_links : n;

	if (s->state == NBD_STATE_FREE || s->pid != w->record.pid)
		w->state = NBD_WATCH_GONE;
	else if (missing)
		nbd_watch_lost(w, missing, n - missing, false);
}

/* Of the connection that has had most of them. */
static u64 most_records(const struct nbd_status *s)
{
	u64 most = 0;
	unsigned int i;

	for (i = 0; i < s->nconns && i < NBD_STATUS_CONNS_MAX; i++)
		if (s->conns[i].live && s->conns[i].tls_records > most)
			most = s->conns[i].tls_records;
	return most;
}

static void count_ours(struct nbd_watch *w, const struct nbd_status *s)
{
	log_state(w, s->state);
	nbd_watch_lost(w, s->nconns - s->nlive, s->nlive,
		       s->counters[NBD_COUNTER_TIMEDOUT] > w->timeouts);
	nbd_watch_worn(w, most_records(s));
}

static void handle_status(void *arg, const struct nbd_status *s)
{
	struct monitor *m = arg;
	struct nbd_watch *w = find_watch(m, s->index);

	if (!w || (!w->dirty && !m->lost_notices))
		return;
	w->dirty = false;
	check_keeper(w, s->keeper);
	if (!s->detailed)
		count_stock(w, s);
	else if (s->session_id != w->record.session_id ||
		 s->state == NBD_STATE_CLOSING)
		w->state = NBD_WATCH_GONE;
	else if (w->state != NBD_WATCH_GONE)
		count_ours(w, s);
	w->timeouts = s->counters[NBD_COUNTER_TIMEDOUT];
}

/* One question for all when messages were lost, otherwise one for each. */
static void ask_status(struct monitor *m)
{
	struct nbd_watch *w;
	struct nbd_err err;

	for (w = m->watches; w; w = w->next)
		w->dirty |= nbd_watch_look(w);
	if (!m->kernel.sock)
		return;
	for (w = m->watches; w && !m->lost_notices; w = w->next)
		if (w->dirty &&
		    nbd_kernel_status(&m->kernel, w->record.params.index,
				      handle_status, m, &err))
			m->lost_notices = true;
	if (!m->lost_notices)
		return;
	for (w = m->watches; w; w = w->next)
		w->dirty = true;
	if (nbd_kernel_status(&m->kernel, -1, handle_status, m, &err)) {
		nbd_log(LOG_ERR, "%s", err.text);
		return;
	}
	m->lost_notices = false;
	for (w = m->watches; w; w = w->next)
		if (w->dirty)	/* the driver does not know it */
			w->state = NBD_WATCH_GONE;
}

/* The stock driver does not tell again. It drops the connections that it does not need. */
static void presume_links_dead(struct monitor *m)
{
	struct nbd_watch *w;

	m->unheard = true;
	for (w = m->watches; w; w = w->next) {
		w->dead_links = w->record.nconns;
		w->unsure = true;
	}
}

static void read_notices(struct monitor *m)
{
	int ret = nbd_notices_read(m->notices, handle_notice, m);

	if (ret)
		m->lost_notices = true;
	if (ret && !is_ours(m))
		presume_links_dead(m);
	if (ret && ret != -ENOBUFS)
		close_driver(m);
}

/* --- the records --- */

static void add_record(struct monitor *m, struct nbd_record *record, u64 file)
{
	struct nbd_watch *w = nbd_watch_new(record, file, &m->kernel);

	if (!w) {
		nbd_log(LOG_ERR, "out of memory");
		return;
	}
	w->next = m->watches;
	m->watches = w;
	w->dirty = true;
	if (!nbd_watch_claim(w))
		w->state = NBD_WATCH_GONE;
	if (w->record.params.systemd_mark)
		nbd_process_mark_for_systemd();
	/*
	 * What died while nobody listened to the stock driver is not known. It
	 * drops the connections that it does not need.
	 */
	w->dead_links = take_early_loss(m, w->record.params.index);
	w->unsure = w->dead_links;
	if (m->unheard && m->kernel.sock && !is_ours(m)) {
		w->dead_links = w->record.nconns;
		w->unsure = true;
	}
}

/* The watch has it as it is, or has written it. */
static bool is_known(const struct nbd_watch *w, u64 file)
{
	return w && w->file == file;
}

static void load_record(void *arg, s32 index)
{
	struct nbd_watch *w = find_watch(arg, index);
	u64 file = nbd_record_id(index);
	struct monitor *m = arg;
	struct nbd_record record;
	struct nbd_err err;
	int ret;

	if (is_known(w, file))
		return;
	ret = nbd_record_read(&record, index, &err);
	if (ret) {
		if (ret != -ENOENT)
			nbd_log(LOG_ERR, "%s", err.text);
		m->reload |= ret != -ENOENT && ret != -EINVAL;
		return;
	}
	if (nbd_record_monitored(&record) && nbd_record_read_credentials(&record, &err))
		nbd_log(LOG_ERR, "/dev/nbd%d: %s", index, err.text);
	if (!nbd_record_monitored(&record)) {
		take_early_loss(m, index);
		nbd_record_free(&record);
	} else if (w && w->record.session_id == record.session_id &&
		   record.session_id) {
		nbd_watch_update(w, &record, file);
		if (!nbd_watch_claim(w))
			w->state = NBD_WATCH_GONE;
	} else {
		if (w)
			drop_watch(m, w);
		add_record(m, &record, file);
	}
}

static void load_records(struct monitor *m)
{
	m->reload = false;
	nbd_record_list(load_record, m);
}

static void forget_record(struct monitor *m, s32 index)
{
	struct nbd_watch *w = find_watch(m, index);

	if (w && !nbd_record_id(index))
		w->state = NBD_WATCH_GONE;
}

static void handle_inotify(struct monitor *m, const struct inotify_event *e)
{
	s32 index;

	if (e->mask & IN_Q_OVERFLOW) {
		load_records(m);
		return;
	}
	m->astray |= !!(e->mask & (IN_IGNORED | IN_MOVE_SELF | IN_DELETE_SELF));
	index = e->len ? nbd_record_index(e->name) : -1;
	if (index < 0)
		return;
	if (e->mask & IN_DELETE) {
		forget_record(m, index);
	} else if (!is_known(find_watch(m, index), nbd_record_id(index))) {
		open_driver(m);
		load_record(m, index);
	}
}

static void read_inotify(struct monitor *m)
{
	char buf[4096] __aligned(8);
	const struct inotify_event *e;
	ssize_t len, at;

	while ((len = read(m->inotify, buf, sizeof(buf))) > 0) {
		for (at = 0; at < len; at += sizeof(*e) + e->len) {
			e = (const void *)(buf + at);
			handle_inotify(m, e);
		}
	}
	m->unheard = false;
}

/* --- the life of the process --- */

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int open_descriptors(struct monitor *m, struct nbd_err *err)
{
	m->signals = open_signals();
	m->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (m->signals < 0 || m->inotify < 0 ||
	    inotify_add_watch(m->inotify, NBD_RUN_DIR,
			      IN_MOVED_TO | IN_DELETE | IN_MOVE_SELF) < 0)
		return nbd_fail(err, NBD_EXIT_FAILURE, errno,
				"cannot watch %s: %s", NBD_RUN_DIR,
				strerror(errno));
	nbd_resolver_warm_up();
	m->resolved = nbd_resolver_start(err);
	return m->resolved < 0 ? m->resolved : 0;
}

/* One whose record cannot be removed now stays, to be tried again. */
static void sweep_watches(struct monitor *m)
{
	struct nbd_watch *w, *next;

	for (w = m->watches; w; w = next) {
		next = w->next;
		if (w->state != NBD_WATCH_GONE)
			continue;
		nbd_pace_leave(&w->turn);
		if (nbd_record_remove_file(w->record.params.index, w->file))
			drop_watch(m, w);
	}
}

/* With the lock, no client can add a record that nobody would watch. Waits for nobody. */
static bool may_end(struct monitor *m)
{
	bool idle;
	int lock;

	m->held = false;
	if (!m->background || m->watches)
		return false;
	lock = nbd_presence_try_end();
	m->held = lock == -EWOULDBLOCK;
	if (m->held)
		return false;
	idle = !nbd_records_monitored();
	if (idle) {
		nbd_presence_end(m->presence);
		m->presence = -1;
	}
	if (lock >= 0)
		close(lock);
	return idle;
}

static unsigned int collect_poll(struct monitor *m, s64 *wake)
{
	unsigned int n = FIXED_FDS;
	struct nbd_watch *w;
	s64 when;

	pollfds[0].fd = m->notices ? nbd_notices_fd(m->notices) : -1;
	pollfds[1].fd = m->inotify;
	pollfds[2].fd = m->signals;
	pollfds[3].fd = m->resolved;
	*wake = m->reload || m->held ? nbd_now_ms() + AGAIN_MS : NBD_NEVER;
	for (w = m->watches; w; w = w->next) {
		if (n + NBD_CONNECTIONS_MAX > POLL_MAX)
			break;
		n += nbd_watch_poll(w, pollfds + n, &when);
		if (w->state == NBD_WATCH_GONE)
			when = nbd_now_ms() + AGAIN_MS;
		*wake = nbd_min_time(*wake, when);
	}
	return n;
}

static void loop_once(struct monitor *m)
{
	struct nbd_watch *w;
	unsigned int n;
	s64 wake;

	ask_status(m);
	for (w = m->watches; w; w = w->next)
		if (w->state != NBD_WATCH_GONE)
			nbd_watch_run(w);
	sweep_watches(m);
	if (may_end(m)) {
		m->quit = true;
		return;
	}
	n = collect_poll(m, &wake);
	if (poll(pollfds, n, nbd_poll_timeout(wake)) < 0)
		return;
	if (m->reload)
		load_records(m);
	if (pollfds[0].revents)
		read_notices(m);
	if (pollfds[1].revents)
		read_inotify(m);
	if (pollfds[2].revents)
		m->quit = true;
	if (pollfds[3].revents)
		nbd_resolver_run();
}

static void prepare_poll(void)
{
	unsigned int i;

	for (i = 0; i < FIXED_FDS; i++)
		pollfds[i].events = POLLIN;
	srandom(getpid() ^ nbd_now_ms());
}

/* Everything up to the point where nothing will be missed. */
static int start(struct monitor *m, struct nbd_err *err)
{
	int ret;

	nbd_namespaces_settle();
	/* It may have been started in the initramfs, and must outlive that. */
	nbd_folders_keep();
	ret = nbd_rundir_make(err);
	if (ret)
		return ret;
	m->presence = nbd_presence_claim(!m->background, err);
	if (m->presence < 0)
		return m->presence;
	ret = nbd_namespaces_announce(err);
	if (ret)
		return ret;
	/* Before any thread is made: it inherits this. */
	nbd_process_survive_memory_pressure();
	nbd_process_allow_descriptors();
	ret = open_descriptors(m, err);
	if (ret)
		return ret;
	prepare_poll();
	open_driver(m);
	load_records(m);
	m->unheard = false;
	nbd_presence_at_work(m->presence);
	return 0;
}

int nbd_monitor_run(bool background, struct nbd_err *err)
{
	struct monitor m = {
		.background = background,
		.presence = -1,
	};
	int ret;

	nbd_log_open(!background);
	ret = start(&m, err);
	if (ret && background && ret != -EEXIST)
		dprintf(NBD_MONITOR_READY_FD, "%s", err->text);
	if (background)
		close(NBD_MONITOR_READY_FD);
	if (ret)
		return ret;
	while (!m.quit && !m.astray)
		loop_once(&m);
	close_driver(&m);
	while (m.watches)
		drop_watch(&m, m.watches);
	if (m.presence >= 0)
		nbd_presence_end(m.presence);
	if (m.quit)
		return 0;
	ret = nbd_fail(err, NBD_EXIT_FAILURE, ENOENT,
		       "%s was removed while the monitor ran, which ends: devices are not reconnected until they are adopted with nbd-client -replace SERVER DEVICE",
		       NBD_RUN_DIR);
	nbd_log(LOG_ERR, "%s", err->text);
	return ret;
}
