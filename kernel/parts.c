// SPDX-License-Identifier: GPL-2.0
/* Long writes in several requests. */
#include <linux/spinlock.h>
#include "conn.h"
#include "parts.h"

size_t nbd_part_wire_len(const struct nbd_cmd *cmd)
{
	return sizeof(cmd->header) + (cmd->is_write ? nbd_part_len(cmd, cmd->nr_sent) : 0);
}

bool nbd_parts_can_divide(const struct nbd_cmd *cmd)
{
	return cmd->is_write && !cmd->part && cmd->len > NBD_PART_BYTES &&
	       !atomic_read(&cmd->phase);
}

void nbd_parts_divide(struct nbd_conn *conn, struct nbd_cmd *cmd)
{
	u32 part = NBD_PART_BYTES;

	lockdep_assert_held(&conn->tx_mutex);

	while (DIV_ROUND_UP(cmd->len, part) > NBD_PARTS_MAX)
		part *= 2;
	spin_lock_bh(&conn->lock);
	cmd->part = part;
	/* A row of new cookies; the one that it had was never sent. */
	cmd->cookie = nbd_cookie(conn->generation, cmd->index);
	conn->generation += nbd_parts(cmd);
	spin_unlock_bh(&conn->lock);
}

void nbd_parts_encode(const struct nbd_cmd *cmd, unsigned int i, struct nbd_request *header)
{
	*header = cmd->header;
	if (!cmd->part)
		return;
	header->cookie = cpu_to_be64(nbd_cookie(nbd_cookie_generation(cmd->cookie) + i,
						cmd->index));
	header->from = cpu_to_be64(be64_to_cpu(cmd->header.from) + (u64)i * cmd->part);
	header->len = cpu_to_be32(nbd_part_len(cmd, i));
}

bool nbd_parts_next(struct nbd_cmd *cmd)
{
	return ++cmd->nr_sent < nbd_parts(cmd);
}

void nbd_parts_offer(struct nbd_cmd *cmd, unsigned int nr)
{
	if (nr > cmd->nr_offered)
		WRITE_ONCE(cmd->nr_offered, nr);
	if (!atomic_read(&cmd->phase))
		atomic_set(&cmd->phase, NBD_PHASE_OFFERED);
}

bool nbd_parts_unoffer(struct nbd_cmd *cmd)
{
	WRITE_ONCE(cmd->nr_offered, cmd->nr_sent);
	if (!cmd->nr_sent)
		atomic_set(&cmd->phase, 0);
	return !(cmd->answered >> cmd->nr_sent);
}

bool nbd_parts_answer(struct nbd_cmd *cmd, u64 cookie, bool last)
{
	u32 i = nbd_cookie_generation(cookie) - nbd_cookie_generation(cmd->cookie);

	if (i >= READ_ONCE(cmd->nr_offered) || cmd->answered & BIT_ULL(i))
		return false;
	if (last)
		cmd->answered |= BIT_ULL(i);
	return true;
}
