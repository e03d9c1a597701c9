// SPDX-License-Identifier: GPL-2.0
/*
 * Switch-over.
 */
#include <errno.h>
#include <linux/nbd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "bringup.h"
#include "device.h"
#include "kernel.h"
#include "process.h"
#include "record.h"
#include "replace.h"
#include "target.h"
#include "watch.h"

/* The record of the device as it is now; it must be of this attachment. */
static int find_record(struct nbd_kernel *k, s32 index,
		       struct nbd_record *record, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];
	pid_t pid;

	nbd_device_path(index, path);
	if (!nbd_kernel_knows(k, NBD_ATTR_REPLACE))
		return nbd_fail(err, NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
				"%s: the loaded nbd driver cannot replace live connections",
				path);
	if (nbd_device_pid(index, &pid))
		return nbd_fail(err, NBD_EXIT_FAILURE, ENODEV,
				"%s is not attached", path);
	if (nbd_record_read(record, index, err)) {
		nbd_err_prefix(err, "%s was not attached by this nbd-client",
			       path);
		return -ENOENT;
	}
	if (!record->session_id) {
		nbd_record_free(record);
		return nbd_fail(err, NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
				"%s was attached with -nonetlink and -no-persist: its connections cannot be replaced",
				path);
	}
	return 0;
}

/* What can be replaced; all else belongs to the attachment. */
#define MERGED (NBD_GIVEN_NAME | NBD_GIVEN_CONNECTIONS | NBD_GIVEN_TIMEOUT | \
		NBD_GIVEN_DEAD_TIMEOUT | NBD_GIVEN_SLOW_TIMEOUT | \
		NBD_GIVEN_PEER_TIMEOUT | NBD_GIVEN_CONNECT_TIMEOUT | \
		NBD_GIVEN_RECONNECT_LIMIT | NBD_GIVEN_SOCKET_USER)

static int check_given(const struct nbd_params *params, struct nbd_err *err)
{
	const u64 given = params->given;
	const struct {
		bool given;
		const char *option;
	} fixed[] = {
		{ given & NBD_GIVEN_BLOCK_SIZE, "-block-size" },
		{ given & NBD_GIVEN_SIZE, "-size" },
		{ given & NBD_GIVEN_QUEUE_DEPTH, "-queue-depth" },
		{ given & NBD_GIVEN_READ_AHEAD, "-read-ahead" },
		{ given & NBD_GIVEN_WRITE_POLICY, "-write-policy" },
		{ given & NBD_GIVEN_RECONNECT, "-persist or -no-persist" },
		{ given & NBD_GIVEN_IDENTIFIER, "-identifier" },
		{ params->readonly, "-readonly" },
		{ params->swap, "-swap" },
		{ params->systemd_mark, "-systemd-mark" },
		{ params->ioctl_mode, "-nonetlink" },
		{ params->preinit, "-preinit" },
	};
	const char *option = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fixed); i++)
		if (fixed[i].given)
			option = fixed[i].option;
	if (!option)
		return 0;
	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			"%s cannot be changed with -replace: detach the device, and attach it anew",
			option);
}

static int check_now(struct nbd_kernel *k, const struct nbd_params *params,
		     struct nbd_err *err)
{
	if (!params->replace_now || nbd_kernel_knows(k, NBD_ATTR_REPLACE_NOW))
		return 0;
	return nbd_fail(err, NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
			"the loaded nbd driver does not know -now");
}

/* What the user gave replaces what the record says. */
static int merge(struct nbd_record *record, const struct nbd_params *params,
		 struct nbd_err *err)
{
	struct nbd_params *p = &record->params;
	const u64 given = params->given;

	if (params->nservers) {
		memcpy(p->servers, params->servers, sizeof(p->servers));
		p->nservers = params->nservers;
		record->in_use.server = 0;
	}
	if (given & NBD_GIVEN_CONNECTIONS)
		p->connections = params->connections;
	if (given & NBD_GIVEN_TIMEOUT)
		p->timeout = params->timeout;
	if (given & NBD_GIVEN_DEAD_TIMEOUT)
		p->dead_timeout = params->dead_timeout;
	if (given & NBD_GIVEN_SLOW_TIMEOUT)
		p->slow_timeout = params->slow_timeout;
	if (given & NBD_GIVEN_PEER_TIMEOUT)
		p->peer_timeout = params->peer_timeout;
	if (given & NBD_GIVEN_CONNECT_TIMEOUT)
		p->connect_timeout = params->connect_timeout;
	if (given & NBD_GIVEN_RECONNECT_LIMIT)
		p->reconnect_limit = params->reconnect_limit;
	if (given & NBD_GIVEN_SOCKET_USER)
		p->socket_user = params->socket_user;
	p->no_optgo |= params->no_optgo;
	p->given |= given & MERGED;
	if (!params->export_name)
		return 0;
	return nbd_set_text(&p->export_name, params->export_name, err);
}

static void fill_config(struct nbd_kernel_config *c, const struct nbd_kernel *k,
			const struct nbd_record *record,
			const struct nbd_params *given)
{
	const struct nbd_params *p = &record->params;

	c->index = p->index;
	c->identifier = p->identifier;
	c->session_id = record->session_id;
	c->timeout = p->timeout;
	c->dead_timeout = nbd_dead_timeout(k, p);
	c->slow_timeout = p->slow_timeout;
	/* The dead timeout also when it is not given: a monitor that gave up has set it to 0. */
	c->set = NBD_CONFIG_REPLACE | NBD_CONFIG_SESSION_ID |
		 NBD_CONFIG_SERVER_FLAGS | NBD_CONFIG_DEAD_TIMEOUT;
	if (given->given & NBD_GIVEN_TIMEOUT)
		c->set |= NBD_CONFIG_TIMEOUT;
	if (given->given & NBD_GIVEN_SLOW_TIMEOUT)
		c->set |= NBD_CONFIG_SLOW_TIMEOUT;
	if (given->replace_now)
		c->set |= NBD_CONFIG_REPLACE_NOW;
}

static int hand_over(struct nbd_kernel *k, struct nbd_record *record,
		     const struct nbd_params *given, struct nbd_bringup *b,
		     struct nbd_err *err)
{
	struct nbd_kernel_config config = { 0 };
	struct nbd_kernel_reply reply;
	int fds[NBD_CONNECTIONS_MAX];
	unsigned int i;
	int ret;

	for (i = 0; i < b->nlinks; i++)
		fds[i] = b->links[i].fd;
	fill_config(&config, k, record, given);
	config.fds = fds;
	config.nfds = b->nlinks;
	config.server_flags = b->export.flags;
	if (record->params.readonly)
		config.server_flags |= NBD_FLAG_READ_ONLY;
	config.size = nbd_grown_size(record, &b->export);
	if (config.size)
		config.set |= NBD_CONFIG_SIZE;
	ret = nbd_kernel_reconfigure(k, &config, &reply, err);
	if (ret)
		return ret;
	for (i = 0; i < b->nlinks; i++)
		nbd_link_hand_over(&b->links[i]);
	return 0;
}

/* Servers in words are for where the words come from. What is kept stays until the end. */
static int keep_namespaces(struct nbd_record *record, struct nbd_err *err)
{
	struct nbd_namespaces before = record->namespaces;
	int ret;

	record->namespaces.version++;
	ret = nbd_namespaces_keep(&record->namespaces, &record->params, err);
	if (ret)
		nbd_namespaces_drop(record->params.index, &before);
	return ret;
}

/*
 * The device and its record change together: both while the lock is held, and so that
 * all that can fail is done before the driver is told.
 */
static int hand_over_and_save(struct nbd_kernel *k, struct nbd_record *record,
			      const struct nbd_params *given,
			      struct nbd_bringup *b,
			      const struct nbd_address_list *list,
			      struct nbd_err *err)
{
	struct nbd_record before = *record;
	int ret = nbd_check_export(record, b->nlinks, &b->export, err);

	if (!ret && given->nservers)
		ret = keep_namespaces(record, err);
	if (ret)
		return ret;
	nbd_record_set_export(record, &b->export);
	record->in_use = b->address;
	record->moving = false;
	record->nconns = b->nlinks;
	if (given->nservers) {
		record->addresses = *list;
		record->socket_owner = b->links[0].peer;
	}
	ret = nbd_record_draft(record, err);
	if (!ret) {
		ret = hand_over(k, &before, given, b, err);
		if (ret)
			nbd_record_discard(record->params.index);
		else
			ret = nbd_record_publish(record->params.index, err);
	}
	nbd_namespaces_drop(record->params.index, ret ? &before.namespaces :
			    &record->namespaces);
	return ret;
}

/* The record as it is now that nobody else can change it, with what is to be replaced. */
static int read_again(struct nbd_kernel *k, struct nbd_record *record,
		      const struct nbd_params *given, struct nbd_err *err)
{
	u64 session_id = record->session_id;
	struct nbd_record now = { 0 };
	int ret = find_record(k, record->params.index, &now, err);

	if (ret)
		return ret;
	nbd_record_free(record);
	*record = now;
	if (record->session_id != session_id)
		return nbd_fail(err, NBD_EXIT_FAILURE, ESTALE,
				"the device was detached meanwhile");
	return merge(record, given, err);
}

static int switch_over(struct nbd_kernel *k, struct nbd_record *record,
		       const struct nbd_params *given, struct nbd_bringup *b,
		       const struct nbd_address_list *list, struct nbd_err *err)
{
	int lock = nbd_record_lock(record->params.index, err);
	sigset_t signals;
	int ret;

	if (lock < 0)
		return lock;
	nbd_process_uninterruptible(&signals);
	ret = read_again(k, record, given, err);
	if (!ret)
		ret = hand_over_and_save(k, record, given, b, list, err);
	nbd_process_interruptible(&signals);
	close(lock);
	return ret;
}

/* Where the servers are that the device has, and whose they are. */
static int open_place(struct nbd_place *place, const struct nbd_record *record,
		      struct nbd_err *err)
{
	int ret = nbd_namespaces_open(place, &record->namespaces,
				      &record->params, err);

	place->owner = record->socket_owner;
	return ret;
}

/*
 * Where nobody has named another server, the device stays at its address: another one that
 * the server's name has may be another disk.
 */
static int find_addresses(struct nbd_kernel *k, const struct nbd_record *record,
			  const struct nbd_params *given,
			  const struct nbd_place *place,
			  struct nbd_address_list *list, struct nbd_err *err)
{
	list->n = 0;
	if (!given->nservers && nbd_kernel_live(k, record->params.index))
		nbd_targets(list, record,
			    NBD_TARGET_LIVE | NBD_TARGET_MOVABLE);
	if (list->n)
		return 0;
	return nbd_resolve_servers(&record->params, place, list, err);
}

static int replace_with(struct nbd_kernel *k, struct nbd_record *record,
			const struct nbd_params *given, struct nbd_bringup *b,
			struct nbd_err *err)
{
	struct nbd_place place = nbd_here;
	struct nbd_address_list list;
	int ret;

	ret = merge(record, given, err);
	if (!ret && !given->nservers)
		ret = open_place(&place, record, err);
	if (!ret)
		ret = find_addresses(k, record, given, &place, &list, err);
	if (!ret)
		ret = nbd_bring_up(b, &record->params, &list, &place, err);
	if (!ret) {
		ret = switch_over(k, record, given, b, &list, err);
		nbd_bringup_close(b);
	}
	nbd_place_close(&place);
	return ret;
}

int nbd_replace(const struct nbd_params *params, struct nbd_err *err)
{
	struct nbd_bringup *b = calloc(1, sizeof(*b));
	struct nbd_record record;
	struct nbd_kernel kernel;
	int ret;

	if (!b)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	ret = check_given(params, err);
	if (!ret)
		ret = nbd_kernel_open(&kernel, false, err);
	if (!ret) {
		ret = check_now(&kernel, params, err);
		if (!ret)
			ret = find_record(&kernel, params->index, &record, err);
		if (!ret) {
			ret = replace_with(&kernel, &record, params, b, err);
			nbd_record_free(&record);
		}
		nbd_kernel_close(&kernel);
	}
	free(b);
	return ret;
}
