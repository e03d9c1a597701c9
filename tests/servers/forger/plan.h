/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a connection does in place of a plain answer, in words:
 *
 *   data, data:N	the rest of the answer, or its next N bytes, as a record of data
 *   TYPE:HEX[*N]	a record of that type with these bytes, N times
 *   pad:N		from here on records are padded with N zeroes
 *   piece:N		from here on N bytes are sent at a time
 *   forge		the next record has a wrong tag
 *   skip		the number of one record is left out
 *   rekey		from here on records have the next key
 *   cut:N		of the next record only N bytes are sent
 *   raw:HEX		bytes that are in no record
 *   tail:HEX	bytes that the answer gets at its end, PLAN_TAIL at most
 *   ack		the answer as it is, in no record
 *   await		until the client says something, which is left unread
 *   until:NAME		until somebody opens the FIFO NAME of the folder "plans" to write
 *   tls		the handshake of TLS
 *   stall		until the client closes
 *   close, reset	the end
 *
 * What of the answer is left at the end is sent as data, unless the connection has ended.
 */
#ifndef NBD_FORGER_PLAN_H
#define NBD_FORGER_PLAN_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>

#include "records.h"

#define PLAN_TAIL	512

/**
 * struct connection - one client's
 * @fd:		its socket
 * @session:	what it says is decrypted by
 * @records:	what is said to it
 * @client_key:	of the client's records, when they were looked at last
 * @tls:	the handshake is over
 */
struct connection {
	int fd;
	gnutls_session_t session;
	struct records records;
	uint8_t client_key[32];
	bool tls;
};

/*
 * Takes the file @name of the folder "plans", that nobody else has it, and plays it, or else
 * the @usual plan, with this @answer, behind which there is room for PLAN_TAIL bytes. False if
 * the connection is over.
 */
bool plan_play(struct connection *c, const char *name, const char *usual, void *answer,
	       size_t len);

#endif /* NBD_FORGER_PLAN_H */
