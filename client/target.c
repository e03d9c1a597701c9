// SPDX-License-Identifier: GPL-2.0
/*
 * Where the connections of an attachment may be made again.
 */
#include "target.h"

/* An address that two names or two servers have in common is tried once. */
static void add(struct nbd_address_list *list, const struct nbd_address *address)
{
	unsigned int i;

	for (i = 0; i < list->n; i++)
		if (nbd_address_same(&list->addr[i], address))
			return;
	if (list->n < NBD_ADDRESSES_MAX)
		list->addr[list->n++] = *address;
}

/* Adds the known addresses of the server in use, or of the others. */
static void add_known(struct nbd_address_list *list, const struct nbd_record *r,
		      bool in_use)
{
	const struct nbd_address *a = r->addresses.addr;
	const struct nbd_address *end = a + r->addresses.n;
	bool same;

	for (; a < end; a++) {
		same = a->server == r->in_use.server;
		if (same == in_use)
			add(list, a);
	}
}

/* The address in use is first among those of its server, also if its name has lost it. */
static void add_server_in_use(struct nbd_address_list *list,
			      const struct nbd_record *r, u64 situation)
{
	if (situation & NBD_TARGET_LIVE && nbd_record_knows_address(r))
		add(list, &r->in_use);
	add_known(list, r, true);
}

/* Without a reason to leave the server; with one see nbd_targets(). */
static void stay(struct nbd_address_list *list, const struct nbd_record *r,
		 u64 situation)
{
	if (nbd_record_knows_address(r))
		add(list, &r->in_use);
	else if (situation & NBD_TARGET_MOVABLE)
		add_known(list, r, true);
}

/*
 * A stuck server is asked first, and last when its answer has been worth nothing: with
 * all its addresses, for they may well be of one machine.
 */
void nbd_targets(struct nbd_address_list *list, const struct nbd_record *r,
		 u64 situation)
{
	const u64 leave = NBD_TARGET_STUCK | NBD_TARGET_MOVABLE;
	unsigned int i;

	list->n = 0;
	if (situation & NBD_TARGET_LIVE && (situation & leave) != leave) {
		stay(list, r, situation);
	} else if (situation & NBD_TARGET_RELAPSED) {
		add_known(list, r, false);
		add_server_in_use(list, r, situation);
	} else if (situation & NBD_TARGET_STUCK) {
		add_server_in_use(list, r, situation);
		add_known(list, r, false);
	} else {
		for (i = 0; i < r->addresses.n; i++)
			add(list, &r->addresses.addr[i]);
	}
}
