// SPDX-License-Identifier: GPL-2.0
/*
 * Giving an attachment into the monitor's care.
 */
#include <errno.h>
#include <unistd.h>

#include "entrust.h"
#include "keeper.h"
#include "presence.h"
#include "starter.h"
#include "store.h"

/* It comes first: the stock driver tells once only, and maybe at once, what was lost. */
int nbd_entrust_begin(const struct nbd_params *params, struct nbd_err *err)
{
	int hold = nbd_monitor_hold(err);
	int ret;

	if (hold < 0 || params->reconnect == NBD_RECONNECT_NEVER)
		return hold;
	ret = nbd_monitor_ensure(params->systemd_mark, err);
	if (!ret)
		return hold;
	close(hold);
	return ret;
}

/* Somebody has detached the device meanwhile, and attached it anew. */
static bool is_superseded(const struct nbd_record *record)
{
	struct nbd_record now;
	bool superseded;

	if (nbd_record_read(&now, record->params.index, NULL))
		return false;
	superseded = now.session_id > record->session_id && record->session_id;
	nbd_record_free(&now);
	return superseded;
}

/* With the lock of the record held. */
int nbd_entrust_record(struct nbd_record *record, struct nbd_err *err)
{
	int ret;

	if (is_superseded(record))
		return nbd_fail(err, NBD_EXIT_FAILURE, ESTALE,
				"the device was detached meanwhile");
	nbd_namespaces_drop(record->params.index, NULL);
	ret = nbd_namespaces_keep(&record->namespaces, &record->params, err);
	if (!ret)
		ret = nbd_record_write(record, err);
	if (ret)
		nbd_record_remove(record->params.index);
	return ret;
}

int nbd_entrust(struct nbd_record *record, struct nbd_err *err)
{
	int hold = nbd_entrust_begin(&record->params, err);
	int lock;

	if (hold < 0)
		return hold;
	if (record->session_id)
		record->keeper = nbd_keeper_new();
	lock = nbd_record_lock(record->params.index, err);
	if (lock >= 0) {
		int ret = nbd_entrust_record(record, err);

		close(lock);
		lock = ret;
	}
	close(hold);
	return lock;
}
