// SPDX-License-Identifier: GPL-2.0
/*
 * Servers in words.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "uri.h"
#include "util.h"

/** struct scheme - one of the schemes that uri.md names, and vsock */
static const struct scheme {
	const char *prefix;
	enum nbd_family family;
	bool tls;
} schemes[] = {
	{ "nbd://", NBD_TCP, false },
	{ "nbds://", NBD_TCP, true },
	{ "nbd+unix://", NBD_UNIX, false },
	{ "nbds+unix://", NBD_UNIX, true },
	{ "nbd+vsock://", NBD_VSOCK, false },
	{ "nbds+vsock://", NBD_VSOCK, true },
};

static const struct scheme *find_scheme(const char *text)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(schemes); i++)
		if (!strncasecmp(text, schemes[i].prefix,
				 strlen(schemes[i].prefix)))
			return &schemes[i];
	return NULL;
}

bool nbd_is_uri(const char *text)
{
	return find_scheme(text);
}

static int bad_uri(const char *uri, const char *why, struct nbd_err *err)
{
	char text[256];

	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL, "URI \"%s\": %s",
			nbd_sanitize(text, sizeof(text), uri, strlen(uri)),
			why);
}

/** struct span - a piece of the URI */
struct span {
	const char *at;
	size_t len;
};

static bool span_is(struct span s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.at, text, s.len);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Decodes percent signs. Returns the length, or -1 for a bad escape or a
 * result that does not fit with its terminating NUL.
 */
static ssize_t decode(struct span s, char *out, size_t size)
{
	size_t i, n = 0;
	int high, low;

	for (i = 0; i < s.len; i++, n++) {
		if (n + 1 >= size)
			return -1;
		if (s.at[i] != '%') {
			out[n] = s.at[i];
			continue;
		}
		if (s.len - i < 3)
			return -1;
		high = hex_digit(s.at[i + 1]);
		low = hex_digit(s.at[i + 2]);
		if (high < 0 || low < 0)
			return -1;
		out[n] = high << 4 | low;
		i += 2;
	}
	out[n] = '\0';
	return n;
}

/* As decode(), for text that must not hold a NUL byte. */
static bool decode_text(struct span s, char *out, size_t size)
{
	ssize_t n = decode(s, out, size);

	return n >= 0 && strlen(out) == (size_t)n;
}

/** struct parts - a URI taken apart; nothing is decoded yet */
struct parts {
	const struct scheme *scheme;
	struct span authority;
	struct span path;	/* without its leading slash */
	struct span query;
};

static void split(const char *uri, struct parts *p)
{
	const char *at = uri + strlen(p->scheme->prefix);

	p->authority.at = at;
	p->authority.len = strcspn(at, "/?#");
	at += p->authority.len;
	if (*at == '/')
		at++;
	p->path.at = at;
	p->path.len = strcspn(at, "?#");
	at += p->path.len;
	if (*at == '?')
		at++;
	p->query.at = at;
	p->query.len = strcspn(at, "#");
}

/* An IPv6 address; *@link is what follows its "%", or empty. */
static bool parse_ipv6(const char *text, struct in6_addr *address,
		       const char **link)
{
	size_t len = strcspn(text, "%");
	char copy[INET6_ADDRSTRLEN];

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*link = text[len] ? text + len + 1 : "";
	return inet_pton(AF_INET6, copy, address) == 1;
}

/* What no resolver has to be asked about; NULL if there is nothing wrong. */
static const char *check_host(const char *host)
{
	struct in6_addr address;
	const char *link;

	if (!strchr(host, ':'))
		return NULL;
	if (!parse_ipv6(host, &address, &link))
		return "no IPv6 address (a port is an argument of its own, or follows [ADDRESS])";
	if (IN6_IS_ADDR_LINKLOCAL(&address) && !*link)
		return "the address of a link, whose name is missing, as in fe80::1%eth0";
	return NULL;
}

/* host, [host], host:port, with a user name in front that only a pre-shared key needs */
static const char *split_authority(struct span authority, struct span *host,
				   struct span *port)
{
	const char *at = memchr(authority.at, '@', authority.len);
	const char *end = authority.at + authority.len;
	const char *colon;

	host->at = at ? at + 1 : authority.at;
	port->len = 0;
	if (host->at < end && *host->at == '[') {
		host->at++;
		at = memchr(host->at, ']', end - host->at);
		if (!at)
			return "the \"]\" after the address is missing";
		host->len = at - host->at;
		colon = at + 1;
		if (colon < end && *colon != ':')
			return "only a port may follow the \"]\"";
	} else {
		colon = memchr(host->at, ':', end - host->at);
		if (!colon)
			colon = end;
		host->len = colon - host->at;
		if (colon < end && memchr(colon + 1, ':', end - colon - 1))
			return "an IPv6 address needs brackets: [ADDRESS] or [ADDRESS]:PORT";
	}
	if (colon < end) {
		port->at = colon + 1;
		port->len = end - port->at;
	}
	return NULL;
}

/* 1..65535, or any 32-bit number for vsock. */
static bool valid_port(const char *port, enum nbd_family family)
{
	unsigned long long max = family == NBD_VSOCK ? U32_MAX : 65535;
	size_t len = strlen(port);
	unsigned long long n;

	if (!len || len > 10 || strspn(port, "0123456789") != len)
		return false;
	n = strtoull(port, NULL, 10);
	return n >= 1 && n <= max;
}

static const char *parse_authority(const struct parts *p,
				   struct nbd_server *server)
{
	struct span host, port;
	const char *why = split_authority(p->authority, &host, &port);

	if (why)
		return why;
	if (!decode_text(host, server->host, sizeof(server->host)))
		return "the host name is malformed or too long";
	server->host_len = strlen(server->host);
	if (!server->host_len)
		return "the host is missing";
	if (server->family == NBD_TCP)
		why = check_host(server->host);
	if (why)
		return why;
	if (!port.len)
		memcpy(server->port, NBD_DEFAULT_PORT,
		       sizeof(NBD_DEFAULT_PORT));
	else if (!decode_text(port, server->port, sizeof(server->port)) ||
		 !valid_port(server->port, server->family))
		return "the port is not a number from 1 to 65535";
	return NULL;
}

/**
 * struct tls_query - TLS parameters of a URI; texts are empty if not given
 * @hostname:	tls-hostname
 * @certificates: tls-certificates, a folder
 * @psk_file:	tls-psk-file
 * @user:	in front of the host
 * @insecure:	tls-verify-peer=0
 * @x509:	tls-type=x509
 * @psk:	tls-type=psk
 */
struct tls_query {
	char hostname[NBD_HOST_MAX + 1];
	char certificates[PATH_MAX];
	char psk_file[PATH_MAX];
	char user[256];
	bool insecure;
	bool x509;
	bool psk;
};

static const char *parse_tls_type(struct span value, struct tls_query *tls)
{
	tls->x509 = span_is(value, "x509");
	tls->psk = span_is(value, "psk");
	return tls->x509 || tls->psk ? NULL : "tls-type must be x509 or psk";
}

static const char *parse_socket(struct span value, struct nbd_server *server)
{
	ssize_t n = decode(value, server->host, sizeof(server->host));

	if (n <= 0)
		return "the path of the socket is missing, malformed or too long";
	if (server->host[0] && strlen(server->host) != (size_t)n)
		return "the path of the socket holds a NUL byte";
	server->host_len = n;
	return NULL;
}

static const char *parse_parameter(struct span key, struct span value,
				   const struct parts *p,
				   struct nbd_server *server,
				   struct tls_query *tls)
{
	if (span_is(key, "socket"))
		return p->scheme->family == NBD_UNIX ?
		       parse_socket(value, server) :
		       "the parameter \"socket\" needs the scheme nbd+unix or nbds+unix";
	if (span_is(key, "tls-type"))
		return parse_tls_type(value, tls);
	if (span_is(key, "tls-hostname"))
		return decode_text(value, tls->hostname, sizeof(tls->hostname)) ?
		       NULL : "tls-hostname is malformed or too long";
	if (span_is(key, "tls-verify-peer")) {
		if (!span_is(value, "0") && !span_is(value, "1"))
			return "tls-verify-peer must be 0 or 1";
		tls->insecure = span_is(value, "0");
		return NULL;
	}
	if (span_is(key, "tls-certificates"))
		return decode_text(value, tls->certificates, sizeof(tls->certificates)) ?
		       NULL : "tls-certificates is malformed or too long";
	if (span_is(key, "tls-psk-file"))
		return decode_text(value, tls->psk_file, sizeof(tls->psk_file)) ?
		       NULL : "tls-psk-file is malformed or too long";
	if (key.len >= 2 && !memcmp(key.at, "x-", 2))
		return NULL;
	return "a parameter after the \"?\" is unknown";
}

static const char *parse_query(const struct parts *p, struct nbd_server *server,
			       struct tls_query *tls)
{
	const char *at = p->query.at, *end = at + p->query.len;
	const char *why = NULL;

	while (at < end && !why) {
		struct span key, value = { 0 };
		size_t len = strcspn(at, "&;");

		if (len > (size_t)(end - at))
			len = end - at;
		key.at = at;
		key.len = strcspn(at, "=");
		if (key.len < len) {
			value.at = at + key.len + 1;
			value.len = len - key.len - 1;
		} else {
			key.len = len;
		}
		if (len)
			why = parse_parameter(key, value, p, server, tls);
		at += len + (at + len < end);
	}
	return why;
}

static int add_server(struct nbd_params *params, const struct nbd_server *server,
		      struct nbd_err *err)
{
	if (params->nservers == NBD_SERVERS_MAX)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"more than %d servers", NBD_SERVERS_MAX);
	params->servers[params->nservers++] = *server;
	return 0;
}

/* In front of the host: the user of a pre-shared key. */
static const char *parse_user(const struct parts *p, struct tls_query *tls)
{
	const char *at = memchr(p->authority.at, '@', p->authority.len);
	struct span user = { .at = p->authority.at };

	if (!at)
		return NULL;
	user.len = at - user.at;
	return decode_text(user, tls->user, sizeof(tls->user)) ?
	       NULL : "the user name is malformed or too long";
}

static const char *check_tls(const struct scheme *scheme, const struct tls_query *tls)
{
	bool x509 = tls->x509 || *tls->certificates || *tls->hostname || tls->insecure;
	bool psk = tls->psk || *tls->psk_file;

	if (!scheme->tls)
		return x509 || psk ? "parameters for TLS need the scheme nbds" : NULL;
	if (psk && x509)
		return "TLS uses certificates or a pre-shared key, not both";
	return psk && !*tls->psk_file ?
	       "tls-type=psk needs the file of the key (tls-psk-file=PATH)" : NULL;
}

/* As if the option had been given; an empty text has not. */
static int give_text(struct nbd_params *params, char **field, u64 bit, const char *text,
		     struct nbd_err *err)
{
	if (!*text)
		return 0;
	params->given |= bit;
	return nbd_set_text(field, text, err);
}

/* The files have the names that libnbd expects there; the client's own need not be. */
static int give_certificates(struct nbd_params *params, const char *folder, struct nbd_err *err)
{
	char path[PATH_MAX + 32];
	int ret;

	if (!*folder)
		return 0;
	snprintf(path, sizeof(path), "%s/ca-cert.pem", folder);
	ret = give_text(params, &params->tls_ca, NBD_GIVEN_TLS_CA, path, err);
	snprintf(path, sizeof(path), "%s/client-cert.pem", folder);
	if (ret || access(path, F_OK))
		return ret;
	ret = give_text(params, &params->tls_cert, NBD_GIVEN_TLS_CERT, path, err);
	snprintf(path, sizeof(path), "%s/client-key.pem", folder);
	return ret ? ret : give_text(params, &params->tls_key, NBD_GIVEN_TLS_KEY, path, err);
}

static int give_tls(struct nbd_params *params, const struct scheme *scheme,
		    const struct tls_query *tls, struct nbd_err *err)
{
	int ret;

	if (!scheme->tls)
		return 0;
	params->tls = true;
	params->tls_insecure |= tls->insecure;
	ret = give_text(params, &params->tls_hostname, NBD_GIVEN_TLS_HOSTNAME, tls->hostname,
			err);
	if (!ret)
		ret = give_certificates(params, tls->certificates, err);
	if (!ret)
		ret = give_text(params, &params->tls_psk, NBD_GIVEN_TLS_PSK, tls->psk_file, err);
	if (!ret && *tls->psk_file)
		ret = give_text(params, &params->tls_user, NBD_GIVEN_TLS_USER, tls->user, err);
	return ret;
}

/* Everything has been checked, only memory can run out. */
static int commit(struct nbd_params *params, const struct nbd_server *server,
		  const char *name, const struct scheme *scheme,
		  const struct tls_query *tls, struct nbd_err *err)
{
	int ret = add_server(params, server, err);

	if (!ret && !params->export_name)
		ret = give_text(params, &params->export_name, NBD_GIVEN_NAME, name, err);
	return ret ? ret : give_tls(params, scheme, tls, err);
}

int nbd_uri_apply(struct nbd_params *params, const char *uri,
		  struct nbd_err *err)
{
	struct parts p = { .scheme = find_scheme(uri) };
	struct tls_query tls = { 0 };
	struct nbd_server server = { 0 };
	char name[NBD_STRING_MAX + 1];
	const char *why = NULL;

	if (!p.scheme)
		return bad_uri(uri, "it must begin with nbd://, nbds://, nbd+unix://, nbds+unix:// or nbd+vsock://", err);
	split(uri, &p);
	server.family = p.scheme->family;
	if (server.family != NBD_UNIX)
		why = parse_authority(&p, &server);
	else if (p.authority.len)
		why = "a Unix socket has no host: write nbd+unix:///NAME?socket=PATH";
	if (!why)
		why = parse_user(&p, &tls);
	if (!why)
		why = parse_query(&p, &server, &tls);
	if (!why)
		why = check_tls(p.scheme, &tls);
	if (!why && !server.host_len)
		why = "the parameter \"socket\" is missing: nbd+unix:///NAME?socket=PATH";
	if (!why && !decode_text(p.path, name, sizeof(name)))
		why = "the export name is malformed or too long";
	if (!why && params->export_name && *name &&
	    strcmp(params->export_name, name))
		why = "it names another export than was given before";
	if (why)
		return bad_uri(uri, why, err);
	return commit(params, &server, name, p.scheme, &tls, err);
}

static int too_long(const char *text, struct nbd_err *err)
{
	char clean[64];

	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			"\"%s\" is too long or empty: not a server",
			nbd_sanitize(clean, sizeof(clean), text, strlen(text)));
}

int nbd_server_add_tcp(struct nbd_params *params, const char *host,
		       const char *port, struct nbd_err *err)
{
	struct nbd_server server = { .family = NBD_TCP };
	size_t len = strlen(host);
	const char *why;
	char text[64];

	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (!len || len >= sizeof(server.host))
		return too_long(host, err);
	memcpy(server.host, host, len);
	server.host_len = len;
	why = check_host(server.host);
	if (why)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"the host \"%s\" is %s",
				nbd_sanitize(text, sizeof(text), host, len), why);
	if (!valid_port(port, NBD_TCP))
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"port \"%s\" is not a number from 1 to 65535",
				nbd_sanitize(text, sizeof(text), port,
					     strlen(port)));
	snprintf(server.port, sizeof(server.port), "%s", port);
	return add_server(params, &server, err);
}

int nbd_server_add_unix(struct nbd_params *params, const char *path,
			struct nbd_err *err)
{
	struct nbd_server server = { .family = NBD_UNIX };

	server.host_len = strlen(path);
	if (!server.host_len || server.host_len >= sizeof(server.host))
		return too_long(path, err);
	memcpy(server.host, path, server.host_len);
	return add_server(params, &server, err);
}

static int make_absolute(struct nbd_server *server, struct nbd_err *err)
{
	char folder[PATH_MAX], path[sizeof(folder) + sizeof(server->host)];
	int n;

	if (!getcwd(folder, sizeof(folder)))
		return nbd_fail(err, NBD_EXIT_FAILURE, errno,
				"the working directory of the socket %s: %s",
				server->host, strerror(errno));
	n = snprintf(path, sizeof(path), "%s/%s", folder, server->host);
	if ((size_t)n >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return nbd_fail(err, NBD_EXIT_FAILURE, ENAMETOOLONG,
				"the path of the socket is too long: %s", path);
	memcpy(server->host, path, n + 1);
	server->host_len = n;
	return 0;
}

int nbd_servers_absolute(struct nbd_params *params, struct nbd_err *err)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < params->nservers && !ret; i++) {
		struct nbd_server *s = &params->servers[i];

		if (s->family == NBD_UNIX && s->host[0] && s->host[0] != '/')
			ret = make_absolute(s, err);
	}
	return ret;
}

int nbd_server_append(struct nbd_params *params, const char *text,
		      struct nbd_err *err)
{
	struct span authority = { .at = text, .len = strlen(text) };
	char host_text[NBD_HOST_MAX + 1], port_text[16] = NBD_DEFAULT_PORT;
	struct span host, port;
	struct in6_addr ipv6;
	const char *why;

	if (nbd_is_uri(text))
		return nbd_uri_apply(params, text, err);
	if (*text == '/')
		return nbd_server_add_unix(params, text, err);
	if (parse_ipv6(text, &ipv6, &why))
		return nbd_server_add_tcp(params, text, port_text, err);
	why = split_authority(authority, &host, &port);
	if (why)
		return bad_uri(text, why, err);
	if (host.len >= sizeof(host_text) || port.len >= sizeof(port_text))
		return too_long(text, err);
	memcpy(host_text, host.at, host.len);
	host_text[host.len] = '\0';
	if (port.len) {
		memcpy(port_text, port.at, port.len);
		port_text[port.len] = '\0';
	}
	return nbd_server_add_tcp(params, host_text, port_text, err);
}
