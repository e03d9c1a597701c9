// SPDX-License-Identifier: GPL-2.0
/*
 * What outlives nbd-client.
 */
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "folders.h"
#include "record.h"
#include "util.h"

/* More than any value that is written. */
#define LINE_MAX_LEN (3 * NBD_STRING_MAX + 64)

enum kind { BOOL, U16, U32, U64, TEXT };

/* Every plain field, so that writing and reading cannot drift apart. */
static const struct field {
	const char *key;
	enum kind kind;
	size_t offset;
} fields[] = {
#define FIELD(key, kind, member) { key, kind, offsetof(struct nbd_record, member) }
	FIELD("index", U32, params.index),
	FIELD("session", U64, session_id),
	FIELD("keeper", U64, keeper),
	FIELD("pid", U32, pid),
	FIELD("given", U64, params.given),
	FIELD("name", TEXT, params.export_name),
	FIELD("identifier", TEXT, params.identifier),
	FIELD("connections", U32, params.connections),
	FIELD("wanted-block-size", U32, params.block_size),
	FIELD("wanted-size", U64, params.size),
	FIELD("timeout", U32, params.timeout),
	FIELD("dead-timeout", U64, params.dead_timeout),
	FIELD("peer-timeout", U32, params.peer_timeout),
	FIELD("slow-timeout", U32, params.slow_timeout),
	FIELD("connect-timeout", U32, params.connect_timeout),
	FIELD("reconnect", U32, params.reconnect),
	FIELD("reconnect-limit", U32, params.reconnect_limit),
	FIELD("write-policy", U32, params.write_policy),
	FIELD("socket-user", U32, params.socket_user),
	FIELD("readonly", BOOL, params.readonly),
	FIELD("swap", BOOL, params.swap),
	FIELD("ioctl", BOOL, params.ioctl_mode),
	FIELD("preinit", BOOL, params.preinit),
	FIELD("no-optgo", BOOL, params.no_optgo),
	FIELD("no-identity-check", BOOL, params.no_identity_check),
	FIELD("systemd-mark", BOOL, params.systemd_mark),
	FIELD("tls", BOOL, params.tls),
	FIELD("tls-verify", BOOL, params.tls_verify),
	FIELD("tls-cert", TEXT, params.tls_cert),
	FIELD("tls-key", TEXT, params.tls_key),
	FIELD("tls-ca", TEXT, params.tls_ca),
	FIELD("tls-hostname", TEXT, params.tls_hostname),
	FIELD("tls-priority", TEXT, params.tls_priority),
	FIELD("size", U64, export.size),
	FIELD("flags", U16, export.flags),
	FIELD("has-block-sizes", BOOL, export.has_block_sizes),
	FIELD("block-min", U32, export.block_min),
	FIELD("block-preferred", U32, export.block_preferred),
	FIELD("block-max", U32, export.block_max),
	FIELD("block-size", U32, block_size),
	FIELD("conns", U32, nconns),
	FIELD("current-server", U32, in_use.server),
	FIELD("moving", BOOL, moving),
	FIELD("socket-owner", U32, socket_owner),
	FIELD("netns", BOOL, namespaces.net_kept),
	FIELD("mntns", BOOL, namespaces.mnt_kept),
	FIELD("net-id", U64, namespaces.net),
	FIELD("mnt-id", U64, namespaces.mnt),
	FIELD("kept-version", U32, namespaces.version),
	FIELD("other-file-system", TEXT, other_fs),
	FIELD("other-partition-table", TEXT, other_table),
};

/* One word: what is not plain becomes %XX. */
static void print_encoded(FILE *file, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = text[i];

		if (isgraph(c) && c != '%')
			fputc(c, file);
		else
			fprintf(file, "%%%02X", c);
	}
}

/* In place; returns the length. */
static size_t decode(char *text)
{
	char *in = text, *out = text;
	unsigned int byte;

	while (*in) {
		if (*in == '%' && isxdigit((unsigned char)in[1]) &&
		    isxdigit((unsigned char)in[2]) &&
		    sscanf(in + 1, "%2x", &byte) == 1) {
			*out++ = byte;
			in += 3;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
	return out - text;
}

static u64 number_at(const void *at, enum kind kind)
{
	switch (kind) {
	case BOOL:
		return *(const bool *)at;
	case U16:
		return *(const u16 *)at;
	case U32:
		return *(const u32 *)at;
	default:
		return *(const u64 *)at;
	}
}

static void print_field(const struct nbd_record *r, const struct field *f,
			FILE *file)
{
	const void *at = (const char *)r + f->offset;
	const char *text;

	if (f->kind == TEXT) {
		text = *(char *const *)at;
		if (!text)
			return;
		fprintf(file, "%s ", f->key);
		print_encoded(file, text, strlen(text));
		fputc('\n', file);
		return;
	}
	fprintf(file, "%s %llu\n", f->key, number_at(at, f->kind));
}

static void print_server(const struct nbd_server *s, FILE *file)
{
	fprintf(file, "server %d %s ", s->family, *s->port ? s->port : "-");
	print_encoded(file, s->host, s->host_len);
	fputc('\n', file);
}

static void print_address(const struct nbd_address *a, FILE *file)
{
	print_encoded(file, (const char *)&a->sa, a->len);
	fputc('\n', file);
}

void nbd_record_print(const struct nbd_record *r, FILE *file)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fields); i++)
		print_field(r, &fields[i], file);
	for (i = 0; i < r->params.nservers; i++)
		print_server(&r->params.servers[i], file);
	if (r->in_use.len) {
		fputs("current-address ", file);
		print_address(&r->in_use, file);
	}
	for (i = 0; i < r->addresses.n; i++) {
		fprintf(file, "address %u ", r->addresses.addr[i].server);
		print_address(&r->addresses.addr[i], file);
	}
}

static int set_field(struct nbd_record *r, const struct field *f, char *value)
{
	void *at = (char *)r + f->offset;
	unsigned long long n;
	char *end;

	if (f->kind == TEXT) {
		decode(value);
		return nbd_set_text(at, value, NULL);
	}
	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || end == value || *end)
		return -EINVAL;
	if (f->kind == BOOL)
		*(bool *)at = n;
	else if (f->kind == U16)
		*(u16 *)at = n;
	else if (f->kind == U32)
		*(u32 *)at = n;
	else
		*(u64 *)at = n;
	return 0;
}

static int set_server(struct nbd_record *r, char *value)
{
	char *save = NULL, *family = strtok_r(value, " ", &save);
	char *port = strtok_r(NULL, " ", &save);
	char *host = strtok_r(NULL, " ", &save);
	struct nbd_server *s;
	size_t len;

	if (!host || r->params.nservers == NBD_SERVERS_MAX ||
	    strlen(port) >= sizeof(s->port))
		return -EINVAL;
	len = decode(host);
	s = &r->params.servers[r->params.nservers];
	if (!len || len >= sizeof(s->host) || atoi(family) < NBD_TCP ||
	    atoi(family) > NBD_VSOCK)
		return -EINVAL;
	s->family = atoi(family);
	s->host_len = len;
	memcpy(s->host, host, len);
	snprintf(s->port, sizeof(s->port), "%s",
		 strcmp(port, "-") ? port : "");
	r->params.nservers++;
	return 0;
}

static int set_bytes(struct nbd_address *a, char *bytes)
{
	size_t len = decode(bytes);

	if (len < sizeof(a->sa.ss_family) || len > sizeof(a->sa))
		return -EINVAL;
	a->len = len;
	memcpy(&a->sa, bytes, len);
	return 0;
}

static int set_address(struct nbd_record *r, char *value)
{
	char *save = NULL, *server = strtok_r(value, " ", &save);
	char *bytes = strtok_r(NULL, " ", &save);
	struct nbd_address *a;

	if (!bytes || r->addresses.n == NBD_ADDRESSES_MAX)
		return -EINVAL;
	a = &r->addresses.addr[r->addresses.n];
	if (set_bytes(a, bytes) || atoi(server) < 0 ||
	    atoi(server) >= NBD_SERVERS_MAX)
		return -EINVAL;
	a->server = atoi(server);
	r->addresses.n++;
	return 0;
}

static int set_line(struct nbd_record *r, char *line)
{
	char *value = line + strcspn(line, " ");
	unsigned int i;

	line[strcspn(line, "\n")] = '\0';
	if (!*value)
		return *line ? -EINVAL : 0;
	*value++ = '\0';
	if (!strcmp(line, "server"))
		return set_server(r, value);
	if (!strcmp(line, "address"))
		return set_address(r, value);
	if (!strcmp(line, "current-address"))
		return set_bytes(&r->in_use, value);
	for (i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(line, fields[i].key))
			return set_field(r, &fields[i], value);
	return 0;
}

/* What later code relies on without looking. */
static bool is_sound(const struct nbd_record *r)
{
	unsigned int i;

	for (i = 0; i < r->addresses.n; i++)
		if (r->addresses.addr[i].server >= r->params.nservers)
			return false;
	return r->params.index >= 0 && r->params.nservers &&
	       r->in_use.server < r->params.nservers &&
	       r->params.connect_timeout && r->nconns <= NBD_CONNECTIONS_MAX;
}

/*
 * Earlier releases noted the server only. That is enough where it has no name: a name may
 * have meant something else when the connections were made.
 */
static void complete_address(struct nbd_record *r)
{
	const unsigned int server = r->in_use.server;
	struct nbd_address_list list = { 0 };

	if (!r->in_use.len &&
	    !nbd_resolve_numeric(&list, &r->params.servers[server], server) &&
	    list.n == 1)
		r->in_use = list.addr[0];
}

bool nbd_record_knows_address(const struct nbd_record *r)
{
	return r->in_use.len && !r->moving;
}

int nbd_record_parse(struct nbd_record *r, FILE *file, struct nbd_err *err)
{
	unsigned int number = 0;
	char *line = NULL;
	size_t size = 0;
	int ret = 0;

	memset(r, 0, sizeof(*r));
	nbd_params_init(&r->params);
	while (!ret && getline(&line, &size, file) >= 0) {
		number++;
		ret = set_line(r, line);
	}
	free(line);
	if (!ret && !is_sound(r))
		ret = -EINVAL;
	if (!ret) {
		complete_address(r);
		return 0;
	}
	nbd_record_free(r);
	return nbd_fail(err, NBD_EXIT_FAILURE, -ret,
			"the record is damaged (line %u of it)", number);
}

void nbd_record_free(struct nbd_record *r)
{
	nbd_params_free(&r->params);
	free(r->other_fs);
	free(r->other_table);
	r->other_fs = NULL;
	r->other_table = NULL;
}

/* With the stock driver the process in NBD_DO_IT reconnects by itself. */
bool nbd_record_monitored(const struct nbd_record *record)
{
	const struct nbd_params *params = &record->params;

	return (!params->ioctl_mode || record->session_id) &&
	       params->reconnect != NBD_RECONNECT_NEVER;
}
