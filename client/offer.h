/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a server offers, found out without attaching anything: neither a device nor the
 * driver is needed, nor root.
 */
#ifndef NBD_OFFER_H
#define NBD_OFFER_H

#include "error.h"
#include "model.h"
#include "negotiate.h"

/* More text than that is no list of exports. */
#define NBD_OFFER_TEXT_MAX	(16 << 20)

/**
 * struct nbd_offered - one export
 * @name, @name_len: its name, any bytes, and a NUL behind them
 * @text, @text_len: the server's description of it, in the same way
 * @known:	@export is valid
 * @export:	what it is
 * @refusal:	why the server does not tell, or NULL
 */
struct nbd_offered {
	char *name;
	size_t name_len;
	char *text;
	size_t text_len;
	bool known;
	struct nbd_export export;
	char *refusal;
};

/**
 * struct nbd_offer - what a server offers
 * @server:	its address, printable
 * @fixed:	fixed newstyle, or plain
 * @tls:	it was asked over TLS
 * @structured:	it agreed on structured replies; of NBD_GOAL_INFO only
 * @exports:	in the order of the server
 * @n:		how many
 *
 * The rest is private to offer.c.
 */
struct nbd_offer {
	char server[NBD_SERVER_TEXT_MAX];
	bool fixed;
	bool tls;
	bool structured;
	struct nbd_offered *exports;
	size_t n;

	const char *wanted;
	char *texts;
	size_t used;
	size_t at;
	bool begun;
	bool too_long;
	struct nbd_err refused;
};

/**
 * nbd_offer_fetch - ask a server
 * @offer:	filled in; nbd_offer_free() it, on failure too
 * @goal:	NBD_GOAL_LIST: the names and descriptions of all exports. NBD_GOAL_INFO: all
 *		about the one that @params name, or about those that the server lists, or,
 *		where it lists none, about the default one
 * @params:	the servers, of which the first that answers is asked
 * @err:	says why not; if no export at all is described, why the first one is not
 *
 * Return: 0 or a negative errno.
 */
int nbd_offer_fetch(struct nbd_offer *offer, enum nbd_goal goal,
		    const struct nbd_params *params, struct nbd_err *err);
void nbd_offer_free(struct nbd_offer *offer);

#endif /* NBD_OFFER_H */
