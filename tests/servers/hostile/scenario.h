/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The table of everything that the hostile server can do wrong, one thing each,
 * with what was promised to the user for it. Tests loop over the table.
 */
#ifndef NBD_TEST_SCENARIO_H
#define NBD_TEST_SCENARIO_H

#include <stdbool.h>
#include <stdio.h>

/* Where requests meet the rules of a scenario; nothing else is touched. */
#define TARGET_START	"1M"
#define TARGET_END	"2M"

/* The length of the request that provokes a scenario, unless it has its own. */
#define PROVOKING_LENGTH	(128U << 10)

/*
 * One line each on @out, tab-separated:
 *
 * name, phase, what provokes it, connections needed, promised outcome, length, text
 *
 * phase:    handshake (apply it before the client comes) or transmission (apply
 *           it when the device is attached)
 * provoked: by a read, write, trim, zeroes or flush of the target (a request of that
 *           length inside [1 MiB, 2 MiB); a flush has no place), by so many reads at a
 *           time that make up that length, attach, list, or idle: by itself at once
 * outcome:  ok        nothing is lost, the connection stays
 *           drop      the connection is dropped before the request timeout, the request
 *                     is sent again on another one and succeeds there
 *           timeout   as drop, but the timeout may be what can tell
 *           NAME      the request fails with that errno, the connection stays (poison,
 *                     mute-* and error-payload: is dropped)
 *           refuse    the client refuses to attach, with one clear message
 *           protocol  it refuses with the status for a server that breaks the protocol
 *           unfit     it refuses with the status for an export that cannot be used
 *           readonly  as ok, and the device is read-only
 *           either    it refuses, or attaches and everything is right
 *
 * @phase limits the list to one phase; NULL: all.
 */
void scenario_list(FILE *out, const char *phase);

/* Run the commands of the scenario. False if there is none of that name. */
bool scenario_apply(const char *name);

/* Print its commands. */
bool scenario_print(FILE *out, const char *name);

#endif /* NBD_TEST_SCENARIO_H */
