// SPDX-License-Identifier: GPL-2.0
/*
 * What outlives nbd-client.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

#define NAME_SIZE 48

static char *record_name(s32 index, char *buf)
{
	snprintf(buf, NAME_SIZE, "nbd%d", index);
	return buf;
}

static FILE *open_record(s32 index, struct nbd_err *err, int *ret)
{
	char name[NAME_SIZE];
	FILE *file;
	int fd;

	fd = nbd_rundir_open_file(record_name(index, name), err);
	*ret = fd < 0 ? fd : 0;
	if (fd < 0)
		return NULL;
	file = fdopen(fd, "r");
	if (file)
		return file;
	*ret = nbd_fail(err, NBD_EXIT_FAILURE, errno, "%s/%s: %s", NBD_RUN_DIR,
			name, strerror(errno));
	close(fd);
	return NULL;
}

int nbd_record_read(struct nbd_record *r, s32 index, struct nbd_err *err)
{
	int ret;
	FILE *file = open_record(index, err, &ret);

	memset(r, 0, sizeof(*r));
	if (!file)
		return ret;
	ret = nbd_record_parse(r, file, err);
	fclose(file);
	if (!ret && r->params.index != index) {
		ret = nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			       "the record is damaged: it is one of /dev/nbd%d",
			       r->params.index);
		nbd_record_free(r);
	}
	if (ret)
		nbd_err_prefix(err, "%s/nbd%d", NBD_RUN_DIR, index);
	return ret;
}

void nbd_record_free(struct nbd_record *r)
{
	nbd_params_free(&r->params);
	free(r->other_fs);
	free(r->other_table);
	r->other_fs = NULL;
	r->other_table = NULL;
}

/*
 * Tells this version of the record apart from all others, by what stat() shows of it: see
 * nbd_record_id(). The number of its inode may be used again for the next one.
 */
static int stamp(int fd)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	u32 nonce;

	if (clock_gettime(CLOCK_REALTIME, &times[1]) ||
	    getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) != sizeof(nonce))
		return 0;
	times[1].tv_nsec = nonce % 1000000000;
	return futimens(fd, times) ? -errno : 0;
}

/* The name has a dot in front, so that no reader takes it for a record. */
static char *draft_name(s32 index, char *buf)
{
	snprintf(buf, NAME_SIZE, ".nbd%d.%d", index, getpid());
	return buf;
}

/* Whatever the umask: -status is for everybody. */
static FILE *create_draft(int folder, const char *name)
{
	FILE *file = NULL;
	int fd;

	unlinkat(folder, name, 0);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && !fchmod(fd, 0644))
		file = fdopen(fd, "w");
	if (fd >= 0 && !file)
		close(fd);
	return file;
}

static int write_draft(int folder, const struct nbd_record *r, const char *name)
{
	FILE *file = create_draft(folder, name);
	int ret = 0;

	if (!file)
		return -errno;
	nbd_record_print(r, file);
	if (fflush(file) || ferror(file))
		ret = -EIO;
	if (!ret)
		ret = stamp(fileno(file));
	if (fclose(file) && !ret)
		ret = -errno;
	return ret;
}

static int write_failed(s32 index, int ret, struct nbd_err *err)
{
	return nbd_fail(err, nbd_exit_of_errno(-ret), -ret,
			"cannot write the record %s/nbd%d, without which the device would not be reconnected: %s",
			NBD_RUN_DIR, index, strerror(-ret));
}

static void unlink_file(const char *name)
{
	int folder = nbd_rundir_open(NULL);

	if (folder < 0)
		return;
	unlinkat(folder, name, 0);
	close(folder);
}

int nbd_record_draft(const struct nbd_record *r, struct nbd_err *err)
{
	int ret = nbd_rundir_make(err), folder;
	char name[NAME_SIZE];

	if (ret)
		return ret;
	folder = nbd_rundir_open(err);
	if (folder < 0)
		return folder;
	draft_name(r->params.index, name);
	ret = write_draft(folder, r, name);
	if (ret) {
		unlinkat(folder, name, 0);
		write_failed(r->params.index, ret, err);
	}
	close(folder);
	return ret;
}

void nbd_record_discard(s32 index)
{
	char name[NAME_SIZE];

	unlink_file(draft_name(index, name));
}

int nbd_record_publish(s32 index, struct nbd_err *err)
{
	char draft[NAME_SIZE], name[NAME_SIZE];
	int folder = nbd_rundir_open(err), ret = 0;

	if (folder < 0)
		return folder;
	if (renameat(folder, draft_name(index, draft), folder,
		     record_name(index, name))) {
		ret = write_failed(index, -errno, err);
		unlinkat(folder, draft, 0);
	}
	close(folder);
	return ret;
}

int nbd_record_write(const struct nbd_record *r, struct nbd_err *err)
{
	int ret = nbd_record_draft(r, err);

	return ret ? ret : nbd_record_publish(r->params.index, err);
}

int nbd_record_update(const struct nbd_record *r, u64 *file, struct nbd_err *err)
{
	int lock = nbd_record_try_lock(r->params.index, err);
	int ret;

	if (lock < 0)
		return lock;
	if (nbd_record_id(r->params.index) == *file) {
		ret = nbd_record_write(r, err);
		if (!ret)
			*file = nbd_record_id(r->params.index);
	} else {
		ret = -ESTALE;
	}
	close(lock);
	return ret;
}

void nbd_record_remove(s32 index)
{
	char name[NAME_SIZE];

	unlink_file(record_name(index, name));
	nbd_namespaces_drop(index, NULL);
}

int nbd_record_remove_session(s32 index, u64 session_id, struct nbd_err *err)
{
	int lock = nbd_record_lock(index, err);
	struct nbd_record record;

	if (lock < 0)
		return lock;
	if (!nbd_record_read(&record, index, NULL)) {
		if (record.session_id == session_id)
			nbd_record_remove(index);
		nbd_record_free(&record);
	}
	close(lock);
	return 0;
}

bool nbd_record_remove_file(s32 index, u64 id)
{
	int lock = nbd_record_try_lock(index, NULL);

	if (lock < 0)
		return lock != -EWOULDBLOCK;
	if (id && nbd_record_id(index) == id)
		nbd_record_remove(index);
	close(lock);
	return true;
}

/* With the stock driver the process in NBD_DO_IT reconnects by itself. */
bool nbd_record_monitored(const struct nbd_record *record)
{
	const struct nbd_params *params = &record->params;

	return (!params->ioctl_mode || record->session_id) &&
	       params->reconnect != NBD_RECONNECT_NEVER;
}

/* A step of FNV-1a, by words. */
static u64 mix(u64 hash, u64 value)
{
	return (hash ^ value) * 0x100000001b3;
}

/* The time of the last change is a nonce in part, see stamp(). */
u64 nbd_record_id(s32 index)
{
	int folder = nbd_rundir_open(NULL);
	u64 id = 0xcbf29ce484222325;
	char name[NAME_SIZE];
	struct stat st;
	int ret;

	if (folder < 0)
		return 0;
	ret = fstatat(folder, record_name(index, name), &st, AT_SYMLINK_NOFOLLOW);
	close(folder);
	if (ret)
		return 0;
	id = mix(mix(id, st.st_ino), st.st_size);
	id = mix(mix(id, st.st_mtim.tv_sec), st.st_mtim.tv_nsec);
	return id ? id : 1;
}

s32 nbd_record_index(const char *name)
{
	s32 index;

	if (strncmp(name, "nbd", 3) || !nbd_device_looks_like(name) ||
	    nbd_device_parse(name, &index, NULL))
		return -1;
	return index;
}

void nbd_record_list(void (*fn)(void *arg, s32 index), void *arg)
{
	int folder = nbd_rundir_open(NULL), fd = -1;
	struct dirent *e;
	DIR *dir = NULL;
	s32 index;

	if (folder >= 0)
		fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		dir = fdopendir(fd);
	if (fd >= 0 && !dir)
		close(fd);
	if (folder >= 0)
		close(folder);
	while (dir && (e = readdir(dir))) {
		index = nbd_record_index(e->d_name);
		if (index >= 0)
			fn(arg, index);
	}
	if (dir)
		closedir(dir);
}

static int lock_record(s32 index, s64 wait_ms, struct nbd_err *err)
{
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), ".nbd%d.lock", index);
	return nbd_rundir_lock(name, LOCK_EX, wait_ms, err);
}

int nbd_record_lock(s32 index, struct nbd_err *err)
{
	return lock_record(index, NBD_LOCK_WAIT_MS, err);
}

int nbd_record_try_lock(s32 index, struct nbd_err *err)
{
	return lock_record(index, NBD_LOCK_TRY, err);
}
