#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Partitions come with the device and go with it.
# vm: --udev
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

partitions() {
	(cd "/sys/block/$name" && echo "$name"p*)
}

start_partitioned() {
	truncate -s 256M image
	printf 'label: gpt\nsize=64M\nsize=128M\n' | sfdisk --quiet image
	start_nbdkit file image
}

test_gpt() {
	start_partitioned
	attach "${server_args[@]}"
	# at once: nbd-client has returned
	[ -b "${dev}p1" ] || fail "no ${dev}p1 when nbd-client returns"
	[ -b "${dev}p2" ] || fail "no ${dev}p2 when nbd-client returns"
	assert_equal "$(partitions)" "${name}p1 ${name}p2"
	assert_equal "$(<"/sys/block/$name/${name}p1/size")" $((64 * 2048)) "sectors of p1"
	assert_equal "$(<"/sys/block/$name/${name}p2/size")" $((128 * 2048)) "sectors of p2"

	mount_ext4 "${dev}p2"
	head -c 1M /dev/urandom >data
	cp data mnt/
	umount mnt
	detach
	assert_equal "$(partitions)" "${name}p*" "partitions after detaching"
	wait_for 20 [ ! -e "${dev}p1" ]

	attach "${server_args[@]}"
	mount "${dev}p2" mnt
	cmp data mnt/data
	umount mnt
	detach
}

# A table that is written through the device is seen without attaching again.
test_new_table() {
	start_nbdkit memory 64M
	attach "${server_args[@]}"
	assert_equal "$(partitions)" "${name}p*"
	printf 'label: gpt\nsize=16M\n' | sfdisk --quiet "$dev"
	wait_for 10 [ -b "${dev}p1" ]
	detach
	assert_equal "$(partitions)" "${name}p*" "partitions after detaching"
}

# blkid and udev know the partition by what is on it.
test_labels() {
	start_partitioned
	attach "${server_args[@]}"
	# udev watches for writers once it has dealt with the new partition
	udevadm settle --timeout="$(scaled 30)"
	mkfs.ext4 -q -L nbd-label "${dev}p1"
	assert_equal "$(blkid -o value -s LABEL "${dev}p1")" nbd-label
	# udev looks when mkfs has closed the device: settle does not wait for that
	wait_for 30 [ /dev/disk/by-label/nbd-label -ef "${dev}p1" ]
	detach
	udevadm settle --timeout=30
	[ ! -e /dev/disk/by-label/nbd-label ] || fail "the label is still there"
}

# Debian's nbd-client has a file with options for the module; nbd-client loads the module with
# them, too.
test_debians_options() {
	mkdir -p /etc/modprobe.d
	cp "$top/build/unpacked/nbd-client/etc/modprobe.d/nbd-client.conf" /etc/modprobe.d/
	cleanup_fn rm -f /etc/modprobe.d/nbd-client.conf
	modprobe -r nbd
	start_partitioned
	attach "${server_args[@]}" /dev/nbd1
	assert_equal "$(</sys/module/nbd/parameters/max_part)" 15 "max_part"
	assert_equal "$(</sys/block/nbd1/dev)" 43:16 "number of nbd1"
	assert_equal "$(<"/sys/block/nbd1/nbd1p2/dev")" 43:18 "number of nbd1p2"
	[ -b /dev/nbd1p2 ]
	detach
	# others have the driver's own
	rm /etc/modprobe.d/nbd-client.conf
	modprobe -r nbd
	modprobe nbd
	assert_equal "$(</sys/module/nbd/parameters/max_part)" 31 "max_part without options"
}

run_tests
