#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# nbdroot INTERFACE NETROOT NEWROOT: dracut runs it when the network is up; attaches the device.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
command -v getcmdline >/dev/null || . /lib/dracut-lib.sh
. /usr/lib/nbd/nbd-boot.sh

set -f
if [ -e /tmp/nbd-root-path ]; then
	nbd_boot_parse root=/dev/nbd0 nbdroot=dhcp && nbd_boot_take_dhcp "$(cat /tmp/nbd-root-path)" ''
else
	# shellcheck disable=SC2046
	nbd_boot_parse $(getcmdline)
fi || die "nbd-boot: $NBD_ERROR"
set +f
[ "$NBD_BOOT" = yes ] || exit 0
nbd-client -check "$NBD_DEVICE" >/dev/null 2>&1 && exit 0

if [ "$NBD_DHCP" = yes ] && [ -z "$NBD_SERVER" ]; then
	new_root_path='' new_next_server=''
	# shellcheck disable=SC1090
	[ ! -e "/tmp/dhclient.$1.dhcpopts" ] || . "/tmp/dhclient.$1.dhcpopts"
	nbd_boot_take_dhcp "$new_root_path" "$new_next_server" || die "nbd-boot: $NBD_ERROR"
fi
nbd_boot_attach || die "nbd-boot: $NBD_DEVICE cannot be attached, see above"
udevadm settle
nbd_boot_note_root "$1"
nbd_boot_guard_network /run "$1"
nbd_boot_bound /run /run/initramfs/nbd "$NBD_DEVICE" ||
	warn "nbd-boot: nothing is kept for a shutdown whose server is gone"
[ -z "$NBD_OVERLAY" ] || echo "$NBD_OVERLAY" >/run/nbd/overlay

if [ -z "$DRACUT_SYSTEMD" ]; then
	command -v write_fs_tab >/dev/null || . /lib/fs-lib.sh
	write_fs_tab "$NBD_ROOT" "${NBD_FSTYPE:-auto}" "${NBD_FLAGS:-ro}"
fi
need_shutdown
