// SPDX-License-Identifier: GPL-2.0
/* Encrypts records: RFC 8446, section 5.2 and 5.3, and RFC 5288. */
#include <endian.h>
#include <err.h>
#include <string.h>
#include <sys/socket.h>

#include "records.h"

enum {
	HEAD = 5,
	EXPLICIT = 8,	/* of the nonce, in records of TLS 1.2 */
	TAG = 16,
	PADDING_MAX = 4096,
};

void records_init(struct records *r, int fd)
{
	*r = (struct records) { .fd = fd, .cut = -1 };
}

static int keep_secret(gnutls_session_t session, gnutls_record_encryption_level_t level,
		       const void *received, const void *sent, size_t size)
{
	struct records *r = gnutls_session_get_ptr(session);

	(void)received;
	if (level == GNUTLS_ENCRYPTION_LEVEL_APPLICATION && sent && size <= sizeof(r->secret)) {
		memcpy(r->secret, sent, size);
		r->secret_size = size;
	}
	return 0;
}

void records_watch(struct records *r, gnutls_session_t session)
{
	gnutls_session_set_ptr(session, r);
	gnutls_handshake_set_secret_function(session, keep_secret);
}

/* HKDF-Expand-Label of the secret: RFC 8446, section 7.1. */
static void expand(const struct records *r, const char *label, uint8_t *out, size_t size)
{
	const gnutls_datum_t secret = { (uint8_t *)r->secret, r->secret_size };
	uint8_t text[64] = { size >> 8, size, 6 + strlen(label), 't', 'l', 's', '1', '3', ' ' };
	const gnutls_datum_t info = { text, 9 + strlen(label) + 1 };

	memcpy(text + 9, label, strlen(label));
	if (gnutls_hkdf_expand(r->mac, &secret, &info, out, size))
		errx(1, "no %s", label);
}

void records_next_key(struct records *r)
{
	uint8_t bytes[RECORD_SECRET_MAX];
	gnutls_datum_t key = { bytes, gnutls_cipher_get_key_size(r->algorithm) };

	expand(r, "traffic upd", bytes, r->secret_size);
	memcpy(r->secret, bytes, r->secret_size);
	expand(r, "key", bytes, key.size);
	expand(r, "iv", r->iv, sizeof(r->iv));
	gnutls_aead_cipher_deinit(r->cipher);
	if (gnutls_aead_cipher_init(&r->cipher, r->algorithm, &key))
		errx(1, "no cipher");
	r->number = 0;
}

bool records_take(struct records *r, gnutls_session_t session)
{
	gnutls_datum_t mac, iv, key;
	unsigned char number[8];

	if (gnutls_record_get_state(session, 0, &mac, &iv, &key, number) ||
	    iv.size > sizeof(r->iv))
		return false;
	r->v13 = gnutls_protocol_get_version(session) == GNUTLS_TLS1_3;
	memcpy(r->iv, iv.data, iv.size);
	memcpy(&r->number, number, sizeof(number));
	r->number = be64toh(r->number);
	/* It tells once more, and the same, when the client changes its key. */
	gnutls_handshake_set_secret_function(session, NULL);
	r->algorithm = gnutls_cipher_get(session);
	r->mac = (gnutls_mac_algorithm_t)gnutls_prf_hash_get(session);
	return !gnutls_aead_cipher_init(&r->cipher, r->algorithm, &key);
}

void records_free(struct records *r)
{
	if (r->cipher)
		gnutls_aead_cipher_deinit(r->cipher);
}

bool records_send_raw(struct records *r, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		size_t now = r->piece && r->piece < len ? r->piece : len;
		ssize_t n = send(r->fd, at, now, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += n;
		len -= n;
	}
	return true;
}

/* What @out begins with is what is sent in clear; returns its length. */
static size_t put_head(const struct records *r, uint8_t *out, uint8_t type, size_t body)
{
	uint64_t number = htobe64(r->number);

	out[0] = r->v13 ? RECORD_DATA : type;
	out[1] = 3;
	out[2] = 3;
	out[3] = body >> 8;
	out[4] = body;
	if (r->v13)
		return HEAD;
	memcpy(out + HEAD, &number, EXPLICIT);
	return HEAD + EXPLICIT;
}

static void make_nonce(const struct records *r, uint8_t *nonce)
{
	uint64_t number = htobe64(r->number);
	const uint8_t *bytes = (const uint8_t *)&number;
	size_t i;

	memcpy(nonce, r->iv, 12);
	for (i = 0; i < sizeof(number); i++)
		nonce[4 + i] = r->v13 ? nonce[4 + i] ^ bytes[i] : bytes[i];
}

/* What is signed besides the text; returns its length. */
static size_t make_signed(const struct records *r, uint8_t *out, const uint8_t *head,
			  uint8_t type, size_t len)
{
	uint64_t number = htobe64(r->number);

	if (r->v13) {
		memcpy(out, head, HEAD);
		return HEAD;
	}
	memcpy(out, &number, sizeof(number));
	memcpy(out + 8, (uint8_t []) { type, 3, 3, len >> 8, len }, HEAD);
	return 8 + HEAD;
}

bool records_send(struct records *r, uint8_t type, const void *data, size_t len)
{
	uint8_t text[RECORD_MAX + 1 + PADDING_MAX] = { 0 };
	uint8_t out[HEAD + EXPLICIT + sizeof(text) + TAG], nonce[12], also[8 + HEAD];
	size_t at, n, room, sent;

	memcpy(text, data, len);
	n = len;
	if (r->v13) {
		text[n++] = type;
		n += r->padding < PADDING_MAX ? r->padding : PADDING_MAX;
	}
	at = put_head(r, out, type, (r->v13 ? 0 : EXPLICIT) + n + TAG);
	room = sizeof(out) - at;
	make_nonce(r, nonce);
	sent = make_signed(r, also, out, type, len);
	if (gnutls_aead_cipher_encrypt(r->cipher, nonce, sizeof(nonce), also, sent, TAG, text, n,
				       out + at, &room))
		return false;
	at += room;
	out[at - 1] ^= r->forge;
	r->forge = false;
	r->number++;
	if (r->cut >= 0 && (size_t)r->cut < at)
		at = r->cut;
	r->cut = -1;
	return records_send_raw(r, out, at);
}
