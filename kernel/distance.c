// SPDX-License-Identifier: GPL-2.0
/* From the round trip time to the read-ahead. Pure. */
#include "distance.h"

/* KiB, where the server prefers no larger blocks. */
#define STEP	128

__u32 nbd_distance_read_ahead(__u32 rtt, __u32 preferred)
{
	__u32 step = preferred >> 10;
	__u32 kib;

	if (rtt < NBD_DISTANCE_NEAR)
		return 0;
	if (rtt >= NBD_DISTANCE_MAX / NBD_DISTANCE_RATE * 1000)
		return NBD_DISTANCE_MAX;
	if (step < STEP || step > NBD_DISTANCE_MAX)
		step = STEP;
	kib = (rtt * (NBD_DISTANCE_RATE / 8) + 124) / 125;
	kib = (kib + step - 1) / step * step;
	return kib < NBD_DISTANCE_MAX ? kib : NBD_DISTANCE_MAX;
}
