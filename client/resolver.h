/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Names to addresses for those who must not wait: the servers of each attachment are
 * looked up in a process of its own (helper.h), since a name server may be silent, the
 * resolver's files may lie on the device that waits for the answer, and both may be
 * others for another attachment. Only so many at a time, so that a thousand devices do
 * not become a thousand processes.
 *
 * For a process with one thread. No name: nothing to ask.
 */
#ifndef NBD_RESOLVER_H
#define NBD_RESOLVER_H

#include "address.h"
#include "helper.h"

/* Processes at a time. */
#define NBD_RESOLVER_MAX 32

/** enum nbd_resolver_state - how far a job is */
enum nbd_resolver_state {
	NBD_RESOLVER_IDLE,
	NBD_RESOLVER_QUEUED,	/* waits for its turn */
	NBD_RESOLVER_ASKING,	/* has a process */
	NBD_RESOLVER_DONE,	/* the result can be taken */
};

/**
 * struct nbd_resolver_job - the servers of one attachment
 * @servers:	to resolve; belongs to the owner, as the next three
 * @nservers:	how many
 * @place:	where to ask; its descriptors are open until the job is abandoned
 * @seconds:	how long it may take
 * @state:	how far it is
 * @result:	when done: their addresses; empty if none was found
 * @helper:	its process
 * @next:	in the queue, or of those that have a process
 *
 * Filled with zeroes when it is new.
 */
struct nbd_resolver_job {
	struct nbd_server servers[NBD_SERVERS_MAX];
	unsigned int nservers;
	struct nbd_place place;
	unsigned int seconds;
	enum nbd_resolver_state state;
	struct nbd_address_list result;
	struct nbd_helper helper;
	struct nbd_resolver_job *next;
};

/*
 * Returns a descriptor that is readable when a job is done: call nbd_resolver_run() then.
 * Children of the caller are not waited for from now on.
 */
int nbd_resolver_start(struct nbd_err *err);

/* Loads what getaddrinfo() needs, while files can still be read; asks no name server. */
void nbd_resolver_warm_up(void);

/* Takes the answers that have come, and lets others have their turn. */
void nbd_resolver_run(void);

/* Ask, unless that is being done. */
void nbd_resolver_submit(struct nbd_resolver_job *job);

/* The job is done: copies the result and makes the job ready for another. */
bool nbd_resolver_take(struct nbd_resolver_job *job,
		       struct nbd_address_list *result);

/* Nobody wants to know any more: the job is the owner's alone again. */
void nbd_resolver_abandon(struct nbd_resolver_job *job);

#endif /* NBD_RESOLVER_H */
