// SPDX-License-Identifier: GPL-2.0
/*
 * Attaching: servers to connections, connections to a device.
 */
#include <errno.h>
#include <linux/nbd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "await.h"
#include "credentials.h"
#include "device.h"
#include "entrust.h"
#include "fit.h"
#include "handover.h"
#include "keeper.h"
#include "module.h"
#include "process.h"
#include "serve.h"
#include "store.h"
#include "udev.h"

static void fill_config(struct nbd_kernel_config *c, const struct nbd_kernel *k,
			const struct nbd_params *params)
{
	c->index = params->index;
	c->params = params;
	c->settings = params->given | NBD_GIVEN_TIMEOUT | NBD_GIVEN_IDENTIFIER;
	c->dead_timeout = nbd_dead_timeout(k, params);
	c->set |= NBD_CONFIG_DEAD_TIMEOUT;
}

/* A promise about data is not dropped silently, a hint about speed is. */
static int check_driver(const struct nbd_kernel *k,
			const struct nbd_params *params, struct nbd_err *err)
{
	if (params->ioctl_mode && params->index < 0)
		return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
				"-nonetlink needs a device: the ioctl interface cannot choose one");
	if (params->write_policy == NBD_WRITE_BACK ||
	    (nbd_kernel_knows(k, NBD_ATTR_WRITE_POLICY) && !params->ioctl_mode))
		return 0;
	return nbd_fail(err, NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
			"-write-policy: the loaded nbd driver knows no write policies, or the ioctl interface is used");
}

static int fit_export(struct nbd_kernel_config *config,
		      const struct nbd_params *params,
		      const struct nbd_bringup *b, struct nbd_err *err)
{
	char name[600];
	int ret = nbd_fit(config, params, &b->export, err);

	nbd_export_text(params, name, sizeof(name));
	if (ret)
		nbd_err_prefix(err, "%s", name);
	else if (config->size < b->export.size &&
		 !(params->given & NBD_GIVEN_SIZE))
		fprintf(stderr,
			"nbd-client: %s has %llu bytes, of which the device lacks the last %llu, which are no whole block of %llu\n",
			name, b->export.size, b->export.size - config->size,
			config->block_size);
	return ret;
}

static int connect_device(struct nbd_kernel *k, const struct nbd_params *params,
			  struct nbd_bringup *b, u64 keeper,
			  struct nbd_kernel_reply *reply, u32 *block_size,
			  struct nbd_err *err)
{
	struct nbd_kernel_config config = {
		.set = NBD_CONFIG_KEEPER,
		.keeper = keeper,
	};
	int ret;

	fill_config(&config, k, params);
	ret = fit_export(&config, params, b, err);
	if (ret)
		return ret;
	*block_size = config.block_size;
	return nbd_hand_over(k, nbd_kernel_connect, &config, b, b->nlinks,
			     reply, err);
}

/* Nobody would detach a device that was chosen for a caller who does not learn its name. */
static int print_attached(const struct nbd_params *params,
			  const struct nbd_export *export, s32 index,
			  FILE *out, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];

	nbd_device_path(index, path);
	if (params->print_device)
		fprintf(out, "%s\n", path);
	else
		fprintf(out, "Negotiation: ..size = %lluMB\nConnected %s\n",
			export->size >> 20, path);
	if (!fflush(out) || params->given & NBD_GIVEN_INDEX)
		return 0;
	return nbd_fail(err, NBD_EXIT_FAILURE, errno,
			"%s was detached again, for its name could not be printed: %s",
			path, strerror(errno));
}

/* The device is ours to have: say so before the server is bothered. */
static int check_free(const struct nbd_params *params, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX], hint[NBD_CARE_TEXT_MAX + 2];
	pid_t pid;

	if (params->index < 0 || nbd_device_pid(params->index, &pid))
		return 0;
	return nbd_fail(err, NBD_EXIT_BUSY, EBUSY,
			"%s is in use, attached by process %d: detach it with nbd-client -d, or leave the device away to get a free one%s",
			nbd_device_path(params->index, path), pid,
			nbd_care_hint(params->index, hint, sizeof(hint)));
}

/* Everything that the monitor and -status will want to know. */
static void fill_record(struct nbd_record *record,
			const struct nbd_params *params,
			const struct nbd_bringup *b,
			const struct nbd_address_list *list,
			const struct nbd_kernel_reply *reply,
			u32 block_size)
{
	pid_t pid;

	memset(record, 0, sizeof(*record));
	record->params = *params;
	record->params.index = reply->index;
	record->export = b->export;
	record->session_id = reply->session_id;
	record->block_size = block_size;
	record->nconns = b->nlinks;
	record->in_use = b->address;
	record->addresses = *list;
	record->socket_owner = b->links[0].peer;
	if (!nbd_device_pid(reply->index, &pid))
		record->pid = pid;
}

static int attach_ioctl(const struct nbd_params *params, struct nbd_bringup *b,
			const struct nbd_address_list *list, FILE *out,
			struct nbd_err *err)
{
	const struct nbd_kernel_reply reply = { .index = params->index };
	struct nbd_kernel_config config = { 0 };
	struct nbd_record record;
	int ret = fit_export(&config, params, b, err);

	if (ret)
		return ret;
	fill_record(&record, params, b, list, &reply, config.block_size);
	return nbd_serve(&record, b, &config, out, err);
}

/* @lock is that of the record, or -1 as long as it is not known which. */
static int attach_netlink(struct nbd_kernel *k, const struct nbd_params *params,
			  struct nbd_bringup *b,
			  const struct nbd_address_list *list, int *lock,
			  struct nbd_kernel_reply *reply, FILE *out,
			  struct nbd_err *err)
{
	u64 keeper = nbd_keeper_new();
	struct nbd_record record;
	u32 block_size;
	int ret;

	ret = connect_device(k, params, b, keeper, reply, &block_size, err);
	if (ret)
		return ret;
	if (*lock < 0)
		*lock = nbd_record_lock(reply->index, err);
	fill_record(&record, params, b, list, reply, block_size);
	record.keeper = keeper;
	ret = *lock < 0 ? *lock : nbd_entrust_record(&record, err);
	if (!ret) {
		ret = print_attached(params, &b->export, reply->index, out,
				     err);
		if (ret)
			nbd_record_remove(reply->index);
	}
	if (ret)
		nbd_kernel_disconnect(k, reply->index, reply->session_id, false,
				      NULL);
	return ret;
}

/* The device and its record come together; nobody else's device has to wait for that. */
static int attach_and_save(struct nbd_kernel *k, const struct nbd_params *params,
			   struct nbd_bringup *b,
			   const struct nbd_address_list *list,
			   struct nbd_kernel_reply *reply, FILE *out,
			   struct nbd_err *err)
{
	sigset_t signals;
	int lock = -1, ret;

	if (params->index >= 0) {
		lock = nbd_record_lock(params->index, err);
		if (lock < 0)
			return lock;
	}
	nbd_process_uninterruptible(&signals);
	ret = attach_netlink(k, params, b, list, &lock, reply, out,
			     err);
	nbd_process_interruptible(&signals);
	if (lock >= 0)
		close(lock);
	return ret;
}

static int attach_device(struct nbd_kernel *k, const struct nbd_params *params,
			 struct nbd_bringup *b,
			 const struct nbd_address_list *list, FILE *out,
			 struct nbd_err *err)
{
	struct nbd_kernel_reply reply;
	int hold, ret;

	if (params->ioctl_mode)
		return attach_ioctl(params, b, list, out, err);
	hold = nbd_entrust_begin(params, err);
	if (hold < 0)
		return hold;
	ret = attach_and_save(k, params, b, list, &reply, out, err);
	close(hold);
	if (ret)
		return ret;
	if (!nbd_kernel_knows(k, NBD_ATTR_READ_AHEAD))
		nbd_device_set_read_ahead(params, reply.index);
	nbd_device_make_ready(reply.index);
	nbd_udev_refresh(reply.index);
	return 0;
}

/* Keys that may change need somebody who makes new connections before that. */
static int prepare_tls(const struct nbd_kernel *k, struct nbd_params *params,
		       struct nbd_err *err)
{
	int ret = nbd_credentials_load(params, err);

	if (ret || !params->tls)
		return ret;
	nbd_module_load_ciphers();
	params->tls_for_good = params->reconnect == NBD_RECONNECT_NEVER ||
			       !nbd_kernel_knows(k, NBD_ATTR_REPLACE);
	return 0;
}

int nbd_attach(struct nbd_params *params, FILE *out,
	       struct nbd_err *err)
{
	struct nbd_address_list list;
	struct nbd_kernel kernel;
	struct nbd_bringup *b;
	int ret;

	ret = check_free(params, err);
	if (ret)
		return ret;
	ret = nbd_kernel_open(&kernel, true, err);
	if (ret)
		return ret;
	b = calloc(1, sizeof(*b));
	ret = b ? check_driver(&kernel, params, err) :
		  nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	if (!ret)
		ret = prepare_tls(&kernel, params, err);
	if (!ret)
		ret = nbd_await_servers(!params->ioctl_mode &&
					nbd_kernel_knows(&kernel, NBD_ATTR_STRUCTURED),
					params, b, &list, err);
	if (!ret) {
		ret = attach_device(&kernel, params, b, &list, out, err);
		nbd_bringup_close(b);
	}
	free(b);
	nbd_kernel_close(&kernel);
	return ret;
}
