// SPDX-License-Identifier: GPL-2.0
/* Messages on the multicast group. */
#include <net/genetlink.h>
#include "conn.h"
#include "device.h"
#include "event.h"
#include "netlink.h"
#include "session.h"

/* Begins a message to the group; NULL if it cannot be had. */
static struct sk_buff *event_new(struct nbd_session *session, int cmd, void **head)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);

	if (!skb)
		return NULL;
	*head = genlmsg_put(skb, 0, 0, &nbd_genl_family, 0, cmd);
	if (!*head || nla_put_u32(skb, NBD_ATTR_INDEX, session->nbd->index)) {
		nlmsg_free(skb);
		return NULL;
	}
	return skb;
}

static void event_send(struct sk_buff *skb, void *head)
{
	genlmsg_end(skb, head);
	/* Nobody listening is no error. */
	genlmsg_multicast_allns(&nbd_genl_family, skb, 0, NBD_MCGRP_EVENTS);
}

/**
 * struct nbd_event_arg - what an event carries besides device and session
 * @event:	enum nbd_event
 * @slot:	connection, or -1
 * @cause:	or NULL
 * @size:	or 0
 * @keeper:	or 0
 */
struct nbd_event_arg {
	enum nbd_event event;
	int slot;
	const char *cause;
	u64 size;
	u64 keeper;
};

static void event_emit(struct nbd_session *session, const struct nbd_event_arg *arg)
{
	void *head;
	struct sk_buff *skb = event_new(session, NBD_CMD_EVENT, &head);

	if (!skb)
		return;
	if (nbd_put_u64(skb, NBD_ATTR_SESSION_ID, session->id) ||
	    nla_put_u32(skb, NBD_ATTR_EVENT, arg->event) ||
	    nla_put_u32(skb, NBD_ATTR_STATE, READ_ONCE(session->state)) ||
	    (arg->slot >= 0 && nla_put_u32(skb, NBD_ATTR_CONN_SLOT, arg->slot)) ||
	    (arg->cause && nla_put_string(skb, NBD_ATTR_CAUSE, arg->cause)) ||
	    (arg->size && nbd_put_u64(skb, NBD_ATTR_SIZE_BYTES, arg->size)) ||
	    (arg->keeper && nbd_put_u64(skb, NBD_ATTR_KEEPER, arg->keeper))) {
		nlmsg_free(skb);
		return;
	}
	event_send(skb, head);
}

void nbd_event_attached(struct nbd_session *session)
{
	event_emit(session, &(struct nbd_event_arg){ .event = NBD_EVENT_ATTACHED, .slot = -1 });
}

void nbd_event_detached(struct nbd_session *session)
{
	event_emit(session, &(struct nbd_event_arg){ .event = NBD_EVENT_DETACHED, .slot = -1 });
}

void nbd_event_conn_up(struct nbd_session *session, unsigned int slot)
{
	event_emit(session, &(struct nbd_event_arg){ .event = NBD_EVENT_CONN_UP, .slot = slot });
}

void nbd_event_state(struct nbd_session *session)
{
	event_emit(session, &(struct nbd_event_arg){ .event = NBD_EVENT_STATE, .slot = -1 });
}

void nbd_event_resized(struct nbd_session *session)
{
	struct nbd_event_arg arg = {
		.event = NBD_EVENT_RESIZED,
		.slot = -1,
		.size = session->params.size,
	};

	event_emit(session, &arg);
}

void nbd_event_keeper(struct nbd_session *session, u64 keeper)
{
	struct nbd_event_arg arg = {
		.event = NBD_EVENT_KEEPER,
		.slot = -1,
		.keeper = keeper,
	};

	event_emit(session, &arg);
}

void nbd_event_conn_dead(struct nbd_session *session, struct nbd_conn *conn)
{
	struct nbd_event_arg arg = {
		.event = NBD_EVENT_CONN_DEAD,
		.slot = conn->slot,
		.cause = conn->cause,
	};
	struct sk_buff *skb = NULL;
	void *head;

	/*
	 * A connection that was given up on purpose is not news to mainline's listeners; nor
	 * is a server that hangs up because it was told NBD_CMD_DISC.
	 */
	if (conn->err != -ECANCELED && READ_ONCE(session->state) != NBD_STATE_CLOSING)
		skb = event_new(session, NBD_CMD_LINK_DEAD, &head);
	if (skb)
		event_send(skb, head);
	event_emit(session, &arg);
}
