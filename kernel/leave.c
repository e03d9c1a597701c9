// SPDX-License-Identifier: GPL-2.0
/* The machine goes down: goodbye to every server. */
#include <linux/jiffies.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/reboot.h>
#include <linux/wait.h>
#include "conn.h"
#include "device.h"
#include "index.h"
#include "leave.h"
#include "session.h"
#include "slots.h"
#include "socket.h"

/* What a server has to answer the last requests, and to end the stream. */
#define NBD_LEAVE_ANSWER	HZ
#define NBD_LEAVE_END		HZ

/*
 * Set before any session is looked at; a session that is published later looks at it itself
 * (nbd_session_started()).
 */
static bool leaving;
/* jiffies; valid when leaving is set. */
static unsigned long leave_by;

bool nbd_is_leaving(void)
{
	/* The time is read after it: leave(). */
	return smp_load_acquire(&leaving);
}

int nbd_leave_refuse(struct netlink_ext_ack *extack)
{
	if (!nbd_is_leaving())
		return 0;
	NL_SET_ERR_MSG(extack, "the machine goes down");
	return -ESHUTDOWN;
}

static unsigned long time_left(unsigned long until)
{
	return time_after(until, jiffies) ? until - jiffies : 0;
}

void nbd_leave_await_answer(struct nbd_conn *conn)
{
	nbd_socket_await_data(&conn->socket, time_left(leave_by - NBD_LEAVE_END));
}

void nbd_leave_await_end(struct nbd_conn *conn)
{
	unsigned long until = jiffies + NBD_LEAVE_END;

	if (time_after(until, leave_by))
		until = leave_by;
	nbd_socket_await_end(&conn->socket, time_left(until));
}

/* Calls @visit with each session, which it may wait for. */
static void visit_sessions(void (*visit)(struct nbd_session *session, unsigned long arg),
			   unsigned long arg)
{
	struct nbd_session *session;
	struct nbd_device *nbd;
	int index = 0;

	while ((nbd = nbd_device_next(index))) {
		index = nbd->index + 1;
		session = nbd_device_session(nbd);
		if (session) {
			visit(session, arg);
			nbd_session_put(session);
		}
		nbd_device_put(nbd);
	}
}

static void retire(struct nbd_session *session, unsigned long at_once)
{
	nbd_session_leave(session, at_once);
}

static void await_burials(struct nbd_session *session, unsigned long until)
{
	wait_event_timeout(session->changed, !atomic_read(&session->unburied),
			   time_left(until));
}

static int leave(struct notifier_block *nb, unsigned long action, void *data)
{
	unsigned long begun = jiffies;

	leave_by = begun + NBD_LEAVE_ANSWER + NBD_LEAVE_END;
	/* Who sees that it is set sees the time, too. */
	smp_store_release(&leaving, true);
	/* Said before the connections are looked at: nbd_session_started(). */
	smp_mb();
	visit_sessions(retire, false);
	visit_sessions(await_burials, begun + NBD_LEAVE_ANSWER);
	/* Those whose server has not answered. */
	visit_sessions(retire, true);
	visit_sessions(await_burials, leave_by);
	return NOTIFY_DONE;
}

static struct notifier_block leave_notifier = {
	.notifier_call = leave,
};

int nbd_leave_init(void)
{
	return register_reboot_notifier(&leave_notifier);
}

void nbd_leave_exit(void)
{
	unregister_reboot_notifier(&leave_notifier);
}
