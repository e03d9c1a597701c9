/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a bug report should have: versions, the driver, the status, and what the kernel and
 * the monitor have logged. What cannot be had is named, and nothing takes longer than some
 * seconds. Names and addresses of servers are in it; credentials are not, nor is anything
 * of nbdtab or of a key file.
 */
#ifndef NBD_REPORT_H
#define NBD_REPORT_H

#include <stdio.h>

/* Print the report; @version is that of this program. */
void nbd_report(const char *version, FILE *out);

/**
 * nbd_report_clean - take credentials out of a line
 * @line:	whoever a URI says to be ("//USER@") is replaced by dots in it
 */
void nbd_report_clean(char *line);

#endif /* NBD_REPORT_H */
