/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One attachment in the monitor's care: is told that connections are missing,
 * makes new ones, and hands them to the kernel, if the export fits the device.
 * Never blocks; the monitor's loop calls nbd_watch_run() when something came or
 * the time is up. When it tries again say retry.h, and pace.h where many do.
 */
#ifndef NBD_WATCH_H
#define NBD_WATCH_H

#include <poll.h>

#include "bringup.h"
#include "kernel.h"
#include "outage.h"
#include "pace.h"
#include "record.h"
#include "resolver.h"
#include "util.h"

/* After such an outage its reason is logged again, then after twice that, and so on. */
#define NBD_WATCH_REMIND_MS 30000
/* When a record that somebody else is busy with is tried to write again. */
#define NBD_WATCH_SAVE_MS 100

/** enum nbd_watch_state - what the watch does */
enum nbd_watch_state {
	NBD_WATCH_IDLE,		/* all connections are there */
	NBD_WATCH_PAUSED,	/* waits for the next attempt */
	NBD_WATCH_CONNECTING,	/* an attempt is being made */
	NBD_WATCH_GIVEN_UP,	/* the reconnect limit was reached */
	NBD_WATCH_GONE,		/* the attachment is over: remove the watch */
};

/**
 * struct nbd_watch - one attachment
 * @record:	what is known of it
 * @file:	nbd_record_id() of the file that @record is, or 0
 * @unsaved:	@record has changed since @file
 * @dirty:	the driver announced something; ask it how things are
 * @dead_links:	LINK_DEAD messages of the stock driver, less what was made again
 * @cause:	why the last connection died, as far as the driver says
 * @told:	the driver's state (NBD_STATE_*) that was seen last; a new one is logged
 * @state:	what the watch does
 * @missing:	connections to make
 * @live:	connections that the kernel still has
 * @unsure:	the stock driver may have more connections than @live, to @record's address
 * @stuck:	the server in use seems to be stuck
 * @relapsed:	it is, though it lets clients in
 * @timeouts:	NBD_COUNTER_TIMEDOUT when the driver was last asked
 * @lost_at:	when the outage began, or the last one
 * @mended_at:	when connections were made again last, or 0
 * @next_try:	in NBD_WATCH_PAUSED: when, or when @turn was taken
 * @turn:	its place in the queue of the server, see pace.h
 * @crowded:	it had to wait there, so others wait behind it
 * @renewing:	the running attempt is for TLS connections whose keys have served long enough
 * @worn:	records of the one that has had most, when the driver was last asked
 * @looked_at:	when that was
 * @next_look:	when it is asked again, NBD_NEVER if there is nothing to renew
 * @looks:	it is being asked
 * @outage:	what is published of the attempts that failed, or NULL
 * @complaint:	the last failure that was logged, to log a new one at once
 * @complained_at: when; the same one is logged again at growing intervals
 * @addresses:	what the running attempt tries
 * @bringup:	the running attempt, or NULL
 * @resolver:	asks for the servers' names anew with each attempt, but for one that
 *		begins because of the answer
 * @place:	where its servers are
 * @lost:	why they are nowhere, or empty
 * @kernel:	the driver; owned by the monitor
 * @next:	list of the monitor
 */
struct nbd_watch {
	struct nbd_record record;
	u64 file;
	bool unsaved;
	bool dirty;
	unsigned int dead_links;
	char cause[NBD_CAUSE_MAX];
	u32 told;
	enum nbd_watch_state state;
	unsigned int missing;
	unsigned int live;
	bool unsure;
	bool stuck;
	bool relapsed;
	u64 timeouts;
	s64 lost_at;
	s64 mended_at;
	s64 next_try;
	struct nbd_turn turn;
	bool crowded;
	bool renewing;
	u64 worn;
	s64 looked_at;
	s64 next_look;
	bool looks;
	struct nbd_outage *outage;
	char complaint[NBD_ERR_TEXT_MAX];
	s64 complained_at;
	struct nbd_address_list addresses;
	struct nbd_bringup *bringup;
	struct nbd_resolver_job *resolver;
	struct nbd_place place;
	struct nbd_err lost;
	struct nbd_kernel *kernel;
	struct nbd_watch *next;
};

/* Takes over @record, of @file. NULL without memory; @record is freed then. */
struct nbd_watch *nbd_watch_new(struct nbd_record *record, u64 file,
				struct nbd_kernel *kernel);
void nbd_watch_free(struct nbd_watch *watch);

/*
 * Tells the driver that this process cares for the device from now on. False if the
 * attachment is over, or another's by now.
 */
bool nbd_watch_claim(struct nbd_watch *watch);

/* The record was written again by somebody else: take it over. */
void nbd_watch_update(struct nbd_watch *watch, struct nbd_record *record,
		      u64 file);

/**
 * nbd_watch_lost - connections died
 * @watch:	the attachment
 * @missing:	connections that are to be made
 * @live:	connections that are left
 * @timed_out:	requests were not answered in time since the last call
 *
 * With none missing all is well, also after giving up.
 *
 * While connections live, others are made to the same address only. But a server that lets
 * requests time out seems to be stuck: if another server answers before it does, all
 * connections are moved there. One that was connected to not long ago has answered then,
 * and is asked after the others.
 */
void nbd_watch_lost(struct nbd_watch *watch, unsigned int missing,
		    unsigned int live, bool timed_out);

/*
 * The driver has to be asked now how many records the connections have had: nbd_watch_worn()
 * takes the answer.
 */
bool nbd_watch_look(struct nbd_watch *watch);

/**
 * nbd_watch_worn - so many records have been sent or received
 * @watch:	the attachment
 * @records:	of the connection that has had most
 *
 * Does nothing unless it was asked for. Keys of TLS serve for so many records as the setting
 * says. When they are used up new connections are made and take the place of those that live,
 * which end when all is answered.
 */
void nbd_watch_worn(struct nbd_watch *watch, u64 records);

/* Go on as far as possible. */
void nbd_watch_run(struct nbd_watch *watch);

/* What to poll() for, at most NBD_CONNECTIONS_MAX; returns how many. */
unsigned int nbd_watch_poll(const struct nbd_watch *watch, struct pollfd *pfds,
			    s64 *wake);

#endif /* NBD_WATCH_H */
