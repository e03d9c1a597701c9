// SPDX-License-Identifier: GPL-2.0
/*
 * Switch-over.
 */
#include <errno.h>
#include <linux/nbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adopt.h"
#include "bringup.h"
#include "credentials.h"
#include "device.h"
#include "entrust.h"
#include "fit.h"
#include "handover.h"
#include "keeper.h"
#include "kernel.h"
#include "lookup.h"
#include "process.h"
#include "replace.h"
#include "settings.h"
#include "store.h"
#include "target.h"
#include "tls.h"
#include "udev.h"

/**
 * struct replacing - one switch-over
 * @k:		the driver
 * @given:	what the user wants
 * @record:	the device, with that merged into it
 * @adopts:	the device had no record here that counts: @record is made from its status
 */
struct replacing {
	struct nbd_kernel *k;
	const struct nbd_params *given;
	struct nbd_record record;
	bool adopts;
};

static int check_device(const struct replacing *r, struct nbd_err *err)
{
	char path[NBD_DEVICE_PATH_MAX];
	pid_t pid;

	nbd_device_path(r->given->index, path);
	if (!nbd_kernel_knows(r->k, NBD_ATTR_REPLACE))
		return nbd_fail(err, NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
				"%s: the loaded nbd driver cannot replace live connections",
				path);
	if (nbd_device_pid(r->given->index, &pid))
		return nbd_fail(err, NBD_EXIT_FAILURE, ENODEV,
				"%s is not attached", path);
	return 0;
}

static void take_status(void *arg, const struct nbd_status *status)
{
	*(struct nbd_status *)arg = *status;
}

/* -ESTALE if the record is of an earlier attachment, or somebody has adopted the device. */
static int check_record(struct nbd_kernel *k, const struct nbd_record *record,
			struct nbd_err *err)
{
	const struct nbd_params *p = &record->params;
	struct nbd_status status = { .index = -1 };
	char path[NBD_DEVICE_PATH_MAX];
	int ret;

	nbd_device_path(p->index, path);
	if (!record->session_id && p->ioctl_mode)
		return nbd_fail(err, NBD_EXIT_UNSUPPORTED, EOPNOTSUPP,
				"%s was attached with -nonetlink and -no-persist: its connections cannot be replaced",
				path);
	ret = nbd_kernel_status(k, p->index, take_status, &status, err);
	if (!ret && !nbd_keeper_is_ours(record, &status))
		ret = nbd_fail(err, NBD_EXIT_FAILURE, ESTALE,
			       "%s/%s is out of date", NBD_RUN_DIR,
			       path + strlen("/dev/"));
	return ret;
}

/* The record of the device as it is now; it must be of this attachment. */
static int find_record(struct nbd_kernel *k, s32 index,
		       struct nbd_record *record, struct nbd_err *err)
{
	int ret = nbd_record_read(record, index, err);

	if (ret)
		return ret;
	ret = check_record(k, record, err);
	if (ret)
		nbd_record_free(record);
	return ret;
}

/* The record, or one that is made for a device that has none, if a server is given for it. */
static int find_device(struct replacing *r, struct nbd_err *err)
{
	s32 index = r->given->index;
	char hint[NBD_CARE_TEXT_MAX + 2], why[NBD_ERR_TEXT_MAX];
	int ret = check_device(r, err);

	if (ret)
		return ret;
	ret = find_record(r->k, index, &r->record, err);
	if (ret != -ENOENT && ret != -ESTALE && ret != -EINVAL)
		return ret;
	r->adopts = r->given->nservers;
	if (r->adopts)
		return nbd_adopt(r->k, index, &r->record, err);
	snprintf(why, sizeof(why), "%s", err->text);
	return nbd_fail(err, NBD_EXIT_FAILURE, ENOENT, "/dev/nbd%d: %s%s",
			index, why, nbd_care_hint(index, hint, sizeof(hint)));
}

static int check_given(const struct nbd_params *params, struct nbd_err *err)
{
	const struct nbd_setting *fixed = nbd_settings_fixed(params);

	if (!fixed)
		return 0;
	return nbd_fail(err, NBD_EXIT_FAILURE, EINVAL,
			"-%s cannot be changed with -replace: detach the device, and attach it anew",
			fixed->name);
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

	if (params->nservers) {
		memcpy(p->servers, params->servers, sizeof(p->servers));
		p->nservers = params->nservers;
		p->tls_insecure = params->tls_insecure;
		record->in_use.server = 0;
	}
	return nbd_settings_merge(p, params, err);
}

static void fill_config(struct nbd_kernel_config *c, const struct nbd_kernel *k,
			const struct nbd_record *record,
			const struct nbd_params *given)
{
	const struct nbd_params *p = &record->params;

	c->index = p->index;
	c->params = p;
	c->settings = given->given | NBD_GIVEN_IDENTIFIER;
	c->session_id = record->session_id;
	c->dead_timeout = nbd_dead_timeout(k, p);
	c->keeper = record->keeper;
	/* The dead timeout also when it is not given: a monitor that gave up has set it to 0. */
	c->set = NBD_CONFIG_REPLACE | NBD_CONFIG_SESSION_ID | NBD_CONFIG_KEEPER |
		 NBD_CONFIG_SERVER_FLAGS | NBD_CONFIG_DEAD_TIMEOUT;
	if (given->replace_now)
		c->set |= NBD_CONFIG_REPLACE_NOW;
}

static int exchange(struct nbd_kernel *k, struct nbd_record *record,
		    const struct nbd_params *given, struct nbd_bringup *b,
		    struct nbd_err *err)
{
	struct nbd_kernel_config config = { 0 };
	struct nbd_kernel_reply reply;

	fill_config(&config, k, record, given);
	nbd_fit_again(&config, record, &b->export);
	return nbd_hand_over(k, nbd_kernel_reconfigure, &config, b, b->nlinks,
			     &reply, err);
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

/* A disk that was accepted stays so: udev will not look at it soon. */
static int accept_disk(struct nbd_record *record,
		       const struct nbd_finding *finding, struct nbd_err *err)
{
	const struct nbd_identity *found = &finding->found;
	int ret;

	if (!record->params.other_disk || !finding->checked)
		return 0;
	ret = nbd_set_text(&record->other_fs, nbd_identity_uuid(&found->fs),
			   err);
	if (!ret)
		ret = nbd_set_text(&record->other_table,
				   nbd_identity_uuid(&found->table), err);
	return ret;
}

/*
 * The device and its record change together: both while the lock is held, and so that
 * all that can fail is done before the driver is told.
 */
static int exchange_and_save(struct replacing *r, struct nbd_bringup *b,
			     const struct nbd_address_list *list,
			     struct nbd_err *err)
{
	struct nbd_record *record = &r->record, before;
	int ret = nbd_check_export(record, b->nlinks, &b->export, err);

	if (!ret && r->adopts)
		nbd_adopt_fix_size(record, &b->export);
	if (!ret)
		ret = accept_disk(record, &b->finding, err);
	before = *record;
	if (!ret && r->given->nservers)
		ret = keep_namespaces(record, err);
	if (ret)
		return ret;
	nbd_record_set_export(record, &b->export);
	record->in_use = b->address;
	record->moving = false;
	record->nconns = b->nlinks;
	if (r->given->nservers) {
		record->addresses = *list;
		record->socket_owner = b->links[0].peer;
	}
	ret = nbd_record_draft(record, err);
	if (!ret) {
		ret = exchange(r->k, &before, r->given, b, err);
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
static int read_again(struct replacing *r, struct nbd_err *err)
{
	s32 index = r->record.params.index;
	struct nbd_record now = { 0 };
	int ret = find_record(r->k, index, &now, err);

	if (ret && r->adopts)
		return 0;
	if (ret)
		return ret;
	if (r->adopts || now.session_id != r->record.session_id) {
		nbd_record_free(&now);
		return nbd_fail(err, NBD_EXIT_FAILURE, ESTALE,
				"the device was detached, or adopted, meanwhile: try again");
	}
	now.params.credentials = r->record.params.credentials;
	r->record.params.credentials = NULL;
	nbd_record_free(&r->record);
	r->record = now;
	return merge(&r->record, r->given, err);
}

static int switch_over(struct replacing *r, struct nbd_bringup *b,
		       const struct nbd_address_list *list, struct nbd_err *err)
{
	int lock = nbd_record_lock(r->record.params.index, err);
	sigset_t signals;
	int ret;

	if (lock < 0)
		return lock;
	nbd_process_uninterruptible(&signals);
	ret = read_again(r, err);
	if (!ret)
		ret = exchange_and_save(r, b, list, err);
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

/*
 * The files are read anew, for what is in them may have been renewed. If nobody has named
 * them now they need not be there any more.
 */
static int prepare_tls(struct replacing *r, struct nbd_err *err)
{
	struct nbd_params *p = &r->record.params;
	int ret = nbd_tls_check(p, err);

	if (ret || !p->tls)
		return ret;
	ret = nbd_credentials_load(p, err);
	if (ret && !r->given->tls)
		ret = nbd_record_read_credentials(&r->record, err);
	p->tls_for_good = p->reconnect == NBD_RECONNECT_NEVER;
	return ret;
}

/* A monitor is there before the record, and does not end before that comes. */
static int switch_over_in_care(struct replacing *r, struct nbd_bringup *b,
			       const struct nbd_address_list *list,
			       struct nbd_err *err)
{
	int hold, ret;

	if (!r->adopts)
		return switch_over(r, b, list, err);
	hold = nbd_entrust_begin(&r->record.params, err);
	if (hold < 0)
		return hold;
	ret = switch_over(r, b, list, err);
	close(hold);
	return ret;
}

static int replace_with(struct replacing *r, struct nbd_bringup *b,
			struct nbd_err *err)
{
	struct nbd_place place = nbd_here;
	struct nbd_address_list list;
	int ret;

	ret = merge(&r->record, r->given, err);
	if (!ret)
		ret = prepare_tls(r, err);
	if (!ret && !r->given->nservers)
		ret = open_place(&place, &r->record, err);
	if (!ret)
		ret = find_addresses(r->k, &r->record, r->given, &place, &list,
				     err);
	if (!ret)
		ret = nbd_bring_up(b, nbd_kernel_knows(r->k, NBD_ATTR_STRUCTURED),
				   &r->record.params, &list, &place, &r->record, err);
	if (!ret && b->finding.note[0])
		fprintf(stderr, "nbd-client: %s\n", b->finding.note);
	if (!ret) {
		ret = switch_over_in_care(r, b, &list, err);
		nbd_bringup_close(b);
	}
	nbd_place_close(&place);
	return ret;
}

static int replace_in(struct nbd_kernel *k, const struct nbd_params *params,
		      struct nbd_bringup *b, struct nbd_err *err)
{
	struct replacing r = { .k = k, .given = params };
	int ret = find_device(&r, err);

	if (ret)
		return ret;
	ret = replace_with(&r, b, err);
	nbd_record_free(&r.record);
	return ret;
}

int nbd_replace(const struct nbd_params *params, struct nbd_err *err)
{
	struct nbd_bringup *b = calloc(1, sizeof(*b));
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
			ret = replace_in(&kernel, params, b, err);
		if (!ret)
			nbd_udev_refresh(params->index);
		nbd_kernel_close(&kernel);
	}
	free(b);
	return ret;
}
