/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The retry policy: what becomes of commands whose connection died. Most are sent again at
 * once. A suspect (suspect.h judges which are) is parked, and has a trial when it is its
 * turn: it is sent again, one suspect at a time, on a connection that is reserved for it
 * while there are others. Its completion or the next death ends the trial. A command that
 * has cost too many connections fails.
 */
#ifndef _NBD_RETRY_H
#define _NBD_RETRY_H

#include <linux/types.h>

struct list_head;
struct nbd_cmd;
struct nbd_conn;
struct nbd_session;
struct nbd_slots;

/*
 * Sorts what the dead @conn leaves in @cmds: sent again, parked as suspects, or failed.
 * @others says whether other connections live.
 */
void nbd_session_inherit(struct nbd_session *session, struct nbd_conn *conn,
			 struct list_head *cmds, bool others);

/* The server as a whole is gone: see nbd_suspect_absolve(). */
void nbd_cmds_absolve(struct list_head *cmds);

/*
 * Whether a parked @cmd may be issued now: it is no suspect, or its trial begins herewith.
 * If only time is missing, kick_work comes then. session->lock is held.
 */
bool nbd_session_try_now(struct nbd_session *session, struct nbd_cmd *cmd);

/* @cmd completes, or is no suspect any more: if it was on trial the next one may be. */
void nbd_session_end_trial(struct nbd_session *session, struct nbd_cmd *cmd);

/* Parks @cmd; if it was on trial it is not any more. session->lock is held. */
void nbd_session_park_locked(struct nbd_session *session, struct nbd_cmd *cmd);

/*
 * The connection for a trial, the least busy one, reserved unless it is the only one; or
 * NULL if there is none. Under RCU.
 */
struct nbd_conn *nbd_session_reserve(struct nbd_session *session, struct nbd_slots *slots);

/* The trial is over, or there is one connection for all. session->lock is held. */
void nbd_session_unreserve(struct nbd_session *session);

#endif /* _NBD_RETRY_H */
