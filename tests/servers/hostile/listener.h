/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The addresses at which the hostile server listens.
 */
#ifndef NBD_TEST_LISTENER_H
#define NBD_TEST_LISTENER_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Listen at @address: "tcp:HOST:PORT" (port 0: any) or "unix:PATH". @rcvbuf
 * and @sndbuf are the connections' buffer sizes, 0 for the system's. Ends the
 * program with a message if that fails.
 */
void listener_add(const char *address, int rcvbuf, int sndbuf);

/* One line each, in the order they were added: "tcp PORT" or "unix PATH". */
void listeners_print(FILE *out);

/* Take connections from the backlog, or leave them there. */
void listeners_accept(bool on);

/* Close the listening sockets, or open them again at the same addresses. NULL or an error. */
const char *listeners_listen(bool on);

/* Removes the AF_UNIX names. */
void listeners_cleanup(void);

#endif /* NBD_TEST_LISTENER_H */
