// SPDX-License-Identifier: GPL-2.0
/* More messages of the driver than a socket keeps. */
#include <errno.h>
#include <linux/genetlink.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "../../client/kernel.h"
#include "tap.h"

/* Of NETLINK_USERSOCK, where anybody may send; more messages than any socket keeps. */
#define GROUP 1
#define MANY 20000

static struct nl_sock *listener(void)
{
	struct nl_sock *sock = nl_socket_alloc();

	nl_socket_disable_seq_check(sock);
	if (nl_connect(sock, NETLINK_USERSOCK) || nl_socket_set_nonblocking(sock) ||
	    nl_socket_add_membership(sock, GROUP))
		tap_failure(__FILE__, __LINE__, "no socket to listen with");
	return sock;
}

/* Its event says of each message which one it is. */
static void announce(struct nl_sock *sender, u32 number)
{
	struct nl_msg *msg = nlmsg_alloc();

	genlmsg_put(msg, 0, 0, 30, 0, 0, NBD_CMD_EVENT, NBD_GENL_VERSION);
	nla_put_u32(msg, NBD_ATTR_INDEX, number);
	nl_send_auto(sender, msg);
	nlmsg_free(msg);
}

static void note_number(void *arg, const struct nbd_notice *n)
{
	*(s32 *)arg = n->index;
}

void test_overrun(void)
{
	struct nl_sock *sender = nl_socket_alloc(), *sock;
	s32 last = -1;
	u32 i;

	tap_test("overrun: messages");
	sock = listener();
	nl_connect(sender, NETLINK_USERSOCK);
	nl_socket_set_peer_groups(sender, 1 << (GROUP - 1));
	announce(sender, 1);
	announce(sender, 2);
	expect_number(nbd_notices_read(sock, note_number, &last), 0);
	expect_number(last, 2);

	/* Until all that was kept is read, more is lost without a word. */
	tap_test("overrun: too many; what comes after that was told is not lost");
	for (i = 0; i < MANY; i++)
		announce(sender, i);
	expect_number(nbd_notices_read(sock, note_number, &last), -ENOBUFS);
	expect(last >= 0 && last < MANY - 1);
	announce(sender, MANY);
	expect_number(nbd_notices_read(sock, note_number, &last), 0);
	expect_number(last, MANY);
	nl_socket_free(sender);
	nl_socket_free(sock);
}
