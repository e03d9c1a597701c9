// SPDX-License-Identifier: GPL-2.0
/*
 * Changes the size of an attached device, as a storage system would whose server has
 * grown: Debian's client has no way to.
 *
 *	resize netlink|ioctl DEVICE BYTES
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

static long resize_netlink(int index, uint64_t bytes)
{
	struct answer *answer;
	struct msg *msg;

	if (!nl_open())
		return -ENOENT;
	msg = index_msg(NBD_CMD_RECONFIGURE, index);
	msg_u64(msg, NBD_ATTR_SIZE_BYTES, bytes);
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

int main(int argc, char **argv)
{
	uint64_t bytes;
	int index;
	long ret;

	if (argc != 4 || sscanf(argv[2], "/dev/nbd%d", &index) != 1)
		errx(2, "usage: resize netlink|ioctl DEVICE BYTES");
	bytes = strtoull(argv[3], NULL, 10);
	if (!strcmp(argv[1], "netlink"))
		ret = resize_netlink(index, bytes);
	else
		ret = resize_ioctl(index, bytes);
	if (ret)
		errx(1, "%s: %s", argv[2], errno_name(-ret));
	return 0;
}
