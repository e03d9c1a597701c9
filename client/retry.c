// SPDX-License-Identifier: GPL-2.0
/*
 * When to try to reconnect again.
 */
#include <stdlib.h>

#include "retry.h"

/* Uniform from 0.75 to 1.25 of @ms. */
static s64 with_jitter(s64 ms)
{
	return ms - ms / 4 + random() % (ms / 2 + 1);
}

bool nbd_outage_goes_on(s64 mended_at, s64 lost_at)
{
	return mended_at && lost_at - mended_at < NBD_RETRY_PROVEN_MS;
}

s64 nbd_retry_pause(s64 outage)
{
	s64 pause = outage / 10;

	if (pause < NBD_RETRY_MIN_MS)
		pause = NBD_RETRY_MIN_MS;
	if (pause > NBD_RETRY_MAX_MS * 4 / 5)
		pause = NBD_RETRY_MAX_MS * 4 / 5;
	return with_jitter(pause);
}

bool nbd_server_relapses(s64 mended_at, s64 lost_at, u32 timeout)
{
	return mended_at && lost_at - mended_at <= 2000 * (s64)timeout;
}
