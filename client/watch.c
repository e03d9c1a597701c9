// SPDX-License-Identifier: GPL-2.0
/*
 * One attachment in the monitor's care.
 */
#include <errno.h>
#include <linux/nbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fit.h"
#include "handover.h"
#include "log.h"
#include "retry.h"
#include "store.h"
#include "target.h"
#include "watch.h"

static s32 watch_index(const struct nbd_watch *w)
{
	return w->record.params.index;
}

#define watch_log(w, priority, fmt, ...) \
	nbd_log(priority, "/dev/nbd%d: " fmt, watch_index(w), ##__VA_ARGS__)

static double seconds_since(s64 then)
{
	return (nbd_now_ms() - then) / 1000.0;
}

/* How often the number of records is asked for, at the rate that is seen: twice at least. */
#define LOOK_MIN_MS 200
#define LOOK_MAX_MS 60000
/* Until new connections are tried again, if they could not be had. */
#define RENEW_PAUSE_MS 5000

static bool needs_renewal(const struct nbd_watch *w)
{
	const struct nbd_params *p = &w->record.params;

	return p->tls && !p->tls_for_good && p->reconnect != NBD_RECONNECT_NEVER &&
	       nbd_kernel_knows(w->kernel, NBD_ATTR_REPLACE);
}

/* The connections are new, or known for the first time: none of their records is counted. */
static void count_anew(struct nbd_watch *w)
{
	w->worn = 0;
	w->looked_at = nbd_now_ms();
	w->next_look = needs_renewal(w) ? w->looked_at + LOOK_MIN_MS : NBD_NEVER;
}

/* Where its servers are, if that can be found. */
static void find_place(struct nbd_watch *w)
{
	w->lost.text[0] = '\0';
	nbd_namespaces_open(&w->place, &w->record.namespaces,
			    &w->record.params, &w->lost);
	w->place.owner = w->record.socket_owner;
	w->resolver->place = w->place;
}

static void update_session(struct nbd_watch *w)
{
	find_place(w);
	w->resolver->seconds = w->record.params.connect_timeout;
	w->resolver->nservers = w->record.params.nservers;
	memcpy(w->resolver->servers, w->record.params.servers,
	       sizeof(w->resolver->servers));
	count_anew(w);
}

/* Nothing is done there any more. */
static void leave_place(struct nbd_watch *w)
{
	nbd_resolver_abandon(w->resolver);
	nbd_place_close(&w->place);
}

struct nbd_watch *nbd_watch_new(struct nbd_record *record, u64 file,
				struct nbd_kernel *kernel)
{
	struct nbd_watch *w = calloc(1, sizeof(*w));

	if (w)
		w->resolver = calloc(1, sizeof(*w->resolver));
	if (!w || !w->resolver) {
		free(w);
		nbd_record_free(record);
		return NULL;
	}
	w->record = *record;
	w->file = file;
	w->kernel = kernel;
	w->state = NBD_WATCH_IDLE;
	nbd_outage_withdraw(watch_index(w));	/* an earlier monitor's */
	update_session(w);
	return w;
}

static void end_attempt(struct nbd_watch *w)
{
	if (!w->bringup)
		return;
	nbd_bringup_close(w->bringup);
	free(w->bringup);
	w->bringup = NULL;
}

static void end_outage(struct nbd_watch *w)
{
	if (w->outage)
		nbd_outage_withdraw(watch_index(w));
	free(w->outage);
	w->outage = NULL;
}

/* No attempt is needed, and the next outage begins from nothing. */
static void rest(struct nbd_watch *w)
{
	end_attempt(w);
	w->renewing = false;
	end_outage(w);
	w->relapsed = false;
	w->complaint[0] = '\0';
	nbd_pace_leave(&w->turn);
	w->state = NBD_WATCH_IDLE;
}

void nbd_watch_free(struct nbd_watch *w)
{
	nbd_pace_leave(&w->turn);
	end_attempt(w);
	end_outage(w);
	leave_place(w);
	free(w->resolver);
	nbd_record_free(&w->record);
	free(w);
}

/* What is missing by now the driver will tell. */
void nbd_watch_update(struct nbd_watch *w, struct nbd_record *record, u64 file)
{
	rest(w);
	leave_place(w);
	nbd_record_free(&w->record);
	w->record = *record;
	w->file = file;
	w->dirty = true;
	w->unsaved = false;
	w->stuck = false;
	update_session(w);
}

/* Which one it is, where the driver tells one from the next. */
static void name_attachment(const struct nbd_watch *w,
			    struct nbd_kernel_config *config)
{
	config->index = watch_index(w);
	if (!w->record.session_id)
		return;
	config->set |= NBD_CONFIG_SESSION_ID | NBD_CONFIG_KEEPER;
	config->session_id = w->record.session_id;
	config->keeper = w->record.keeper;
}

/*
 * The attachment is this record's, which the driver has to know; false if that is another's
 * by now, or over.
 */
bool nbd_watch_claim(struct nbd_watch *w)
{
	struct nbd_kernel_config config = {
		.params = &w->record.params,
		.settings = NBD_GIVEN_IDENTIFIER,
	};
	struct nbd_kernel_reply reply;
	struct nbd_err err;
	int ret;

	name_attachment(w, &config);
	if (!w->kernel->sock || !config.keeper || !config.session_id ||
	    !nbd_kernel_knows(w->kernel, NBD_ATTR_KEEPER))
		return true;
	ret = nbd_kernel_reconfigure(w->kernel, &config, &reply, &err);
	if (ret)
		watch_log(w, LOG_WARNING, "%s", err.text);
	return ret != -ESTALE;
}

/* Somebody else's record is newer than what we know, and is read when its event comes. */
static void save_record(struct nbd_watch *w)
{
	struct nbd_err err;
	int ret = nbd_record_update(&w->record, &w->file, &err);

	w->unsaved = ret == -EWOULDBLOCK;
	if (ret && !w->unsaved && ret != -ESTALE)
		watch_log(w, LOG_WARNING, "%s", err.text);
}

/* No more attempts: what waits for a connection shall fail. */
static void give_up(struct nbd_watch *w)
{
	struct nbd_kernel_config config = {
		.set = NBD_CONFIG_DEAD_TIMEOUT,
		.dead_timeout = 0,
	};
	struct nbd_kernel_reply reply;
	struct nbd_err err;

	w->state = NBD_WATCH_GIVEN_UP;
	watch_log(w, LOG_ERR, "gave up after %u attempts to reconnect: I/O fails",
		  w->outage->attempts);
	name_attachment(w, &config);
	if (nbd_kernel_reconfigure(w->kernel, &config, &reply, &err))
		watch_log(w, LOG_ERR, "%s", err.text);
}

/* Nothing new: said again when the outage lasts twice as long as it did then. */
static bool reminder_is_due(const struct nbd_watch *w)
{
	s64 outage = nbd_now_ms() - w->lost_at;

	return outage >= NBD_WATCH_REMIND_MS &&
	       outage >= 2 * (w->complained_at - w->lost_at);
}

static void complain(struct nbd_watch *w, const char *why, bool last)
{
	bool reminder = reminder_is_due(w);
	char duration[32] = "";

	if (!last && !strcmp(w->complaint, why) && !reminder)
		return;
	if (reminder)
		snprintf(duration, sizeof(duration), " for %.0f s",
			 seconds_since(w->lost_at));
	watch_log(w, last ? LOG_ERR : LOG_WARNING, "cannot reconnect%s: %s%s",
		  duration, why, last ? "" : "; trying on");
	snprintf(w->complaint, sizeof(w->complaint), "%s", why);
	w->complained_at = nbd_now_ms();
}

/* What the running attempt has met at each server. */
static void note_servers(struct nbd_watch *w)
{
	struct nbd_outage *o = w->outage;
	unsigned int i;

	for (i = 0; w->bringup && i < NBD_CONNECTIONS_MAX; i++) {
		const struct nbd_link *link = &w->bringup->links[i];

		if (link->state == NBD_LINK_FAILED && link->err.text[0])
			snprintf(o->server[link->address->server], sizeof(o->server[0]),
				 "%.*s", (int)sizeof(o->server[0]) - 1, link->err.text);
	}
}

static bool note_failure(struct nbd_watch *w, const char *why)
{
	struct nbd_outage *o = w->outage;

	if (!o)
		o = calloc(1, sizeof(*o));
	if (!o)
		return false;
	w->outage = o;
	o->monitor = getpid();
	o->session_id = w->record.session_id;
	o->pid = w->record.pid;
	o->attempts++;
	o->since = w->lost_at;
	snprintf(o->why, sizeof(o->why), "%s", why);
	note_servers(w);
	return true;
}

/* Who asks for the status shall know; who does not know it nevertheless is told by the log. */
static void publish_outage(struct nbd_watch *w)
{
	w->outage->next_try = w->next_try;
	w->outage->given_up = w->state == NBD_WATCH_GIVEN_UP;
	nbd_outage_publish(watch_index(w), w->outage);
}

/* The old connections go on, and there is time: the setting leaves some. */
static void renewal_failed(struct nbd_watch *w, const char *why)
{
	watch_log(w, LOG_WARNING, "no new connections with other TLS keys: %s; trying on",
		  why);
	end_attempt(w);
	w->renewing = false;
	w->state = NBD_WATCH_IDLE;
	w->next_look = nbd_now_ms() + RENEW_PAUSE_MS;
}

/* @why may be the text of the attempt itself, which ends here. */
static void attempt_failed(struct nbd_watch *w, const char *why)
{
	unsigned int limit = w->record.params.reconnect_limit;
	bool noted, last;

	if (w->renewing && !w->missing) {
		renewal_failed(w, why);
		return;
	}
	w->renewing = false;
	noted = note_failure(w, why);
	last = limit && noted && w->outage->attempts >= limit;
	complain(w, why, last);
	end_attempt(w);
	w->state = NBD_WATCH_PAUSED;
	w->next_try = nbd_now_ms() +
		      nbd_retry_pause(nbd_now_ms() - w->lost_at);
	if (last)
		give_up(w);
	if (noted)
		publish_outage(w);
}

/* What nbd_targets() has to know. */
static u64 situation(const struct nbd_watch *w)
{
	u64 situation = 0;

	if (w->live || w->unsure)
		situation |= NBD_TARGET_LIVE;
	if (nbd_kernel_knows(w->kernel, NBD_ATTR_REPLACE))
		situation |= NBD_TARGET_MOVABLE;
	if (w->stuck)
		situation |= NBD_TARGET_STUCK;
	if (w->relapsed)
		situation |= NBD_TARGET_RELAPSED;
	return situation;
}

/*
 * All that the device has, if they may have to take the place of those that live. In a crowd
 * each device gets one connection before any gets its second.
 */
static unsigned int links_to_make(const struct nbd_watch *w)
{
	if (w->crowded && !w->live)
		return 1;
	if (w->stuck || w->renewing || (w->live && !nbd_record_knows_address(&w->record)))
		return w->record.nconns;
	return w->missing;
}

static void begin_attempt(struct nbd_watch *w)
{
	if (w->lost.text[0])
		find_place(w);
	if (w->lost.text[0]) {
		attempt_failed(w, w->lost.text);
		return;
	}
	nbd_targets(&w->addresses, &w->record, situation(w));
	if (!w->addresses.n) {
		attempt_failed(w, w->live || w->unsure ?
			       "where the others lead is not known: attach the device anew" :
			       "no address of the server is known yet");
		return;
	}
	w->bringup = calloc(1, sizeof(*w->bringup));
	if (!w->bringup) {
		attempt_failed(w, "out of memory");
		return;
	}
	nbd_bringup_start(w->bringup, NBD_GOAL_GO,
			  nbd_kernel_knows(w->kernel, NBD_ATTR_STRUCTURED), &w->record.params,
			  NULL, &w->addresses, links_to_make(w), &w->place);
	nbd_bringup_reconnect(w->bringup, &w->record, !w->live);
	nbd_bringup_same_disk(w->bringup, &w->record, false);
	if (w->stuck && !w->relapsed)
		nbd_bringup_distrust(w->bringup);
	w->state = NBD_WATCH_CONNECTING;
}

/*
 * A name that means something else by now restarts the attempt, if that has come to
 * nothing yet; with these addresses, for the next answer may be another one again. While
 * connections live it is their address that counts.
 */
static void take_resolved(struct nbd_watch *w)
{
	struct nbd_address_list list;
	bool stale;

	if (!nbd_resolver_take(w->resolver, &list))
		return;
	nbd_address_list_keep(&list, &w->record.addresses,
			      w->record.params.nservers);
	if (nbd_address_list_covers(&list, &w->record.addresses) &&
	    nbd_address_list_covers(&w->record.addresses, &list))
		return;
	w->record.addresses = list;
	save_record(w);
	stale = w->state == NBD_WATCH_CONNECTING && !w->bringup->nlinks &&
		!w->live && !nbd_address_list_covers(&list, &w->addresses);
	if (stale) {
		end_attempt(w);
		begin_attempt(w);
	}
}

/* The new connections lead to where the live ones do, or did. */
static bool stays(const struct nbd_watch *w)
{
	return nbd_record_knows_address(&w->record) &&
	       nbd_address_same(&w->bringup->address, &w->record.in_use);
}

static bool moves(const struct nbd_watch *w)
{
	return w->live && (w->renewing || !stays(w));
}

/* Connections that go to the driver: what is missing, or all of them when they move. */
static unsigned int links_to_use(const struct nbd_watch *w)
{
	unsigned int n = w->bringup->nlinks;

	return moves(w) || n < w->missing ? n : w->missing;
}

static int reconfigure(struct nbd_watch *w, struct nbd_kernel_reply *reply,
		       struct nbd_err *err)
{
	struct nbd_bringup *b = w->bringup;
	struct nbd_kernel_config config = {
		/* A watch that gave up, this one or an earlier monitor's, has changed it. */
		.set = NBD_CONFIG_DEAD_TIMEOUT,
		.dead_timeout = nbd_dead_timeout(w->kernel, &w->record.params),
		.params = &w->record.params,
		.settings = NBD_GIVEN_IDENTIFIER,
	};

	name_attachment(w, &config);
	nbd_fit_again(&config, &w->record, &b->export);
	if (moves(w))
		config.set |= NBD_CONFIG_REPLACE;
	return nbd_hand_over(w->kernel, nbd_kernel_reconfigure, &config, b,
			     links_to_use(w), reply, err);
}

static void attempt_done(struct nbd_watch *w, const struct nbd_kernel_reply *reply)
{
	struct nbd_bringup *b = w->bringup;
	char text[NBD_ADDRESS_TEXT_MAX];
	unsigned int used = reply->sockets_used;
	bool moved = moves(w);

	if (b->finding.note[0])
		watch_log(w, LOG_WARNING, "%s", b->finding.note);
	nbd_address_text(b->links[0].address, text, sizeof(text));
	if (w->renewing)
		watch_log(w, LOG_INFO, "TLS: new keys for %s (%u connections)", text, used);
	else
		watch_log(w, LOG_NOTICE, "reconnected to %s after %.1f s (%u connections)", text,
			  seconds_since(w->lost_at), used);
	if (nbd_grown_size(&w->record, &b->export))
		watch_log(w, LOG_NOTICE, "the export has grown from %llu to %llu bytes",
			  w->record.export.size,
			  b->export.size);
	nbd_record_set_export(&w->record, &b->export);
	w->record.in_use = b->address;
	w->record.moving = false;
	w->unsure = false;
	rest(w);
	save_record(w);
	if (moved) {
		w->live = 0;
		w->missing = w->record.nconns;
	}
	w->live += used;
	w->missing -= used < w->missing ? used : w->missing;
	w->dead_links -= used < w->dead_links ? used : w->dead_links;
	w->stuck = false;
	w->mended_at = nbd_now_ms();
	count_anew(w);
	if (w->missing)
		nbd_watch_lost(w, w->missing, w->live, false);
}

/* Somebody has brought connections to a device that had none. The stock driver cannot tell. */
static bool others_live(const struct nbd_watch *w)
{
	return !w->live && nbd_kernel_live(w->kernel, watch_index(w));
}

/* Another process has written it, and it is not read yet. */
static bool record_is_stale(const struct nbd_watch *w)
{
	u64 file = nbd_record_id(watch_index(w));

	return file && w->file && file != w->file;
}

/* Why the connections cannot be used after all, or NULL. */
static const char *find_obstacle(struct nbd_watch *w)
{
	if (!w->kernel->sock)
		return "the nbd driver does not answer";
	if (moves(w) && w->bringup->nlinks < w->record.nconns)
		return "the other address does not take all connections";
	if (record_is_stale(w) || (!stays(w) && others_live(w))) {
		w->dirty = true;
		return "somebody else has changed the connections meanwhile";
	}
	return NULL;
}

/* Whoever reads the record when we are killed now shall not believe what is not so. */
static void note_target(struct nbd_watch *w)
{
	if (stays(w))
		return;
	w->record.moving = w->live;
	if (!w->live)
		w->record.in_use = w->bringup->address;
	save_record(w);
}

static void reconfigure_failed(struct nbd_watch *w, const char *why)
{
	if (w->record.moving) {
		w->record.moving = false;
		save_record(w);
	}
	attempt_failed(w, why);
}

static void attempt_ready(struct nbd_watch *w)
{
	const char *obstacle = find_obstacle(w);
	struct nbd_kernel_reply reply;
	struct nbd_err err;
	int ret;

	if (obstacle) {
		attempt_failed(w, obstacle);
		return;
	}
	note_target(w);
	ret = reconfigure(w, &reply, &err);
	if (ret == -ESTALE || ret == -ENODEV || ret == -ENOENT) {
		watch_log(w, LOG_NOTICE, "is not watched any more: %s", err.text);
		end_attempt(w);
		w->state = NBD_WATCH_GONE;
	} else if (ret) {
		reconfigure_failed(w, err.text);
	} else {
		attempt_done(w, &reply);
	}
}

/* An attempt at the address in use only, when any would do, or should be compared. */
static bool attempt_is_too_narrow(const struct nbd_watch *w,
				  unsigned int live, bool stuck)
{
	return w->state == NBD_WATCH_CONNECTING && w->live && !w->stuck &&
	       (!live || stuck);
}

void nbd_watch_lost(struct nbd_watch *w, unsigned int missing,
		    unsigned int live, bool timed_out)
{
	bool doubtful = timed_out && w->record.params.nservers > 1 &&
			nbd_kernel_knows(w->kernel, NBD_ATTR_REPLACE);
	bool stuck = w->stuck || doubtful;
	bool too_narrow = attempt_is_too_narrow(w, live, stuck);

	if (missing > w->missing)
		watch_log(w, LOG_WARNING, "%u of %u connections are lost%s%s",
			  missing, missing + live, w->cause[0] ? ": " : "",
			  w->cause);
	w->missing = missing;
	w->live = live;
	w->stuck = stuck && missing;
	if (doubtful)
		w->relapsed |= nbd_server_relapses(w->mended_at, nbd_now_ms(),
						   w->record.params.timeout);
	if (!missing && w->renewing && w->live)
		return;
	if (!missing) {
		rest(w);
		return;
	}
	if (w->record.params.reconnect == NBD_RECONNECT_NEVER ||
	    w->state == NBD_WATCH_GIVEN_UP)
		return;
	if (too_narrow) {
		end_attempt(w);
		w->renewing = false;
	} else if (w->state != NBD_WATCH_IDLE) {
		return;
	}
	w->next_try = nbd_now_ms();
	if (nbd_outage_goes_on(w->mended_at, w->next_try))
		w->next_try += nbd_retry_pause(w->next_try - w->lost_at);
	else if (w->state == NBD_WATCH_IDLE)
		w->lost_at = w->next_try;
	w->state = NBD_WATCH_PAUSED;
}

/* Where the attempt will begin, or did when its addresses were looked at last. */
static const struct nbd_address *first_address(const struct nbd_watch *w)
{
	return w->record.in_use.len ? &w->record.in_use : &w->record.addresses.addr[0];
}

/* In the server's queue: whether the connections may be made now. */
static bool take_turn(struct nbd_watch *w, s64 now)
{
	const struct nbd_address *server = first_address(w);
	struct nbd_turn others = { 0 };
	unsigned int n;
	bool begins;

	w->crowded = false;
	n = links_to_make(w);
	nbd_pace_join(&w->turn, server, w->live ? n : 1, now);
	begins = nbd_pace_begin(&w->turn, now);
	w->crowded = !begins;
	if (begins && !w->live && n > 1) {
		nbd_pace_join(&others, server, n - 1, now);
		w->crowded = !nbd_pace_begin(&others, now);
		nbd_pace_leave(&others);
	}
	return begins;
}

/* The pause is over, and the server is not about to meet too many others. */
static bool may_begin(struct nbd_watch *w)
{
	s64 now;

	if (w->state != NBD_WATCH_PAUSED)
		return false;
	now = nbd_now_ms();
	if (now < w->next_try)
		return false;
	if (!w->turn.server)
		return take_turn(w, now);
	/* Others may have died while it waited, or come. */
	w->turn.n = links_to_make(w);
	return nbd_pace_begin(&w->turn, now);
}

bool nbd_watch_look(struct nbd_watch *w)
{
	s64 now = nbd_now_ms();

	if (w->next_look == NBD_NEVER || now < w->next_look)
		return false;
	w->next_look = now + LOOK_MAX_MS;
	w->looks = true;
	return true;
}

/* All anew, where those that live lead to; they go when the others are there. */
static void renew(struct nbd_watch *w)
{
	w->renewing = true;
	w->next_try = nbd_now_ms();
	w->state = NBD_WATCH_PAUSED;
}

/* When half of the records that are left will have been used, at the rate of late. */
static s64 time_to_look(const struct nbd_watch *w, u64 records)
{
	s64 passed = nbd_now_ms() - w->looked_at, pause = LOOK_MAX_MS;
	u64 used = records > w->worn ? records - w->worn : 0;
	u64 left = w->record.params.tls_renew - records;

	if (used)
		pause = left / 2 * (passed > 0 ? passed : 1) / used;
	if (pause < LOOK_MIN_MS)
		pause = LOOK_MIN_MS;
	return nbd_now_ms() + (pause < LOOK_MAX_MS ? pause : LOOK_MAX_MS);
}

void nbd_watch_worn(struct nbd_watch *w, u64 records)
{
	bool idle = w->state == NBD_WATCH_IDLE && w->live;

	if (!w->looks)
		return;
	w->looks = false;
	if (records < w->record.params.tls_renew)
		w->next_look = time_to_look(w, records);
	else
		w->next_look = nbd_now_ms() + RENEW_PAUSE_MS;
	w->worn = records;
	w->looked_at = nbd_now_ms();
	if (records >= w->record.params.tls_renew && idle)
		renew(w);
}

void nbd_watch_run(struct nbd_watch *w)
{
	if (w->unsaved)
		save_record(w);
	take_resolved(w);
	if (may_begin(w)) {
		begin_attempt(w);
		if (!w->lost.text[0] &&
		    nbd_namespaces_know_files(&w->record.namespaces))
			nbd_resolver_submit(w->resolver);
	}
	if (w->state != NBD_WATCH_CONNECTING)
		return;
	nbd_bringup_run(w->bringup);
	if (w->bringup->state == NBD_BRINGUP_UP)
		attempt_ready(w);
	else if (w->bringup->state == NBD_BRINGUP_FAILED)
		attempt_failed(w, w->bringup->err.text);
}

unsigned int nbd_watch_poll(const struct nbd_watch *w, struct pollfd *pfds,
			    s64 *wake)
{
	unsigned int n = 0;

	*wake = NBD_NEVER;
	if (w->state == NBD_WATCH_PAUSED)
		*wake = w->turn.server ? nbd_pace_when(&w->turn) : w->next_try;
	if (w->state == NBD_WATCH_CONNECTING)
		n = nbd_bringup_poll(w->bringup, pfds, wake);
	*wake = nbd_min_time(*wake, w->next_look);
	if (w->unsaved)
		*wake = nbd_min_time(*wake, nbd_now_ms() + NBD_WATCH_SAVE_MS);
	return n;
}
