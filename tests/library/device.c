// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/nbd.h>

#include "library.h"

bool compat_calls;

int open_device(int index, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/nbd%d", index);
	return result(open(path, flags | O_CLOEXEC));
}

int must_open(int index)
{
	int fd = open_device(index, O_RDWR);

	if (fd < 0) {
		say("open", "%s", errno_name(-fd));
		exit(0);
	}
	return fd;
}

/*
 * The 32-bit entry of the kernel, from a 64-bit program: what is seen there is what
 * a 32-bit program's call looks like.
 */
static long compat_ioctl(int fd, unsigned int cmd, unsigned int arg)
{
	const int nr_ioctl = 54;
	long ret;

#ifdef __x86_64__
	asm volatile("int $0x80"
		     : "=a" (ret)
		     : "a" (nr_ioctl), "b" (fd), "c" (cmd), "d" (arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
#else
	(void)nr_ioctl;
	(void)ret;
	return result(ioctl(fd, cmd, (unsigned long)arg));
#endif
}

long nbd_ioctl(int fd, unsigned int cmd, uint64_t arg)
{
	if (arg > ULONG_MAX)
		return -EOVERFLOW;
	if (compat_calls)
		return compat_ioctl(fd, cmd, arg);
	return result(ioctl(fd, cmd, arg));
}

const char *ioctl_name(unsigned int cmd)
{
	static const char *const names[] = {
		"SET_SOCK", "SET_BLKSIZE", "SET_SIZE", "DO_IT", "CLEAR_SOCK", "CLEAR_QUE",
		"PRINT_DEBUG", "SET_SIZE_BLOCKS", "DISCONNECT", "SET_TIMEOUT", "SET_FLAGS",
	};
	unsigned int nr = cmd & 0xff;

	if ((cmd & ~0xffU) == (NBD_SET_SOCK & ~0xffU) && nr < ARRAY_SIZE(names))
		return names[nr];
	return name("%#x", cmd);
}

long step_ioctl(int fd, unsigned int cmd, uint64_t arg)
{
	long ret = nbd_ioctl(fd, cmd, arg);

	say_result(ioctl_name(cmd), ret);
	return ret;
}

const char *sysfs_text(int index, const char *attribute)
{
	static char buffers[4][256];
	static unsigned int next;
	char *text = buffers[next++ % 4];
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/block/nbd%d/%s", index, attribute);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(buffers[0]) - 1);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return "-";
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return text;
}

int sysfs_number(int index, const char *attribute)
{
	const char *text = sysfs_text(index, attribute);

	return *text == '-' ? -1 : atoi(text);
}

long long sysfs_size(int index)
{
	const char *text = sysfs_text(index, "size");

	return *text == '-' ? -1 : atoll(text);
}

static bool sysfs_has(int index, const char *attribute)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/nbd%d/%s", index, attribute);
	return !access(path, F_OK);
}

bool node_exists(int index)
{
	return sysfs_has(index, "");
}

bool is_free(int index)
{
	return sysfs_size(index) <= 0 && !sysfs_has(index, "pid");
}

struct size_wait {
	int index;
	long long sectors;
};

static bool has_size(void *arg)
{
	struct size_wait *wait = arg;

	return sysfs_size(wait->index) == wait->sectors;
}

bool wait_size(int index, long long sectors)
{
	struct size_wait wait = { index, sectors };

	return until(has_size, &wait, 5);
}

static bool index_is_free(void *arg)
{
	return is_free(*(int *)arg);
}

bool wait_free(int index)
{
	return until(index_is_free, &index, 5);
}

const char *shape(int index)
{
	bool attached = sysfs_has(index, "pid");

	/* what a free device's block size is depends on who had it last */
	return name("sectors=%lld ro=%s block=%s pid=%s", sysfs_size(index),
		    attached ? sysfs_text(index, "ro") : "-",
		    attached ? sysfs_text(index, "queue/logical_block_size") : "-",
		    attached ? "yes" : "no");
}

const char *node_number(unsigned int index)
{
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "/dev/nbd%u", index);
	if (stat(path, &st))
		return "no node";
	return name("%u:%u", major(st.st_rdev), minor(st.st_rdev));
}

/* One transfer, past the page cache. */
static long transfer(int index, uint64_t offset, size_t len, bool write)
{
	int fd = open_device(index, O_DIRECT | (write ? O_WRONLY : O_RDONLY));
	void *buffer;
	long ret;

	if (fd < 0)
		return fd;
	if (posix_memalign(&buffer, 4096, len))
		err(1, "buffer");
	memset(buffer, 0x5a, len);
	ret = write ? pwrite(fd, buffer, len, offset) : pread(fd, buffer, len, offset);
	ret = result(ret);
	free(buffer);
	close(fd);
	if (ret >= 0)
		return ret == (long)len ? 0 : -ENODATA;
	return ret;
}

long read_block(int index, uint64_t offset, size_t len)
{
	return transfer(index, offset, len, false);
}

long write_block(int index, uint64_t offset, size_t len)
{
	return transfer(index, offset, len, true);
}

/* They are looked for by the first opener after the disk came, or the second. */
void settle(int index)
{
	int i;

	for (i = 0; i < 3; i++) {
		read_block(index, 0, 4096);
		usleep(30000);
	}
}

/* --- DO_IT --- */

static void *doit_thread(void *arg)
{
	struct doit *doit = arg;

	__atomic_store_n(&doit->tid, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	doit->ret = nbd_ioctl(doit->fd, NBD_DO_IT, 0);
	__atomic_store_n(&doit->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

void doit_start(struct doit *doit, int fd)
{
	memset(doit, 0, sizeof(*doit));
	doit->fd = fd;
	if (pthread_create(&doit->thread, NULL, doit_thread, doit))
		errx(1, "thread");
}

static bool doit_is_done(void *arg)
{
	struct doit *doit = arg;

	return __atomic_load_n(&doit->done, __ATOMIC_SEQ_CST);
}

const char *doit_outcome(struct doit *doit, double seconds)
{
	if (doit->joined)
		return "ended";
	if (!until(doit_is_done, doit, seconds))
		return "still running";
	pthread_join(doit->thread, NULL);
	doit->joined = true;
	return doit->ret < 0 ? errno_name(-doit->ret) : name("%ld", doit->ret);
}

static void do_nothing(int signal)
{
	(void)signal;
}

void doit_signal(struct doit *doit, bool restart)
{
	struct sigaction action = {
		.sa_handler = do_nothing,
		.sa_flags = restart ? SA_RESTART : 0,
	};

	sigaction(SIGUSR1, &action, NULL);
	pthread_kill(doit->thread, SIGUSR1);
}

void ioctl_setup(int fd, int sock, unsigned long block_size, unsigned long flags)
{
	long ret = nbd_ioctl(fd, NBD_SET_BLKSIZE, block_size);

	if (!ret)
		ret = nbd_ioctl(fd, NBD_SET_SIZE_BLOCKS, (1 << 20) / block_size);
	if (!ret)
		ret = nbd_ioctl(fd, NBD_SET_FLAGS, flags);
	if (!ret)
		ret = nbd_ioctl(fd, NBD_SET_SOCK, sock);
	if (ret)
		say_result("setup", ret);
}

/* --- uevents --- */

int uevents_open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (bind(fd, (void *)&addr, sizeof(addr)) < 0)
		err(1, "uevents");
	return fd;
}

/* The action of one event of the disk itself; NULL if it is another's. */
static const char *uevent_action(int fd, int index)
{
	static char text[8192];
	char tail[32], *at;
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	snprintf(tail, sizeof(tail), "/block/nbd%d", index);
	text[n > 0 ? n : 0] = 0;
	at = strchr(text, '@');
	if (!at || strlen(at) < strlen(tail) || strcmp(at + strlen(at) - strlen(tail), tail))
		return NULL;
	*at = 0;
	return text;
}

const char *uevents_count(int fd, int index)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	unsigned int add = 0, change = 0, removed = 0;

	while (poll(&poll_fd, 1, 300) > 0) {
		const char *action = uevent_action(fd, index);

		add += action && !strcmp(action, "add");
		change += action && !strcmp(action, "change");
		removed += action && !strcmp(action, "remove");
	}
	return name("add=%u change=%u remove=%u", add, change, removed);
}

bool uevents_wait_change(int fd, int index)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	while (poll(&poll_fd, 1, 1000) > 0) {
		const char *action = uevent_action(fd, index);

		if (action && !strcmp(action, "change"))
			return true;
	}
	return false;
}
