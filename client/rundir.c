// SPDX-License-Identifier: GPL-2.0
/*
 * The folder /run/nbd and the files in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "clock.h"
#include "folders.h"
#include "rundir.h"

/* A lock that is given up without closing its file is noticed after this time. */
#define LOCK_LOOK_MS 20
#define PATH_SIZE 128

const char *nbd_distrust(const struct stat *st, mode_t type, char *buf, size_t size)
{
	if ((st->st_mode & S_IFMT) != type)
		snprintf(buf, size, "is %s", S_ISLNK(st->st_mode) ?
			 "a symbolic link" : type == S_IFDIR ?
			 "no folder" : "no regular file");
	else if (st->st_uid)
		snprintf(buf, size, "belongs to user %u, not to root", st->st_uid);
	else if (st->st_mode & 0022)
		snprintf(buf, size, "can be written to by others than root (mode %04o)",
			 st->st_mode & 07777);
	else if (type == S_IFREG && st->st_nlink > 1)
		snprintf(buf, size, "has %lu names (hard links)",
			 (unsigned long)st->st_nlink);
	else
		return NULL;
	return buf;
}

static char *path_of(const char *name, char *buf)
{
	snprintf(buf, PATH_SIZE, "%s/%s", NBD_RUN_DIR, name);
	return buf;
}

static int failed(const char *path, int error, struct nbd_err *err)
{
	return nbd_fail(err, nbd_exit_of_errno(error), error, "%s: %s", path,
			strerror(error));
}

/* Whether the folder is the one that a path leads to, now or later, is checked nowhere else. */
int nbd_rundir_open(struct nbd_err *err)
{
	int fd = nbd_folder_open(NBD_RUN_DIR, O_PATH | O_NOFOLLOW, 0);
	struct stat st;
	char why[80];

	if (fd < 0 || fstat(fd, &st)) {
		int error = errno;

		if (fd >= 0)
			close(fd);
		return failed(NBD_RUN_DIR, error, err);
	}
	if (!nbd_distrust(&st, S_IFDIR, why, sizeof(why)))
		return fd;
	close(fd);
	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			"%s %s: what it says of devices is not believed; remove it (rm -r %s), and try again",
			NBD_RUN_DIR, why, NBD_RUN_DIR);
}

static int make_folder(struct nbd_err *err)
{
	const char *path = NBD_RUN_DIR;
	int folder = nbd_folder_of(&path);

	/* Whatever the umask: everybody may see what is attached. */
	if (!mkdirat(folder, path, 0755) && !fchmodat(folder, path, 0755, 0))
		return 0;
	if (errno == EEXIST)
		return 0;
	return nbd_fail(err, nbd_exit_of_errno(errno), errno,
			"cannot make the folder %s: %s", NBD_RUN_DIR,
			strerror(errno));
}

int nbd_rundir_make(struct nbd_err *err)
{
	int ret = make_folder(err), fd;

	if (ret)
		return ret;
	fd = nbd_rundir_open(err);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int check_file(int fd, const char *name, struct nbd_err *err)
{
	char path[PATH_SIZE], why[80];
	struct stat st;

	if (fstat(fd, &st))
		return failed(path_of(name, path), errno, err);
	if (!nbd_distrust(&st, S_IFREG, why, sizeof(why)))
		return 0;
	path_of(name, path);
	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			"%s %s: it is not believed; remove it (rm %s)", path,
			why, path);
}

/* Never waits for the other end of a FIFO. */
static int open_checked_at(int folder, const char *name, int flags, mode_t mode,
			   struct nbd_err *err)
{
	char path[PATH_SIZE];
	int fd, ret;

	fd = openat(folder, name,
		    flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode);
	if (fd < 0 && errno == ELOOP)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"%s is a symbolic link: it is not believed; remove it (rm %s)",
				path_of(name, path), path);
	if (fd < 0)
		return failed(path_of(name, path), errno, err);
	ret = check_file(fd, name, err);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

static int open_checked(const char *name, int flags, mode_t mode,
			struct nbd_err *err)
{
	int folder = nbd_rundir_open(err), fd;

	if (folder < 0)
		return folder;
	fd = open_checked_at(folder, name, flags, mode, err);
	close(folder);
	return fd;
}

int nbd_rundir_open_file_at(int folder, const char *name, struct nbd_err *err)
{
	return open_checked_at(folder, name, O_RDONLY, 0, err);
}

int nbd_rundir_open_file(const char *name, struct nbd_err *err)
{
	return open_checked(name, O_RDONLY, 0, err);
}

int nbd_rundir_create_file(const char *name, mode_t mode, struct nbd_err *err)
{
	int fd = open_checked(name, O_RDWR | O_CREAT, mode, err);
	char path[PATH_SIZE];
	int ret;

	if (fd < 0 || !fchmod(fd, mode))
		return fd;
	ret = failed(path_of(name, path), errno, err);
	close(fd);
	return ret;
}

/* --- locks --- */

/* The process that took the lock on @st, as /proc/locks tells; 0 if it cannot be seen. */
static int find_holder(const struct stat *st)
{
	FILE *file = nbd_folder_fopen("/proc/locks", "re");
	unsigned int maj, min;
	unsigned long ino;
	int pid, found = 0;
	char line[256];

	if (!file)
		return 0;
	while (!found && fgets(line, sizeof(line), file))
		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid, &maj,
			   &min, &ino) == 4 &&
		    ino == st->st_ino && makedev(maj, min) == st->st_dev)
			found = pid;
	fclose(file);
	return found;
}

/* "process 7 (name)"; returns @buf. */
static char *holder_text(int pid, char *buf, size_t size)
{
	char path[48], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = nbd_folder_fopen(path, "re");
	if (file) {
		if (fgets(name, sizeof(name), file))
			name[strcspn(name, "\n")] = '\0';
		fclose(file);
	}
	snprintf(buf, size, "process %d (%s)", pid,
		 *name ? name : "which has left it to a child");
	return buf;
}

static int held_for_long(int fd, const char *name, struct nbd_err *err)
{
	char path[PATH_SIZE], holder[96], clean[256];
	struct stat st;
	int pid;

	path_of(name, path);
	pid = fstat(fd, &st) ? 0 : find_holder(&st);
	if (!pid)
		return nbd_fail(err, NBD_EXIT_TIMEOUT, ETIMEDOUT,
				"a process of another PID namespace holds %s, and does not let go: find it with \"fuser %s\" outside of the container, end it, and try again",
				path, path);
	holder_text(pid, holder, sizeof(holder));
	return nbd_fail(err, NBD_EXIT_TIMEOUT, ETIMEDOUT,
			"%s holds %s, and does not let go: end it (kill %d), and try again",
			nbd_sanitize(clean, sizeof(clean), holder,
				     strlen(holder)),
			path, pid);
}

/*
 * flock() knows no limit of time. A lock is free when the last descriptor of its file is
 * closed, which is an event, though one that comes a moment before.
 */
static int wait_for_lock(int fd, const char *name, int operation, s64 wait_ms)
{
	int inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), ret;
	struct pollfd pfd = { .fd = inotify, .events = POLLIN };
	s64 until = nbd_now_ms() + wait_ms;
	char path[PATH_SIZE], events[1024];

	if (inotify >= 0) {
		inotify_add_watch(inotify, nbd_folder_enter(path_of(name, path)),
				  IN_CLOSE);
		nbd_folder_leave();
	}
	while ((ret = flock(fd, operation | LOCK_NB)) && errno == EWOULDBLOCK &&
	       nbd_now_ms() < until)
		if (poll(&pfd, 1, LOCK_LOOK_MS) > 0 &&
		    read(inotify, events, sizeof(events)) > 0)
			sched_yield();
	ret = ret ? -errno : 0;
	if (inotify >= 0)
		close(inotify);
	return ret;
}

int nbd_rundir_lock(const char *name, int operation, s64 wait_ms,
		    struct nbd_err *err)
{
	int ret = nbd_rundir_make(err), fd;
	char path[PATH_SIZE];

	if (ret)
		return ret;
	fd = nbd_rundir_create_file(name, 0600, err);
	if (fd < 0)
		return fd;
	if (flock(fd, operation | LOCK_NB))
		ret = -errno;
	if (ret == -EWOULDBLOCK && wait_ms)
		ret = wait_for_lock(fd, name, operation, wait_ms);
	if (!ret)
		return fd;
	if (ret == -EWOULDBLOCK && wait_ms)
		ret = held_for_long(fd, name, err);
	else
		failed(path_of(name, path), -ret, err);
	close(fd);
	return ret;
}
