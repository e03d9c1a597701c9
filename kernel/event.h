/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the driver tells userspace unasked: messages on the multicast group. All
 * functions may sleep and allocate, so that callers on the I/O path are in a
 * GFP_NOIO scope. A message that cannot be allocated is lost; listeners find the
 * state in STATUS.
 */
#ifndef _NBD_EVENT_H
#define _NBD_EVENT_H

#include <linux/netlink.h>
#include <linux/types.h>

struct nbd_conn;
struct nbd_session;

void nbd_event_attached(struct nbd_session *session);
void nbd_event_detached(struct nbd_session *session);
void nbd_event_conn_up(struct nbd_session *session, unsigned int slot);
/* Mainline's LINK_DEAD as well. */
void nbd_event_conn_dead(struct nbd_session *session, struct nbd_conn *conn);
void nbd_event_state(struct nbd_session *session);
void nbd_event_resized(struct nbd_session *session);
void nbd_event_keeper(struct nbd_session *session, u64 keeper);

/* Extended-ack text that is not a literal at the place of the call. */
static inline void nbd_extack_text(struct netlink_ext_ack *extack, const char *text)
{
	if (extack)
		extack->_msg = text;
}

#endif /* _NBD_EVENT_H */
