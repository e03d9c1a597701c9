/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One connection to one address of a server, from socket() to the end of the
 * handshake, without ever blocking. A link that failed is started again or
 * thrown away; one that is up gives its socket to the kernel.
 */
#ifndef NBD_LINK_H
#define NBD_LINK_H

#include <linux/nbd-netlink.h>
#include <poll.h>

#include "address.h"
#include "check.h"
#include "helper.h"
#include "negotiate.h"
#include "util.h"

struct nbd_tls;

/** enum nbd_link_state - what the link waits for */
enum nbd_link_state {
	NBD_LINK_IDLE,		/* not started */
	NBD_LINK_ELSEWHERE,	/* a process that connects in another mount namespace */
	NBD_LINK_CONNECTING,	/* connect() is under way */
	NBD_LINK_RETRY,		/* Unix socket with a full backlog: a moment */
	NBD_LINK_HANDSHAKE,	/* the server */
	NBD_LINK_CHECK,		/* what identifies the disk; UP before and after */
	NBD_LINK_UP,		/* socket and export are ready */
	NBD_LINK_FAILED,	/* err says why */
};

/**
 * struct nbd_link - one connection in the making
 * @state:	where it stands
 * @fd:		its socket, owned by the link; -1 for none
 * @address:	where it goes; points into the caller's list
 * @deadline:	when it fails, on nbd_now_ms()'s clock
 * @retry_at:	in NBD_LINK_RETRY: when to try again
 * @err:	why it failed
 * @peer:	user that serves the Unix socket, once connected; 0 for other sockets
 * @hs:		the handshake
 * @secrets:	of the keys of TLS, once up; zeroes without
 * @check:	in NBD_LINK_CHECK: what is under way
 * @finding:	what it has come to
 *
 * The rest is private to link.c.
 */
struct nbd_link {
	enum nbd_link_state state;
	int fd;
	const struct nbd_address *address;
	s64 deadline;
	s64 retry_at;
	struct nbd_err err;
	u32 peer;
	struct nbd_handshake hs;
	struct nbd_tls_secrets secrets;
	struct nbd_check *check;
	struct nbd_finding finding;

	const struct nbd_params *params;
	struct nbd_listing *listing;
	enum nbd_goal goal;
	bool structured;
	const struct nbd_place *place;
	struct nbd_helper helper;
	bool without_go;
	struct nbd_socket_transport transport;
	struct nbd_tls *tls;
};

/**
 * nbd_link_start - begin to connect
 * @link:	not in use
 * @goal:	what the handshake is for
 * @structured:	ask for structured replies; @hs tells whether they were agreed on
 * @params:	must outlive the link
 * @listing:	for NBD_GOAL_LIST and NBD_GOAL_INFO
 * @address:	where to; must outlive the link
 * @place:	where to connect from; must outlive the link
 * @deadline:	when to give up
 */
void nbd_link_start(struct nbd_link *link, enum nbd_goal goal, bool structured,
		    const struct nbd_params *params,
		    struct nbd_listing *listing,
		    const struct nbd_address *address,
		    const struct nbd_place *place, s64 deadline);

/**
 * nbd_link_check - is it the disk that the device had?
 * @link:	up
 * @record:	the attachment; not used after this
 * @overrule:	another one is welcome, too
 *
 * Return: true if there is nothing to compare; else the link is busy again, and up or failed
 * in the end, or has failed.
 */
bool nbd_link_check(struct nbd_link *link, const struct nbd_record *record,
		    bool overrule);

/* Go on as far as possible without blocking. */
void nbd_link_run(struct nbd_link *link);

/* The link is neither up nor failed. */
bool nbd_link_busy(const struct nbd_link *link);

/* What to poll() for; fd -1 when only the clock matters. */
struct pollfd nbd_link_poll(const struct nbd_link *link);

/* When nbd_link_run() must be called even if nothing came. */
s64 nbd_link_wake(const struct nbd_link *link);

/*
 * Close the socket, if the link still has one. A server that was ready for
 * requests is told goodbye.
 */
void nbd_link_close(struct nbd_link *link);

/* The kernel has the socket now: drop ours without a word to the server. */
void nbd_link_hand_over(struct nbd_link *link);

#endif /* NBD_LINK_H */
