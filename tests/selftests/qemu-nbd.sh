#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# `qemu-nbd --connect` and `--disconnect`, which use the ioctls: images of both kinds,
# partitions and snapshots.
# vm: --udev
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# qemu_connect ARGUMENTS...: qemu-nbd's, to /dev/nbd0; ready when this returns
qemu_connect() {
	modprobe nbd
	use_device nbd0
	qemu-nbd --connect="$dev" --pid-file="$PWD/qemu-nbd.pid" "$@"
	# NBD_DO_IT comes a little after it has returned
	wait_for 10 [ -e /sys/block/nbd0/pid ]
	udevadm settle --timeout=30
}

qemu_disconnect() {
	qemu-nbd --disconnect "$dev" >/dev/null
	assert_equal "$(<"/sys/block/$name/size")" 0 "size after disconnecting"
	[ ! -e "/sys/block/$name/pid" ] || fail "pid is still there"
	# the image is free when the process has ended
	wait_for 10 gone "$(<qemu-nbd.pid)"
}

# make_image SIZE: the file image, in $format
make_image() {
	qemu-img create -q -f "$format" image "$1"
}

check_image() {
	[ "$format" = raw ] || qemu-img check -q image
}

# write_random FILE [SEEK]: 4 MiB, to the device at megabyte SEEK
write_random() {
	head -c 4M /dev/urandom >"$1"
	dd if="$1" of="$dev" bs=1M seek="${2:-0}" oflag=direct conv=fsync status=none
}

# has_data FILE [SKIP]: the device, past the page cache
has_data() {
	dd if="$dev" bs=1M skip="${2:-0}" count=4 iflag=direct status=none | cmp - "$1"
}

variants[test_use]="format:raw,qcow2"
test_use() {
	make_image 64M
	qemu_connect -f "$format" image
	assert_equal "$(blockdev --getsize64 "$dev")" $((64 << 20)) "size"
	# the thread that is in NBD_DO_IT
	[ -d "/proc/$(<qemu-nbd.pid)/task/$(<"/sys/block/$name/pid")" ] ||
		fail "the pid $(<"/sys/block/$name/pid") is not qemu-nbd's"
	write_random data 7
	has_data data 7
	qemu_disconnect
	check_image
	qemu-img convert -f "$format" -O raw image raw
	cmp -i 0:7M -n 4M data raw
	qemu_connect --read-only -f "$format" image
	assert_equal "$(<"/sys/block/$name/ro")" 1 "read-only"
	has_data data 7
	expect_failure dd if=data of="$dev" bs=1M count=1 oflag=direct status=none
	qemu_disconnect
}

partitions() {
	(cd "/sys/block/$name" && echo "$name"p*)
}

# have_nodes / no_nodes: udev's and the kernel's view of the two partitions agree
have_nodes() {
	assert_equal "$(partitions)" "${name}p1 ${name}p2" "partitions"
	wait_for 10 [ -b "${dev}p2" ]
	assert_equal "$(lsblk -nro NAME "$dev" | tr '\n' ' ')" "nbd0 nbd0p1 nbd0p2 " "lsblk"
}

no_nodes() {
	assert_equal "$(partitions)" "${name}p*" "partitions"
	wait_for 10 [ ! -e "${dev}p1" ]
	wait_for 10 [ ! -e "${dev}p2" ]
}

variants[test_partitions]="format:raw,qcow2"
timeouts[test_partitions]=90
test_partitions() {
	make_image 128M
	qemu_connect -f "$format" image
	no_nodes
	printf 'label: gpt\nsize=16M\nsize=64M\n' | sfdisk --quiet "$dev"
	udevadm settle --timeout=30
	have_nodes
	mount_ext4 "${dev}p2"
	head -c 4M /dev/urandom >data
	cp data mnt/file
	umount mnt
	qemu_disconnect
	no_nodes

	qemu_connect -f "$format" image
	have_nodes
	assert_equal "$(<"/sys/block/$name/${name}p2/size")" $((64 * 2048)) "sectors of p2"
	mount -o ro "${dev}p2" mnt
	cmp data mnt/file
	umount mnt
	qemu_disconnect
	no_nodes
	check_image
}

# A snapshot inside the image: looked at while the image goes on, and gone back to.
timeouts[test_snapshot]=120
test_snapshot() {
	local format=qcow2

	make_image 64M
	qemu_connect -f qcow2 image
	write_random before
	qemu_disconnect
	qemu-img snapshot -c one image
	qemu_connect -f qcow2 image
	has_data before
	write_random after
	qemu_disconnect

	qemu_connect -f qcow2 --load-snapshot=snapshot.name=one image
	assert_equal "$(<"/sys/block/$name/ro")" 1 "read-only"
	has_data before
	qemu_disconnect
	qemu_connect -f qcow2 image
	assert_equal "$(<"/sys/block/$name/ro")" 0 "read-only"
	has_data after
	qemu_disconnect
	qemu-img snapshot -a one image
	qemu_connect -f qcow2 image
	has_data before
	qemu_disconnect
	check_image
}

# --snapshot: what is written is there until the device is let go.
variants[test_temporary_snapshot]="format:raw,qcow2"
timeouts[test_temporary_snapshot]=90
test_temporary_snapshot() {
	local sum

	make_image 64M
	sum=$(sha256sum image)
	qemu_connect --snapshot -f "$format" image
	write_random data 3
	has_data data 3
	qemu_disconnect
	assert_equal "$(sha256sum image)" "$sum" "the image"
	qemu_connect -f "$format" image
	expect_failure has_data data 3
	qemu_disconnect
}

# A device that is attached stays as it is; one that is not can be disconnected.
test_busy() {
	local format=raw

	make_image 64M
	cp --sparse=always image other
	qemu_connect -f raw image
	write_random data
	expect_failure qemu-nbd --connect="$dev" -f raw other
	has_data data
	qemu_disconnect
	qemu-nbd --disconnect "$dev" >/dev/null
}

# Two devices are two devices.
timeouts[test_two]=90
test_two() {
	local format=raw

	make_image 64M
	cp --sparse=always image other
	modprobe nbd
	cleanup_fn detach_if_attached /dev/nbd1
	qemu-nbd --connect=/dev/nbd1 -f raw other
	qemu_connect -f raw image
	wait_for 10 [ -e /sys/block/nbd1/pid ]
	write_random data
	dev=/dev/nbd1 write_random data-of-other
	has_data data
	dev=/dev/nbd1 has_data data-of-other
	qemu_disconnect
	dev=/dev/nbd1 has_data data-of-other
	qemu-nbd --disconnect /dev/nbd1 >/dev/null
	cmp -n 4M data image
	cmp -n 4M data-of-other other
}

run_tests
