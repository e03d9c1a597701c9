// SPDX-License-Identifier: GPL-2.0
/* Keys and secrets of TLS 1.3. */
#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#define memzero_explicit(at, n) explicit_bzero(at, n)
#endif
#include "tlskey.h"

#define LABEL_PREFIX	"tls13 "
/* Length, label with its length, context of no bytes, and the number of the block. */
#define INFO_MAX	(2 + 1 + 18 + 1 + 1)

static __u32 put_text(__u8 *at, const char *text)
{
	__u32 n = strlen(text);

	memcpy(at, text, n);
	return n;
}

/*
 * HKDF-Expand-Label (section 7.1) without a context. No more is asked for than the hash has,
 * so that the first block of HKDF-Expand (RFC 5869, section 2.3) is all of it.
 */
static void expand_label(const struct nbd_tls_hash *hash, const __u8 *secret, const char *label,
			 __u8 *out, __u32 len)
{
	__u8 info[INFO_MAX], block[NBD_TLS_HASH_MAX];
	__u32 n = 3;

	n += put_text(info + n, LABEL_PREFIX);
	n += put_text(info + n, label);
	info[0] = len >> 8;
	info[1] = len;
	info[2] = n - 3;
	info[n++] = 0;
	info[n++] = 1;
	hash->hmac(secret, hash->size, info, n, block);
	memcpy(out, block, len);
	memzero_explicit(block, sizeof(block));
}

void nbd_tls_key_derive(const struct nbd_tls_hash *hash, const __u8 *secret,
			struct nbd_tls_key *key, __u32 key_len)
{
	expand_label(hash, secret, "key", key->key, key_len);
	expand_label(hash, secret, "iv", key->iv, sizeof(key->iv));
}

void nbd_tls_secret_next(const struct nbd_tls_hash *hash, const __u8 *secret, __u8 *next)
{
	expand_label(hash, secret, "traffic upd", next, hash->size);
}
