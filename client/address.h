/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Servers to socket addresses.
 */
#ifndef NBD_ADDRESS_H
#define NBD_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "error.h"
#include "model.h"
#include "util.h"

/* All addresses of all servers of one attachment. */
#define NBD_ADDRESSES_MAX 32

/**
 * struct nbd_address - one address to try
 * @server:	index of the server that it belongs to
 * @len:	bytes used of @sa
 * @sa:		the address
 */
struct nbd_address {
	unsigned int server;
	socklen_t len;
	struct sockaddr_storage sa;
};

/**
 * struct nbd_address_list - what to try, best first
 * @n:		entries
 * @addr:	the entries, grouped by server, families alternating within each
 */
struct nbd_address_list {
	unsigned int n;
	struct nbd_address addr[NBD_ADDRESSES_MAX];
};

/**
 * nbd_resolve - append the addresses of one server
 * @list:	appended to; entries beyond its end are dropped
 * @server:	the server; a name may take the resolver long
 * @number:	its index, for struct nbd_address
 * @err:	says why not
 *
 * Return: 0, -ENOENT when the name does not exist, -EAGAIN when it may
 * exist later, -EINVAL.
 */
int nbd_resolve(struct nbd_address_list *list, const struct nbd_server *server,
		unsigned int number, struct nbd_err *err);

/* As nbd_resolve(), but asks no resolver: -EAGAIN for a name; -ENAMETOOLONG for a long path. */
int nbd_resolve_numeric(struct nbd_address_list *list,
			const struct nbd_server *server, unsigned int number);

/* They lead to the same place, whichever server each belongs to. */
bool nbd_address_same(const struct nbd_address *a, const struct nbd_address *b);

/* It is the path of a Unix socket: what it leads to depends on what is mounted. */
bool nbd_address_is_path(const struct nbd_address *address);

/* Whether @list has all addresses of @other, in whatever order. */
bool nbd_address_list_covers(const struct nbd_address_list *list,
			     const struct nbd_address_list *other);

/* How many addresses each of @nservers may have: none displaces those of another. */
unsigned int nbd_addresses_of_each(unsigned int nservers);

/* Appends the addresses of one of @nservers servers, as many as that may have. */
void nbd_address_list_append(struct nbd_address_list *list,
			     const struct nbd_address_list *more,
			     unsigned int nservers);

/* Adds those of @old to @list whose server, of @nservers, has none in @list. */
void nbd_address_list_keep(struct nbd_address_list *list,
			   const struct nbd_address_list *old,
			   unsigned int nservers);

/* Printable form of an address for messages; returns @buf. */
#define NBD_ADDRESS_TEXT_MAX 600
char *nbd_address_text(const struct nbd_address *address, char *buf,
		       size_t size);

#endif /* NBD_ADDRESS_H */
