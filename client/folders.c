// SPDX-License-Identifier: GPL-2.0
/*
 * /dev, /proc, /run and /sys for processes that may outlive their root.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "folders.h"
#include "util.h"

static struct folder {
	const char *path;
	int fd;
} folders[] = {
	{ "/dev", -1 },
	{ "/proc", -1 },
	{ "/run", -1 },
	{ "/sys", -1 },
};

static bool entered;

void nbd_folders_keep(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(folders); i++)
		if (folders[i].fd < 0)
			folders[i].fd = open(folders[i].path, O_PATH |
					     O_DIRECTORY | O_CLOEXEC);
}

int nbd_folder_of(const char **path)
{
	unsigned int i;
	size_t len;

	for (i = 0; i < ARRAY_SIZE(folders); i++) {
		len = strlen(folders[i].path);
		if (folders[i].fd < 0 || (*path)[len] != '/' ||
		    strncmp(*path, folders[i].path, len))
			continue;
		*path += len + strspn(*path + len, "/");
		return folders[i].fd;
	}
	return AT_FDCWD;
}

int nbd_folder_open(const char *path, int flags, mode_t mode)
{
	int folder = nbd_folder_of(&path);

	return openat(folder, path, flags | O_CLOEXEC, mode);
}

FILE *nbd_folder_fopen(const char *path, const char *mode)
{
	int flags = *mode == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC;
	int fd = nbd_folder_open(path, flags, 0644);
	FILE *file;

	if (fd < 0)
		return NULL;
	file = fdopen(fd, mode);
	if (!file)
		close(fd);
	return file;
}

const char *nbd_folder_enter(const char *path)
{
	const char *relative = path;
	int folder = nbd_folder_of(&relative);

	entered = folder >= 0 && !fchdir(folder);
	return entered ? relative : path;
}

void nbd_folder_leave(void)
{
	int error = errno;

	if (entered && !chdir("/"))
		entered = false;
	errno = error;
}

int nbd_folder_connect(int fd, const struct sockaddr_storage *sa, socklen_t len)
{
	const struct sockaddr_un *un = (const void *)sa;
	struct sockaddr_un near = { .sun_family = AF_UNIX };
	char path[sizeof(un->sun_path) + 1] = "";
	int ret;

	if (sa->ss_family != AF_UNIX || un->sun_path[0] != '/')
		return connect(fd, (const void *)sa, len);
	memcpy(path, un->sun_path, sizeof(un->sun_path));
	snprintf(near.sun_path, sizeof(near.sun_path), "%s", nbd_folder_enter(path));
	ret = connect(fd, (const void *)&near, sizeof(near));
	nbd_folder_leave();
	return ret;
}
