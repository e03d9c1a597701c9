// SPDX-License-Identifier: GPL-2.0
/* ioctls on the devices that are played with. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/nbd.h>

#include "kfuzz.h"

static int devices[INDICES];

/* A device may be gone for a while: DESTROY_ON_DISCONNECT. */
void ioctls_prepare(void)
{
	int i;

	for (i = 0; i < INDICES; i++)
		devices[i] = open_device(FIRST_INDEX + i, O_RDWR | O_NONBLOCK);
}

/* Now and then by another file, so that the last one is closed. */
static int device(void)
{
	int i = random_below(INDICES);

	if (privileged && (devices[i] < 0 || one_in(16))) {
		if (devices[i] >= 0)
			close(devices[i]);
		devices[i] = one_in(4) ? -1 : open_device(FIRST_INDEX + i, O_RDWR | O_NONBLOCK);
	}
	return devices[i];
}

/* Serves until a signal comes: the whole session takes a moment. */
static long do_it(int fd)
{
	struct doit doit;

	doit_start(&doit, fd);
	usleep(random_below(3000));
	do {
		doit_signal(&doit, one_in(4));
		nbd_ioctl(fd, one_in(2) ? NBD_DISCONNECT : NBD_CLEAR_SOCK, 0);
	} while (!strcmp(doit_outcome(&doit, 0.02), "still running"));
	return doit.ret;
}

static long foreign(int fd)
{
	static const unsigned int cmds[] = {
		BLKRRPART, BLKFLSBUF, BLKROGET, BLKGETSIZE, BLKSSZGET, BLKBSZGET, BLKRAGET,
	};
	unsigned long value = 0;

	if (one_in(4))
		return nbd_ioctl(fd, _IO(0xab, 11 + random_below(245)), random_u64());
	return nbd_ioctl(fd, cmds[random_below(ARRAY_SIZE(cmds))], (unsigned long)&value);
}

static unsigned long argument(unsigned int cmd)
{
	switch (cmd) {
	case NBD_SET_SOCK:
		return one_in(8) ? random_value() : (unsigned long)random_fd();
	case NBD_SET_BLKSIZE:
		return one_in(2) ? 512UL << random_below(5) : random_value();
	case NBD_SET_SIZE:
	case NBD_SET_SIZE_BLOCKS:
		return one_in(2) ? 1UL << random_below(24) : random_value();
	default:
		return random_value();
	}
}

static bool needs_privilege(unsigned int cmd)
{
	return (cmd & ~0xffU) == (NBD_SET_SOCK & ~0xffU);
}

void fuzz_ioctl(void)
{
	unsigned int cmd = _IO(0xab, random_below(11));
	int fd = device();
	long ret;

	if (fd < 0) {
		note_outcome(-EBADF);
		return;
	}
	compat_calls = one_in(8);
	if (one_in(6)) {
		ret = foreign(fd);
		cmd = 0;
	} else if (cmd == NBD_DO_IT && privileged) {
		ret = do_it(fd);
	} else {
		ret = nbd_ioctl(fd, cmd, argument(cmd));
	}
	compat_calls = false;
	if (!privileged && ret >= 0 && needs_privilege(cmd))
		broken("nobody was allowed %s", ioctl_name(cmd));
	note_outcome(ret < 0 ? ret : 0);
}
