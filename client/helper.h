/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A short-lived child for what may take long, or must be done in other namespaces: it
 * goes there, does one thing, sends one answer, and ends; or is killed. It is a copy of
 * the caller, so that nothing has to be read from a disk for it to begin, and ends with
 * the caller.
 */
#ifndef NBD_HELPER_H
#define NBD_HELPER_H

#include <stddef.h>
#include <sys/types.h>

#include "error.h"
#include "namespace.h"

/**
 * struct nbd_helper - one child
 * @fd:		readable when its answer is there, or will never come; to poll
 * @pidfd:	the process, or -1: it had ended when that was opened, or it will in time
 */
struct nbd_helper {
	int fd;
	int pidfd;
};

/**
 * nbd_helper_fn - what the child does
 * @arg:	as given; a copy, as all of the child's memory
 * @ret:	0, or a negative errno: it could not go where it was told
 * @out:	write() one answer there, of at most 64 KiB
 */
typedef void (*nbd_helper_fn)(void *arg, int ret, int out);

/**
 * nbd_helper_start - start one
 * @helper:	not in use
 * @place:	where it goes
 * @kept:	two descriptors that it needs beside those of @place; NULL for none, and -1 in
 *		the place of one
 * @seconds:	it is killed after that, if it has not ended
 * @fn:		what it does
 * @arg:	for @fn
 *
 * The caller has one thread, or @fn makes system calls only. The child is not waited for:
 * who starts many ignores SIGCHLD.
 *
 * Return: 0 or a negative errno.
 */
int nbd_helper_start(struct nbd_helper *helper, const struct nbd_place *place,
		     const int *kept, unsigned int seconds, nbd_helper_fn fn,
		     void *arg);

/* The answer: true if it has just @size bytes; false as well if there is none yet. */
bool nbd_helper_read(const struct nbd_helper *helper, void *answer, size_t size);

/* Kills it, if it has not ended. */
void nbd_helper_end(struct nbd_helper *helper);

#endif /* NBD_HELPER_H */
