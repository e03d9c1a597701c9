/* SPDX-License-Identifier: GPL-2.0 */
/*
 * New keys for a connection with kernel TLS, as KeyUpdate (RFC 8446, section 4.6.3) wants
 * them. Whoever made the connection gives the secrets of its keys, for no process may be
 * needed at the moment of an update: the disk may be what it would have to be read from.
 */
#ifndef _NBD_REKEY_H
#define _NBD_REKEY_H

#include <linux/nbd-netlink.h>
#include <linux/types.h>

struct sock;

/**
 * struct nbd_rekey - of one connection
 * @secrets:	of its present keys
 * @able:	they are, and the kernel can go on with others
 * @asked:	the peer wants new keys in our direction, before the next data
 */
struct nbd_rekey {
	struct nbd_tls_secrets secrets;
	bool able;
	bool asked;
};

/*
 * @r has the secrets that came with the socket, or zeroes: sets @able if they are those of its
 * keys; else they are of no use. The socket is locked.
 */
void nbd_rekey_init(struct nbd_rekey *r, const struct sock *sk);

/*
 * The next key of a direction, from its own work: no record is under way there. Waits for the
 * socket's lock. The error is the cipher's, or -EOPNOTSUPP where the kernel cannot go on with
 * other keys: there nobody is able.
 */
int nbd_rekey_receive(struct nbd_rekey *r, struct sock *sk);
int nbd_rekey_send(struct nbd_rekey *r, struct sock *sk);

void nbd_rekey_wipe(struct nbd_rekey *r);

#endif /* _NBD_REKEY_H */
