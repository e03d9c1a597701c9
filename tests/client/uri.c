// SPDX-License-Identifier: GPL-2.0
/* NBD URIs: the examples of uri.md, and what is wrong in many ways. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../../client/settings.h"
#include "../../client/uri.h"
#include "../../client/util.h"
#include "tap.h"

static const struct {
	const char *uri;
	enum nbd_family family;
	const char *host;
	const char *port;
	const char *name;
	bool tls;
} good[] = {
	/* uri.md */
	{ "nbd://example.com:10809/export", NBD_TCP, "example.com", "10809",
	  "export", false },
	{ "nbd+unix:///export?socket=nbd.sock", NBD_UNIX, "nbd.sock", "",
	  "export", false },
	{ "nbd://example.com/disk", NBD_TCP, "example.com", "10809", "disk",
	  false },
	{ "nbd+unix:///disk?socket=sock", NBD_UNIX, "sock", "", "disk", false },
	{ "nbd://example.com/", NBD_TCP, "example.com", "10809", "", false },
	{ "nbd://example.com", NBD_TCP, "example.com", "10809", "", false },
	{ "nbd://example.com//disk", NBD_TCP, "example.com", "10809", "/disk",
	  false },
	{ "nbd://example.com/hello%20world", NBD_TCP, "example.com", "10809",
	  "hello world", false },
	{ "nbds://example.com/x", NBD_TCP, "example.com", "10809", "x", true },
	{ "nbds+unix:///x?socket=s", NBD_UNIX, "s", "", "x", true },
	/* literals */
	{ "nbd://[::1]/x", NBD_TCP, "::1", "10809", "x", false },
	{ "nbd://[fe80::1%25eth0]:99/x", NBD_TCP, "fe80::1%eth0", "99", "x",
	  false },
	{ "nbd://127.0.0.1:1", NBD_TCP, "127.0.0.1", "1", "", false },
	{ "NBD://host/x", NBD_TCP, "host", "10809", "x", false },
	{ "nbd://user@host/x", NBD_TCP, "host", "10809", "x", false },
	{ "nbd://host:/x", NBD_TCP, "host", "10809", "x", false },
	{ "nbd://host?x-experiment=1", NBD_TCP, "host", "10809", "", false },
	{ "nbd://host/x#fragment", NBD_TCP, "host", "10809", "x", false },
	{ "nbds://host?tls-type=x509&tls-hostname=other&tls-verify-peer=0",
	  NBD_TCP, "host", "10809", "", true },
	{ "nbds://me@host/x?tls-type=psk&tls-psk-file=/k", NBD_TCP, "host", "10809", "x", true },
	{ "nbd+unix://?socket=/run/s", NBD_UNIX, "/run/s", "", "", false },
	{ "nbd+unix:///a/b/c?socket=/run/s%3f", NBD_UNIX, "/run/s?", "",
	  "a/b/c", false },
	{ "nbd+vsock://2:10809/x", NBD_VSOCK, "2", "10809", "x", false },
	{ "nbd+vsock://2:4000000000/x", NBD_VSOCK, "2", "4000000000", "x",
	  false },
};

static const struct {
	const char *uri;
	const char *words;
} bad[] = {
	{ "http://host/", "must begin with" },
	{ "nbd:host", "must begin with" },
	{ "nbd://", "host is missing" },
	{ "nbd:///x", "host is missing" },
	{ "nbd://host:0/", "port" },
	{ "nbd://host:65536/", "port" },
	{ "nbd://host:12x/", "port" },
	{ "nbd://host:-1/", "port" },
	{ "nbd://[::1/x", "\"]\"" },
	{ "nbd://[::1]x/", "only a port" },
	{ "nbd://::1/", "brackets" },
	{ "nbd://::1:10809/x", "brackets" },
	{ "nbd://[host:10809]/", "no IPv6 address" },
	{ "nbd://[fe80::1]/", "name is missing" },
	{ "nbd://[fe80::1%25]/", "name is missing" },
	{ "nbd://host/%", "malformed" },
	{ "nbd://host/%2", "malformed" },
	{ "nbd://host/%zz", "malformed" },
	{ "nbd://host/%00", "malformed" },
	{ "nbd://ho%00st/", "malformed" },
	{ "nbd+unix:///x", "\"socket\" is missing" },
	{ "nbd+unix:///x?socket=", "missing, malformed" },
	{ "nbd+unix:///x?socket=/a%00b", "NUL" },
	{ "nbd+unix://host/x?socket=/s", "has no host" },
	{ "nbd://host/x?socket=/s", "needs the scheme" },
	{ "nbd://host/x?unknown=1", "unknown" },
	{ "nbd://host/x?tls-type=psk", "need the scheme nbds" },
	{ "nbd://host/x?tls-verify-peer=0", "need the scheme nbds" },
	{ "nbds://host/x?tls-type=anon", "x509 or psk" },
	{ "nbds://host/x?tls-type=psk", "needs the file" },
	{ "nbds://host/x?tls-psk-file=/k&tls-hostname=h", "not both" },
	{ "nbds://host/x?tls-verify-peer=2", "0 or 1" },
};

static void check_good(size_t i)
{
	struct nbd_params params;
	const struct nbd_server *s = &params.servers[0];
	struct nbd_err err;

	nbd_params_init(&params);
	if (nbd_uri_apply(&params, good[i].uri, &err)) {
		expect_text(err.text, "");
		return;
	}
	expect_number(params.nservers, 1);
	expect_number(s->family, good[i].family);
	expect_text(s->host, good[i].host);
	expect_number(s->host_len, strlen(good[i].host));
	expect_text(s->port, good[i].port);
	expect_text(params.export_name ? params.export_name : "",
		    good[i].name);
	expect_number(params.tls, good[i].tls);
	nbd_params_free(&params);
}

void test_uri(void)
{
	struct nbd_params params;
	struct nbd_err err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		tap_test("uri: %s", good[i].uri);
		check_good(i);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		tap_test("uri: refused: %s", bad[i].uri);
		nbd_params_init(&params);
		expect_number(nbd_uri_apply(&params, bad[i].uri, &err),
			      -EINVAL);
		expect_words(err.text, bad[i].words);
		expect_number(params.nservers, 0);
		expect(!params.export_name && !params.tls_hostname);
		nbd_params_free(&params);
	}

	tap_test("uri: an abstract socket");
	nbd_params_init(&params);
	expect_number(nbd_uri_apply(&params, "nbd+unix:///?socket=%00/abstract",
				    &err), 0);
	expect_number(params.servers[0].host_len, 10);
	expect(!memcmp(params.servers[0].host, "\0/abstract", 10));
	nbd_params_free(&params);

	tap_test("uri: where a relative socket is");
	nbd_params_init(&params);
	expect_number(chdir("/usr"), 0);
	expect_number(nbd_uri_apply(&params, "nbd+unix:///?socket=nbd.sock",
				    &err), 0);
	expect_number(nbd_server_append(&params, "nbd.host", &err), 0);
	expect_number(nbd_server_append(&params, "/nbd.sock", &err), 0);
	expect_number(nbd_uri_apply(&params, "nbd+unix:///?socket=%00name",
				    &err), 0);
	expect_number(nbd_servers_absolute(&params, &err), 0);
	expect_text(params.servers[0].host, "/usr/nbd.sock");
	expect_number(params.servers[0].host_len, 13);
	expect_text(params.servers[1].host, "nbd.host");
	expect_text(params.servers[2].host, "/nbd.sock");
	expect_number(params.servers[3].host_len, 5);
	memset(params.servers[0].host, 'x', 105);
	expect_number(nbd_servers_absolute(&params, &err), -ENAMETOOLONG);
	nbd_params_free(&params);

	tap_test("uri: more servers than there is room for");
	nbd_params_init(&params);
	for (i = 0; i < NBD_SERVERS_MAX; i++)
		expect_number(nbd_server_append(&params, "host", &err), 0);
	expect_number(nbd_server_append(&params, "host", &err), -EINVAL);
	nbd_params_free(&params);
}
