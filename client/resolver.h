/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Names to addresses for the monitor, in a thread of its own: a resolver may
 * take long, and its files may lie on the device that waits for the answer.
 */
#ifndef NBD_RESOLVER_H
#define NBD_RESOLVER_H

#include "address.h"

/**
 * struct nbd_resolver_job - the servers of one attachment
 * @servers:	to resolve
 * @nservers:	how many
 * @netns:	namespace to ask in, -1 for the initial one
 * @result:	when done: their addresses; empty if none was found
 * @busy:	submitted and not yet taken back; owned by the resolver
 * @done:	the resolver is done with it
 * @abandoned:	the owner is gone; the resolver frees it
 * @next:	private
 *
 * Allocated with malloc(). Fields but @servers, @nservers and @netns are
 * protected by the resolver's lock: use the functions below.
 */
struct nbd_resolver_job {
	struct nbd_server servers[NBD_SERVERS_MAX];
	unsigned int nservers;
	int netns;
	struct nbd_address_list result;
	bool busy;
	bool done;
	bool abandoned;
	struct nbd_resolver_job *next;
};

/* Starts the thread. Returns a descriptor that is readable when a job is done. */
int nbd_resolver_start(struct nbd_err *err);

/* Resets the descriptor. */
void nbd_resolver_ack(void);

/* Queues @job unless it is busy. */
void nbd_resolver_submit(struct nbd_resolver_job *job);

/* The job is done: copies the result and makes the job ready for another. */
bool nbd_resolver_take(struct nbd_resolver_job *job,
		       struct nbd_address_list *result);

/* Frees @job and closes its namespace, now or when the thread lets it go. */
void nbd_resolver_abandon(struct nbd_resolver_job *job);

#endif /* NBD_RESOLVER_H */
