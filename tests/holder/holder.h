/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What somebody who holds the descriptor of a device's socket can do to it.
 *
 * holder.c plays each of them before the attach, between SET_SOCK and DO_IT, and under
 * verified I/O, as root and as nobody. It may cost the connection, which is made anew with
 * another socket, and nothing else.
 */
#ifndef NBD_HOLDER_H
#define NBD_HOLDER_H

#include <stdbool.h>

/* On which sockets it makes sense. */
#define ON_TCP	1
#define ON_UNIX	2
#define ON_BOTH	(ON_TCP | ON_UNIX)

/**
 * struct abuse - one thing to do
 * @name:	of its result
 * @on:		ON_*
 * @run:	does it to the socket; 0 if that was possible, else -errno
 * @refused:	the sockets of a device, ON_*, that it must not be possible with
 */
struct abuse {
	const char *name;
	int on;
	long (*run)(int fd);
	int refused;
};

/* Ended by a NULL name. */
extern const struct abuse option_abuses[], call_abuses[];

/* setsockopt() of an int. */
long set_int(int fd, int level, int option, int value);

#endif /* NBD_HOLDER_H */
