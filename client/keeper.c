// SPDX-License-Identifier: GPL-2.0
/*
 * Who takes care of an attachment.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "clock.h"
#include "device.h"
#include "keeper.h"
#include "store.h"

u64 nbd_keeper_new(void)
{
	u64 keeper;

	/* Early in the boot there may be no entropy yet; nobody has to guess it. */
	if (getrandom(&keeper, sizeof(keeper), GRND_NONBLOCK) != sizeof(keeper))
		keeper = (u64)nbd_now_ms() << 32 ^ getpid();
	return keeper ? keeper : 1;
}

bool nbd_keeper_is_ours(const struct nbd_record *record,
			const struct nbd_status *status)
{
	if (!status->detailed)
		return true;
	return record->session_id == status->session_id &&
	       (!status->keeper || status->keeper == record->keeper);
}

bool nbd_keeper_record_counts(const struct nbd_record *record,
			      const struct nbd_status *status)
{
	return nbd_keeper_is_ours(record, status) ||
	       (record->params.ioctl_mode && !status->keeper);
}

enum nbd_care nbd_care(const struct nbd_status *status, bool has_record)
{
	if (has_record || !status->detailed)
		return NBD_CARE_HERE;
	if (!status->keeper)
		return NBD_CARE_NOBODY;
	return status->keeper_lives ? NBD_CARE_ELSEWHERE : NBD_CARE_ENDED;
}

const char *nbd_care_text(const struct nbd_status *status, enum nbd_care care,
			  char *buf, size_t size)
{
	char path[NBD_DEVICE_PATH_MAX], who[48] = "a process of another PID namespace";

	*buf = '\0';
	if (care == NBD_CARE_HERE)
		return buf;
	nbd_device_path(status->index, path);
	if (status->keeper_pid)
		snprintf(who, sizeof(who), "process %u", status->keeper_pid);
	if (care == NBD_CARE_ELSEWHERE)
		snprintf(buf, size,
			 "its record is in another %s (of a container?), where %s cares for it; to take that over: nbd-client -replace SERVER %s",
			 NBD_RUN_DIR, who, path);
	else if (care == NBD_CARE_ENDED)
		snprintf(buf, size,
			 "its record is not in %s, and who cared for it has ended (a container?): no lost connection comes back; to adopt it: nbd-client -replace SERVER %s",
			 NBD_RUN_DIR, path);
	else if (care == NBD_CARE_NOBODY)
		snprintf(buf, size,
			 "it has no record in %s: no monitor brings a lost connection back; to adopt it: nbd-client -replace SERVER %s",
			 NBD_RUN_DIR, path);
	return buf;
}

static void take_status(void *arg, const struct nbd_status *status)
{
	*(struct nbd_status *)arg = *status;
}

static int read_status(s32 index, struct nbd_status *status, struct nbd_err *err)
{
	struct nbd_kernel kernel;
	int ret = nbd_kernel_open(&kernel, false, err);

	if (ret)
		return ret;
	ret = nbd_kernel_status(&kernel, index, take_status, status, err);
	nbd_kernel_close(&kernel);
	return ret;
}

int nbd_keeper_find_record(s32 index, struct nbd_record *record, struct nbd_err *err)
{
	struct nbd_status status = { .index = -1 };
	int ret = read_status(index, &status, err);

	if (!ret)
		ret = nbd_record_read(record, index, err);
	if (ret || nbd_keeper_record_counts(record, &status))
		return ret;
	nbd_record_free(record);
	return nbd_fail(err, NBD_EXIT_FAILURE, ENOENT,
			"the record of /dev/nbd%d is not of what it is attached to", index);
}

const char *nbd_care_hint(s32 index, char *buf, size_t size)
{
	struct nbd_status status = { .index = -1 };
	struct nbd_record record;
	char text[NBD_CARE_TEXT_MAX];
	bool here = false;

	*buf = '\0';
	read_status(index, &status, NULL);
	if (status.index != index || !status.session_id)
		return buf;
	if (!nbd_record_read(&record, index, NULL)) {
		here = nbd_keeper_is_ours(&record, &status);
		nbd_record_free(&record);
	}
	nbd_care_text(&status, nbd_care(&status, here), text, sizeof(text));
	if (*text)
		snprintf(buf, size, "; %s", text);
	return buf;
}
