/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The first connections of an attachment, also to servers that are not there yet.
 *
 * Without -wait one attempt is made. With it, what may pass is tried again each second: no
 * route, refused, silent, a name that does not resolve, no such export. What cannot pass
 * ends the waiting at once: what the server demands and the options do not fit, TLS, what
 * does not speak NBD. Standard error tells what is waited for: at first, when the reason
 * changes, and every half minute.
 */
#ifndef NBD_AWAIT_H
#define NBD_AWAIT_H

#include "bringup.h"

/**
 * nbd_await_servers - from servers to connections; blocks
 * @structured:	as nbd_bring_up()
 * @params:	the servers, and for how long they are waited for; must outlive @b
 * @b:		brought up; nbd_bringup_close() it then
 * @list:	gets the servers' addresses; must outlive @b
 * @err:	why not: the last attempt's failure
 *
 * The time is that for the last attempt to begin in.
 *
 * Return: 0 when @b is up, or a negative errno.
 */
int nbd_await_servers(bool structured, const struct nbd_params *params,
		      struct nbd_bringup *b,
		      struct nbd_address_list *list, struct nbd_err *err);

/**
 * struct nbd_patience - waiting for something; the times are in milliseconds
 * @begun:	since when
 * @deadline:	until when, or NBD_NEVER
 * @told:	when a message said last what is waited for; 0 for never
 * @reason:	what that message said
 */
struct nbd_patience {
	s64 begun;
	s64 deadline;
	s64 told;
	char reason[NBD_ERR_TEXT_MAX];
};

/* @seconds: how long, or NBD_DEAD_CONN_FOREVER. */
void nbd_patience_begin(struct nbd_patience *p, u64 seconds, s64 now);

/**
 * nbd_patience_lasts - is another attempt made, after one that has failed?
 * @p:		the waiting
 * @reason:	of the failure
 * @now:	the time
 * @text:	gets what people should be told, or an empty string
 * @size:	bytes at @text
 */
bool nbd_patience_lasts(struct nbd_patience *p, const char *reason, s64 now,
			char *text, size_t size);

#endif /* NBD_AWAIT_H */
