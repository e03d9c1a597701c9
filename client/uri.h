/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Servers in words: NBD URIs (uri.md of the NBD project), host and port, the
 * path of a Unix socket.
 */
#ifndef NBD_URI_H
#define NBD_URI_H

#include "error.h"
#include "model.h"

/* @text begins like an NBD URI: nbd://, nbds://, nbd+unix:// and so on. */
bool nbd_is_uri(const char *text);

/**
 * nbd_uri_apply - append the server of a URI and take over what it says
 * @params:	gets a server, and the export name and TLS parameters
 * @uri:	the text
 * @err:	quotes what is wrong with it
 *
 * An export name that was already given must be the same.
 *
 * Return: 0, -EINVAL or -ENOMEM; on failure @params is not changed.
 */
int nbd_uri_apply(struct nbd_params *params, const char *uri,
		  struct nbd_err *err);

/*
 * Append one more server; -EINVAL when there are too many, it is too long, or looks like an
 * IPv6 address that it is not. @host may be in brackets.
 */
int nbd_server_add_tcp(struct nbd_params *params, const char *host,
		       const char *port, struct nbd_err *err);
int nbd_server_add_unix(struct nbd_params *params, const char *path,
			struct nbd_err *err);

/*
 * Paths of sockets begin at the root from here on: whoever reconnects has another
 * working directory. -ENAMETOOLONG or why there is no working directory.
 */
int nbd_servers_absolute(struct nbd_params *params, struct nbd_err *err);

/* "HOST", "HOST:PORT", "IPV6", "[IPV6]:PORT", "/path/of/socket" or a URI. */
int nbd_server_append(struct nbd_params *params, const char *text,
		      struct nbd_err *err);

#endif /* NBD_URI_H */
