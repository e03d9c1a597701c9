// SPDX-License-Identifier: GPL-2.0
/* Messages of the driver, whole and broken. */
#include <linux/genetlink.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "../../client/kernel.h"
#include "tap.h"

static struct nl_msg *message(int command)
{
	struct nl_msg *msg = nlmsg_alloc();

	genlmsg_put(msg, 0, 0, 30, 0, 0, command, NBD_GENL_VERSION);
	return msg;
}

static void put_conn(struct nl_msg *msg, u32 slot, u32 state)
{
	struct nlattr *item = nla_nest_start(msg, NBD_CONN_ITEM);

	nla_put_u32(msg, NBD_CONN_SLOT, slot);
	nla_put_u32(msg, NBD_CONN_STATE, state);
	nla_put_u64(msg, NBD_CONN_REQUESTS, 5 + slot);
	nla_nest_end(msg, item);
}

static struct nl_msg *full_status(void)
{
	struct nl_msg *msg = message(NBD_CMD_STATUS);
	struct nlattr *nest;

	nla_put_u32(msg, NBD_ATTR_INDEX, 3);
	nla_put_u32(msg, NBD_ATTR_STATE, NBD_STATE_LIVE);
	nla_put_u64(msg, NBD_ATTR_SESSION_ID, 99);
	nla_put_u64(msg, NBD_ATTR_SIZE_BYTES, 4096);
	nla_put_string(msg, NBD_ATTR_CAUSE, "gone\n");
	nest = nla_nest_start(msg, NBD_ATTR_CONNS);
	put_conn(msg, 0, NBD_CONN_LIVE);
	put_conn(msg, 1, NBD_CONN_DEAD);
	nla_nest_end(msg, nest);
	nest = nla_nest_start(msg, NBD_ATTR_COUNTERS);
	nla_put_u64(msg, NBD_COUNTER_RESENT, 17);
	nla_nest_end(msg, nest);
	return msg;
}

void test_notice(void)
{
	static struct nbd_status s;
	struct nbd_notice n;
	struct nl_msg *msg;

	tap_test("notice: a status");
	msg = full_status();
	expect(nbd_status_decode(nlmsg_hdr(msg), &s));
	expect_number(s.index, 3);
	expect_number(s.state, NBD_STATE_LIVE);
	expect_number(s.session_id, 99);
	expect_number(s.size, 4096);
	expect_number(s.nconns, 2);
	expect_number(s.nlive, 1);
	expect_number(s.conns[1].requests, 6);
	expect_text(s.cause, "gone\\x0a");
	expect_number(s.counters[NBD_COUNTER_RESENT], 17);
	nlmsg_free(msg);

	tap_test("notice: a status without an index is none");
	msg = message(NBD_CMD_STATUS);
	expect(!nbd_status_decode(nlmsg_hdr(msg), &s));
	nlmsg_free(msg);

	tap_test("notice: attributes that are too short count as 0");
	msg = message(NBD_CMD_STATUS);
	nla_put_u32(msg, NBD_ATTR_INDEX, 3);
	nla_put(msg, NBD_ATTR_SESSION_ID, 3, "abc");
	nla_put(msg, NBD_ATTR_CONNS, 2, "ab");
	expect(nbd_status_decode(nlmsg_hdr(msg), &s));
	expect_number(s.session_id, 0);
	expect_number(s.nconns, 0);
	nlmsg_free(msg);

	tap_test("notice: a lost connection");
	msg = message(NBD_CMD_EVENT);
	nla_put_u32(msg, NBD_ATTR_INDEX, 3);
	nla_put_u64(msg, NBD_ATTR_SESSION_ID, 99);
	nla_put_u32(msg, NBD_ATTR_EVENT, NBD_EVENT_CONN_DEAD);
	nla_put_u32(msg, NBD_ATTR_CONN_SLOT, 2);
	nla_put(msg, NBD_ATTR_CAUSE, 3, "why");	/* not terminated */
	expect(nbd_notice_decode(nlmsg_hdr(msg), &n));
	expect(!n.link_dead);
	expect_number(n.session_id, 99);
	expect_number(n.event, NBD_EVENT_CONN_DEAD);
	expect_text(n.cause, "why");
	nlmsg_free(msg);

	tap_test("notice: mainline's dead link");
	msg = message(NBD_CMD_LINK_DEAD);
	nla_put_u32(msg, NBD_ATTR_INDEX, 4);
	expect(nbd_notice_decode(nlmsg_hdr(msg), &n));
	expect(n.link_dead);
	expect_number(n.index, 4);
	nlmsg_free(msg);

	tap_test("notice: another command is none");
	msg = message(NBD_CMD_CONNECT);
	nla_put_u32(msg, NBD_ATTR_INDEX, 4);
	expect(!nbd_notice_decode(nlmsg_hdr(msg), &n));
	nlmsg_free(msg);
}
