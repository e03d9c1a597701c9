// SPDX-License-Identifier: GPL-2.0
/*
 * What goes together: options, exports, devices.
 */
#include <errno.h>
#include <linux/nbd.h>
#include <stdio.h>
#include <unistd.h>

#include "fit.h"

static int fit_block_size(struct nbd_kernel_config *c,
			  const struct nbd_params *params,
			  const struct nbd_export *e, struct nbd_err *err)
{
	unsigned long page = sysconf(_SC_PAGESIZE);
	u32 needed = e->has_block_sizes ? e->block_min : 1;

	c->block_size = needed > 512 ? needed : 512;
	if (params->given & NBD_GIVEN_BLOCK_SIZE)
		c->block_size = params->block_size;
	if (c->block_size < needed)
		return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
				"-block-size %u is too small: the server accepts no requests below %u bytes",
				params->block_size, needed);
	if (c->block_size > page)
		return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
				"a block size of %llu bytes is needed or was asked for, but the kernel allows no more than %lu (its page size)",
				c->block_size, page);
	if (e->has_block_sizes && c->block_size > e->block_max)
		return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
				"a block size of %llu bytes is more than the server's maximum of %u",
				c->block_size,
				e->block_max);
	return 0;
}

static int fit_size(struct nbd_kernel_config *c,
		    const struct nbd_params *params,
		    const struct nbd_export *e, struct nbd_err *err)
{
	const char *whose = "the server says that the export has";
	unsigned long long rest;

	c->size = e->size;
	if (params->given & NBD_GIVEN_SIZE) {
		c->size = params->size;
		whose = "-size asks for";
	}
	if (!c->size || c->size > S64_MAX)
		return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
				"%s %llu bytes, which no block device can have",
				whose, c->size);
	rest = c->size % c->block_size;
	if (c->size == rest)
		return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
				"%s %llu bytes, less than one block of %llu",
				whose, c->size,
				c->block_size);
	if (rest && params->given & NBD_GIVEN_SIZE)
		return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
				"%s %llu bytes, which is not a multiple of the block size %llu: -size %llu leaves out the last %llu bytes",
				whose, c->size, c->block_size, c->size - rest,
				rest);
	c->size -= rest;
	return 0;
}

int nbd_fit(struct nbd_kernel_config *config, const struct nbd_params *params,
	    const struct nbd_export *export, struct nbd_err *err)
{
	int ret = fit_block_size(config, params, export, err);

	if (!ret)
		ret = fit_size(config, params, export, err);
	if (ret)
		return ret;
	config->server_flags = NBD_FLAG_HAS_FLAGS;
	if (export->flags & NBD_FLAG_HAS_FLAGS)
		config->server_flags = export->flags;
	if (params->readonly)
		config->server_flags |= NBD_FLAG_READ_ONLY;
	config->set |= NBD_CONFIG_SIZE | NBD_CONFIG_BLOCK_SIZE |
		       NBD_CONFIG_SERVER_FLAGS;
	if (export->has_block_sizes) {
		config->block_min = export->block_min;
		config->block_preferred = export->block_preferred;
		config->block_max = export->block_max;
		config->set |= NBD_CONFIG_BLOCK_LIMITS;
	}
	return 0;
}

int nbd_fit_ioctl(const struct nbd_kernel_config *config, u64 most,
		  struct nbd_err *err)
{
	unsigned long page = sysconf(_SC_PAGESIZE);
	u64 larger = config->block_size;
	char remedy[64] = "";

	if (config->size / config->block_size <= most)
		return 0;
	while (larger <= page &&
	       (config->size / larger > most || config->size % larger))
		larger *= 2;
	if (larger <= page)
		snprintf(remedy, sizeof(remedy), ", or give -block-size %llu",
			 larger);
	return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
			"%llu bytes are more blocks of %llu than the ioctl interface of this machine can count (%llu): use netlink (no -nonetlink)%s",
			config->size, config->block_size, most, remedy);
}

/* The stock driver cannot wait for ever, but long. */
u64 nbd_dead_timeout(const struct nbd_kernel *k,
		     const struct nbd_params *params)
{
	u64 timeout = NBD_DEAD_CONN_FOREVER;

	if (params->given & NBD_GIVEN_DEAD_TIMEOUT)
		timeout = params->dead_timeout;
	else if (params->reconnect == NBD_RECONNECT_NEVER)
		timeout = 0;
	if (timeout == NBD_DEAD_CONN_FOREVER &&
	    !nbd_kernel_knows(k, NBD_ATTR_SESSION_ID))
		timeout = NBD_TIMEOUT_MAX;
	return timeout;
}

/* Flags that a device relies on once it has been attached with them. */
#define RELIED_FLAGS (NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | \
		      NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES)

/* As much as the device uses of the export that it has: whole blocks. */
static u64 needed_size(const struct nbd_record *r)
{
	if (r->params.given & NBD_GIVEN_SIZE && r->params.size < r->export.size)
		return r->params.size;
	if (!r->block_size)
		return r->export.size;
	return r->export.size - r->export.size % r->block_size;
}

int nbd_check_export(const struct nbd_record *r, unsigned int nconns,
		     const struct nbd_export *e, struct nbd_err *err)
{
	const struct nbd_export *old = &r->export;
	unsigned int lost = old->flags & ~e->flags & RELIED_FLAGS;

	if (e->size < needed_size(r))
		return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
				"the export has shrunk from %llu to %llu bytes",
				needed_size(r),
				e->size);
	if (lost)
		return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
				"the export has lost features that the device relies on:%s%s%s%s",
				lost & NBD_FLAG_SEND_FLUSH ? " FLUSH" : "",
				lost & NBD_FLAG_SEND_FUA ? " FUA" : "",
				lost & NBD_FLAG_SEND_TRIM ? " TRIM" : "",
				lost & NBD_FLAG_SEND_WRITE_ZEROES ?
				" WRITE_ZEROES" : "");
	if (e->flags & NBD_FLAG_READ_ONLY && !(old->flags & NBD_FLAG_READ_ONLY) &&
	    !r->params.readonly)
		return nbd_fail(err, NBD_EXIT_UNFIT, EROFS,
				"the export has become read-only");
	if (nconns > 1 && !(e->flags & NBD_FLAG_CAN_MULTI_CONN) &&
	    !r->params.preinit)
		return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
				"the export does not allow several connections any more");
	if (e->has_block_sizes && e->block_min > r->block_size)
		return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
				"the server needs blocks of %u bytes now, the device has %u",
				e->block_min, r->block_size);
	return 0;
}

void nbd_record_set_export(struct nbd_record *r, const struct nbd_export *e)
{
	const u16 kept = RELIED_FLAGS | NBD_FLAG_READ_ONLY;
	u16 flags = r->export.flags & kept;

	r->export = *e;
	r->export.flags = flags | (e->flags & ~kept);
}

u64 nbd_grown_size(const struct nbd_record *r, const struct nbd_export *e)
{
	if (e->size <= r->export.size || r->params.given & NBD_GIVEN_SIZE ||
	    !r->block_size)
		return 0;
	return e->size - e->size % r->block_size;
}

void nbd_fit_again(struct nbd_kernel_config *config,
		   const struct nbd_record *r, const struct nbd_export *e)
{
	config->server_flags = e->flags;
	if (r->params.readonly)
		config->server_flags |= NBD_FLAG_READ_ONLY;
	config->set |= NBD_CONFIG_SERVER_FLAGS;
	config->size = nbd_grown_size(r, e);
	if (config->size)
		config->set |= NBD_CONFIG_SIZE;
}
