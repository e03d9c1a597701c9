// SPDX-License-Identifier: GPL-2.0
/*
 * Whether a monitor is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "folders.h"
#include "log.h"
#include "presence.h"
#include "rundir.h"

#define LOCK_NAME ".monitor"
#define LOCK_FILE NBD_RUN_DIR "/" LOCK_NAME
/* Its PID for those who may not open that one, who see in LOCKS whether it is held. */
#define LOCKS "/proc/locks"
#define PID_NAME "monitor.pid"
#define PID_FILE NBD_RUN_DIR "/" PID_NAME
/* Clients that are about to need a monitor share it; a monitor that ends has it alone. */
#define LIFE_NAME ".lock"

/*
 * The bytes of the lock's file that a monitor locks: the first one while it is there, the
 * second while it is at work. One of the release before locks the whole file.
 */
enum { IS_THERE, IS_AT_WORK };

static struct flock lock_of_byte(int byte)
{
	return (struct flock){
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = byte,
		.l_len = 1,
	};
}

static int lock_presence(int fd, bool wait, struct nbd_err *err)
{
	struct flock lock = lock_of_byte(IS_THERE);

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	if (!wait)
		return nbd_fail(err, NBD_EXIT_BUSY, EEXIST,
				"a monitor is running already");
	nbd_log(LOG_NOTICE, "a monitor is running already: waiting for its end");
	while (fcntl(fd, F_OFD_SETLKW, &lock))
		if (errno != EINTR)
			return nbd_fail(err, nbd_exit_of_errno(errno), errno,
					"%s: %s", LOCK_FILE, strerror(errno));
	return 0;
}

static void write_lock_pid(int fd)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", getpid());

	if (ftruncate(fd, 0) || pwrite(fd, text, len, 0) != len)
		nbd_log(LOG_WARNING, "%s: %s", LOCK_FILE, strerror(errno));
}

static void write_pid(void)
{
	struct nbd_err err;
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", getpid());
	int fd = nbd_rundir_create_file(PID_NAME, 0644, &err);

	if (fd < 0)
		nbd_log(LOG_WARNING, "%s", err.text);
	else if (ftruncate(fd, 0) || write(fd, text, len) != len)
		nbd_log(LOG_WARNING, "%s: %s", PID_FILE, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * The file is root's alone: whoever can read it could take a lock of the other kind, and no
 * monitor would start.
 */
int nbd_presence_claim(bool wait, struct nbd_err *err)
{
	int fd = nbd_rundir_create_file(LOCK_NAME, 0600, err);
	int ret;

	if (fd < 0)
		return fd;
	ret = lock_presence(fd, wait, err);
	if (ret) {
		close(fd);
		return ret;
	}
	write_lock_pid(fd);
	write_pid();
	return fd;
}

void nbd_presence_at_work(int presence)
{
	struct flock lock = lock_of_byte(IS_AT_WORK);

	if (fcntl(presence, F_OFD_SETLK, &lock))
		nbd_log(LOG_WARNING, "%s: %s", LOCK_FILE, strerror(errno));
}

void nbd_presence_end(int presence)
{
	const char *path = PID_FILE;
	int folder = nbd_folder_of(&path);

	/* First, for with the lock the file becomes another monitor's. */
	unlinkat(folder, path, 0);
	close(presence);
}

int nbd_monitor_hold(struct nbd_err *err)
{
	return nbd_rundir_lock(LIFE_NAME, LOCK_SH, NBD_LOCK_WAIT_MS, err);
}

int nbd_presence_try_end(void)
{
	return nbd_rundir_lock(LIFE_NAME, LOCK_EX, NBD_LOCK_TRY, NULL);
}

/* What everybody may know. */
static bool lock_is_held(void)
{
	FILE *file = fopen(LOCKS, "re");
	unsigned int dev_major, dev_minor;
	unsigned long long inode;
	struct stat st;
	bool held = false;
	char line[128];

	if (!file)
		return false;
	if (stat(LOCK_FILE, &st))
		st.st_ino = 0;
	while (st.st_ino && !held && fgets(line, sizeof(line), file))
		held = sscanf(line, "%*u: OFDLCK %*s WRITE %*d %x:%x:%llu",
			      &dev_major, &dev_minor, &inode) == 3 &&
		       dev_major == major(st.st_dev) &&
		       dev_minor == minor(st.st_dev) && inode == st.st_ino;
	fclose(file);
	return held;
}

/* A monitor has locked that byte; -errno if that cannot be seen. */
static int has_locked(int byte)
{
	struct flock lock = lock_of_byte(byte);
	int fd = nbd_rundir_open_file(LOCK_NAME, NULL);
	int ret;

	if (fd < 0)
		return fd;
	ret = !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
	close(fd);
	return ret;
}

bool nbd_monitor_runs(void)
{
	int ret = has_locked(IS_THERE);

	return ret == -EACCES ? lock_is_held() : ret > 0;
}

bool nbd_monitor_is_at_work(void)
{
	return has_locked(IS_AT_WORK) > 0;
}

pid_t nbd_monitor_pid(void)
{
	FILE *file;
	int pid = 0;

	if (!nbd_monitor_runs())
		return 0;
	file = fopen(PID_FILE, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%d", &pid) != 1 || pid <= 0)
		pid = -1;
	fclose(file);
	return pid;
}

void nbd_monitor_wait_end(int ms)
{
	struct pollfd pfd = { .events = POLLIN };
	FILE *file;
	int pid;

	if (!nbd_monitor_runs())
		return;
	file = fopen(LOCK_FILE, "re");
	if (!file)
		return;
	if (fscanf(file, "%d", &pid) == 1) {
		pfd.fd = syscall(SYS_pidfd_open, pid, 0);
		if (pfd.fd >= 0 && nbd_monitor_runs())
			poll(&pfd, 1, ms);
		if (pfd.fd >= 0)
			close(pfd.fd);
	}
	fclose(file);
}
