// SPDX-License-Identifier: GPL-2.0
/*
 * Sets keys of kernel TLS in its own place. As socket options (TLS_RX, TLS_TX) they would
 * bring TLS' calls back for a moment, in which whoever holds the descriptor could receive.
 */
#include <crypto/aead.h>
#include <crypto/algapi.h>
#include <linux/string.h>
#include <net/sock.h>
#include <net/tls.h>
#include "compat.h"
#include "rekey.h"
#include "tlskey.h"

static const struct nbd_tls_hash hash_sha256 = { NBD_TLS_SHA256_SIZE, nbd_hmac_sha256 };
static const struct nbd_tls_hash hash_sha384 = { NBD_TLS_SHA384_SIZE, nbd_hmac_sha384 };

/**
 * struct nbd_cipher - of TLS 1.3
 * @type:	TLS_CIPHER_*
 * @key:	bytes of the key
 * @salt:	bytes of the iv that TLS has behind the key
 * @hash:	of its secrets
 */
static const struct nbd_cipher {
	u16 type;
	u8 key;
	u8 salt;
	const struct nbd_tls_hash *hash;
} ciphers[] = {
	{ TLS_CIPHER_AES_GCM_128, 16, 4, &hash_sha256 },
	{ TLS_CIPHER_AES_GCM_256, 32, 4, &hash_sha384 },
	{ TLS_CIPHER_AES_CCM_128, 16, 4, &hash_sha256 },
	{ TLS_CIPHER_CHACHA20_POLY1305, 32, 0, &hash_sha256 },
};

static const struct nbd_cipher *find_cipher(const struct tls_context *ctx)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ciphers); i++)
		if (ciphers[i].type == ctx->crypto_send.info.cipher_type)
			return &ciphers[i];
	return NULL;
}

/* The key as TLS notes it down: the rest of the iv, the key, the salt, the record's number. */
static void note_key(union tls_crypto_context *note, const struct nbd_cipher *cipher,
		     const struct nbd_tls_key *key)
{
	u8 *at = (u8 *)note + sizeof(note->info);
	unsigned int rest = NBD_TLS_IV_SIZE - cipher->salt;

	memcpy(at, key->iv + cipher->salt, rest);
	at += rest;
	memcpy(at, key->key, cipher->key);
	at += cipher->key;
	memcpy(at, key->iv, cipher->salt);
	at += cipher->salt;
	memset(at, 0, TLS_CIPHER_AES_GCM_128_REC_SEQ_SIZE);
}

/* Whether @note has the key of this secret. */
static bool is_secret_of(const u8 *secret, const union tls_crypto_context *note,
			 const struct nbd_cipher *cipher)
{
	const u8 *noted = (const u8 *)note + sizeof(note->info) + NBD_TLS_IV_SIZE - cipher->salt;
	struct nbd_tls_key key;
	bool same;

	nbd_tls_key_derive(cipher->hash, secret, &key, cipher->key);
	same = !crypto_memneq(key.key, noted, cipher->key);
	memzero_explicit(&key, sizeof(key));
	return same;
}

/* Else records of data may still be in the cipher when a message behind them has been sent. */
static bool is_synchronous(struct crypto_aead *aead)
{
	return !(crypto_aead_alg(aead)->base.cra_flags & CRYPTO_ALG_ASYNC);
}

void nbd_rekey_init(struct nbd_rekey *r, const struct sock *sk)
{
	const struct tls_context *ctx = tls_get_ctx(sk);
	const struct nbd_cipher *cipher = find_cipher(ctx);

	r->able = NBD_CAN_REKEY && cipher &&
		  ctx->crypto_send.info.version == TLS_1_3_VERSION &&
		  ctx->tx_conf == TLS_SW && ctx->rx_conf == TLS_SW &&
		  is_secret_of(r->secrets.send, &ctx->crypto_send, cipher) &&
		  is_secret_of(r->secrets.receive, &ctx->crypto_recv, cipher) &&
		  is_synchronous(tls_sw_ctx_tx(ctx)->aead_send);
}

static int set_key(struct crypto_aead *aead, struct cipher_context *direction,
		   union tls_crypto_context *note, const struct nbd_cipher *cipher,
		   const struct nbd_tls_key *key)
{
	int err = crypto_aead_setkey(aead, key->key, cipher->key);

	if (err)
		return err;
	memcpy(direction->iv, key->iv, NBD_TLS_IV_SIZE);
	memset(direction->rec_seq, 0, TLS_CIPHER_AES_GCM_128_REC_SEQ_SIZE);
	note_key(note, cipher, key);
	return 0;
}

/* Makes @secret the next one, and its key @key. */
static void step(const struct nbd_cipher *cipher, u8 *secret, struct nbd_tls_key *key)
{
	u8 next[NBD_TLS_HASH_MAX];

	nbd_tls_secret_next(cipher->hash, secret, next);
	memcpy(secret, next, cipher->hash->size);
	memzero_explicit(next, sizeof(next));
	nbd_tls_key_derive(cipher->hash, secret, key, cipher->key);
}

/* Of one direction, whose @secret, cipher and notes these are. The socket is locked. */
static int next_key(const struct tls_context *ctx, u8 *secret, struct crypto_aead *aead,
		    struct cipher_context *direction, union tls_crypto_context *note)
{
	const struct nbd_cipher *cipher = find_cipher(ctx);
	struct nbd_tls_key key;
	int err;

	step(cipher, secret, &key);
	err = set_key(aead, direction, note, cipher, &key);
	memzero_explicit(&key, sizeof(key));
	return err;
}

int nbd_rekey_receive(struct nbd_rekey *r, struct sock *sk)
{
	struct tls_context *ctx = tls_get_ctx(sk);
	struct tls_sw_context_rx *rx = tls_sw_ctx_rx(ctx);
	int err;

	if (!NBD_CAN_REKEY)
		return -EOPNOTSUPP;
	lock_sock(sk);
	err = next_key(ctx, r->secrets.receive, rx->aead_recv, &ctx->rx, &ctx->crypto_recv);
	if (!err)
		nbd_tls_has_new_key(rx);
	release_sock(sk);
	return err;
}

int nbd_rekey_send(struct nbd_rekey *r, struct sock *sk)
{
	struct tls_context *ctx = tls_get_ctx(sk);
	int err;

	if (!NBD_CAN_REKEY)
		return -EOPNOTSUPP;
	lock_sock(sk);
	err = next_key(ctx, r->secrets.send, tls_sw_ctx_tx(ctx)->aead_send, &ctx->tx,
		       &ctx->crypto_send);
	release_sock(sk);
	return err;
}

void nbd_rekey_wipe(struct nbd_rekey *r)
{
	memzero_explicit(r, sizeof(*r));
}
