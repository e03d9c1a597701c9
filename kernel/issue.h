/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Issuing commands: each goes to a connection of its session, or is parked
 * (nbd_session.parked) until there is one, or until its turn if connections died of it,
 * see retry.h. A kick takes what can go and issues it. When the wait for a connection is
 * over, who ended it fails what is parked.
 */
#ifndef _NBD_ISSUE_H
#define _NBD_ISSUE_H

#include <linux/types.h>

struct list_head;
struct nbd_cmd;
struct nbd_conn;
struct nbd_session;
struct work_struct;

/*
 * Gives @cmd to a connection, or parks it. @hint chooses among the connections.
 * On success *@conn is the connection to flush, with a reference, or NULL. False
 * if there is nothing to wait for: @cmd is the caller's, to be failed.
 */
bool nbd_session_issue(struct nbd_session *session, struct nbd_cmd *cmd,
		       unsigned int hint, struct nbd_conn **conn);

/* Issues all of @cmds and sends them; fails those for which there is nothing to wait. */
void nbd_session_reissue(struct nbd_session *session, struct list_head *cmds);

/* Issues what is parked and can go. nbd_session.kick_work does so, too. */
void nbd_session_kick(struct nbd_session *session);
void nbd_session_kick_work(struct work_struct *work);

/* Moves all that is parked to @cmds. */
void nbd_session_take_parked(struct nbd_session *session, struct list_head *cmds);

/* Completes all of @cmds, which the caller owns, with an error. */
void nbd_cmds_fail(struct list_head *cmds);

#endif /* _NBD_ISSUE_H */
