// SPDX-License-Identifier: GPL-2.0
/*
 * NBD devices as the system shows them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "decimal.h"
#include "device.h"
#include "folders.h"

/* Where nothing announces a change: how often to look. */
#define LOOK_AGAIN_MS 10
/* How long the first read and udev may take. */
#define SETTLE_MS 10000

/* The number in "nbd<number>", or -1; no leading zeros, no partition. */
static s32 index_of_name(const char *name)
{
	const char *digits = name + 3;
	size_t len;

	if (strncmp(name, "nbd", 3))
		return -1;
	len = strlen(digits);
	if (!len || len > 7 || strspn(digits, "0123456789") != len ||
	    (digits[0] == '0' && len > 1))
		return -1;
	return atoi(digits);
}

/* The same of the disk, from "nbd<number>p<partition>". */
static s32 index_of_partition_name(const char *name)
{
	char disk[16];
	size_t len = strcspn(name, "p");
	const char *digits = name + len + 1;

	if (!name[len] || len >= sizeof(disk) || !*digits ||
	    strspn(digits, "0123456789") != strlen(digits))
		return -1;
	memcpy(disk, name, len);
	disk[len] = '\0';
	return index_of_name(disk);
}

static const char *without_dev(const char *name)
{
	return strncmp(name, "/dev/", 5) ? name : name + 5;
}

bool nbd_device_looks_like(const char *name)
{
	return index_of_name(without_dev(name)) >= 0;
}

static int not_a_device(const char *name, const char *why, struct nbd_err *err)
{
	char text[256];

	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL, "\"%s\" %s",
			nbd_sanitize(text, sizeof(text), name, strlen(name)),
			why);
}

/* A node or a symbolic link of any name: the kernel knows what it is. */
static int index_of_node(const char *path, s32 *index, struct nbd_err *err)
{
	char link[64], target[512];
	const char *name;
	struct stat st;
	ssize_t len;

	if (stat(path, &st))
		return not_a_device(path,
				    "is not an NBD device: such names are nbd0, /dev/nbd0",
				    err);
	if (!S_ISBLK(st.st_mode) || major(st.st_rdev) != NBD_MAJOR)
		return not_a_device(path,
				    "is not an NBD device (block device with major number 43)",
				    err);
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u",
		 major(st.st_rdev), minor(st.st_rdev));
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return not_a_device(path,
				    "is the node of an NBD device that does not exist (is the driver loaded?)",
				    err);
	target[len] = '\0';
	name = strrchr(target, '/');
	*index = index_of_name(name ? name + 1 : target);
	if (*index < 0)
		return not_a_device(path,
				    "is a partition: name the whole device",
				    err);
	return 0;
}

int nbd_device_parse_disk(const char *name, s32 *index, struct nbd_err *err)
{
	*index = index_of_partition_name(without_dev(name));
	return *index >= 0 ? 0 : nbd_device_parse(name, index, err);
}

int nbd_device_parse(const char *name, s32 *index, struct nbd_err *err)
{
	*index = index_of_name(without_dev(name));
	if (*index >= 0)
		return 0;
	if (index_of_partition_name(without_dev(name)) >= 0)
		return not_a_device(name,
				    "is a partition: name the whole device",
				    err);
	return index_of_node(name, index, err);
}

bool nbd_device_exists(s32 index)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/nbd%d", index);
	return !access(path, F_OK);
}

char *nbd_device_path(s32 index, char *buf)
{
	static const char prefix[] = "/dev/nbd";
	char digits[NBD_DIGITS + 1], *end = digits + NBD_DIGITS;

	if (index < 0) {
		snprintf(buf, NBD_DEVICE_PATH_MAX, "%s%d", prefix, index);
		return buf;
	}
	*end = '\0';
	memcpy(buf, prefix, sizeof(prefix) - 1);
	strcpy(buf + sizeof(prefix) - 1, nbd_decimal(index, end));
	return buf;
}

bool nbd_device_attribute(s32 index, const char *name, char *text, int size)
{
	char path[64];
	FILE *file;
	bool ok;

	snprintf(path, sizeof(path), "/sys/block/nbd%d/%s", index, name);
	file = nbd_folder_fopen(path, "re");
	if (!file)
		return false;
	ok = fgets(text, size, file);
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	return ok;
}

int nbd_device_pid(s32 index, pid_t *pid)
{
	char path[64];
	int ret = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/nbd%d/pid", index);
	f = nbd_folder_fopen(path, "re");
	if (!f)
		return -errno;
	errno = 0;
	if (fscanf(f, "%d", pid) != 1)	/* the attribute may go while it is open */
		ret = errno && errno != ENODEV ? -errno : -ENOENT;
	fclose(f);
	return ret;
}

static void pause_briefly(s64 deadline)
{
	int left = nbd_poll_timeout(deadline);

	poll(NULL, 0, left >= 0 && left < LOOK_AGAIN_MS ? left : LOOK_AGAIN_MS);
}

/* The kernel does not announce the removal of an attribute. */
int nbd_device_wait_free(s32 index, s64 deadline)
{
	pid_t pid;

	while (nbd_device_pid(index, &pid) != -ENOENT) {
		if (!nbd_poll_timeout(deadline))
			return -ETIMEDOUT;
		pause_briefly(deadline);
	}
	return 0;
}

/* Is there a node for the disk and for each partition in its sysfs folder? */
static bool all_nodes_exist(s32 index)
{
	char path[NBD_DEVICE_PATH_MAX], prefix[24];
	bool complete = true;
	struct dirent *e;
	DIR *dir;

	if (access(nbd_device_path(index, path), F_OK))
		return false;
	snprintf(path, sizeof(path), "/sys/block/nbd%d", index);
	snprintf(prefix, sizeof(prefix), "nbd%dp", index);
	dir = opendir(path);
	if (!dir)
		return false;
	while (complete && (e = readdir(dir))) {
		char node[sizeof(e->d_name) + 8];

		if (strncmp(e->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(node, sizeof(node), "/dev/%s", e->d_name);
		complete = !access(node, F_OK);
	}
	closedir(dir);
	return complete;
}

/* Sleeps until something appears in /dev, at most until the deadline. */
static void wait_for_dev(int inotify, s64 deadline)
{
	struct pollfd pfd = { .fd = inotify, .events = POLLIN };
	char buf[4096];

	if (inotify < 0) {
		pause_briefly(deadline);
		return;
	}
	if (poll(&pfd, 1, nbd_poll_timeout(deadline)) > 0 &&
	    read(inotify, buf, sizeof(buf)) < 0)
		pause_briefly(deadline);
}

static int wait_for_nodes(s32 index, s64 deadline)
{
	int inotify, ret = 0;

	/* To close a watch of inotify takes the kernel a grace period. */
	if (all_nodes_exist(index))
		return 0;
	inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (inotify >= 0)
		inotify_add_watch(inotify, "/dev", IN_CREATE | IN_MOVED_TO);
	while (!all_nodes_exist(index)) {
		if (!nbd_poll_timeout(deadline)) {
			ret = -ETIMEDOUT;
			break;
		}
		wait_for_dev(inotify, deadline);
	}
	if (inotify >= 0)
		close(inotify);
	return ret;
}

char *nbd_device_probe_name(s32 index, char *buf)
{
	snprintf(buf, NBD_PROBE_NAME_MAX, "nbdprobe%d", index);
	return buf;
}

/*
 * In the child: the first open reads the partition table. It may take for ever, and
 * whoever reads what nbd-client prints must not wait for that.
 */
static void __noreturn open_and_exit(s32 index, int report)
{
	char path[NBD_DEVICE_PATH_MAX], name[NBD_PROBE_NAME_MAX];
	int fd, error;

	prctl(PR_SET_NAME, nbd_device_probe_name(index, name));
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fd != report)
			close(fd);
	fd = open(nbd_device_path(index, path), O_RDONLY | O_CLOEXEC);
	error = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	_exit(write(report, &error, sizeof(error)) != sizeof(error));
}

/* The errno of the open, or -ETIMEDOUT if it has not come back. */
static int open_in_child(s32 index, s64 deadline)
{
	struct pollfd pfd = { .events = POLLIN };
	int pipes[2], error = EIO;
	pid_t child;

	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	child = fork();
	if (child < 0) {
		error = errno;
		close(pipes[0]);
		close(pipes[1]);
		return -error;
	}
	if (!child)
		open_and_exit(index, pipes[1]);
	close(pipes[1]);
	pfd.fd = pipes[0];
	if (!poll(&pfd, 1, nbd_poll_timeout(deadline)))
		error = ETIMEDOUT;
	else if (read(pipes[0], &error, sizeof(error)) != sizeof(error))
		error = EIO;
	close(pipes[0]);
	if (error == ETIMEDOUT)
		kill(child, SIGKILL);
	else
		waitpid(child, NULL, 0);
	return -error;
}

/*
 * Opens the device once, which makes the kernel scan its partitions, and waits for the nodes.
 * The open is done by a child process: with a server that does not answer it may take for
 * ever.
 */
static int settle(s32 index, s64 deadline, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];
	int ret = wait_for_nodes(index, deadline);

	nbd_device_path(index, path);
	if (ret)
		return nbd_fail(err, NBD_EXIT_TIMEOUT, ETIMEDOUT,
				"%s is attached, but its node did not appear: is /dev a devtmpfs, or udev running?",
				path);
	ret = open_in_child(index, deadline);
	if (ret == -ETIMEDOUT)
		return nbd_fail(err, NBD_EXIT_TIMEOUT, ETIMEDOUT,
				"%s is attached, but the server does not answer the first reads: the partition table is not known yet",
				path);
	if (ret)
		return nbd_fail(err, nbd_exit_of_errno(-ret), -ret,
				"%s is attached, but cannot be opened: %s",
				path, strerror(-ret));
	if (wait_for_nodes(index, deadline))
		return nbd_fail(err, NBD_EXIT_TIMEOUT, ETIMEDOUT,
				"%s is attached, but the nodes of its partitions did not appear: is /dev a devtmpfs, or udev running?",
				path);
	return 0;
}

void nbd_device_set_read_ahead(const struct nbd_params *params, s32 index)
{
	char path[64];
	int fd;

	if (!(params->given & NBD_GIVEN_READ_AHEAD))
		return;
	snprintf(path, sizeof(path), "/sys/block/nbd%d/queue/read_ahead_kb",
		 index);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || dprintf(fd, "%u", params->read_ahead) < 0)
		fprintf(stderr,
			"nbd-client: /dev/nbd%d is attached, but its read-ahead cannot be set: %s: %s\n",
			index, path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void nbd_device_make_ready(s32 index)
{
	struct nbd_err err;

	if (settle(index, nbd_now_ms() + SETTLE_MS, &err))
		fprintf(stderr, "nbd-client: %s\n", err.text);
}
