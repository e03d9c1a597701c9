#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Hook "cmdline" of dracut, sourced: is the root on a network block device? Sourced again, with
# the root path of a lease in $netroot, for root=dhcp.

. /usr/lib/nbd/nbd-boot.sh

nbd_boot_of_lease() {
	nbd_boot_parse root=/dev/nbd0 nbdroot=dhcp && nbd_boot_take_dhcp "$1" ''
}

# nbd_boot_parse_cmdline: 1 if it is none of ours
nbd_boot_parse_cmdline() {
	case ${netroot:-} in
	nbd://* | nbds://* | nbd:[!b]* | nbd:b[!o]*)
		nbd_boot_of_lease "$netroot" || die "nbd-boot: $NBD_ERROR"
		echo "$netroot" >/tmp/nbd-root-path
		NBD_DHCP=''
		return
		;;
	esac
	set -f
	# shellcheck disable=SC2046
	nbd_boot_parse $(getcmdline) || die "nbd-boot: $NBD_ERROR"
	set +f
	[ -z "$NBD_UNKNOWN" ] || warn "nbd-boot: not known, and ignored: $NBD_UNKNOWN"
	# What root=dhcp means the lease will tell: maybe another kind of root.
	[ "$NBD_BOOT" = yes ] && [ "$(getarg root=)" != dhcp ]
}

if nbd_boot_parse_cmdline; then
	# The part before the colon names the handler, /sbin/nbdroot.
	netroot=nbd:boot
	rootok=1
	case $NBD_ROOT in
	/dev/*) root=block:$NBD_ROOT ;;
	UUID=*) root=block:/dev/disk/by-uuid/${NBD_ROOT#UUID=} ;;
	LABEL=*) root=block:/dev/disk/by-label/${NBD_ROOT#LABEL=} ;;
	PARTUUID=*) root=block:/dev/disk/by-partuuid/${NBD_ROOT#PARTUUID=} ;;
	esac
	export netroot rootok root
	echo "nbd-client -check $NBD_DEVICE >/dev/null 2>&1" >"$hookdir/initqueue/finished/nbd-boot.sh"
fi
