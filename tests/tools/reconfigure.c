// SPDX-License-Identifier: GPL-2.0
/*
 * Changes an attached device as a storage system would: its size when the server has grown,
 * or that it goes with its attachment. nbd-client has no way to.
 *
 *	reconfigure DEVICE size|size-by-ioctl BYTES
 *	reconfigure DEVICE destroy
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>

#include "../library/library.h"

static long reconfigure(int index, int attr, uint64_t value)
{
	struct answer *answer;
	struct msg *msg;

	if (!nl_open())
		return -ENOENT;
	msg = index_msg(NBD_CMD_RECONFIGURE, index);
	msg_u64(msg, attr, value);
	answer = nl_call(msg);
	if (*answer->text)
		warnx("%s", answer->text);
	return answer->error;
}

static long resize_ioctl(int index, uint64_t bytes)
{
	int fd = open_device(index, O_RDWR);

	return fd < 0 ? fd : nbd_ioctl(fd, NBD_SET_SIZE, bytes);
}

static long change(int index, const char *what, const char *value)
{
	if (!value && !strcmp(what, "destroy"))
		return reconfigure(index, NBD_ATTR_CLIENT_FLAGS, NBD_CFLAG_DESTROY_ON_DISCONNECT);
	if (value && !strcmp(what, "size"))
		return reconfigure(index, NBD_ATTR_SIZE_BYTES, strtoull(value, NULL, 10));
	if (value && !strcmp(what, "size-by-ioctl"))
		return resize_ioctl(index, strtoull(value, NULL, 10));
	errx(2, "no such change: %s", what);
}

int main(int argc, char **argv)
{
	int index;
	long ret;

	if (argc < 3 || argc > 4 || sscanf(argv[1], "/dev/nbd%d", &index) != 1)
		errx(2, "usage: reconfigure DEVICE size|size-by-ioctl BYTES, or DEVICE destroy");
	ret = change(index, argv[2], argv[3]);
	if (ret)
		errx(1, "%s: %s", argv[1], errno_name(-ret));
	return 0;
}
