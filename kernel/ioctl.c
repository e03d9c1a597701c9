// SPDX-License-Identifier: GPL-2.0
/* The ioctl interface: setups, DO_IT, and calls on a running attachment. */
#include <linux/blkdev.h>
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/log2.h>
#include <linux/net.h>
#include <linux/overflow.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "compat.h"
#include "device.h"
#include "index.h"
#include "ioctl.h"
#include "session.h"
#include "slots.h"

#define NBD_IOCTL_TYPE	0xab

/**
 * struct nbd_setup - what ioctls have prepared on a device; nbd_device.setup_lock
 * @params:	so far
 * @owner:	process that gave the first socket, counted, or NULL
 * @claimed:	the device is marked busy for this setup
 * @starting:	a task in DO_IT is attaching
 * @nr:		sockets
 * @socks:	each with a reference; what they were negotiated as nobody can tell here
 */
struct nbd_setup {
	struct nbd_session_params params;
	struct pid *owner;
	bool claimed;
	bool starting;
	unsigned int nr;
	struct nbd_given *socks;
};

/* Sockets and their owner go, sizes and flags stay: old clients clear in between. */
static void setup_clear_socks(struct nbd_setup *setup)
{
	while (setup->nr)
		nbd_socket_put(setup->socks[--setup->nr].file);
	kfree(setup->socks);
	setup->socks = NULL;
	put_pid(setup->owner);
	setup->owner = NULL;
}

void nbd_setup_drop(struct nbd_device *nbd)
{
	struct nbd_setup *setup;

	mutex_lock(&nbd->setup_lock);
	setup = nbd->setup;
	nbd->setup = NULL;
	mutex_unlock(&nbd->setup_lock);
	if (!setup)
		return;
	setup_clear_socks(setup);
	if (setup->claimed)
		nbd_device_unclaim(nbd);
	kfree(setup);
}

/* The device's setup, begun if there is none, and the device claimed for it. */
static struct nbd_setup *setup_get(struct nbd_device *nbd)
{
	struct nbd_setup *setup = nbd->setup;

	lockdep_assert_held(&nbd->setup_lock);

	if (!setup) {
		setup = kzalloc(sizeof(*setup), GFP_KERNEL);
		if (!setup)
			return ERR_PTR(-ENOMEM);
		nbd_session_params_init(&setup->params);
		nbd->setup = setup;
	}
	if (setup->starting)
		return ERR_PTR(-EBUSY);
	if (!setup->claimed)
		setup->claimed = nbd_device_try_claim(nbd);
	return setup->claimed ? setup : ERR_PTR(-EBUSY);
}

static bool setup_owned_by_other(struct nbd_setup *setup)
{
	bool other;

	if (!setup->owner || setup->owner == task_tgid(current))
		return false;
	/* A process that died in the middle of its setup does not own it any more. */
	rcu_read_lock();
	other = pid_task(setup->owner, PIDTYPE_TGID);
	rcu_read_unlock();
	if (!other)
		setup_clear_socks(setup);
	return other;
}

static int setup_add_sock(struct nbd_setup *setup, int fd)
{
	struct nbd_given *socks;
	struct file *sock;

	if (setup_owned_by_other(setup))
		return -EBUSY;
	if (setup->nr == NBD_CONNS_MAX)
		return -ENOSPC;
	sock = nbd_socket_get(fd, NULL);
	if (IS_ERR(sock))
		return PTR_ERR(sock);
	socks = krealloc_array(setup->socks, setup->nr + 1, sizeof(*socks), GFP_KERNEL);
	if (!socks) {
		nbd_socket_put(sock);
		return -ENOMEM;
	}
	socks[setup->nr++] = (struct nbd_given){ .file = sock };
	setup->socks = socks;
	if (!setup->owner)
		setup->owner = get_pid(task_tgid(current));
	return 0;
}

static int setup_set_blksize(struct nbd_session_params *params, unsigned long arg)
{
	if (arg && (arg < SECTOR_SIZE || arg > PAGE_SIZE || !is_power_of_2(arg)))
		return -EINVAL;
	params->blksize = arg ?: NBD_BLKSIZE_DEFAULT;
	return 0;
}

/* Bytes of @blocks blocks. */
static int blocks_to_bytes(const struct nbd_session_params *params, unsigned long blocks,
			   u64 *bytes)
{
	u64 blksize = params->blksize ?: NBD_BLKSIZE_DEFAULT;

	if (check_mul_overflow((u64)blocks, blksize, bytes) || *bytes > LLONG_MAX)
		return -EINVAL;
	return 0;
}

static int setup_ioctl(struct nbd_setup *setup, unsigned int cmd, unsigned long arg)
{
	struct nbd_session_params *params = &setup->params;
	u64 bytes = arg;
	int err;

	switch (cmd) {
	case NBD_SET_SOCK:
		if (arg > INT_MAX)
			return -EBADF;
		return setup_add_sock(setup, arg);
	case NBD_SET_BLKSIZE:
		return setup_set_blksize(params, arg);
	case NBD_SET_SIZE_BLOCKS:
		err = blocks_to_bytes(params, arg, &bytes);
		if (err)
			return err;
		fallthrough;
	case NBD_SET_SIZE:
		if (bytes > LLONG_MAX)
			return -EINVAL;
		params->size = bytes;
		return 0;
	case NBD_SET_TIMEOUT:
		if (arg > NBD_TIMEOUT_MAX)
			return -EINVAL;
		params->timeout = arg;
		return 0;
	case NBD_SET_FLAGS:
		params->flags = arg;
		return 0;
	}
	return -ENOTTY;
}

/* A call on a running attachment that was made by ioctl. nbd_device.lock is held. */
static int live_ioctl(struct nbd_session *session, unsigned int cmd, unsigned long arg)
{
	struct nbd_session_params *params = &session->params;
	u64 bytes = arg;
	int err;

	switch (cmd) {
	case NBD_SET_SOCK:
		return -EBUSY;
	case NBD_SET_BLKSIZE:
		/* Not under a file system's feet. */
		return (arg ?: NBD_BLKSIZE_DEFAULT) == params->blksize ? 0 : -EBUSY;
	case NBD_SET_SIZE_BLOCKS:
		err = blocks_to_bytes(params, arg, &bytes);
		if (err)
			return err;
		fallthrough;
	case NBD_SET_SIZE:
		if (bytes > LLONG_MAX)
			return -EINVAL;
		nbd_session_resize(session, bytes);
		return 0;
	case NBD_SET_TIMEOUT:
		if (arg > NBD_TIMEOUT_MAX)
			return -EINVAL;
		WRITE_ONCE(params->timeout, arg);
		nbd_session_apply_timeouts(session);
		return 0;
	case NBD_SET_FLAGS:
		return arg == params->flags ? 0 : -EBUSY;
	}
	return -ENOTTY;
}

static int set_ioctl(struct nbd_device *nbd, struct gendisk *disk, unsigned int cmd,
		     unsigned long arg)
{
	unsigned int noio = memalloc_noio_save();
	struct nbd_session *session;
	struct nbd_setup *setup;
	int err;

	err = nbd_device_wait_end(nbd);
	if (!err)
		err = nbd_device_wait_alone(nbd, disk);
	if (err)
		goto out;
	mutex_lock(&nbd->lock);
	session = rcu_dereference_protected(nbd->session, lockdep_is_held(&nbd->lock));
	if (session && session->params.netlink) {
		nbd_warn(nbd, "attached over netlink, ioctl refused\n");
		err = -EINVAL;
	} else if (session) {
		err = live_ioctl(session, cmd, arg);
	} else {
		mutex_lock(&nbd->setup_lock);
		setup = setup_get(nbd);
		err = IS_ERR(setup) ? PTR_ERR(setup) : setup_ioctl(setup, cmd, arg);
		mutex_unlock(&nbd->setup_lock);
	}
	mutex_unlock(&nbd->lock);
out:
	memalloc_noio_restore(noio);
	return err;
}

static int clear_sock_ioctl(struct nbd_device *nbd)
{
	int err = nbd_device_detach(nbd, 0, 0);

	mutex_lock(&nbd->setup_lock);
	if (nbd->setup && !nbd->setup->starting)
		setup_clear_socks(nbd->setup);
	mutex_unlock(&nbd->setup_lock);
	return err;
}

/* What DO_IT attaches: copies, for the setup stays as it is if that fails. */
static struct nbd_given *setup_begin(struct nbd_device *nbd, struct nbd_session_params *params,
				     unsigned int *nr)
{
	struct nbd_setup *setup;
	struct nbd_given *socks;
	unsigned int i;

	mutex_lock(&nbd->setup_lock);
	setup = setup_get(nbd);
	if (IS_ERR(setup)) {
		socks = ERR_CAST(setup);
		goto out;
	}
	socks = ERR_PTR(-EINVAL);
	*params = setup->params;
	if (nbd_session_params_check(params, setup->nr, NULL))
		goto out;
	socks = kmemdup(setup->socks, setup->nr * sizeof(*socks), GFP_KERNEL);
	if (!socks) {
		socks = ERR_PTR(-ENOMEM);
		goto out;
	}
	*nr = setup->nr;
	for (i = 0; i < *nr; i++)
		get_file(socks[i].file);
	setup->starting = true;
out:
	mutex_unlock(&nbd->setup_lock);
	return socks;
}

static void setup_end(struct nbd_device *nbd, bool attached)
{
	mutex_lock(&nbd->setup_lock);
	nbd->setup->starting = false;
	if (attached) {
		/* The claim and the sockets are the session's now. */
		nbd->setup->claimed = false;
		setup_clear_socks(nbd->setup);
	}
	mutex_unlock(&nbd->setup_lock);
}

static bool session_over(struct nbd_session *session)
{
	enum nbd_device_state state = READ_ONCE(session->state);

	return state == NBD_STATE_CLOSING || state == NBD_STATE_FAILED;
}

static int do_it_wait(struct nbd_device *nbd, struct nbd_session *session)
{
	int ret = wait_event_interruptible(session->changed, session_over(session));

	/* Whoever detached it, it is over when we return. */
	if (READ_ONCE(session->state) == NBD_STATE_CLOSING)
		ret = 0;
	nbd_device_detach(nbd, session->id, 0);
	if (READ_ONCE(session->timed_out))
		ret = -ETIMEDOUT;
	return ret;
}

static int do_it_ioctl(struct nbd_device *nbd)
{
	struct nbd_session *session;
	struct nbd_session_params params;
	struct nbd_given *socks;
	unsigned int nr;
	int err;

	session = nbd_device_session(nbd);
	if (session) {
		err = session->params.netlink ? -EINVAL : -EBUSY;
		nbd_session_put(session);
		return err;
	}
	socks = setup_begin(nbd, &params, &nr);
	if (IS_ERR(socks))
		return PTR_ERR(socks);
	err = nbd_device_attach(nbd, &params, socks, nr, &session, NULL);
	kfree(socks);
	setup_end(nbd, !err);
	if (err)
		return err;
	err = do_it_wait(nbd, session);
	nbd_session_put(session);
	return err;
}

int nbd_ioctl(struct block_device *bdev, NBD_IOCTL_MODE mode, unsigned int cmd,
	      unsigned long arg)
{
	struct gendisk *disk = bdev->bd_disk;
	struct nbd_device *nbd = disk->private_data;
	struct gendisk *now = READ_ONCE(nbd->disk);

	if (_IOC_TYPE(cmd) != NBD_IOCTL_TYPE)
		return -ENOTTY;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	/* It was replaced; the new one is none of this opener's business. */
	if (now && now != disk)
		return -ENXIO;

	switch (cmd) {
	case NBD_DISCONNECT:
		return nbd_device_detach(nbd, 0, 0);
	case NBD_CLEAR_SOCK:
		return clear_sock_ioctl(nbd);
	case NBD_DO_IT:
		return do_it_ioctl(nbd);
	case NBD_CLEAR_QUE:
	case NBD_PRINT_DEBUG:
		return 0;
	default:
		return set_ioctl(nbd, disk, cmd, arg);
	}
}
