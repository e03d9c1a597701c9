// SPDX-License-Identifier: GPL-2.0
/*
 * Who may have given a disk another identity.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "error.h"
#include "writers.h"

/* A small file below @folder as text; returns its length. */
static ssize_t read_text(int folder, const char *path, char *text, size_t size)
{
	int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n;
}

static bool writes(int proc, const char *pid, const char *number)
{
	char path[64], text[256];
	const char *flags;

	snprintf(path, sizeof(path), "%.20s/fdinfo/%.20s", pid, number);
	if (read_text(proc, path, text, sizeof(text)) <= 0)
		return false;
	flags = strstr(text, "flags:");
	return flags && (strtoul(flags + 6, NULL, 8) & O_ACCMODE) != O_RDONLY;
}

static bool is_disk(int folder, const char *number, dev_t disk)
{
	struct statx stx;

	return !statx(folder, number, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		      STATX_TYPE, &stx) &&
	       S_ISBLK(stx.stx_mode) &&
	       makedev(stx.stx_rdev_major, stx.stx_rdev_minor) == disk;
}

static DIR *open_dir(int folder, const char *path)
{
	int fd = openat(folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !dir)
		close(fd);
	return dir;
}

static bool process_writes(int proc, const char *pid, dev_t disk)
{
	bool found = false;
	struct dirent *e;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "%.20s/fd", pid);
	dir = open_dir(proc, path);
	if (!dir)
		return false;
	while (!found && (e = readdir(dir)))
		found = e->d_name[0] != '.' &&
			is_disk(dirfd(dir), e->d_name, disk) &&
			writes(proc, pid, e->d_name);
	closedir(dir);
	return found;
}

static bool has_thread(int proc, const char *pid, pid_t thread)
{
	char path[64];

	snprintf(path, sizeof(path), "%.20s/task/%d", pid, thread);
	return thread && !faccessat(proc, path, F_OK, 0);
}

static void name_process(int proc, const char *pid, char *who, size_t size)
{
	char path[64], comm[32], clean[128];

	snprintf(path, sizeof(path), "%.20s/comm", pid);
	read_text(proc, path, comm, sizeof(comm));
	comm[strcspn(comm, "\n")] = '\0';
	snprintf(who, size, "%.20s (%s)", pid,
		 nbd_sanitize(clean, sizeof(clean), comm, strlen(comm)));
}

bool nbd_writer_find(int proc, dev_t disk, pid_t server, char *who, size_t size)
{
	DIR *dir = open_dir(proc, ".");
	bool found = false;
	struct dirent *e;

	if (!dir)
		return false;
	while (!found && (e = readdir(dir))) {
		found = isdigit((unsigned char)e->d_name[0]) &&
			process_writes(proc, e->d_name, disk) &&
			!has_thread(proc, e->d_name, server);
		if (found)
			name_process(proc, e->d_name, who, size);
	}
	closedir(dir);
	return found;
}
