/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is held against a command when the connection that it was on is dead. Pure
 * judgement: who sends it again, and when, is retry.h's.
 *
 * A request that connections die of must not take all of them with it, nor the
 * requests that happen to be under way with it. It becomes a suspect: it waits, and is
 * sent again alone. When it has cost too many connections it fails. There are two ways
 * to cost one:
 *
 * cut	The server, or what is between, cuts the connection. When more than NBD_HOPS_FREE
 *	of them have died under it while others lived it is a suspect; if the server as a
 *	whole is gone, the others are gone by the time of its trial, and that is not held
 *	against it. After more than NBD_HOPS_MAX it fails. Where there is only one connection
 *	at a time, it is a suspect after more than NBD_PARKS_FREE of them and fails after more
 *	than NBD_PARKS_MAX. Connections that were silent for NBD_STALE when they got the
 *	request prove nothing by their deaths: the server may have been gone all the time, and
 *	each tells it only when it is used.
 *
 * silence  The server does not answer it within the request timeout. After more than
 *	NBD_SILENCES_FREE of them it is a suspect. A server that answers nobody may be
 *	stopped, and go on: that is waited for, however long. So only the silence of a server
 *	that has answered others meanwhile counts, and after more than NBD_SILENCES_MAX it fails.
 */
#ifndef _NBD_SUSPECT_H
#define _NBD_SUSPECT_H

#include <linux/types.h>

struct nbd_cmd;
struct nbd_conn;

/* Nothing is held against a command that was not sent yet. */
void nbd_suspect_init(struct nbd_cmd *cmd);

/* The server as a whole is gone: what was held against @cmd because others lived is not. */
void nbd_suspect_absolve(struct nbd_cmd *cmd);

/*
 * Whether @conn was given up because @cmd was not answered in time. @cmd was on it, and
 * @conn is buried.
 */
bool nbd_suspect_was_silent(const struct nbd_cmd *cmd, const struct nbd_conn *conn);

/*
 * Whether @conn, dead or alive, has a reply since @cmd was sent, or, for one that has cost
 * a connection before, since it was sent there; one to another command.
 */
bool nbd_suspect_answered_others(const struct nbd_cmd *cmd, const struct nbd_conn *conn);

/*
 * Holds the death of @conn against @cmd, which was on it: it may become a suspect. @others
 * says whether other connections live, @answers whether the server has answered others
 * meanwhile. False if @cmd has cost enough connections, and is to fail.
 */
bool nbd_suspect_may_retry(struct nbd_cmd *cmd, struct nbd_conn *conn, bool others, bool answers);

#endif /* _NBD_SUSPECT_H */
