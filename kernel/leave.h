/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Leaving: the machine goes down, and the servers are told, whatever userspace still runs:
 * at a reboot, a power-off, a halt and a kexec, "reboot -f" included; not when the kernel
 * crashes or is made to restart at once (sysrq b).
 *
 * From then on no session takes a connection and no device is attached (ESHUTDOWN), and
 * userspace is told of no connection that ends: a monitor that made another one would leave
 * it behind at the server when the power goes, in the place of the client that boots next.
 * What requests still come is parked, and never fails: there is nobody left to repair a file
 * system that has seen errors.
 *
 * Connections retire: what the server has is answered, and then a flush, a second at most.
 * Then they say goodbye, if the socket takes that at once and is at a message boundary, and
 * wait for the server's end of the stream, a second at most; all of them at the same time.
 * So the machine is held up for two seconds at most, by however many servers are dead.
 *
 * It is not undone. If the machine does not go down after all, its devices wait for ever.
 */
#ifndef _NBD_LEAVE_H
#define _NBD_LEAVE_H

#include <linux/types.h>

struct nbd_conn;
struct netlink_ext_ack;

/* Registers for the end of the machine; undone before the devices go. */
int nbd_leave_init(void);
void nbd_leave_exit(void);

/* Whether the machine goes down; once true it stays so. */
bool nbd_is_leaving(void);

/* -ESHUTDOWN, told in @extack, if it does; else 0. */
int nbd_leave_refuse(struct netlink_ext_ack *extack);

/* For a burial that has flushed: waits for the answer, in the time that answers have. */
void nbd_leave_await_answer(struct nbd_conn *conn);

/* For a burial that has said goodbye: waits for the server's end of the stream. */
void nbd_leave_await_end(struct nbd_conn *conn);

#endif /* _NBD_LEAVE_H */
