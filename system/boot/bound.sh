#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# bound ACTION DEVICE: poweroff, reboot or halt, which has begun, ends in a bounded time if the
# server of the root's DEVICE does not answer, though what is left of the system waits for it.
# It and all that it needs are in memory. A server that answers may have as long as it takes.
PATH=/bin
export PATH

limit=180		# seconds: more than systemd gives a service that does not end
patience=10

# answers: a read past the page cache comes back
answers() {
	left=$patience
	rm -f /answered
	{
		dd if="$1" of=/dev/null bs=4096 count=1 iflag=direct && : >/answered
	} &
	while [ $left != 0 ] && [ ! -e /answered ]; do
		left=$((left - 1))
		sleep 1
	done
	[ -e /answered ]
}

sleep $limit
while answers "$2"; do sleep $patience; done
echo "<4>nbd-boot: the server of the root's device $2 does not answer: $1 without it" >/dev/kmsg
"$1" -n -f
