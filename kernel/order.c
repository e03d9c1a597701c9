// SPDX-License-Identifier: GPL-2.0
/* Short requests before long ones, and no starvation. */
#include "order.h"
#include "parts.h"

void nbd_order_add(struct nbd_conn *conn, struct list_head *cmds)
{
	struct nbd_cmd *cmd, *next;

	lockdep_assert_held(&conn->tx_mutex);

	list_for_each_entry_safe(cmd, next, cmds, node) {
		if (nbd_is_long(cmd)) {
			list_move_tail(&cmd->node, &conn->bulk);
		} else {
			list_move_tail(&cmd->node, &conn->sending);
			nbd_order_note_short(conn);
		}
	}
}

/* The command whose message has begun and has to be finished, or NULL. */
static struct nbd_cmd *order_begun(struct nbd_conn *conn)
{
	if (!conn->tx_off)
		return NULL;
	return list_first_entry(&conn->sending, struct nbd_cmd, node);
}

/* Long writes that have not begun wait for their turn again. */
static void order_put_back(struct nbd_conn *conn)
{
	struct nbd_cmd *begun = order_begun(conn);
	struct nbd_cmd *cmd, *next;

	list_for_each_entry_safe_reverse(cmd, next, &conn->sending, node)
		if (cmd != begun && nbd_is_long(cmd))
			list_move(&cmd->node, &conn->bulk);
}

void nbd_order_arrange(struct nbd_conn *conn)
{
	struct nbd_cmd *begun, *cmd;

	lockdep_assert_held(&conn->tx_mutex);

	if (!conn->overtakable && list_empty(&conn->bulk))
		return;
	if (!nbd_order_is_mixed(conn)) {
		if (!list_empty(&conn->bulk))
			WRITE_ONCE(conn->overtakable, true);
		list_splice_tail_init(&conn->bulk, &conn->sending);
		return;
	}
	if (conn->overtakable)
		order_put_back(conn);
	begun = order_begun(conn);
	/* Parts behind one that has begun have not. */
	WRITE_ONCE(conn->overtakable, !list_empty(&conn->bulk) || (begun && begun->part));
	if (!conn->overtakable)
		return;
	if (begun && nbd_is_long(begun))
		return;
	cmd = list_first_entry(&conn->bulk, struct nbd_cmd, node);
	if (nbd_parts_can_divide(cmd))
		nbd_parts_divide(conn, cmd);
	if (conn->overtaken < NBD_OVERTAKE_BYTES)
		list_move_tail(&cmd->node, &conn->sending);
	else
		list_move(&cmd->node, begun ? &begun->node : &conn->sending);
}

void nbd_order_note_sent(struct nbd_conn *conn, const struct nbd_cmd *cmd, size_t bytes)
{
	lockdep_assert_held(&conn->tx_mutex);

	/* What was dispatched at once may take long: short ones keep off as long as it goes out. */
	if (nbd_is_long(cmd))
		nbd_order_expect(&conn->session->long_until);
	if (!conn->overtakable)
		return;
	if (nbd_is_long(cmd))
		conn->overtaken = 0;
	else
		conn->overtaken += bytes;
}
