#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What udev and util-linux say of a device is right at every step of its life. (The
# selftest uapi counts the uevents and reads sysfs, debugfs and the tracepoints.)
# vm: --udev
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# lsblk_says TEXT: of the size in bytes, file system and label. What a program wrote
# udev looks at when the program has closed the device: settle does not wait for that.
lsblk_says() {
	wait_for 30 lsblk_prints "$1" || fail "lsblk: got '$(lsblk_line)', wanted '$1'"
}

lsblk_line() {
	udevadm settle --timeout=30
	lsblk -bdnro SIZE,FSTYPE,LABEL "$dev" | sed 's/ *$//'
}

lsblk_prints() {
	[ "$(lsblk_line)" = "$1" ]
}

# nothing_on_it: neither blkid, past its cache, nor wipefs find anything
nothing_on_it() {
	expect_status 2 blkid -p "$dev"
	assert_equal "$output" "" "blkid"
	assert_equal "$(wipefs -n "$dev" 2>/dev/null)" "" "wipefs"
}

# udev_property NAME: of the device in udev's database
udev_property() {
	udevadm info --query=property --property="$1" --value "$dev"
}

udev_knows_table() {
	[ "$(udev_property ID_PART_TABLE_TYPE)" = "$1" ]
}

# looks_free: as before any session
looks_free() {
	# partx ends with fsync(), which says EIO: what was not flushed before the detach
	# may be lost
	allow_log "I/O error, dev $name, sector 0 op 0x1:\\(WRITE\\)"
	udevadm settle --timeout=30
	assert_equal "$(lsblk -bnro NAME,SIZE "$dev")" "$name 0" "lsblk"
	nothing_on_it
	expect_failure partx --show "$dev"
	assert_equal "$(udev_property ID_FS_TYPE)" "" "file system that udev knows"
	assert_equal "$(udev_property ID_PART_TABLE_TYPE)" "" "table that udev knows"
	assert_equal "$(grep "$name" /proc/partitions | awk '$3 != 0')" "" "/proc/partitions"
}

test_free() {
	modprobe nbd
	dev=/dev/nbd0 name=nbd0
	looks_free
}

test_file_system() {
	truncate -s 64M image
	start_nbdkit file image
	attach "${server_args[@]}"
	lsblk_says $((64 << 20))
	nothing_on_it
	mkfs.ext4 -q -L view "$dev"
	lsblk_says "$((64 << 20)) ext4 view"
	assert_equal "$(blkid -p -o value -s LABEL "$dev")" view "blkid"
	assert_match "$(wipefs -n "$dev")" "ext4"
	assert_equal "$(udev_property ID_FS_TYPE)" ext4 "file system that udev knows"
	assert_equal "$(readlink -f /dev/disk/by-label/view)" "$dev" "link by label"
	detach
	looks_free
	[ ! -e /dev/disk/by-label/view ] || fail "the link by label is still there"

	# it comes back with the disk
	attach "${server_args[@]}"
	lsblk_says "$((64 << 20)) ext4 view"
	wipefs -qa "$dev"
	lsblk_says $((64 << 20))
	nothing_on_it
	detach
}

# The next disk on the device has nothing of the one before.
test_another_disk() {
	start_nbdkit memory 64M
	attach "${server_args[@]}"
	# udev watches for writers once it has dealt with the attaching: one that comes while
	# it does may go unnoticed
	lsblk_says $((64 << 20))
	mkfs.ext4 -q -L first "$dev"
	lsblk_says "$((64 << 20)) ext4 first"
	detach
	start_nbdkit memory 32M
	attach "${server_args[@]}"
	lsblk_says $((32 << 20))
	nothing_on_it
	[ ! -e /dev/disk/by-label/first ] || fail "the link by label is still there"
	detach
}

test_partitions() {
	start_nbdkit memory 64M
	attach "${server_args[@]}"
	lsblk_says $((64 << 20))
	printf 'label: gpt\nsize=8M, name=one\nsize=16M, name=two\n' | sfdisk --quiet "$dev"
	wait_for 10 [ -b "${dev}p2" ]
	udevadm settle --timeout=30
	assert_equal "$(partx -go NR,SECTORS "$dev" | tr -s ' ' | sed 's/^ //' | tr '\n' ,)" \
		"1 16384,2 32768," "partx"
	assert_equal "$(lsblk -bnro NAME,SIZE "$dev" | tr '\n' ,)" \
		"$name $((64 << 20)),${name}p1 $((8 << 20)),${name}p2 $((16 << 20))," "lsblk"
	wait_for 30 udev_knows_table gpt
	wait_for 30 [ /dev/disk/by-partlabel/two -ef "${dev}p2" ]
	detach
	looks_free
	[ ! -e /dev/disk/by-partlabel/two ] || fail "the link by label is still there"
	[ ! -e "${dev}p2" ] || fail "the node of a partition is still there"
}

# udev hears of a resize, and everybody sees it.
test_resize() {
	start_nbdkit memory 64M
	attach "${server_args[@]}" -size 32M
	lsblk_says $((32 << 20))
	udevadm monitor --kernel --subsystem-match=block >events &
	cleanup_fn stop_process $!
	wait_for 10 grep -q KERNEL events
	reconfigure "$dev" size $((64 << 20))
	wait_for 10 grep -q "change .*/$name " events
	lsblk_says $((64 << 20))
	assert_match "$(</proc/partitions)" "65536 $name"
	detach
}

run_tests
