/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the monitor knows of an attachment that it cannot reconnect, for -status.
 *
 * A file beside the record, NBD_RUN_DIR/.outage.nbdN, replaced as a whole after each
 * attempt that has failed, and removed when the outage ends. It is the monitor's: who reads
 * it believes it only while that very monitor runs, and if it is root's.
 */
#ifndef NBD_OUTAGE_H
#define NBD_OUTAGE_H

#include <stdio.h>
#include <sys/types.h>

#include "model.h"
#include "util.h"

#define NBD_OUTAGE_TEXT_MAX 512

/**
 * struct nbd_outage - attempts to reconnect that were in vain
 * @monitor:	process that makes them
 * @session_id:	the attachment, as in its record
 * @pid:		likewise
 * @attempts:	that have failed since the outage began
 * @since:	when it began, on nbd_now_ms()'s clock
 * @next_try:	when the next attempt is made, likewise; meaningless if @given_up
 * @given_up:	no more attempts are made
 * @why:	what the last one failed of, printable
 * @server:	what each server's last failure was, printable; empty if none is known
 */
struct nbd_outage {
	pid_t monitor;
	u64 session_id;
	u32 pid;
	unsigned int attempts;
	s64 since;
	s64 next_try;
	bool given_up;
	char why[NBD_OUTAGE_TEXT_MAX];
	char server[NBD_SERVERS_MAX][NBD_OUTAGE_TEXT_MAX];
};

/* Tell everybody; 0 or a negative errno. Waits for nobody. */
int nbd_outage_publish(s32 index, const struct nbd_outage *outage);

/* It is over; it is no error if nothing was published. */
void nbd_outage_withdraw(s32 index);

/* 0, -ENOENT, -EPERM for a file that is not root's alone, -EINVAL for a damaged one. */
int nbd_outage_read(s32 index, struct nbd_outage *outage);

/* The text of the file; for the above and tests. */
void nbd_outage_print(const struct nbd_outage *outage, FILE *file);
int nbd_outage_parse(struct nbd_outage *outage, FILE *file);

#endif /* NBD_OUTAGE_H */
