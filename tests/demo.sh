#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# `make demo`: what the first user does, in a VM, so that nothing of this machine is
# touched: attach a remote disk, put a file system and a tree of files on it, let it
# go, attach it again and find every file as it was.
set -euo pipefail

top=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$top"
kernel=6.12
tree=/usr/include/linux

. tests/steps.sh

# --- in the guest ---

serve() {
	transport=tcp
	truncate -s 1G disk.img
	echo "# truncate -s 1G disk.img"
	echo "# qemu-nbd --persistent -f raw disk.img"
	start_qemu_nbd -f raw disk.img
	echo "$port" >port
	echo "listening on 127.0.0.1, port $port"
}

attach_disk() {
	show nbd-client 127.0.0.1 "$port" /dev/nbd0
	show lsblk -o NAME,SIZE,TYPE,MOUNTPOINT /dev/nbd0
}

make_filesystem() {
	show mkfs.ext4 -q /dev/nbd0
	mkdir -p /mnt/disk
	show mount /dev/nbd0 /mnt/disk
}

copy_tree() {
	show cp -a "$tree" /mnt/disk/
	show sync
	df -h --output=size,used,avail /mnt/disk
}

take_checksums() {
	echo "# find $(basename "$tree") -type f -exec sha256sum {} + >sums"
	(cd "$(dirname "$tree")" && find "$(basename "$tree")" -type f -exec sha256sum {} +) >sums
	echo "$(wc -l <sums) files"
}

let_go() {
	show umount /mnt/disk
	show nbd-client -d /dev/nbd0
	echo "size of nbd0 now: $(</sys/block/nbd0/size)"
}

verify() {
	show mount -o ro /dev/nbd0 /mnt/disk
	echo "# cd /mnt/disk && sha256sum -c --quiet sums"
	(cd /mnt/disk && sha256sum -c --quiet "$OLDPWD/sums")
	echo "all $(wc -l <sums) checksums are right"
}

check_filesystem() {
	show umount /mnt/disk
	show e2fsck -fn /dev/nbd0
	show nbd-client -d /dev/nbd0
}

in_guest() {
	. "$top/tests/lib.sh"
	PATH=$top/build:$PATH
	mkdir /tmp/demo
	cd /tmp/demo
	step "4. A server: qemu-nbd with an empty disk of 1 GiB (kernel here: $(uname -r))" serve
	port=$(<port)
	step "5. Attach it with nbd-client, which loads nbd.ko" attach_disk
	step "6. Make an ext4 file system and mount it" make_filesystem
	step "7. Copy $tree onto it" copy_tree
	step "8. Checksums of the originals" take_checksums
	step "9. Unmount and detach" let_go
	step "10. Attach it again" attach_disk
	step "11. Mount it and verify every checksum" verify
	step "12. Unmount, check the file system, detach" check_filesystem
}

if [ "${1:-}" = --in-guest ]; then
	in_guest
	exit
fi

# --- on the host ---

build_module() {
	make --no-print-directory module "KVER=$(tests/vm/kernel --release $kernel)"
}

build_client() {
	make --no-print-directory client
}

fetch_kernel() {
	tests/vm/kernel $kernel >/dev/null
	echo "Linux $(tests/vm/kernel --release $kernel), unpacked under build/, not installed"
}

begin=${EPOCHREALTIME/[.,]/}
step "1. Build nbd.ko for Debian's Linux $kernel" build_module
step "2. Build nbd-client" build_client
step "3. Debian's kernel for the VM" fetch_kernel
printf '\nBooting the VM.\n'
tests/vm/run --kernel $kernel --timeout 600 -- tests/demo.sh --in-guest
printf '\nThe demo succeeded. It took %s.\n' "$(seconds "$begin")"
