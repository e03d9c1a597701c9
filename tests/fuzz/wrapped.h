/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the linker puts in place of libnl's functions that would ask the kernel: each
 * __wrap_X() is X() for the client, and __real_X() libnl's own. The list is WRAPPED in the
 * Makefile.
 */
#ifndef NBD_FUZZ_WRAPPED_H
#define NBD_FUZZ_WRAPPED_H

struct nl_cb;
struct nl_msg;
struct nl_sock;

int __wrap_genl_connect(struct nl_sock *sock);
int __wrap_genl_ctrl_resolve(struct nl_sock *sock, const char *name);
int __wrap_genl_ctrl_resolve_grp(struct nl_sock *sock, const char *family, const char *group);
int __wrap_nl_socket_set_nonblocking(const struct nl_sock *sock);
int __wrap_nl_socket_add_membership(struct nl_sock *sock, int group);
int __wrap_nl_send_auto(struct nl_sock *sock, struct nl_msg *msg);
int __wrap_nl_recvmsgs(struct nl_sock *sock, struct nl_cb *cb);
int __wrap_nl_recvmsgs_default(struct nl_sock *sock);
int __real_nl_recvmsgs(struct nl_sock *sock, struct nl_cb *cb);

#endif /* NBD_FUZZ_WRAPPED_H */
