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

#endif /* NBD_LOOKUP_H */
