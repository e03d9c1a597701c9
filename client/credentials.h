/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who we are and whom we believe, for TLS: certificates, keys and authorities, as they were in
 * the files when the device was attached, or replaced. They are in memory from then on, and
 * in a file under /run/nbd that only root can read: whoever reconnects may have no other file
 * system left than that, and lives in other namespaces than the files.
 */
#ifndef NBD_CREDENTIALS_H
#define NBD_CREDENTIALS_H

#include <stddef.h>
#include <stdio.h>

#include "error.h"
#include "model.h"

/* Authorities that are believed if none are named. */
#define NBD_SYSTEM_TRUST "/etc/ssl/certs/ca-certificates.crt"

/** enum nbd_secret - what they consist of */
enum nbd_secret {
	NBD_SECRET_AUTHORITIES,		/* PEM */
	NBD_SECRET_CERTIFICATE,		/* PEM */
	NBD_SECRET_KEY,			/* PEM */
	NBD_SECRET_USER,		/* name of the pre-shared key */
	NBD_SECRET_PSK,			/* the key in hexadecimal digits */
	NBD_SECRETS_N,
};

/**
 * struct nbd_credentials - all of it
 * @text:	by enum nbd_secret; terminated; NULL for what there is not
 * @len:	bytes of it
 * @x509:	gnutls_certificate_credentials_t, once it was needed
 * @psk:	gnutls_psk_client_credentials_t, likewise
 */
struct nbd_credentials {
	char *text[NBD_SECRETS_N];
	size_t len[NBD_SECRETS_N];
	void *x509;
	void *psk;
};

/**
 * nbd_credentials_load - read the files that the settings name
 * @params:	of the attachment; gets the credentials, in place of those it had
 * @err:	says what is wrong with which file
 *
 * Paths of files begin at the root from then on. Opens the library that they are for. Does
 * nothing without TLS.
 *
 * Return: 0 or a negative errno.
 */
int nbd_credentials_load(struct nbd_params *params, struct nbd_err *err);

/* Wipes the memory; also NULL. */
void nbd_credentials_free(struct nbd_credentials *c);

/* To a file and back; NULL if it holds nothing of the kind. */
void nbd_credentials_print(const struct nbd_credentials *c, FILE *file);
struct nbd_credentials *nbd_credentials_parse(FILE *file);

/* A pre-shared key is what they are about. */
bool nbd_credentials_are_psk(const struct nbd_credentials *c);

/* For the library, made when they are first asked for: 0 or a negative errno. */
int nbd_credentials_ready(struct nbd_credentials *c, struct nbd_err *err);

#endif /* NBD_CREDENTIALS_H */
