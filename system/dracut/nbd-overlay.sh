#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Hook "pre-pivot" of dracut, sourced. With nbdoverlay: what is written to the root goes to
# memory.

if [ -e /run/nbd/overlay ]; then
	. /usr/lib/nbd/nbd-boot.sh
	modprobe -q overlay
	nbd_boot_overlay "$(cat /run/nbd/overlay)" "$NEWROOT" ||
		die "nbd-boot: the overlay cannot be mounted"
fi
