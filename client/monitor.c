// SPDX-License-Identifier: GPL-2.0
/*
 * The monitor: one process for all attachments of the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "folders.h"
#include "kernel.h"
#include "log.h"
#include "monitor.h"
#include "process.h"
#include "resolver.h"
#include "store.h"
#include "watch.h"

#define LOCK_NAME ".monitor"
#define LOCK_FILE NBD_RUN_DIR "/" LOCK_NAME
/* Its PID for those who may not open that one, who see in LOCKS whether it is held. */
#define LOCKS "/proc/locks"
#define PID_NAME "monitor.pid"
#define PID_FILE NBD_RUN_DIR "/" PID_NAME
/* Clients that are about to need a monitor share it; a monitor that ends has it alone. */
#define LIFE_NAME ".lock"
/* Held by the client that starts the monitor. */
#define START_NAME ".start"
/*
 * The background monitor closes it when it is at work; before that, it may
 * have written why it gives up.
 */
#define READY_FD 3
#define START_WAIT_MS 30000
/* How long systemd may take to start the service, and how often that is looked at. */
#define SERVICE_WAIT_MS 5000
#define SERVICE_LOOK_MS 20
/* How long another client may take to start it: both. How often that is looked at. */
#define STARTER_WAIT_MS (START_WAIT_MS + SERVICE_WAIT_MS)
#define STARTER_LOOK_MS 1000
/* How long a detaching client waits for an idle monitor to end. */
#define IDLE_WAIT_MS 2000
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
 * @lock:	held while the monitor runs
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
	int lock;
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

static void count_ours(struct nbd_watch *w, const struct nbd_status *s)
{
	log_state(w, s->state);
	nbd_watch_lost(w, s->nconns - s->nlive, s->nlive,
		       s->counters[NBD_COUNTER_TIMEDOUT] > w->timeouts);
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
static void suspect_stock_links(struct monitor *m)
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
		suspect_stock_links(m);
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

static void load_record(void *arg, s32 index)
{
	struct nbd_watch *w = find_watch(arg, index);
	u64 file = nbd_record_id(index);
	struct monitor *m = arg;
	struct nbd_record record;
	struct nbd_err err;
	int ret;

	if (w && w->file == file)
		return;
	ret = nbd_record_read(&record, index, &err);
	if (ret) {
		if (ret != -ENOENT)
			nbd_log(LOG_ERR, "%s", err.text);
		m->reload |= ret != -ENOENT && ret != -EINVAL;
		return;
	}
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
	} else {
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

/*
 * The bytes of the lock's file that a monitor locks: the first one while it is there, the
 * second while it is at work. One of the release before locks the whole file.
 */
enum { IS_THERE, IS_AT_WORK };

static struct flock lock_of_byte(int byte)
{
	return (struct flock){
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = byte,
		.l_len = 1,
	};
}

static void write_pid(void)
{
	struct nbd_err err;
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", getpid());
	int fd = nbd_rundir_create_file(PID_NAME, 0644, &err);

	if (fd < 0)
		nbd_log(LOG_WARNING, "%s", err.text);
	else if (ftruncate(fd, 0) || write(fd, text, len) != len)
		nbd_log(LOG_WARNING, "%s: %s", PID_FILE, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Before the lock is given back: then the file is another monitor's. */
static void remove_pid(void)
{
	const char *path = PID_FILE;
	int folder = nbd_folder_of(&path);

	unlinkat(folder, path, 0);
}

/*
 * While another monitor runs, a second one in the background is not needed: -EEXIST. One in
 * the foreground waits, so that a service manager has its own when the other ends. The
 * file is root's alone: whoever can read it could take a lock of the other kind, and no
 * monitor would start.
 */
static int take_lock(struct monitor *m, struct nbd_err *err)
{
	struct flock lock = lock_of_byte(IS_THERE);
	char text[16];
	int len;

	m->lock = nbd_rundir_create_file(LOCK_NAME, 0600, err);
	if (m->lock < 0)
		return m->lock;
	if (fcntl(m->lock, F_OFD_SETLK, &lock)) {
		if (m->background)
			return nbd_fail(err, NBD_EXIT_BUSY, EEXIST,
					"a monitor is running already");
		nbd_log(LOG_NOTICE, "a monitor is running already: waiting for its end");
		while (fcntl(m->lock, F_OFD_SETLKW, &lock))
			if (errno != EINTR)
				return nbd_fail(err, nbd_exit_of_errno(errno),
						errno, "%s: %s", LOCK_FILE,
						strerror(errno));
	}
	len = snprintf(text, sizeof(text), "%d\n", getpid());
	if (ftruncate(m->lock, 0) || pwrite(m->lock, text, len, 0) != len)
		nbd_log(LOG_WARNING, "%s: %s", LOCK_FILE, strerror(errno));
	write_pid();
	return 0;
}

static void begin_work(const struct monitor *m)
{
	struct flock lock = lock_of_byte(IS_AT_WORK);

	if (fcntl(m->lock, F_OFD_SETLK, &lock))
		nbd_log(LOG_WARNING, "%s: %s", LOCK_FILE, strerror(errno));
}

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
		if (w->state == NBD_WATCH_GONE &&
		    nbd_record_remove_file(w->record.params.index, w->file))
			drop_watch(m, w);
	}
}

static void count_concern(void *arg, s32 index)
{
	struct nbd_record record;

	if (nbd_record_read(&record, index, NULL))
		return;
	*(unsigned int *)arg += nbd_record_monitored(&record);
	nbd_record_free(&record);
}

/* With the lock, no client can add a record that nobody would watch. Waits for nobody. */
static bool may_end(struct monitor *m)
{
	unsigned int concerns = 0;
	int lock;

	m->held = false;
	if (!m->background || m->watches)
		return false;
	lock = nbd_rundir_lock(LIFE_NAME, LOCK_EX, NBD_LOCK_TRY, NULL);
	m->held = lock == -EWOULDBLOCK;
	if (m->held)
		return false;
	nbd_record_list(count_concern, &concerns);
	if (!concerns) {
		remove_pid();
		close(m->lock);
		m->lock = -1;
	}
	if (lock >= 0)
		close(lock);
	return !concerns;
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
	if (!ret)
		ret = take_lock(m, err);
	if (!ret)
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
	begin_work(m);
	return 0;
}

int nbd_monitor_run(bool background, struct nbd_err *err)
{
	struct monitor m = {
		.background = background,
		.lock = -1,
	};
	int ret;

	nbd_log_open(!background);
	ret = start(&m, err);
	if (ret && background && ret != -EEXIST)
		dprintf(READY_FD, "%s", err->text);
	if (background)
		close(READY_FD);
	if (ret)
		return ret;
	while (!m.quit && !m.astray)
		loop_once(&m);
	close_driver(&m);
	while (m.watches)
		drop_watch(&m, m.watches);
	if (m.lock >= 0)
		remove_pid();
	if (m.quit)
		return 0;
	ret = nbd_fail(err, NBD_EXIT_FAILURE, ENOENT,
		       "%s was removed while the monitor ran, which ends: devices are not reconnected until they are adopted with nbd-client -replace SERVER DEVICE",
		       NBD_RUN_DIR);
	nbd_log(LOG_ERR, "%s", err->text);
	return ret;
}

/* --- for the other actions of nbd-client --- */

/* What everybody may know. */
static bool lock_is_held(void)
{
	FILE *file = fopen(LOCKS, "re");
	unsigned int dev_major, dev_minor;
	unsigned long long inode;
	struct stat st;
	bool held = false;
	char line[128];

	if (!file)
		return false;
	if (stat(LOCK_FILE, &st))
		st.st_ino = 0;
	while (st.st_ino && !held && fgets(line, sizeof(line), file))
		held = sscanf(line, "%*u: OFDLCK %*s WRITE %*d %x:%x:%llu",
			      &dev_major, &dev_minor, &inode) == 3 &&
		       dev_major == major(st.st_dev) &&
		       dev_minor == minor(st.st_dev) && inode == st.st_ino;
	fclose(file);
	return held;
}

/* A monitor has locked that byte; -errno if that cannot be seen. */
static int has_locked(int byte)
{
	struct flock lock = lock_of_byte(byte);
	int fd = nbd_rundir_open_file(LOCK_NAME, NULL);
	int ret;

	if (fd < 0)
		return fd;
	ret = !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
	close(fd);
	return ret;
}

bool nbd_monitor_runs(void)
{
	int ret = has_locked(IS_THERE);

	return ret == -EACCES ? lock_is_held() : ret > 0;
}

/* Until one that is there is at work. */
static bool gets_to_work(s64 until)
{
	while (has_locked(IS_AT_WORK) <= 0) {
		if (!nbd_monitor_runs() || nbd_now_ms() >= until)
			return false;
		poll(NULL, 0, SERVICE_LOOK_MS);
	}
	return true;
}

int nbd_monitor_hold(struct nbd_err *err)
{
	return nbd_rundir_lock(LIFE_NAME, LOCK_SH, NBD_LOCK_WAIT_MS, err);
}

pid_t nbd_monitor_pid(void)
{
	FILE *file;
	int pid = 0;

	if (!nbd_monitor_runs())
		return 0;
	file = fopen(PID_FILE, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%d", &pid) != 1 || pid <= 0)
		pid = -1;
	fclose(file);
	return pid;
}

/*
 * In the child. Nothing of the caller's must be kept open or be waited for, but
 * @ready, which the monitor closes when it is at work.
 */
static void __noreturn exec_monitor(bool systemd_mark, int ready)
{
	char name[] = "nbd-client";
	char *const argv[] = { name, "-monitor", "-background", NULL };
	int exe = open("/proc/self/exe", O_RDONLY);
	int null = open("/dev/null", O_RDWR);

	if (systemd_mark)
		name[0] = '@';
	if (setsid() < 0 || fork() || chdir("/"))
		_exit(0);
	exe = fcntl(exe, F_DUPFD_CLOEXEC, 10);
	dup2(ready, READY_FD);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	close_range(READY_FD + 1, exe - 1, 0);
	close_range(exe + 1, ~0U, 0);
	fexecve(exe, argv, environ);
	_exit(1);
}

/*
 * wait_for_monitor - until the one that was started is at work, or ends
 * @ready:	what comes from its READY_FD
 */
static int wait_for_monitor(int ready, struct nbd_err *err)
{
	struct pollfd pfd = { .fd = ready, .events = POLLIN };
	s64 until = nbd_now_ms() + START_WAIT_MS;
	char why[NBD_ERR_TEXT_MAX];
	ssize_t len = 0;

	if (poll(&pfd, 1, START_WAIT_MS) > 0)
		len = read(ready, why, sizeof(why) - 1);
	else
		len = snprintf(why, sizeof(why), "no sign of it for %d seconds",
			       START_WAIT_MS / 1000);
	if (gets_to_work(until))
		return 0;
	if (len <= 0)
		len = snprintf(why, sizeof(why), "it ended at once");
	why[len] = 0;
	return nbd_fail(err, NBD_EXIT_FAILURE, EIO,
			"the monitor, which would reconnect the device, does not start: %s",
			why);
}

static void __noreturn exec_systemctl(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execlp("systemctl", "systemctl", "--no-block", "start",
	       "nbd-monitor.service", NULL);
	_exit(1);
}

/* Whether @child ends with status 0, and soon. */
static bool succeeds(pid_t child)
{
	struct pollfd pfd = { .events = POLLIN };
	int status = 1;

	pfd.fd = syscall(SYS_pidfd_open, child, 0);
	if (pfd.fd < 0 || poll(&pfd, 1, SERVICE_WAIT_MS) <= 0)
		kill(child, SIGKILL);
	if (pfd.fd >= 0)
		close(pfd.fd);
	waitpid(child, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/*
 * A child of ours would be part of the unit that attached the first device, and be ended
 * with that, whatever others rely on it. So systemd is asked first; it may have no such
 * unit, or be busy starting or stopping the machine.
 */
static bool start_service(void)
{
	s64 until = nbd_now_ms() + SERVICE_WAIT_MS;
	pid_t child;

	if (access("/run/systemd/system", F_OK))
		return false;
	child = fork();
	if (!child)
		exec_systemctl();
	if (child < 0 || !succeeds(child))
		return false;
	while (!nbd_monitor_runs() && nbd_now_ms() < until)
		poll(NULL, 0, SERVICE_LOOK_MS);
	return gets_to_work(until);
}

static int start_monitor(bool systemd_mark, struct nbd_err *err)
{
	int pipes[2], ret;
	pid_t child;

	/* Another client has started it, or a service manager. */
	if (gets_to_work(nbd_now_ms() + START_WAIT_MS))
		return 0;
	/* The mark is for a monitor that outlives systemd's units. */
	if (!systemd_mark && start_service())
		return 0;
	if (pipe2(pipes, O_CLOEXEC))
		return nbd_fail(err, NBD_EXIT_FAILURE, errno,
				"cannot make a pipe: %s", strerror(errno));
	child = fork();
	if (!child)
		exec_monitor(systemd_mark, pipes[1]);
	close(pipes[1]);
	if (child > 0) {
		waitpid(child, NULL, 0);
		ret = wait_for_monitor(pipes[0], err);
	} else {
		ret = nbd_fail(err, NBD_EXIT_FAILURE, errno,
			       "cannot make a process: %s", strerror(errno));
	}
	close(pipes[0]);
	return ret;
}

int nbd_monitor_ensure(bool systemd_mark, struct nbd_err *err)
{
	s64 until = nbd_now_ms() + STARTER_WAIT_MS;
	int lock, ret;

	do {
		if (has_locked(IS_AT_WORK) > 0)
			return 0;
		lock = nbd_rundir_lock(START_NAME, LOCK_EX, STARTER_LOOK_MS, err);
	} while (lock == -ETIMEDOUT && nbd_now_ms() < until);
	if (lock < 0)
		return lock;
	ret = start_monitor(systemd_mark, err);
	close(lock);
	return ret;
}

void nbd_monitor_wait_idle(void)
{
	struct pollfd pfd = { .events = POLLIN };
	unsigned int concerns = 0;
	FILE *file;
	int pid;

	nbd_record_list(count_concern, &concerns);
	if (concerns || !nbd_monitor_runs())
		return;
	file = fopen(LOCK_FILE, "re");
	if (!file)
		return;
	if (fscanf(file, "%d", &pid) == 1) {
		pfd.fd = syscall(SYS_pidfd_open, pid, 0);
		if (pfd.fd >= 0 && nbd_monitor_runs())
			poll(&pfd, 1, IDLE_WAIT_MS);
		if (pfd.fd >= 0)
			close(pfd.fd);
	}
	fclose(file);
}
