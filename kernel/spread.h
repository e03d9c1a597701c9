/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which of a session's connections a request goes to where there are more of them than
 * hardware queues (nbd_session.spread). What an I/O costs is mostly what its message costs, so
 * requests that come together go to one connection, as long as they are short and no message's
 * worth is under way there. So they do after a task has slept, for replies as a rule, if many
 * replies had come at once. If they come one by one the server takes a thread for a connection
 * and works on one request at a time, and it is the turn of the connection that has the least
 * to do.
 */
#ifndef _NBD_SPREAD_H
#define _NBD_SPREAD_H

struct nbd_cmd;
struct nbd_session;
struct nbd_share;
struct nbd_slots;

/*
 * The slot among @share, counted from its first and modulo its number, that @cmd of the
 * current task, which came through the hardware queue @queue, is offered to before all others.
 * Under RCU.
 */
unsigned int nbd_spread_choose(const struct nbd_session *session, struct nbd_slots *slots,
			       struct nbd_share share, const struct nbd_cmd *cmd,
			       unsigned int queue);

#endif /* _NBD_SPREAD_H */
