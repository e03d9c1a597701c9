/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What comes of a traffic secret of TLS 1.3: RFC 8446, sections 7.1 to 7.3.
 *
 * Pure as wire.h is, but for the hash, which the caller brings.
 */
#ifndef _NBD_TLSKEY_H
#define _NBD_TLSKEY_H

#include <linux/types.h>

/* The hashes of TLS 1.3's ciphers, the longest of them, and the nonce that all have. */
#define NBD_TLS_SHA256_SIZE	32
#define NBD_TLS_SHA384_SIZE	48
#define NBD_TLS_HASH_MAX	NBD_TLS_SHA384_SIZE
#define NBD_TLS_KEY_MAX		32
#define NBD_TLS_IV_SIZE		12

/**
 * struct nbd_tls_hash - the hash of a cipher
 * @size:	bytes of what it makes, and of a secret
 * @hmac:	HMAC (RFC 2104) with it: @out of @data and @key
 */
struct nbd_tls_hash {
	__u32 size;
	void (*hmac)(const __u8 *key, size_t key_len, const __u8 *data, size_t len, __u8 *out);
};

/**
 * struct nbd_tls_key - what encrypts the records of one direction
 * @key:	as many bytes as the cipher has
 * @iv:		what each record's number is mixed with
 */
struct nbd_tls_key {
	__u8 key[NBD_TLS_KEY_MAX];
	__u8 iv[NBD_TLS_IV_SIZE];
};

/* The first @key_len bytes of @key, and its iv, from @secret. */
void nbd_tls_key_derive(const struct nbd_tls_hash *hash, const __u8 *secret,
			struct nbd_tls_key *key, __u32 key_len);

/* The secret that comes after @secret with a KeyUpdate; @next is another place. */
void nbd_tls_secret_next(const struct nbd_tls_hash *hash, const __u8 *secret, __u8 *next);

#endif /* _NBD_TLSKEY_H */
