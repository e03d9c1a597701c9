/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which of a session's connections a request goes to where there are more of them than
 * hardware queues (nbd_session.spread). What an I/O costs is mostly what its message costs, so
 * short requests that come together go to one connection, as long as they are worth one
 * message. Whoever has slept since its last request, for replies as a rule, may go on with
 * the next connection. If many replies had come at once, it does so only if nobody uses that
 * one; if they come one by one, if it has less to do: then the server takes a thread for a
 * connection, and all of them are to have something to do.
 */
#ifndef _NBD_SPREAD_H
#define _NBD_SPREAD_H

struct nbd_cmd;
struct nbd_session;
struct nbd_share;
struct nbd_slots;

/*
 * The slot among @share, counted from its first and modulo its number, that @cmd of the
 * current task is offered to before all others. Under RCU.
 */
unsigned int nbd_spread_choose(const struct nbd_session *session, struct nbd_slots *slots,
			       struct nbd_share share, const struct nbd_cmd *cmd);

#endif /* _NBD_SPREAD_H */
