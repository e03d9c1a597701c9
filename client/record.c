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

#include "record.h"
#include "settings.h"
#include "util.h"

/* What is no setting, so that writing and reading cannot drift apart. */
static const struct field {
	const char *key;
	bool text;
	size_t offset;
	size_t size;
} fields[] = {
#define NUMBER(key, member) { key, false, NBD_FIELD_OF(nbd_record, member) }
#define TEXT(key, member) { key, true, NBD_FIELD_OF(nbd_record, member) }
	NUMBER("index", params.index),
	NUMBER("session", session_id),
	NUMBER("keeper", keeper),
	NUMBER("pid", pid),
	NUMBER("given", params.given),
	NUMBER("tls-for-good", params.tls_for_good),
	NUMBER("size", export.size),
	NUMBER("flags", export.flags),
	NUMBER("has-block-sizes", export.has_block_sizes),
	NUMBER("block-min", export.block_min),
	NUMBER("block-preferred", export.block_preferred),
	NUMBER("block-max", export.block_max),
	NUMBER("block-size", block_size),
	NUMBER("conns", nconns),
	NUMBER("current-server", in_use.server),
	NUMBER("moving", moving),
	NUMBER("socket-owner", socket_owner),
	NUMBER("netns", namespaces.net_kept),
	NUMBER("mntns", namespaces.mnt_kept),
	NUMBER("net-id", namespaces.net),
	NUMBER("mnt-id", namespaces.mnt),
	NUMBER("kept-version", namespaces.version),
	TEXT("other-file-system", other_fs),
	TEXT("other-partition-table", other_table),
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

static unsigned int hex_digit(unsigned char c)
{
	return isdigit(c) ? c - '0' : tolower(c) - 'a' + 10;
}

/* In place; returns the length. */
static size_t decode(char *text)
{
	char *in = text, *out = text;

	while (*in) {
		if (*in == '%' && isxdigit((unsigned char)in[1]) &&
		    isxdigit((unsigned char)in[2])) {
			*out++ = hex_digit(in[1]) << 4 | hex_digit(in[2]);
			in += 3;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
	return out - text;
}

static void print_text(const char *key, const char *text, FILE *file)
{
	if (!text)
		return;
	fprintf(file, "%s ", key);
	print_encoded(file, text, strlen(text));
	fputc('\n', file);
}

static void print_field(const struct nbd_record *r, const struct field *f,
			FILE *file)
{
	const void *at = (const char *)r + f->offset;

	if (f->text)
		print_text(f->key, *(char *const *)at, file);
	else
		fprintf(file, "%s %llu\n", f->key, nbd_load(at, f->size));
}

static void print_setting(const struct nbd_record *r, const struct nbd_setting *s,
			  FILE *file)
{
	if (s->kind == NBD_KIND_TEXT)
		print_text(s->record, nbd_setting_text(s, &r->params), file);
	else
		fprintf(file, "%s %llu\n", s->record, nbd_setting_number(s, &r->params));
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
	const struct nbd_setting *s;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fields); i++)
		print_field(r, &fields[i], file);
	nbd_for_each_setting(s)
		if (s->record)
			print_setting(r, s, file);
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

static int parse_number(const char *value, u64 *number)
{
	u64 n = 0;

	if (!*value)
		return -EINVAL;
	for (; *value; value++) {
		if (!isdigit((unsigned char)*value) ||
		    __builtin_mul_overflow(n, 10ULL, &n) ||
		    __builtin_add_overflow(n, (u64)(*value - '0'), &n))
			return -EINVAL;
	}
	*number = n;
	return 0;
}

static int set_field(struct nbd_record *r, const struct field *f, char *value)
{
	void *at = (char *)r + f->offset;
	u64 number;

	if (f->text) {
		decode(value);
		return nbd_set_text(at, value, NULL);
	}
	if (parse_number(value, &number))
		return -EINVAL;
	nbd_store(at, f->size, number);
	return 0;
}

static int set_setting(struct nbd_record *r, const struct nbd_setting *s, char *value)
{
	u64 number;

	if (s->kind == NBD_KIND_TEXT) {
		decode(value);
		return nbd_setting_set_text(s, &r->params, value, NULL);
	}
	if (parse_number(value, &number))
		return -EINVAL;
	nbd_setting_set_number(s, &r->params, number);
	return 0;
}

static const struct nbd_setting *recorded_after(const struct nbd_setting *s)
{
	do
		s = nbd_setting_after(s);
	while (s && !s->record);
	return s;
}

/* Another release may have written more. */
static int set_key(struct nbd_record *r, const char *key, char *value)
{
	const struct nbd_setting *s;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(key, fields[i].key))
			return set_field(r, &fields[i], value);
	for (s = recorded_after(NULL); s; s = recorded_after(s))
		if (!strcmp(key, s->record))
			return set_setting(r, s, value);
	return 0;
}

/* --- what nearly all lines are: a number --- */

/**
 * struct number - a key of a number
 * @key:	the key
 * @len:	its bytes
 * @offset:	of the field in struct nbd_record
 * @size:	its bytes
 */
struct number {
	const char *key;
	size_t len;
	size_t offset;
	size_t size;
};

/* All of them, in the order in which nbd_record_print() has them. */
static struct number numbers[ARRAY_SIZE(fields) + NBD_SETTINGS_N];
static unsigned int n_numbers;

static void add_number(const char *key, size_t offset, size_t size)
{
	numbers[n_numbers++] = (struct number){ key, strlen(key), offset, size };
}

static void find_numbers(void)
{
	const struct nbd_setting *s;
	unsigned int i;

	if (n_numbers)
		return;
	for (i = 0; i < ARRAY_SIZE(fields); i++)
		if (!fields[i].text)
			add_number(fields[i].key, fields[i].offset, fields[i].size);
	for (s = recorded_after(NULL); s; s = recorded_after(s))
		if (s->kind != NBD_KIND_TEXT)
			add_number(s->record, offsetof(struct nbd_record, params) + s->offset,
				   s->size);
}

/* More digits may be too large a number, or nonsense: set_line() will see. */
#define FEW_DIGITS 19

/* The end of a line that has a number from @value on and nothing else, or NULL. */
static char *read_few_digits(char *value, const char *end, u64 *number)
{
	char *at = value;
	u64 n = 0;

	while (*at >= '0' && *at <= '9')
		n = 10 * n + (*at++ - '0');
	if (at == value || at - value > FEW_DIGITS || (at < end && *at != '\n'))
		return NULL;
	*number = n;
	return at;
}

/*
 * Takes the value of a line that is a number; returns its end, or NULL if it is none, which
 * set_line() is for. @next is where to look for the key first, and where the next one will be.
 */
static char *take_number(struct nbd_record *r, unsigned int *next, char *line, const char *end)
{
	const struct number *n = numbers + *next;
	const struct number *behind = numbers + n_numbers;
	const size_t len = end - line;
	char *newline;
	u64 value;

	while (n < behind && (*n->key != *line || n->len >= len || line[n->len] != ' ' ||
			      memcmp(line, n->key, n->len)))
		n++;
	if (n == behind)
		return NULL;
	newline = read_few_digits(line + n->len + 1, end, &value);
	if (!newline)
		return NULL;
	nbd_store((char *)r + n->offset, n->size, value);
	*next = n - numbers + 1;
	return newline;
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
	char *value = strchr(line, ' ');

	if (!value)
		return *line ? -EINVAL : 0;
	*value++ = '\0';
	if (!strcmp(line, "server"))
		return set_server(r, value);
	if (!strcmp(line, "address"))
		return set_address(r, value);
	if (!strcmp(line, "current-address"))
		return set_bytes(&r->in_use, value);
	return set_key(r, line, value);
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
	struct nbd_address_list list;

	if (r->in_use.len)
		return;
	list.n = 0;
	if (!nbd_resolve_numeric(&list, &r->params.servers[server], server) && list.n == 1)
		r->in_use = list.addr[0];
}

bool nbd_record_knows_address(const struct nbd_record *r)
{
	return r->in_use.len && !r->moving;
}

/* Cuts it into lines; *@number is that of the last one that was looked at. */
static int set_lines(struct nbd_record *r, char *text, size_t len, unsigned int *number)
{
	char *line = text, *end = text + len, *newline;
	unsigned int next = 0;
	int ret = 0;

	find_numbers();
	for (*number = 0; !ret && line < end; line = newline + 1) {
		++*number;
		newline = take_number(r, &next, line, end);
		if (newline)
			continue;
		newline = memchr(line, '\n', end - line);
		if (!newline)
			newline = end;
		*newline = '\0';
		ret = set_line(r, line);
	}
	return ret;
}

int nbd_record_parse(struct nbd_record *r, char *text, size_t len, struct nbd_err *err)
{
	unsigned int number;
	int ret;

	memset(r, 0, sizeof(*r));
	nbd_params_init(&r->params);
	ret = set_lines(r, text, len, &number);
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
