#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Generator in dracut's initramfs: sysroot.mount for what root= does not say to systemd itself.

[ -n "$2" ] || exit 1
command -v getcmdline >/dev/null || . /lib/dracut-lib.sh
. /usr/lib/nbd/nbd-boot.sh

set -f
# shellcheck disable=SC2046
nbd_boot_parse $(getcmdline) && [ "$NBD_BOOT" = yes ] || exit 0
case $NBD_ROOT in
/dev/*) what=$NBD_ROOT ;;
*) exit 0 ;;
esac
options=${NBD_FLAGS:+$NBD_FLAGS,}ro
! getargbool 0 rw || options=${NBD_FLAGS:+$NBD_FLAGS,}rw
[ -z "$NBD_OVERLAY" ] || options=${NBD_FLAGS:+$NBD_FLAGS,}ro
mkdir -p "$2"
cat >"$2/sysroot.mount" <<END
[Unit]
Before=initrd-root-fs.target
[Mount]
Where=/sysroot
What=$what
${NBD_FSTYPE:+Type=$NBD_FSTYPE}
Options=$options
END
