// SPDX-License-Identifier: GPL-2.0
/*
 * TLS of one connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "credentials.h"
#include "gnutls.h"
#include "tls.h"
#include "util.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#ifndef TLS_RX_EXPECT_NO_PAD
#define TLS_RX_EXPECT_NO_PAD 4
#endif

/* What the kernel can go on with. */
#define CIPHERS "-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:+AES-128-CCM"
#define VERSIONS "-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
/* A server must not change its keys then: TLS 1.2 has no message for that. */
#define VERSION_FOR_GOOD "-VERS-ALL:+VERS-TLS1.2"
#define PSK_EXCHANGES "-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK"
#define PRIORITY_MAX 1024

/**
 * struct nbd_tls - one connection
 * @inside:	the stream inside of it
 * @below:	the stream that carries it
 * @session:	the library's
 * @params:	of the attachment
 * @fd:		its socket
 * @host:	what the server's certificate must be for
 * @wanted:	what else it must be; the library looks there
 * @secrets:	of the keys that the handshake has led to, with TLS 1.3
 * @alert:	number of the server's last alert, or -1
 * @fault:	what the library has said of a record that it could not make sense of, or 0
 * @writes:	the library waits for the stream to take bytes
 * @done:	the handshake is over
 * @heard:	the server has said something inside
 */
struct nbd_tls {
	struct nbd_transport inside;
	struct nbd_transport *below;
	gnutls_session_t session;
	const struct nbd_params *params;
	int fd;
	char host[NBD_HOST_MAX + 1];
	gnutls_typed_vdata_st wanted[2];
	struct nbd_tls_secrets secrets;
	int alert;
	int fault;
	bool writes;
	bool done;
	bool heard;
};

/* --- the library's view of the stream --- */

static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	struct nbd_tls *tls = ptr;
	ssize_t n = tls->below->ops->send(tls->below, data, len);

	if (n >= 0)
		return n;
	nbd_gnutls.transport_set_errno(tls->session, -n);
	return -1;
}

static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
	struct nbd_tls *tls = ptr;
	ssize_t n = tls->below->ops->recv(tls->below, data, len);

	if (n >= 0)
		return n;
	nbd_gnutls.transport_set_errno(tls->session, -n);
	return -1;
}

/* --- the stream inside --- */

static void note_alert(struct nbd_tls *tls, int code)
{
	if (code == GNUTLS_E_FATAL_ALERT_RECEIVED || code == GNUTLS_E_WARNING_ALERT_RECEIVED)
		tls->alert = nbd_gnutls.alert_get(tls->session);
}

/* Of a call on the stream inside. */
static ssize_t outcome(struct nbd_tls *tls, ssize_t n)
{
	if (n >= 0)
		return n;
	note_alert(tls, n);
	if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED ||
	    n == GNUTLS_E_WARNING_ALERT_RECEIVED)
		return -EAGAIN;
	if (n == GNUTLS_E_PREMATURE_TERMINATION || n == GNUTLS_E_PUSH_ERROR ||
	    n == GNUTLS_E_PULL_ERROR)
		return -ECONNRESET;
	tls->fault = n;
	return -EPROTO;
}

static ssize_t inside_recv(struct nbd_transport *t, void *data, size_t len)
{
	struct nbd_tls *tls = container_of(t, struct nbd_tls, inside);
	ssize_t n = outcome(tls, nbd_gnutls.record_recv(tls->session, data, len));

	tls->heard |= n > 0;
	return n;
}

static ssize_t inside_send(struct nbd_transport *t, const void *data, size_t len)
{
	struct nbd_tls *tls = container_of(t, struct nbd_tls, inside);

	return outcome(tls, nbd_gnutls.record_send(tls->session, data, len));
}

static const struct nbd_transport_ops inside_ops = {
	.recv = inside_recv,
	.send = inside_send,
};

struct nbd_transport *nbd_tls_transport(struct nbd_tls *tls)
{
	return &tls->inside;
}

/* --- before the handshake --- */

int nbd_tls_check(const struct nbd_params *params, struct nbd_err *err)
{
	char text[NBD_SERVER_TEXT_MAX];
	unsigned int i;

	for (i = 0; params->tls && i < params->nservers; i++)
		if (params->servers[i].family != NBD_TCP)
			return nbd_fail(err, NBD_EXIT_TLS, EOPNOTSUPP,
					"%s: no TLS is possible there, for the kernel encrypts TCP only: use TCP, or go without TLS",
					nbd_server_text(&params->servers[i], text, sizeof(text)));
	return 0;
}

/* Until there are keys it changes nothing. */
static int enable_kernel_tls(int fd, struct nbd_err *err)
{
	if (!setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		return 0;
	if (errno == ENOENT)
		return nbd_fail(err, NBD_EXIT_TLS, EOPNOTSUPP,
				"the kernel cannot encrypt: there is no module \"tls\" (modprobe tls says why)");
	return nbd_fail(err, NBD_EXIT_TLS, errno, "the kernel cannot encrypt the connection: %s",
			strerror(errno));
}

/* The name without what only this host knows of it. */
static void take_host(struct nbd_tls *tls, const struct nbd_server *server)
{
	const char *name = tls->params->tls_hostname ? tls->params->tls_hostname : server->host;

	snprintf(tls->host, sizeof(tls->host), "%s", name);
	if (strchr(tls->host, ':'))
		tls->host[strcspn(tls->host, "%")] = '\0';
}

static bool is_address(const char *host)
{
	struct in6_addr in6;

	return inet_pton(AF_INET, host, &in6) == 1 || inet_pton(AF_INET6, host, &in6) == 1;
}

static int set_priority(struct nbd_tls *tls, struct nbd_err *err)
{
	const struct nbd_params *p = tls->params;
	char priority[PRIORITY_MAX];
	const char *at;
	int code, len;

	if (p->tls_priority)
		len = snprintf(priority, sizeof(priority), "%s%s", p->tls_priority,
			       p->tls_for_good ? ":" VERSION_FOR_GOOD : "");
	else
		len = snprintf(priority, sizeof(priority), "NORMAL:%s:%s%s",
			       p->tls_for_good ? VERSION_FOR_GOOD : VERSIONS, CIPHERS,
			       nbd_credentials_are_psk(p->credentials) ? ":" PSK_EXCHANGES : "");
	if (len >= (int)sizeof(priority))
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL, "-priority is too long");
	code = nbd_gnutls.priority_set_direct(tls->session, priority, &at);
	if (!code)
		return 0;
	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			"-priority: GnuTLS does not understand the string: %s",
			nbd_gnutls.strerror(code));
}

/* That the certificate is one for this name, and for a server: a client's is not. */
static void verify(struct nbd_tls *tls)
{
	static char purpose[] = GNUTLS_KP_TLS_WWW_SERVER;

	tls->wanted[0].type = GNUTLS_DT_DNS_HOSTNAME;
	tls->wanted[0].data = (unsigned char *)tls->host;
	tls->wanted[1].type = GNUTLS_DT_KEY_PURPOSE_OID;
	tls->wanted[1].data = (unsigned char *)purpose;
	if (!is_address(tls->host))
		nbd_gnutls.server_name_set(tls->session, GNUTLS_NAME_DNS, tls->host,
					   strlen(tls->host));
	if (!tls->params->tls_insecure)
		nbd_gnutls.session_set_verify_cert2(tls->session, tls->wanted,
						     ARRAY_SIZE(tls->wanted), 0);
}

static int set_credentials(struct nbd_tls *tls, struct nbd_err *err)
{
	struct nbd_credentials *c = tls->params->credentials;
	int ret = nbd_credentials_ready(c, err);

	if (ret)
		return ret;
	if (nbd_credentials_are_psk(c)) {
		nbd_gnutls.credentials_set(tls->session, GNUTLS_CRD_PSK, c->psk);
	} else {
		nbd_gnutls.credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, c->x509);
		verify(tls);
	}
	return 0;
}

/* Called with the secrets of each stage, of both directions or one at a time. */
static int keep_secrets(gnutls_session_t session, gnutls_record_encryption_level_t level,
			const void *receive, const void *send, size_t len)
{
	struct nbd_tls *tls = nbd_gnutls.transport_get_ptr(session);

	if (level != GNUTLS_ENCRYPTION_LEVEL_APPLICATION || len > NBD_TLS_SECRET_MAX)
		return 0;
	if (receive)
		memcpy(tls->secrets.receive, receive, len);
	if (send)
		memcpy(tls->secrets.send, send, len);
	return 0;
}

static int set_up(struct nbd_tls *tls, struct nbd_err *err)
{
	int ret;

	/* The kernel has no use for tickets, and neither have we. */
	if (nbd_gnutls.init(&tls->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL |
			    GNUTLS_NO_TICKETS))
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	ret = set_priority(tls, err);
	if (!ret)
		ret = set_credentials(tls, err);
	nbd_gnutls.transport_set_ptr(tls->session, tls);
	nbd_gnutls.transport_set_push_function(tls->session, push);
	nbd_gnutls.transport_set_pull_function(tls->session, pull);
	nbd_gnutls.handshake_set_secret_function(tls->session, keep_secrets);
	return ret;
}

struct nbd_tls *nbd_tls_start(const struct nbd_params *params, const struct nbd_server *server,
			      int fd, struct nbd_transport *below, struct nbd_err *err)
{
	struct nbd_tls *tls;

	if (!params->credentials) {
		nbd_fail(err, NBD_EXIT_TLS, ENOENT,
			 "the credentials for TLS are lost: give them anew (nbd-client -replace with the options for TLS)");
		return NULL;
	}
	if (nbd_gnutls_open(err) || (fd >= 0 && enable_kernel_tls(fd, err)))
		return NULL;
	tls = calloc(1, sizeof(*tls));
	if (!tls) {
		nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
		return NULL;
	}
	tls->inside.ops = &inside_ops;
	tls->below = below;
	tls->params = params;
	tls->fd = fd;
	tls->alert = -1;
	take_host(tls, server);
	if (!set_up(tls, err))
		return tls;
	nbd_tls_free(tls);
	return NULL;
}

void nbd_tls_free(struct nbd_tls *tls)
{
	if (!tls)
		return;
	if (tls->session)
		nbd_gnutls.deinit(tls->session);
	explicit_bzero(&tls->secrets, sizeof(tls->secrets));
	free(tls);
}

/* --- what can be wrong --- */

/* The names that the server's certificate is for, and whether it has signed itself. */
static bool look_at_certificate(const struct nbd_tls *tls, char *names, size_t size)
{
	unsigned int n, i;
	const gnutls_datum_t *chain = nbd_gnutls.certificate_get_peers(tls->session, &n);
	bool by_itself = false;
	gnutls_x509_crt_t crt;
	size_t at = 0;

	names[0] = '\0';
	if (!chain || !n || nbd_gnutls.x509_crt_init(&crt))
		return false;
	if (!nbd_gnutls.x509_crt_import(crt, &chain[0], GNUTLS_X509_FMT_DER)) {
		by_itself = nbd_gnutls.x509_crt_check_issuer(crt, crt);
		for (i = 0; at + 8 < size; i++) {
			char name[128], clean[128];
			size_t len = sizeof(name);
			int type = nbd_gnutls.x509_crt_get_subject_alt_name(crt, i, name, &len,
									    NULL);

			if (type < 0)
				break;
			if (type != GNUTLS_SAN_DNSNAME)
				continue;
			at += snprintf(names + at, size - at, "%s%s", at ? ", " : "",
				       nbd_sanitize(clean, sizeof(clean), name, len));
		}
	}
	nbd_gnutls.x509_crt_deinit(crt);
	return by_itself;
}

static int wrong_name(const struct nbd_tls *tls, const char *names, struct nbd_err *err)
{
	char host[NBD_HOST_MAX + 1];

	nbd_sanitize(host, sizeof(host), tls->host, strlen(tls->host));
	if (!*names)
		return nbd_fail(err, NBD_EXIT_TLS, EACCES,
				"the server's certificate is not for \"%s\" (-tlshostname says whom it should be for)",
				host);
	return nbd_fail(err, NBD_EXIT_TLS, EACCES,
			"the server's certificate is not for \"%s\", but for %s (-tlshostname says whom it should be for)",
			host, names);
}

static int other_fault(unsigned int status, struct nbd_err *err)
{
	gnutls_datum_t text = { 0 };
	char clean[256] = "";

	if (!nbd_gnutls.certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0))
		nbd_sanitize(clean, sizeof(clean), (char *)text.data, strnlen((char *)text.data,
									      text.size));
	free(text.data);
	return nbd_fail(err, NBD_EXIT_TLS, EACCES,
			"the server's certificate is not to be believed: %s", clean);
}

/* The server is not who it should be; the worst of it first. */
static int not_verified(const struct nbd_tls *tls, struct nbd_err *err)
{
	unsigned int status = nbd_gnutls.session_get_verify_cert_status(tls->session);
	const char *ca = tls->params->tls_ca ? tls->params->tls_ca : NBD_SYSTEM_TRUST;
	char names[256];
	bool by_itself = look_at_certificate(tls, names, sizeof(names));

	if (status & GNUTLS_CERT_REVOKED)
		return nbd_fail(err, NBD_EXIT_TLS, EACCES,
				"the server's certificate was revoked");
	if (status & GNUTLS_CERT_SIGNER_NOT_FOUND && by_itself)
		return nbd_fail(err, NBD_EXIT_TLS, EACCES,
				"the server's certificate is signed by nobody but itself, and is not in %s (-cacertfile FILE, with that certificate in it, would trust it)",
				ca);
	if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
		return nbd_fail(err, NBD_EXIT_TLS, EACCES,
				"the server's certificate is not signed by an authority of %s (-cacertfile names the file of yours)",
				ca);
	if (status & GNUTLS_CERT_EXPIRED)
		return nbd_fail(err, NBD_EXIT_TLS, EACCES,
				"the server's certificate, or that of its authority, has expired: the server needs a new one");
	if (status & GNUTLS_CERT_NOT_ACTIVATED)
		return nbd_fail(err, NBD_EXIT_TLS, EACCES,
				"the server's certificate is not valid yet: is this machine's clock right?");
	if (status & GNUTLS_CERT_UNEXPECTED_OWNER)
		return wrong_name(tls, names, err);
	if (status & GNUTLS_CERT_PURPOSE_MISMATCH)
		return nbd_fail(err, NBD_EXIT_TLS, EACCES,
				"the server's certificate is not one for a server (certtool's template needs tls_www_server)");
	return other_fault(status, err);
}

/* Alerts that say what is wrong with us: RFC 8446, section 6. */
static const struct {
	int alert;
	const char *text;
} alerts[] = {
	{ GNUTLS_A_HANDSHAKE_FAILURE,
	  "we share no cipher or version with the server, or it wants a client's certificate" },
	{ GNUTLS_A_BAD_CERTIFICATE, "the server does not accept this client's certificate" },
	{ GNUTLS_A_UNSUPPORTED_CERTIFICATE,
	  "the server does not accept this kind of client certificate" },
	{ GNUTLS_A_CERTIFICATE_REVOKED, "this client's certificate was revoked" },
	{ GNUTLS_A_CERTIFICATE_EXPIRED, "this client's certificate has expired" },
	{ GNUTLS_A_CERTIFICATE_UNKNOWN, "the server does not accept this client's certificate" },
	{ GNUTLS_A_UNKNOWN_CA,
	  "this client's certificate is signed by an authority that the server does not know" },
	{ GNUTLS_A_ACCESS_DENIED, "the server does not let this client in" },
	{ GNUTLS_A_DECRYPT_ERROR, "the pre-shared key, or a signature, is not right" },
	{ GNUTLS_A_PROTOCOL_VERSION, "the server does not speak a version of TLS that we do" },
	{ GNUTLS_A_INSUFFICIENT_SECURITY, "the server demands stronger ciphers" },
	{ GNUTLS_A_UNRECOGNIZED_NAME, "the server does not know the name that it was asked for" },
	{ GNUTLS_A_UNKNOWN_PSK_IDENTITY,
	  "the server does not know the user of the pre-shared key (-tlsuser)" },
	{ GNUTLS_A_CERTIFICATE_REQUIRED,
	  "the server wants a certificate of this client (-certfile, -keyfile)" },
};

static int alerted(int alert, struct nbd_err *err)
{
	const char *name = nbd_gnutls.alert_get_name(alert);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(alerts); i++)
		if (alerts[i].alert == alert)
			return nbd_fail(err, NBD_EXIT_TLS, EACCES, "%s (TLS alert %d, %s)",
					alerts[i].text, alert, name ? name : "unknown");
	return nbd_fail(err, NBD_EXIT_TLS, EACCES,
			"the server ended the TLS handshake (alert %d, %s)", alert,
			name ? name : "unknown");
}

/* The server hung up in the middle of it, without a word. */
static int broken_off(const struct nbd_tls *tls, const char *how, struct nbd_err *err)
{
	const char *hint = "it may want a certificate of this client (-certfile), or refuse ours";

	if (nbd_credentials_are_psk(tls->params->credentials))
		hint = "is the pre-shared key the server's, and does it use one?";
	return nbd_fail(err, NBD_EXIT_TLS, ECONNRESET,
			"the server broke off the TLS handshake (%s): %s", how, hint);
}

/* TLS 1.3 is over for us before the server has looked at what we have. */
bool nbd_tls_explain(const struct nbd_tls *tls, struct nbd_err *err)
{
	if (tls->alert > GNUTLS_A_CLOSE_NOTIFY)
		alerted(tls->alert, err);
	else if (tls->fault)
		nbd_fail(err, NBD_EXIT_TLS, EPROTO,
			 "what the server sends is no TLS, or was changed on its way: %s",
			 nbd_gnutls.strerror(tls->fault));
	else if (!tls->heard && err->status == NBD_EXIT_CONNECT)
		broken_off(tls, "it closed the connection at its end", err);
	else
		return false;
	return true;
}

static int handshake_failed(struct nbd_tls *tls, int code, struct nbd_err *err)
{
	if (code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
		int ret = not_verified(tls, err);

		nbd_gnutls.alert_send_appropriate(tls->session, code);
		return ret;
	}
	if (tls->alert >= 0)
		return alerted(tls->alert, err);
	if (code == GNUTLS_E_PREMATURE_TERMINATION)
		return broken_off(tls, "it closed the connection", err);
	if (code == GNUTLS_E_UNEXPECTED_PACKET || code == GNUTLS_E_UNSUPPORTED_VERSION_PACKET)
		return broken_off(tls, "it goes on without TLS", err);
	if (code == GNUTLS_E_PULL_ERROR || code == GNUTLS_E_PUSH_ERROR)
		return broken_off(tls, "the connection broke", err);
	nbd_gnutls.alert_send_appropriate(tls->session, code);
	return nbd_fail(err, NBD_EXIT_TLS, EPROTO, "the TLS handshake failed: %s",
			nbd_gnutls.strerror(code));
}

/* --- the handshake --- */

/**
 * struct cipher - one that the kernel knows
 * @id:		the library's number
 * @type:	the kernel's
 * @key:	bytes of the key
 * @salt:	bytes of the nonce that never change
 * @iv:		bytes of the rest of it
 */
static const struct cipher {
	gnutls_cipher_algorithm_t id;
	u16 type;
	size_t key;
	size_t salt;
	size_t iv;
} ciphers[] = {
	{ GNUTLS_CIPHER_AES_128_GCM, TLS_CIPHER_AES_GCM_128, 16, 4, 8 },
	{ GNUTLS_CIPHER_AES_256_GCM, TLS_CIPHER_AES_GCM_256, 32, 4, 8 },
	{ GNUTLS_CIPHER_AES_128_CCM, TLS_CIPHER_AES_CCM_128, 16, 4, 8 },
	{ GNUTLS_CIPHER_CHACHA20_POLY1305, TLS_CIPHER_CHACHA20_POLY1305, 32, 0, 12 },
};

static const struct cipher *find_cipher(const struct nbd_tls *tls)
{
	gnutls_cipher_algorithm_t id = nbd_gnutls.cipher_get(tls->session);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ciphers); i++)
		if (ciphers[i].id == id)
			return &ciphers[i];
	return NULL;
}

/* Before any option of the NBD protocol is sent that matters. */
static int check_agreed(const struct nbd_tls *tls, struct nbd_err *err)
{
	gnutls_protocol_t version = nbd_gnutls.protocol_get_version(tls->session);

	if (find_cipher(tls) && (version == GNUTLS_TLS1_2 || version == GNUTLS_TLS1_3))
		return 0;
	return nbd_fail(err, NBD_EXIT_TLS, EOPNOTSUPP,
			"the kernel cannot go on with the cipher %s in this version of TLS: choose others with -priority, or leave that option away",
			nbd_gnutls.cipher_get_name(nbd_gnutls.cipher_get(tls->session)));
}

int nbd_tls_handshake(struct nbd_tls *tls, struct nbd_err *err)
{
	int code;

	do {
		code = nbd_gnutls.handshake(tls->session);
		note_alert(tls, code);
	} while (code == GNUTLS_E_INTERRUPTED || code == GNUTLS_E_WARNING_ALERT_RECEIVED);
	tls->writes = nbd_gnutls.record_get_direction(tls->session);
	if (code == GNUTLS_E_AGAIN)
		return -EAGAIN;
	if (code < 0)
		return handshake_failed(tls, code, err);
	tls->done = true;
	return check_agreed(tls, err);
}

bool nbd_tls_writes(const struct nbd_tls *tls)
{
	return tls->writes;
}

/* --- the kernel --- */

/* As the kernel wants it: what is common, then iv, key, salt and number, one after the other. */
struct kernel_keys {
	struct tls_crypto_info info;
	unsigned char bytes[64];
};

static void put_bytes(unsigned char **at, const void *from, size_t len)
{
	memcpy(*at, from, len);
	*at += len;
}

/* One direction; RFC 8446, section 5.3, and RFC 5288 and 7905 for TLS 1.2. */
static int give_key(const struct nbd_tls *tls, const struct cipher *cipher, bool receiving)
{
	bool v13 = nbd_gnutls.protocol_get_version(tls->session) == GNUTLS_TLS1_3;
	struct kernel_keys keys = { .info = {
		.version = v13 ? TLS_1_3_VERSION : TLS_1_2_VERSION,
		.cipher_type = cipher->type,
	} };
	unsigned char *at = keys.bytes, number[8];
	gnutls_datum_t mac, iv, key;
	int ret;

	if (nbd_gnutls.record_get_state(tls->session, receiving, &mac, &iv, &key, number) ||
	    key.size != cipher->key || iv.size < cipher->salt)
		return -EINVAL;
	if (!v13 && cipher->salt)
		put_bytes(&at, number, sizeof(number));
	else if (iv.size >= cipher->salt + cipher->iv)
		put_bytes(&at, iv.data + cipher->salt, cipher->iv);
	else
		return -EINVAL;
	put_bytes(&at, key.data, key.size);
	put_bytes(&at, iv.data, cipher->salt);
	put_bytes(&at, number, sizeof(number));
	ret = setsockopt(tls->fd, SOL_TLS, receiving ? TLS_RX : TLS_TX, &keys,
			 sizeof(keys.info) + (at - keys.bytes));
	if (ret)
		ret = -errno;
	explicit_bzero(&keys, sizeof(keys));
	return ret;
}

/* No record is padded; if one is all the same, the kernel decrypts it once more. */
static void expect_no_padding(const struct nbd_tls *tls)
{
	int yes = 1;

	if (nbd_gnutls.protocol_get_version(tls->session) == GNUTLS_TLS1_3)
		setsockopt(tls->fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &yes, sizeof(yes));
}

int nbd_tls_hand_over(struct nbd_tls *tls, struct nbd_tls_secrets *secrets,
		      struct nbd_err *err)
{
	const struct cipher *cipher = find_cipher(tls);
	int ret;

	if (!cipher)
		return nbd_fail(err, NBD_EXIT_TLS, EPROTO, "the TLS handshake is not over");
	if (nbd_gnutls.record_check_pending(tls->session))
		return nbd_fail(err, NBD_EXIT_PROTOCOL, EPROTO,
				"the server sends data that nobody has asked for");
	ret = give_key(tls, cipher, false);
	if (!ret)
		ret = give_key(tls, cipher, true);
	if (ret)
		return nbd_fail(err, NBD_EXIT_TLS, -ret,
				"the kernel does not take the keys of the cipher %s: %s",
				nbd_gnutls.cipher_get_name(cipher->id), strerror(-ret));
	expect_no_padding(tls);
	*secrets = tls->secrets;
	return 0;
}

void nbd_tls_goodbye(struct nbd_tls *tls)
{
	if (tls->done)
		nbd_gnutls.bye(tls->session, GNUTLS_SHUT_WR);
}
