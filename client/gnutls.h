/* SPDX-License-Identifier: GPL-2.0 */
/*
 * GnuTLS, opened when somebody asks for TLS and not before: with what it needs itself it is
 * many times as large as this program, and the monitor locks all that it has into memory.
 */
#ifndef NBD_GNUTLS_H
#define NBD_GNUTLS_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "error.h"

/**
 * struct nbd_gnutls - the library
 * @library:	what dlopen() said; NULL before that
 *
 * The others are the functions of gnutls.def.
 */
struct nbd_gnutls {
	void *library;
#define NBD_GNUTLS(NAME) typeof(gnutls_##NAME) *NAME;
#include "gnutls.def"
};

extern struct nbd_gnutls nbd_gnutls;

/* Opens it, once for the process: 0, -ELIBACC or -ELIBBAD. */
int nbd_gnutls_open(struct nbd_err *err);

#endif /* NBD_GNUTLS_H */
