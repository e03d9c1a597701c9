/* SPDX-License-Identifier: GPL-2.0 */
/*
 * uapi-probe drives the driver's ioctl and netlink interfaces step by step, legal
 * and illegal, and writes each step's outcome as one line
 *
 *	case/step: outcome [# comment]
 *
 * that is the same in every run: no process ids, times or addresses. So the outcome
 * of one driver is a table that can be compared with another's. What stands behind
 * '#' (the extended-ack text) is not compared.
 *
 * Each case runs in a process of its own, with a time limit, on devices that are
 * free; what it leaves attached is detached afterwards.
 */
#ifndef NBD_PROBE_H
#define NBD_PROBE_H

#include "../library/library.h"

/* The stock driver may crash, hang or leak for good: left out with --safe. */
#define CASE_UNSAFE	1
/* Loads and unloads the module. */
#define CASE_RELOAD	2

/**
 * struct probe_case - one case
 * @name:	of its lines
 * @run:	does it
 * @flags:	CASE_*
 * @seconds:	limit; 0: 30
 */
struct probe_case {
	const char *name;
	void (*run)(void);
	unsigned int flags;
	unsigned int seconds;
};

/* Each cases_*.c has one, ended by a NULL name. */
extern const struct probe_case ioctl_cases[], setup_cases[], value_cases[], socket_cases[],
	netlink_cases[], lifetime_cases[], message_cases[], view_cases[], module_cases[];

/* Run all selected cases; the exit status. */
int run_cases(int argc, char **argv);

#endif /* NBD_PROBE_H */
