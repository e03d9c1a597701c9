/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All connections of one attachment, brought up without blocking.
 *
 * First a race: every address of a server gets a link, one after the other
 * with a head start, and the first that ends its handshake, and has the export
 * and the disk that are wanted, wins; the next server's turn comes when all
 * addresses of those before it have failed. Then
 * the others that are wanted are made to the winner's address and no other, and
 * what they report must be the same export. The same code serves the first attach
 * (nbd_bringup_wait) and the monitor's reconnects (in its poll loop).
 */
#ifndef NBD_BRINGUP_H
#define NBD_BRINGUP_H

#include "link.h"
#include "util.h"

struct nbd_record;

/* Let nbd_bringup choose the number of connections. */
#define NBD_CONNECTIONS_AUTO 0

/** enum nbd_bringup_state - where it stands */
enum nbd_bringup_state {
	NBD_BRINGUP_RACE,	/* links to different addresses of a server compete */
	NBD_BRINGUP_FILL,	/* more connections to the winner */
	NBD_BRINGUP_UP,		/* all there */
	NBD_BRINGUP_FAILED,	/* err says why */
};

/**
 * struct nbd_bringup - connections in the making
 * @state:	where it stands
 * @err:	why it failed
 * @export:	in NBD_BRINGUP_UP: what the server offers
 * @nlinks:	in NBD_BRINGUP_UP: connections, in links[0..@nlinks - 1]
 * @links:	the connections; hand over or close
 * @address:	in NBD_BRINGUP_UP: where all of them lead
 * @finding:	in NBD_BRINGUP_UP: what its disk has as identity, if that was looked at
 *
 * The rest is private to bringup.c.
 */
struct nbd_bringup {
	enum nbd_bringup_state state;
	struct nbd_err err;
	struct nbd_export export;
	unsigned int nlinks;
	struct nbd_link links[NBD_CONNECTIONS_MAX];
	struct nbd_address address;
	struct nbd_finding finding;

	const struct nbd_params *params;
	struct nbd_listing *listing;
	const struct nbd_address_list *list;
	enum nbd_goal goal;
	bool structured;
	const struct nbd_record *record;
	const struct nbd_record *disk;
	bool overrule;
	bool urgent;
	bool distrust;
	const struct nbd_place *place;
	unsigned int wanted;
	unsigned int next_address;
	s64 next_start;
};

/**
 * nbd_bringup_start - begin
 * @b:		not in use
 * @goal:	NBD_GOAL_GO, or another one with one connection
 * @structured:	ask for structured replies: whoever gets the connections reads them
 * @params:	must outlive @b
 * @listing:	for NBD_GOAL_LIST and NBD_GOAL_INFO
 * @list:	addresses, at least one; must outlive @b
 * @wanted:	connections, or NBD_CONNECTIONS_AUTO
 * @place:	where to connect from; must outlive @b
 */
void nbd_bringup_start(struct nbd_bringup *b, enum nbd_goal goal, bool structured,
		       const struct nbd_params *params,
		       struct nbd_listing *listing,
		       const struct nbd_address_list *list,
		       unsigned int wanted, const struct nbd_place *place);

/**
 * nbd_bringup_reconnect - the connections are for an attachment that lost some
 * @b:		just started
 * @record:	the attachment, which the export must fit; must outlive @b
 * @urgent:	it has no connection left: do not wait long for the last ones
 *
 * A server whose export does not fit loses the race. Of several connections
 * those are enough that can be had.
 */
void nbd_bringup_reconnect(struct nbd_bringup *b,
			   const struct nbd_record *record, bool urgent);

/*
 * The first server of the list has left requests unanswered for long: it is asked first, but
 * the others are raced against it. Call after nbd_bringup_start().
 */
void nbd_bringup_distrust(struct nbd_bringup *b);

/**
 * nbd_bringup_same_disk - the server must have the disk of an attachment
 * @b:		just started
 * @record:	the attachment; must outlive @b
 * @overrule:	another disk is accepted, and what it has is found out
 *
 * The connection that is about to win the race is looked at (check.h), and loses it if the
 * disk is another one. All others go to the same address.
 */
void nbd_bringup_same_disk(struct nbd_bringup *b,
			   const struct nbd_record *record, bool overrule);

/* Go on as far as possible without blocking. */
void nbd_bringup_run(struct nbd_bringup *b);

/* Neither up nor failed. */
bool nbd_bringup_busy(const struct nbd_bringup *b);

/*
 * Fills @pfds, at most NBD_CONNECTIONS_MAX, with what to poll() for; returns
 * how many. *@wake is when nbd_bringup_run() must be called at the latest.
 */
unsigned int nbd_bringup_poll(const struct nbd_bringup *b,
			      struct pollfd *pfds, s64 *wake);

/*
 * After NBD_BRINGUP_FAILED: a failure, of whichever address, that may pass, so that another
 * attempt may succeed; NULL if there is none.
 */
const struct nbd_err *nbd_bringup_passing(const struct nbd_bringup *b);

/* Blocks until it is up or failed; 0 or a negative errno with @b->err. */
int nbd_bringup_wait(struct nbd_bringup *b);

/**
 * nbd_bring_up - connections for a device, for those who may wait
 * @b:		not in use; nbd_bringup_close() it when it was up
 * @structured:	as nbd_bringup_start()
 * @params:	of the attachment; must outlive @b
 * @list:	addresses, at least one; must outlive @b
 * @place:	where to connect from; must outlive @b
 * @disk:	attachment whose disk it must be, or NULL for a device that has none yet
 * @err:	why it failed
 *
 * Return: 0 when it is up, or a negative errno.
 */
int nbd_bring_up(struct nbd_bringup *b, bool structured,
		 const struct nbd_params *params,
		 const struct nbd_address_list *list,
		 const struct nbd_place *place,
		 const struct nbd_record *disk, struct nbd_err *err);

/* Closes every socket that is still owned. */
void nbd_bringup_close(struct nbd_bringup *b);

#endif /* NBD_BRINGUP_H */
