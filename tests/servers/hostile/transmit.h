/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The transmission phase: takes requests from a connection, keeps the counters
 * and the log, executes them on the image and answers, with what the rules want
 * to go wrong.
 */
#ifndef NBD_TEST_TRANSMIT_H
#define NBD_TEST_TRANSMIT_H

#include "conn.h"

/* The handshake of @conn is over. */
void transmit_begin(struct conn *conn);

/* Answer what `never` and `hold` keep back, on @conn or, with NULL, everywhere. */
void transmit_release(struct conn *conn);

#endif /* NBD_TEST_TRANSMIT_H */
