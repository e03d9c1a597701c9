#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC3043 # dracut's shells have "local"
#
# Hook "shutdown" of dracut, sourced when the root is unmounted and what was between it and the
# device is taken apart: detaches the device. If it fails, dracut tries it again. Below an
# overlay nothing was written.

nbd_boot_detach() {
	local device said

	device=$(sed -n 's/^device //p' /run/nbd/root 2>/dev/null)
	[ ! -e /run/nbd/overlay ] || return 0
	[ -n "$device" ] && nbd-client -check "$device" >/dev/null 2>&1 || return 0
	if said=$(nbd-client -d "$device" 2>&1); then
		echo "<5>nbd-boot: $device is detached" >/dev/kmsg
	else
		warn "nbd-boot: $device stays attached: $said"
		return 1
	fi
}

nbd_boot_detach
