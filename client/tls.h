/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TLS of one connection, from NBD_OPT_STARTTLS to the hand-over of its keys to the kernel:
 * after that the socket takes and gives plain bytes, and the kernel encrypts. GnuTLS does the
 * handshake, over a struct nbd_transport; nothing blocks.
 *
 * The server's certificate is verified, unless the settings say otherwise. Versions and
 * ciphers are those that the kernel can go on with; what another priority string leads to is
 * refused before any data is sent.
 */
#ifndef NBD_TLS_H
#define NBD_TLS_H

#include <linux/nbd-netlink.h>
#include <stdbool.h>

#include "error.h"
#include "model.h"
#include "transport.h"

struct nbd_tls;

/**
 * nbd_tls_check - whether TLS is possible at all, with these settings
 * @params:	of the attachment
 * @err:	says why not
 */
int nbd_tls_check(const struct nbd_params *params, struct nbd_err *err);

/**
 * nbd_tls_start - prepare a connection
 * @params:	of the attachment, with its credentials; must outlive the connection
 * @server:	that it leads to
 * @fd:		its socket, which is told to the kernel; -1 if that shall not go on with it
 * @below:	what it is read and written with; must outlive the connection
 * @err:	says why not
 *
 * Return: the connection, or NULL.
 */
struct nbd_tls *nbd_tls_start(const struct nbd_params *params, const struct nbd_server *server,
			      int fd, struct nbd_transport *below, struct nbd_err *err);

/* Goes on with the handshake: 0 at its end, -EAGAIN, or another negative errno with @err. */
int nbd_tls_handshake(struct nbd_tls *tls, struct nbd_err *err);

/* After -EAGAIN: it waits for the stream to take bytes, not to bring some. */
bool nbd_tls_writes(const struct nbd_tls *tls);

/* The stream inside of it. */
struct nbd_transport *nbd_tls_transport(struct nbd_tls *tls);

/*
 * The stream inside failed, as @err says: if TLS may be why it says that instead; else
 * false. With TLS 1.3 a server refuses a client only after the handshake.
 */
bool nbd_tls_explain(const struct nbd_tls *tls, struct nbd_err *err);

/**
 * nbd_tls_hand_over - give the keys to the kernel, which goes on where the library ends
 * @tls:	its negotiation is over
 * @secrets:	what the keys come from, and the next ones would; zeroes with TLS 1.2
 * @err:	says why not
 *
 * Return: 0 or a negative errno.
 */
int nbd_tls_hand_over(struct nbd_tls *tls, struct nbd_tls_secrets *secrets,
		      struct nbd_err *err);

/* Says goodbye, where that does not wait: for a connection that is not handed over. */
void nbd_tls_goodbye(struct nbd_tls *tls);

/* Frees it, and wipes its keys; also NULL. */
void nbd_tls_free(struct nbd_tls *tls);

#endif /* NBD_TLS_H */
