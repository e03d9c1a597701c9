// SPDX-License-Identifier: GPL-2.0
/*
 * bound ACTION DEVICE: poweroff, reboot, halt or kexec, which has begun, ends in a bounded time
 * if the server of the root's DEVICE does not answer, though what is left of the system waits
 * for it. It and all that it needs are in memory. A server that answers may have as long as it
 * takes.
 *
 * bound now ACTION: ends the machine at once, without a sync. A kexec takes no kexec(8) so, and
 * leaves the interfaces of the network up.
 *
 * bound keep PLACE FILE...: copies the files below PLACE, under their own names. An initramfs may
 * have no other program that does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/reboot.h>

#define LIMIT 180		/* seconds: more than systemd gives a service that does not end */
#define PATIENCE 10

static const struct action {
	const char *name;
	int how;
} actions[] = {
	{ "poweroff", LINUX_REBOOT_CMD_POWER_OFF },
	{ "reboot", LINUX_REBOOT_CMD_RESTART },
	{ "halt", LINUX_REBOOT_CMD_HALT },
	{ "kexec", LINUX_REBOOT_CMD_KEXEC },
	{ NULL, 0 },
};

/* As large as a logical block can be */
static char buffer[64 * 1024] __attribute__((aligned(4096)));

/*
 * In a process of its own, which may never end: reads past the page cache, and tells whether that
 * failed. Tells nothing if it cannot even ask.
 */
static void __attribute__((noreturn)) read_device(const char *device, int told)
{
	int fd, size;
	char failed;

	fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, BLKSSZGET, &size) || size > (int)sizeof(buffer))
		_exit(1);
	failed = read(fd, buffer, size) != size;
	_exit(write(told, &failed, 1) != 1);
}

/*
 * Whether a read fails or does not come back; no if there was no memory or process for it, which
 * says nothing of the server. What is left of one that does not come back does not matter here.
 */
static bool is_silent(const char *device)
{
	bool silent = false;
	struct pollfd end;
	int told[2], ready;
	char failed;
	pid_t child;

	/* Those that have read before. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	if (pipe(told))
		return false;
	child = fork();
	if (!child)
		read_device(device, told[1]);
	close(told[1]);
	if (child > 0) {
		end = (struct pollfd){ .fd = told[0], .events = POLLIN };
		ready = poll(&end, 1, PATIENCE * 1000);
		silent = !ready || (ready > 0 && read(told[0], &failed, 1) == 1 && failed);
	}
	close(told[0]);
	return silent;
}

/* One that was detached has no server any more. */
static bool is_attached(const char *device)
{
	const char *name = strrchr(device, '/');
	char file[64];

	snprintf(file, sizeof(file), "/sys/block/%s/pid", name ? name + 1 : device);
	return !access(file, F_OK) || errno != ENOENT;
}

static int end_machine(const struct action *action)
{
	reboot(action->how);
	/* no kernel was loaded */
	reboot(LINUX_REBOOT_CMD_RESTART);
	return 1;
}

static int bound(const struct action *action, const char *device)
{
	bool silent;
	FILE *log;

	/* What is swapped out may be at the same server. */
	mlockall(MCL_CURRENT | MCL_FUTURE);
	sleep(LIMIT);
	for (;;) {
		silent = is_silent(device);
		/* not before, for that may be why the read has failed */
		if (!is_attached(device))
			return 0;
		if (silent)
			break;
		sleep(PATIENCE);
	}
	log = fopen("/dev/kmsg", "w");
	if (log) {
		fprintf(log,
			"<4>nbd-boot: the server of the root's device %s does not answer: %s without it\n",
			device, action->name);
		fclose(log);
	}
	return end_machine(action);
}

/* The folders of a file that is to be made, all that are missing. */
static int make_folders(char *file)
{
	char *slash;

	for (slash = strchr(file + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(file, 0755) && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	return 0;
}

static int copy(int from, int to)
{
	ssize_t size;

	while ((size = read(from, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, size) != size)
			return -1;
	return size;
}

/* With the permissions that it has; a link's target takes the place of the link. */
static int keep(const char *place, const char *file)
{
	int from = -1, to = -1, status = -1;
	struct stat has;
	char *kept;

	if (asprintf(&kept, "%s%s", place, file) < 0)
		return -1;
	from = open(file, O_RDONLY | O_CLOEXEC);
	if (from < 0 || fstat(from, &has) || make_folders(kept))
		goto out;
	to = open(kept, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (to < 0 || copy(from, to) || fchmod(to, has.st_mode & 07777))
		goto out;
	status = 0;
out:
	if (status)
		fprintf(stderr, "nbd-boot: %s cannot be kept: %s\n", kept, strerror(errno));
	if (from >= 0)
		close(from);
	if (to >= 0 && close(to))
		status = -1;
	free(kept);
	return status;
}

static const struct action *find_action(const char *name)
{
	const struct action *action;

	for (action = actions; action->name; action++)
		if (!strcmp(action->name, name))
			return action;
	return NULL;
}

int main(int argc, char **argv)
{
	const struct action *action;
	int n;

	if (argc > 3 && !strcmp(argv[1], "keep")) {
		for (n = 3; n < argc; n++)
			if (keep(argv[2], argv[n]))
				return 1;
		return 0;
	}
	if (argc == 3) {
		action = find_action(argv[1]);
		if (action)
			return bound(action, argv[2]);
		action = find_action(argv[2]);
		if (action && !strcmp(argv[1], "now"))
			return end_machine(action);
	}
	fprintf(stderr, "usage: bound poweroff|reboot|halt|kexec DEVICE\n"
		"       bound now poweroff|reboot|halt|kexec\n"
		"       bound keep PLACE FILE...\n");
	return 1;
}
