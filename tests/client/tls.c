// SPDX-License-Identifier: GPL-2.0
/*
 * TLS against a server in the same process: whom the client believes, what it says of whom it
 * does not, and that bytes come through. What the kernel does with the keys is for the
 * selftests.
 */
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../client/credentials.h"
#include "../../client/settings.h"
#include "../../client/tls.h"
#include "../../client/uri.h"
#include "../../client/util.h"
#include "tap.h"

#define DAY 86400
#define SECRET "0123456789abcdef"
#define KEYS "jim:" SECRET "\nnbd:" SECRET "\n"

/** struct identity - a certificate and its key */
struct identity {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

static struct identity authority, stranger, server, foreign, by_itself, expired, early, other,
	misused;

/*
 * NULL for @signer: by itself. Without @host: an authority. From @since to @until, in seconds
 * from now. NULL for @purpose: for any.
 */
static void make(struct identity *id, const struct identity *signer, const char *name,
		 bool host, time_t since, time_t until, const char *purpose)
{
	static const unsigned char address[] = { 127, 0, 0, 1 };
	static unsigned char serial = 1;
	time_t now = time(NULL);

	gnutls_x509_privkey_init(&id->key);
	gnutls_x509_privkey_generate(id->key, GNUTLS_PK_ECDSA,
				     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	gnutls_x509_crt_init(&id->crt);
	gnutls_x509_crt_set_version(id->crt, 3);
	gnutls_x509_crt_set_key(id->crt, id->key);
	gnutls_x509_crt_set_serial(id->crt, &serial, 1);
	serial++;
	gnutls_x509_crt_set_dn_by_oid(id->crt, GNUTLS_OID_X520_COMMON_NAME, 0,
				      name, strlen(name));
	gnutls_x509_crt_set_activation_time(id->crt, now + since);
	gnutls_x509_crt_set_expiration_time(id->crt, now + until);
	gnutls_x509_crt_set_basic_constraints(id->crt, !host, -1);
	gnutls_x509_crt_set_key_usage(id->crt, host ? GNUTLS_KEY_DIGITAL_SIGNATURE :
				      GNUTLS_KEY_KEY_CERT_SIGN);
	if (host) {
		gnutls_x509_crt_set_subject_alt_name(id->crt, GNUTLS_SAN_DNSNAME, name,
						     strlen(name), GNUTLS_FSAN_SET);
		gnutls_x509_crt_set_subject_alt_name(id->crt, GNUTLS_SAN_IPADDRESS, address,
						     sizeof(address), GNUTLS_FSAN_APPEND);
	}
	if (purpose)
		gnutls_x509_crt_set_key_purpose_oid(id->crt, purpose, 0);
	if (!signer)
		signer = id;
	gnutls_x509_crt_sign2(id->crt, signer->crt, signer->key, GNUTLS_DIG_SHA256, 0);
}

static void make_all(void)
{
	make(&authority, NULL, "authority", false, -DAY, DAY, NULL);
	make(&stranger, NULL, "stranger", false, -DAY, DAY, NULL);
	make(&server, &authority, "server.example", true, -DAY, DAY, GNUTLS_KP_TLS_WWW_SERVER);
	make(&foreign, &stranger, "server.example", true, -DAY, DAY, NULL);
	make(&by_itself, NULL, "server.example", true, -DAY, DAY, NULL);
	make(&expired, &authority, "server.example", true, -2 * DAY, -DAY, NULL);
	make(&early, &authority, "server.example", true, DAY, 2 * DAY, NULL);
	make(&misused, &authority, "server.example", true, -DAY, DAY, GNUTLS_KP_TLS_WWW_CLIENT);
	make(&other, &authority, "other.example", true, -DAY, DAY, NULL);
}

static void free_all(void)
{
	struct identity *const all[] = {
		&authority, &stranger, &server, &foreign, &by_itself, &expired, &early, &other,
		&misused,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		gnutls_x509_crt_deinit(all[i]->crt);
		gnutls_x509_privkey_deinit(all[i]->key);
	}
}

/* A file with @text, that is removed again; returns @path. */
static const char *put_file(char *path, const void *text, size_t len)
{
	int fd;

	memcpy(path, "/tmp/nbd-unit.XXXXXX", sizeof("/tmp/nbd-unit.XXXXXX"));
	fd = mkstemp(path);
	expect(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	close(fd);
	return path;
}

/** struct exchange - one connection of the client with the server of this test */
struct exchange {
	struct nbd_params params;
	struct nbd_socket_transport below;
	struct nbd_tls *client;
	gnutls_session_t session;
	gnutls_certificate_credentials_t x509;
	gnutls_psk_server_credentials_t psk;
	int end;
};

/** struct scenario - a server, what the client is told of it, and what comes of that */
static const struct scenario {
	const char *what;
	const struct identity *identity;	/* NULL: pre-shared keys */
	const char *priority;			/* of the server, or NULL */
	const char *host;			/* that the client connects to */
	const char *options[4];			/* of the client, by pairs */
	bool insecure;
	bool for_good;
	bool wants_client;
	const char *words;			/* of the failure, or NULL */
} scenarios[] = {
	{ .what = "a good certificate", .identity = &server, .host = "server.example" },
	{ .what = "TLS 1.2", .identity = &server, .host = "server.example",
	  .priority = "NORMAL:-VERS-TLS1.3" },
	{ .what = "an address in the certificate", .identity = &server, .host = "127.0.0.1" },
	{ .what = "the name is given", .identity = &server, .host = "192.0.2.1",
	  .options = { "tlshostname", "server.example" } },
	{ .what = "another name", .identity = &other, .host = "server.example",
	  .words = "is not for \"server.example\", but for other.example" },
	{ .what = "another name is given", .identity = &server, .host = "server.example",
	  .options = { "tlshostname", "elsewhere.example" },
	  .words = "is not for \"elsewhere.example\"" },
	{ .what = "another address", .identity = &server, .host = "127.0.0.2",
	  .words = "is not for \"127.0.0.2\"" },
	{ .what = "another authority", .identity = &foreign, .host = "server.example",
	  .words = "is not signed by an authority of" },
	{ .what = "signed by itself", .identity = &by_itself, .host = "server.example",
	  .words = "signed by nobody but itself" },
	{ .what = "expired", .identity = &expired, .host = "server.example",
	  .words = "has expired" },
	{ .what = "not valid yet", .identity = &early, .host = "server.example",
	  .words = "not valid yet" },
	{ .what = "a client's certificate", .identity = &misused, .host = "server.example",
	  .words = "is not one for a server" },
	{ .what = "nothing is verified", .identity = &by_itself, .host = "server.example",
	  .insecure = true },
	{ .what = "a client without a certificate", .identity = &server,
	  .host = "server.example", .wants_client = true, .priority = "NORMAL:-VERS-TLS1.3",
	  .words = "it may want a certificate of this client" },
	{ .what = "a client without a certificate, TLS 1.3", .identity = &server,
	  .host = "server.example", .wants_client = true,
	  .words = "it may want a certificate of this client" },
	{ .what = "a cipher that the kernel lacks", .identity = &server,
	  .host = "server.example",
	  .options = { "priority", "NORMAL:-VERS-TLS1.3:-CIPHER-ALL:+AES-256-CBC" },
	  .words = "cannot go on with the cipher AES-256-CBC" },
	{ .what = "only such ciphers", .identity = &server, .host = "server.example",
	  .priority = "NORMAL:-VERS-TLS1.3:-CIPHER-ALL:+AES-256-CBC", .words = "TLS" },
	{ .what = "keys for good", .identity = &server, .host = "server.example",
	  .for_good = true },
	{ .what = "keys for good, of a server that cannot",
	  .identity = &server, .host = "server.example", .for_good = true,
	  .priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3", .words = "TLS" },
	{ .what = "a pre-shared key", .host = "192.0.2.1" },
	{ .what = "a pre-shared key, TLS 1.2", .host = "192.0.2.1", .for_good = true },
	{ .what = "a pre-shared key of another user", .host = "192.0.2.1",
	  .options = { "tlsuser", "jim" }, .words = "is the pre-shared key the server's" },
};

static int find_key(gnutls_session_t session, const char *user, gnutls_datum_t *key)
{
	(void)session;
	if (strcmp(user, "nbd"))
		return -1;
	key->data = gnutls_malloc(8);
	memcpy(key->data, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
	key->size = 8;
	return 0;
}

static void start_server(struct exchange *x, const struct scenario *s)
{
	const char *priority = s->priority ? s->priority : "NORMAL";

	gnutls_init(&x->session, GNUTLS_SERVER | GNUTLS_NONBLOCK);
	if (s->identity) {
		gnutls_certificate_allocate_credentials(&x->x509);
		gnutls_certificate_set_x509_key(x->x509, (gnutls_x509_crt_t *)&s->identity->crt, 1,
						s->identity->key);
		gnutls_credentials_set(x->session, GNUTLS_CRD_CERTIFICATE, x->x509);
	} else {
		priority = "NORMAL:-KX-ALL:+ECDHE-PSK:+PSK";
		gnutls_psk_allocate_server_credentials(&x->psk);
		gnutls_psk_set_server_credentials_function(x->psk, find_key);
		gnutls_credentials_set(x->session, GNUTLS_CRD_PSK, x->psk);
	}
	expect_number(gnutls_priority_set_direct(x->session, priority, NULL), 0);
	if (s->wants_client)
		gnutls_certificate_server_set_request(x->session, GNUTLS_CERT_REQUIRE);
	gnutls_transport_set_int(x->session, x->end);
}

static void give(struct nbd_params *p, const char *option, const char *value)
{
	const struct nbd_setting *s;
	struct nbd_err err;

	nbd_for_each_setting(s)
		if (!strcmp(s->name, option))
			expect_number(nbd_setting_give(s, value, p, &err), 0);
}

static int set_up_client(struct exchange *x, const struct scenario *s, const char *file,
			 struct nbd_err *err)
{
	struct nbd_params *p = &x->params;
	unsigned int i;

	nbd_params_init(p);
	p->tls = true;
	p->tls_insecure = s->insecure;
	p->tls_for_good = s->for_good;
	give(p, s->identity ? "cacertfile" : "pskfile", file);
	for (i = 0; i < ARRAY_SIZE(s->options) && s->options[i]; i += 2)
		give(p, s->options[i], s->options[i + 1]);
	nbd_server_add_tcp(p, s->host, "10809", err);
	return nbd_credentials_load(p, err);
}

/* The server that gives up closes its end, as those do that people run. */
static void server_step(struct exchange *x, bool *up)
{
	int code;

	if (*up || x->end < 0)
		return;
	code = gnutls_handshake(x->session);
	*up = code == GNUTLS_E_SUCCESS;
	if (code < 0 && gnutls_error_is_fatal(code)) {
		close(x->end);
		x->end = -1;
	}
}

/* The answer of the server to the first that is said inside, or why there is none. */
static int talk(struct exchange *x, bool *up, struct nbd_err *err)
{
	struct nbd_transport *t = nbd_tls_transport(x->client);
	char answer[5] = "";
	ssize_t n;

	do {
		n = t->ops->send(t, "hello", 5);
		server_step(x, up);
	} while (n == -EAGAIN);
	if (n == 5 && *up) {
		expect_number(gnutls_record_recv(x->session, answer, 5), 5);
		expect_number(gnutls_record_send(x->session, answer, 5), 5);
		memset(answer, 0, sizeof(answer));
	}
	if (n == 5)
		n = t->ops->recv(t, answer, 5);
	if (n == 5) {
		expect(!memcmp(answer, "hello", 5));
		return 0;
	}
	nbd_fail(err, NBD_EXIT_CONNECT, ECONNRESET, "the stream inside ended");
	nbd_tls_explain(x->client, err);
	return -ECONNRESET;
}

static int shake_hands(struct exchange *x, struct nbd_err *err)
{
	bool up = false;
	int ret;

	do {
		ret = nbd_tls_handshake(x->client, err);
		server_step(x, &up);
	} while (ret == -EAGAIN);
	return ret ? ret : talk(x, &up, err);
}

static void run(const struct scenario *s, const char *file)
{
	struct exchange x = { .end = -1 };
	struct nbd_err err = { .text = "" };
	int ends[2], ret;

	ret = set_up_client(&x, s, file, &err);
	if (!ret && !socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) {
		x.end = ends[1];
		fcntl(x.end, F_SETFL, O_NONBLOCK);
		nbd_socket_transport_init(&x.below, ends[0]);
		start_server(&x, s);
		x.client = nbd_tls_start(&x.params, &x.params.servers[0], -1, &x.below.base, &err);
		ret = x.client ? shake_hands(&x, &err) : -EINVAL;
		nbd_tls_free(x.client);
		close(ends[0]);
		if (x.end >= 0)
			close(x.end);
		gnutls_deinit(x.session);
	}
	if (s->words) {
		expect(ret < 0);
		expect_words(err.text, s->words);
		expect_number(err.status, NBD_EXIT_TLS);
	} else {
		expect_text(err.text, "");
		expect_number(ret, 0);
	}
	if (x.x509)
		gnutls_certificate_free_credentials(x.x509);
	if (x.psk)
		gnutls_psk_free_server_credentials(x.psk);
	nbd_params_free(&x.params);
}

/* What is kept for the monitor is what was loaded. */
static void test_keeping(const char *file)
{
	struct exchange x = { 0 };
	struct nbd_credentials *again;
	char buf[256] = "";
	struct nbd_err err;
	FILE *stream;

	tap_test("tls: credentials are kept and read again");
	expect_number(set_up_client(&x, &scenarios[ARRAY_SIZE(scenarios) - 2], file, &err), 0);
	stream = fmemopen(buf, sizeof(buf), "w+");
	nbd_credentials_print(x.params.credentials, stream);
	rewind(stream);
	again = nbd_credentials_parse(stream);
	fclose(stream);
	expect(again);
	if (again) {
		expect(nbd_credentials_are_psk(again));
		expect_text(again->text[NBD_SECRET_USER], "nbd");
		expect_text(again->text[NBD_SECRET_PSK], SECRET);
		expect(!again->text[NBD_SECRET_KEY]);
	}
	nbd_credentials_free(again);
	nbd_params_free(&x.params);

	tap_test("tls: damaged credentials are refused");
	memcpy(strstr(buf, "user 3"), "user 9", 6);
	stream = fmemopen(buf, sizeof(buf), "r");
	expect(!nbd_credentials_parse(stream));
	fclose(stream);
}

static void test_files(void)
{
	static const struct {
		const char *what, *option, *value, *words;
	} cases[] = {
		{ "no file", "cacertfile", "/nonexistent/ca", "cannot read /nonexistent/ca" },
		{ "a folder", "cacertfile", "/", "cannot read /: Is a directory" },
		{ "no certificates in it", "cacertfile", "/dev/null", "cannot read /dev/null" },
		{ "a key without a certificate", "keyfile", "/etc/hostname", "-certfile" },
		{ "a file of keys that has none", "pskfile", "/etc/hostname",
		  "has no key of the user \"nbd\"" },
	};
	struct nbd_params p;
	struct nbd_err err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		tap_test("tls: %s", cases[i].what);
		nbd_params_init(&p);
		give(&p, cases[i].option, cases[i].value);
		if (strcmp(cases[i].option, "cacertfile"))
			p.tls_insecure = true;
		expect(p.tls);
		expect(nbd_credentials_load(&p, &err) < 0);
		expect_words(err.text, cases[i].words);
		expect(!p.credentials);
		nbd_params_free(&p);
	}
}

static void test_families(void)
{
	struct nbd_params p;
	struct nbd_err err;

	tap_test("tls: not for Unix sockets");
	nbd_params_init(&p);
	expect_number(nbd_uri_apply(&p, "nbds+unix:///x?socket=/s", &err), 0);
	expect_number(nbd_tls_check(&p, &err), -EOPNOTSUPP);
	expect_number(err.status, NBD_EXIT_TLS);
	expect_words(err.text, "/s: no TLS is possible there");
	nbd_params_free(&p);
}

void test_tls(void)
{
	char ca[32], psk[32];
	gnutls_datum_t pem;
	size_t i;

	make_all();
	gnutls_x509_crt_export2(authority.crt, GNUTLS_X509_FMT_PEM, &pem);
	put_file(ca, pem.data, pem.size);
	gnutls_free(pem.data);
	put_file(psk, KEYS, strlen(KEYS));
	for (i = 0; i < ARRAY_SIZE(scenarios); i++) {
		tap_test("tls: %s", scenarios[i].what);
		run(&scenarios[i], scenarios[i].identity ? ca : psk);
	}
	test_keeping(psk);
	test_files();
	test_families();
	unlink(ca);
	unlink(psk);
	free_all();
}
