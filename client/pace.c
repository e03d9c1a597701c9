// SPDX-License-Identifier: GPL-2.0
/*
 * Turns of connecting.
 */
#include <stdlib.h>

#include "pace.h"

/* The clock of turns is finer than that of the machine. */
#define US_PER_MS	1000LL
#define TURN_US		(1000 * US_PER_MS / NBD_PACE_RATE)

/**
 * struct nbd_pace_server - one that was asked for connections not long ago
 * @address:	where it is
 * @asked:	connections that anybody has joined the queue for
 * @paid:	when all that were begun are made up for, in microseconds: each takes a turn's time
 * @first:	the queue
 * @end:	where the next one to join is put
 * @link:	list
 */
struct nbd_pace_server {
	struct nbd_address address;
	u64 asked;
	s64 paid;
	struct nbd_turn *first;
	struct nbd_turn **end;
	struct nbd_pace_server *link;
};

static struct nbd_pace_server *servers;

/* Forgets those for which nobody has to wait any more, on the way. */
static struct nbd_pace_server *find(const struct nbd_address *address, s64 now_us)
{
	struct nbd_pace_server **at = &servers, *s, *found = NULL;

	while (*at) {
		s = *at;
		if (nbd_address_same(&s->address, address)) {
			found = s;
		} else if (!s->first && s->paid <= now_us) {
			*at = s->link;
			free(s);
			continue;
		}
		at = &s->link;
	}
	return found;
}

static struct nbd_pace_server *add(const struct nbd_address *address)
{
	struct nbd_pace_server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->address = *address;
	s->end = &s->first;
	s->link = servers;
	servers = s;
	return s;
}

void nbd_pace_join(struct nbd_turn *turn, const struct nbd_address *address, unsigned int n,
		   s64 now)
{
	struct nbd_pace_server *s = find(address, now * US_PER_MS);

	if (!s)
		s = add(address);
	turn->server = s;
	if (!s)
		return;
	turn->before = s->asked;
	turn->n = n;
	turn->next = NULL;
	turn->at = s->end;
	*s->end = turn;
	s->end = &turn->next;
	s->asked += n;
}

void nbd_pace_leave(struct nbd_turn *turn)
{
	struct nbd_pace_server *s = turn->server;

	if (!s)
		return;
	*turn->at = turn->next;
	if (turn->next) {
		turn->next->at = turn->at;
	} else {
		s->end = turn->at;
		s->asked = turn->before;
	}
	turn->server = NULL;
}

/*
 * What was begun of late must leave room for the connections of @turn and for those in front of
 * it in the queue, who may be asked later though they come first.
 */
static s64 time_of(const struct nbd_turn *turn)
{
	const struct nbd_pace_server *s = turn->server;
	const s64 ahead = turn->before + turn->n - s->first->before;

	return s->paid + (ahead - NBD_PACE_BURST) * TURN_US;
}

bool nbd_pace_begin(struct nbd_turn *turn, s64 now)
{
	struct nbd_pace_server *s = turn->server;
	const s64 now_us = now * US_PER_MS;

	if (!s)
		return true;
	if (s->paid < now_us)
		s->paid = now_us;
	if (time_of(turn) > now_us)
		return false;
	s->paid += turn->n * TURN_US;
	nbd_pace_leave(turn);
	return true;
}

s64 nbd_pace_when(const struct nbd_turn *turn)
{
	return (time_of(turn) + US_PER_MS - 1) / US_PER_MS;
}
