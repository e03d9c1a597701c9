/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The hostile server's control socket (tests/servers/hostile/control.h), and how the
 * programs here complain: one line, "failed: SCENARIO: ...".
 */
#ifndef NBD_SCENARIOS_CONTROL_H
#define NBD_SCENARIOS_CONTROL_H

#include <stdbool.h>

#include "../common.h"

/* The scenario that is played. */
extern const char *current;

/* How much slower than usual the guest is, from the environment. */
double time_scale(void);

/* Always false. */
bool __printf(1, 2) complain(const char *fmt, ...);

/* Ends the program if there is no server. */
void connect_control(const char *path);

/* One command; false, and a complaint, if the server refuses it or is gone. */
bool __printf(1, 2) tell_server(const char *fmt, ...);

#endif /* NBD_SCENARIOS_CONTROL_H */
