/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TLS records of our own making, in place of GnuTLS' once the handshake is over: of any type,
 * padded, damaged, cut, or not encrypted at all, or with the next key. TLS 1.3 and 1.2,
 * ciphers with GCM, and with TLS 1.3 CHACHA20-POLY1305.
 */
#ifndef NBD_FORGER_RECORDS_H
#define NBD_FORGER_RECORDS_H

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RECORD_DATA = 23,
	RECORD_MAX = 16384,
	RECORD_SECRET_MAX = 48,
};

/**
 * struct records - the sending half of one connection
 * @fd:		its socket
 * @cipher:	with the key of this direction; NULL before records_take()
 * @algorithm:	its
 * @v13:	TLS 1.3, else 1.2
 * @iv:		as GnuTLS keeps it: twelve bytes with TLS 1.3, four with 1.2
 * @number:	of the next record
 * @secret:	what the key comes from, with TLS 1.3; @secret_size bytes
 * @mac:	that makes the next one of it
 * @padding:	zeroes that each record gets, with TLS 1.3
 * @piece:	bytes that go out at a time, or 0
 * @cut:	bytes of the next record that go out, or -1
 * @forge:	the next record has a wrong tag
 */
struct records {
	int fd;
	gnutls_aead_cipher_hd_t cipher;
	gnutls_cipher_algorithm_t algorithm;
	bool v13;
	uint8_t iv[12];
	uint64_t number;
	uint8_t secret[RECORD_SECRET_MAX];
	size_t secret_size;
	gnutls_mac_algorithm_t mac;
	unsigned int padding;
	unsigned int piece;
	int cut;
	bool forge;
};

void records_init(struct records *r, int fd);
/* Has the handshake of @session, whose pointer it takes, tell the secret. */
void records_watch(struct records *r, gnutls_session_t session);
/* What @session sent last was the last that it sends. False if its cipher is another. */
bool records_take(struct records *r, gnutls_session_t session);
void records_free(struct records *r);

/* From the next record on the key is the next one, whatever the client was told. */
void records_next_key(struct records *r);

/* One record of at most RECORD_MAX bytes; false if the connection is gone. */
bool records_send(struct records *r, uint8_t type, const void *data, size_t len);
/* As it is. */
bool records_send_raw(struct records *r, const void *data, size_t len);

#endif /* NBD_FORGER_RECORDS_H */
