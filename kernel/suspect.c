// SPDX-License-Identifier: GPL-2.0
/* What the death of a connection says about the commands that were on it. */
#include <linux/errno.h>
#include <linux/jiffies.h>
#include "conn.h"
#include "queue.h"
#include "suspect.h"

/* See the header. */
#define NBD_HOPS_FREE		1
#define NBD_HOPS_MAX		4
#define NBD_PARKS_FREE		2
#define NBD_PARKS_MAX		20
#define NBD_SILENCES_FREE	1
#define NBD_SILENCES_MAX	4
#define NBD_STALE		(2 * HZ)

void nbd_suspect_init(struct nbd_cmd *cmd)
{
	cmd->suspect = false;
	cmd->hops = 0;
	cmd->parks = 0;
	cmd->silences = 0;
	cmd->charges = 0;
}

void nbd_suspect_absolve(struct nbd_cmd *cmd)
{
	cmd->hops = 0;
	cmd->suspect = cmd->parks > NBD_PARKS_FREE || cmd->silences > NBD_SILENCES_FREE;
}

bool nbd_suspect_was_silent(const struct nbd_cmd *cmd, const struct nbd_conn *conn)
{
	unsigned long timeout = READ_ONCE(conn->timeout);

	return conn->err == -ETIMEDOUT && timeout &&
	       time_after_eq(conn->ended, cmd->issued + timeout);
}

bool nbd_suspect_answered_others(const struct nbd_cmd *cmd, const struct nbd_conn *conn)
{
	unsigned long since = cmd->silences ? cmd->asked : cmd->issued;
	bool dead = conn->err;

	/* The header of a reply whose payload is missing may be this command's own. */
	if (dead && conn->receiving)
		return conn->replies > 1 && time_after(conn->heard_before, since);
	return READ_ONCE(conn->replies) && time_after(READ_ONCE(conn->heard), since);
}

/* The server was silent about it. */
static bool may_retry_silence(struct nbd_cmd *cmd, bool answers)
{
	if (cmd->silences < U8_MAX)
		cmd->silences++;
	cmd->asked = cmd->issued;
	cmd->suspect |= cmd->silences > NBD_SILENCES_FREE;
	if (answers)
		cmd->charges++;
	return cmd->charges <= NBD_SILENCES_MAX;
}

bool nbd_suspect_may_retry(struct nbd_cmd *cmd, struct nbd_conn *conn, bool others, bool answers)
{
	if (nbd_suspect_was_silent(cmd, conn))
		return may_retry_silence(cmd, answers);
	if (conn->err == -ECANCELED || conn->err == -ETIMEDOUT ||
	    time_after(cmd->issued, conn->heard + NBD_STALE))
		return true;
	if (others) {
		cmd->suspect |= ++cmd->hops > NBD_HOPS_FREE;
		return cmd->hops <= NBD_HOPS_MAX;
	}
	cmd->hops = 0;
	cmd->suspect = ++cmd->parks > NBD_PARKS_FREE || cmd->silences > NBD_SILENCES_FREE;
	return cmd->parks <= NBD_PARKS_MAX;
}
