/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Names to addresses within a time: all names at once, each in a thread of its own, for
 * one that nobody answers must not cost the others theirs. (Not with getaddrinfo_a(),
 * which does nothing more in a child that was forked soon after it: it believes in a
 * thread that the child has not got.)
 */
#ifndef NBD_LOOKUP_H
#define NBD_LOOKUP_H

#include "address.h"
#include "helper.h"

/**
 * nbd_lookup - the addresses of several servers
 * @list:	filled in, in the servers' order
 * @servers:	the servers
 * @n:		how many, at most NBD_SERVERS_MAX
 * @deadline:	on nbd_now_ms()'s clock; a numeric address needs no time
 * @err:	says why the first of those failed that failed
 *
 * Return: as nbd_resolve() for that one, or -ETIMEDOUT; @list has the addresses of all
 * others.
 */
int nbd_lookup(struct nbd_address_list *list, const struct nbd_server *servers,
	       unsigned int n, s64 deadline, struct nbd_err *err);

/**
 * struct nbd_answer - what became of a lookup
 * @ret:	as of nbd_lookup()
 * @list:	its addresses
 * @err:	why not
 */
struct nbd_answer {
	int ret;
	struct nbd_address_list list;
	struct nbd_err err;
};

/**
 * nbd_lookup_begin - the same, in a process of its own
 * @helper:	readable when it is over; nbd_lookup_end() it
 * @place:	where to ask
 * @servers:	the servers
 * @n:		how many, at most NBD_SERVERS_MAX
 * @seconds:	the time
 *
 * Return: 0 or a negative errno.
 */
int nbd_lookup_begin(struct nbd_helper *helper, const struct nbd_place *place,
		     const struct nbd_server *servers, unsigned int n,
		     unsigned int seconds);

/* Takes the answer, and ends the process. */
void nbd_lookup_end(struct nbd_helper *helper, struct nbd_answer *answer);

/* As nbd_lookup(), at @place; blocks. */
int nbd_lookup_at(struct nbd_address_list *list, const struct nbd_place *place,
		  const struct nbd_server *servers, unsigned int n,
		  unsigned int seconds, struct nbd_err *err);

/**
 * nbd_resolve_servers - the addresses of all servers of an attachment; blocks
 * @params:	the servers, and how long it may take
 * @place:	where to ask
 * @list:	filled in
 * @err:	why the first of those failed that failed, also if others did not
 *
 * Return: 0 if any has an address, or a negative errno.
 */
int nbd_resolve_servers(const struct nbd_params *params,
			const struct nbd_place *place,
			struct nbd_address_list *list, struct nbd_err *err);

#endif /* NBD_LOOKUP_H */
