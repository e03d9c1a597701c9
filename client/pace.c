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
 * struct server - one that turns were taken of not long ago
 * @address:	where it is
 * @next:	when the next turn begins if all before it have been used, in microseconds
 * @link:	list
 */
struct server {
	struct nbd_address address;
	s64 next;
	struct server *link;
};

static struct server *servers;

/* Forgets those for which nobody has to wait any more, on the way. */
static struct server *find(const struct nbd_address *address, s64 now_us)
{
	struct server **at = &servers, *s, *found = NULL;

	while (*at) {
		s = *at;
		if (nbd_address_same(&s->address, address)) {
			found = s;
		} else if (s->next <= now_us) {
			*at = s->link;
			free(s);
			continue;
		}
		at = &s->link;
	}
	return found;
}

static struct server *add(const struct nbd_address *address)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->address = *address;
	s->link = servers;
	servers = s;
	return s;
}

s64 nbd_pace_turn(const struct nbd_address *address, unsigned int n, s64 now)
{
	const s64 now_us = now * US_PER_MS;
	struct server *s = find(address, now_us);
	s64 turn;

	if (!s)
		s = add(address);
	if (!s)
		return now;
	if (s->next < now_us)
		s->next = now_us;
	/* That of the last one. */
	turn = s->next + ((s64)n - NBD_PACE_BURST) * TURN_US;
	s->next += n * TURN_US;
	return turn <= now_us ? now : (turn + US_PER_MS - 1) / US_PER_MS;
}
