// SPDX-License-Identifier: GPL-2.0
/*
 * The legacy ioctl interface.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nbd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device.h"
#include "fit.h"
#include "folders.h"
#include "ioctl.h"

static int call(struct nbd_kernel *k, s32 index, unsigned long request,
		unsigned long arg, const char *name, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];

	if (!ioctl(k->device, request, arg))
		return 0;
	return nbd_fail(err, nbd_exit_of_errno(errno), errno,
			"%s: the driver refused %s: %s%s",
			nbd_device_path(index, path), name, strerror(errno),
			errno == EBUSY ? ": the device is in use" : "");
}

static int ioctl_disconnect(struct nbd_kernel *k, s32 index, u64 session_id,
			    bool if_unused, struct nbd_err *err)
{
	(void)session_id;
	(void)if_unused;
	return call(k, index, NBD_CLEAR_SOCK, 0, "NBD_CLEAR_SOCK", err);
}

/* Undone as a whole by NBD_CLEAR_SOCK, once a socket was taken. */
static int ioctl_connect(struct nbd_kernel *k,
			 const struct nbd_kernel_config *c,
			 struct nbd_kernel_reply *reply, struct nbd_err *err)
{
	unsigned int i;
	int ret;

	memset(reply, 0, sizeof(*reply));
	reply->index = c->index;
	ret = nbd_fit_ioctl(c, ULONG_MAX, err);
	if (!ret)
		ret = call(k, c->index, NBD_SET_BLKSIZE, c->block_size,
			   "NBD_SET_BLKSIZE", err);
	if (!ret)
		ret = call(k, c->index, NBD_SET_SIZE_BLOCKS,
			   c->size / c->block_size, "NBD_SET_SIZE_BLOCKS", err);
	if (!ret)
		ret = call(k, c->index, NBD_SET_FLAGS, c->server_flags,
			   "NBD_SET_FLAGS", err);
	if (!ret)
		ret = call(k, c->index, NBD_SET_TIMEOUT, c->params->timeout,
			   "NBD_SET_TIMEOUT", err);
	for (i = 0; !ret && i < c->nfds; i++) {
		ret = call(k, c->index, NBD_SET_SOCK, c->fds[i],
			   "NBD_SET_SOCK", err);
		if (ret && i)
			ioctl_disconnect(k, c->index, 0, false, NULL);
	}
	return ret;
}

static void ioctl_close(struct nbd_kernel *k)
{
	if (k->device >= 0)
		close(k->device);
	k->device = -1;
}

static const struct nbd_kernel_ops ioctl_ops = {
	.connect = ioctl_connect,
	.disconnect = ioctl_disconnect,
	.close = ioctl_close,
};

int nbd_ioctl_open(struct nbd_kernel *k, s32 index, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];

	memset(k, 0, sizeof(*k));
	k->ops = &ioctl_ops;
	k->device = nbd_folder_open(nbd_device_path(index, path), O_RDWR, 0);
	if (k->device >= 0)
		return 0;
	if (errno == ENOENT || errno == ENXIO)
		return nbd_fail(err, NBD_EXIT_NO_DRIVER, errno,
				"cannot open %s: %s: is the module \"nbd\" loaded, with enough devices (nbds_max)?",
				path, strerror(errno));
	return nbd_fail(err, nbd_exit_of_errno(errno), errno,
			"cannot open %s: %s", path, strerror(errno));
}

int nbd_ioctl_serve(struct nbd_kernel *k)
{
	int error = ioctl(k->device, NBD_DO_IT) ? errno : 0;

	ioctl(k->device, NBD_CLEAR_SOCK);
	return error;
}
