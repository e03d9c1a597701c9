// SPDX-License-Identifier: GPL-2.0
/*
 * The files of the records.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "credentials.h"
#include "device.h"
#include "store.h"

#define NAME_SIZE 48
/* A record is seldom longer. */
#define READ_BYTES 4096

static char *record_name(s32 index, char *buf)
{
	static const char folder[] = "/dev/";
	char path[NBD_DEVICE_PATH_MAX];

	return strcpy(buf, nbd_device_path(index, path) + sizeof(folder) - 1);
}

/* Of the credentials that belong to the record. */
static char *secrets_name(s32 index, char *buf)
{
	snprintf(buf, NAME_SIZE, ".nbd%d.tls", index);
	return buf;
}

static FILE *open_file(const char *name, struct nbd_err *err, int *ret)
{
	FILE *file;
	int fd;

	fd = nbd_rundir_open_file(name, err);
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

/*
 * All of the file @fd and a NUL, in *@text, which is @room or else free()d by the caller. A
 * regular file has come to its end when it gives less than there was room for.
 */
static int read_text(int fd, char *room, size_t size, char **text, size_t *len)
{
	char *grown = NULL, *at = room;
	ssize_t n;

	*len = 0;
	for (;;) {
		n = read(fd, at + *len, size - 1 - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		*len += n;
		if (*len < size - 1) {
			at[*len] = '\0';
			*text = at;
			return 0;
		}
		size *= 2;
		at = realloc(grown, size);
		if (!at) {
			errno = ENOMEM;
			break;
		}
		if (!grown)
			memcpy(at, room, *len);
		grown = at;
	}
	n = -errno;
	free(grown);
	return n;
}

static int read_record(struct nbd_record *r, int fd, struct nbd_err *err)
{
	char room[READ_BYTES], *text = NULL;
	size_t len;
	int ret = read_text(fd, room, sizeof(room), &text, &len);

	if (ret) {
		memset(r, 0, sizeof(*r));
		return nbd_fail(err, nbd_exit_of_errno(-ret), -ret, "%s", strerror(-ret));
	}
	ret = nbd_record_parse(r, text, len, err);
	if (text != room)
		free(text);
	return ret;
}

int nbd_record_read_at(int folder, struct nbd_record *r, s32 index, struct nbd_err *err)
{
	char name[NAME_SIZE];
	int fd = nbd_rundir_open_file_at(folder, record_name(index, name), err);
	int ret;

	if (fd < 0) {
		memset(r, 0, sizeof(*r));
		return fd;
	}
	ret = read_record(r, fd, err);
	close(fd);
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

int nbd_record_read(struct nbd_record *r, s32 index, struct nbd_err *err)
{
	int folder = nbd_rundir_open(err), ret;

	if (folder < 0) {
		memset(r, 0, sizeof(*r));
		return folder;
	}
	ret = nbd_record_read_at(folder, r, index, err);
	close(folder);
	return ret;
}

int nbd_record_read_credentials(struct nbd_record *r, struct nbd_err *err)
{
	char name[NAME_SIZE];
	FILE *file;
	int ret;

	if (!r->params.tls || r->params.credentials)
		return 0;
	file = open_file(secrets_name(r->params.index, name), err, &ret);
	if (!file)
		return ret;
	r->params.credentials = nbd_credentials_parse(file);
	fclose(file);
	if (!r->params.credentials)
		return nbd_fail(err, NBD_EXIT_TLS, EINVAL, "%s/%s is damaged", NBD_RUN_DIR,
				name);
	/* While the file system with the library is there. */
	return nbd_credentials_ready(r->params.credentials, err);
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

static char *secrets_draft_name(s32 index, char *buf)
{
	snprintf(buf, NAME_SIZE, ".nbd%d.%d.tls", index, getpid());
	return buf;
}

/* Whatever the umask. */
static FILE *create_draft(int folder, const char *name, mode_t mode)
{
	FILE *file = NULL;
	int fd;

	unlinkat(folder, name, 0);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && !fchmod(fd, mode))
		file = fdopen(fd, "w");
	if (fd >= 0 && !file)
		close(fd);
	return file;
}

/* For root only, unlike the record. */
static int write_secrets(int folder, const struct nbd_credentials *c, const char *name)
{
	FILE *file;
	int ret = 0;

	if (!c)
		return 0;
	file = create_draft(folder, name, 0600);
	if (!file)
		return -errno;
	nbd_credentials_print(c, file);
	if (fflush(file) || ferror(file))
		ret = -EIO;
	if (fclose(file) && !ret)
		ret = -errno;
	return ret;
}

static int write_draft(int folder, const struct nbd_record *r, const char *name)
{
	/* -status is for everybody. */
	FILE *file = create_draft(folder, name, 0644);
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
	char name[NAME_SIZE], secrets[NAME_SIZE];

	if (ret)
		return ret;
	folder = nbd_rundir_open(err);
	if (folder < 0)
		return folder;
	draft_name(r->params.index, name);
	secrets_draft_name(r->params.index, secrets);
	ret = write_secrets(folder, r->params.credentials, secrets);
	if (!ret)
		ret = write_draft(folder, r, name);
	if (ret) {
		unlinkat(folder, name, 0);
		unlinkat(folder, secrets, 0);
		write_failed(r->params.index, ret, err);
	}
	close(folder);
	return ret;
}

void nbd_record_discard(s32 index)
{
	char name[NAME_SIZE];

	unlink_file(draft_name(index, name));
	unlink_file(secrets_draft_name(index, name));
}

/* Those of the record that is about to be published, or none. */
static void publish_secrets(int folder, s32 index)
{
	char draft[NAME_SIZE], name[NAME_SIZE];

	if (renameat(folder, secrets_draft_name(index, draft), folder,
		     secrets_name(index, name)))
		unlinkat(folder, name, 0);
}

int nbd_record_publish(s32 index, struct nbd_err *err)
{
	char draft[NAME_SIZE], name[NAME_SIZE];
	int folder = nbd_rundir_open(err), ret = 0;

	if (folder < 0)
		return folder;
	publish_secrets(folder, index);
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
	unlink_file(secrets_name(index, name));
	nbd_namespaces_drop(index, NULL);
}

int nbd_record_remove_session(s32 index, u64 session_id, struct nbd_err *err)
{
	int lock = nbd_record_lock(index, err);
	struct nbd_record record;
	int ret;

	if (lock < 0)
		return lock;
	ret = nbd_record_read(&record, index, NULL);
	if (!ret) {
		if (record.session_id == session_id)
			nbd_record_remove(index);
		nbd_record_free(&record);
	} else if (ret == -ENOENT) {
		/* Who attaches writes one before the lock is free. */
		nbd_namespaces_drop(index, NULL);
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

/* One is enough: there may be thousands, and each detach asks. */
static void look_for_monitored(void *arg, s32 index)
{
	struct nbd_record record;
	bool *found = arg;

	if (*found || nbd_record_read(&record, index, NULL))
		return;
	*found = nbd_record_monitored(&record);
	nbd_record_free(&record);
}

bool nbd_records_monitored(void)
{
	bool found = false;

	nbd_record_list(look_for_monitored, &found);
	return found;
}
