// SPDX-License-Identifier: GPL-2.0
/*
 * Adopting an attachment.
 */
#include <errno.h>
#include <linux/nbd.h>
#include <string.h>

#include "adopt.h"
#include "device.h"
#include "keeper.h"
#include "settings.h"

static void take_status(void *arg, const struct nbd_status *status)
{
	*(struct nbd_status *)arg = *status;
}

/*
 * A device that fails at once without a connection may have been given up by who cared for
 * it: whoever adopts it wants it to wait.
 */
static void forget_failing(struct nbd_params *p)
{
	if (p->dead_timeout && p->dead_timeout != NBD_DEAD_CONN_FOREVER)
		return;
	p->dead_timeout = 0;
	p->given &= ~(u64)NBD_GIVEN_DEAD_TIMEOUT;
}

static void take_settings(struct nbd_params *p, const struct nbd_status *status)
{
	const struct nbd_setting *s;

	nbd_for_each_setting(s) {
		if (!s->width)
			continue;
		nbd_setting_set_number(s, p, status->told[s->bit]);
		p->given |= s->given;
	}
	forget_failing(p);
}

static void take_device(struct nbd_record *r, const struct nbd_status *s)
{
	struct nbd_params *p = &r->params;

	p->index = s->index;
	p->readonly = s->server_flags & NBD_FLAG_READ_ONLY;
	if (!(s->server_flags & NBD_FLAG_CAN_MULTI_CONN)) {
		p->connections = 1;
		p->given |= NBD_GIVEN_CONNECTIONS;
	}
	r->export.size = s->size;
	r->export.flags = s->server_flags;
	r->session_id = s->session_id;
	r->pid = s->pid;
	r->block_size = s->block_size;
	r->nconns = s->nconns;
	r->keeper = nbd_keeper_new();
}

int nbd_adopt(struct nbd_kernel *k, s32 index, struct nbd_record *record,
	      struct nbd_err *err)
{
	struct nbd_status status = { .index = -1 };
	char path[NBD_DEVICE_PATH_MAX];
	int ret = nbd_kernel_status(k, index, take_status, &status, err);

	if (ret)
		return ret;
	if (status.index != index || !status.session_id)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENODEV,
				"%s is not attached",
				nbd_device_path(index, path));
	memset(record, 0, sizeof(*record));
	nbd_params_init(&record->params);
	take_device(record, &status);
	take_settings(&record->params, &status);
	if (*status.identifier)
		ret = nbd_set_text(&record->params.identifier, status.identifier, err);
	if (ret)
		nbd_record_free(record);
	return ret;
}

void nbd_adopt_fix_size(struct nbd_record *record, const struct nbd_export *e)
{
	struct nbd_params *p = &record->params;

	if (e->size - e->size % record->block_size <= record->export.size)
		return;
	p->size = record->export.size;
	p->given |= NBD_GIVEN_SIZE;
}
