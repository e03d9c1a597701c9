#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Debian's nbd-client (3.24) does not notice that the driver is ours: attach, use,
# resize, detach, through both of its interfaces.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

debian_client=$top/build/unpacked/nbd-client/sbin/nbd-client

# debian ARGUMENTS...
debian() {
	timeout "$(scaled 20)" "$debian_client" "$@"
}

# debian_attach ARGUMENTS...: /dev/nbd0, in $mode; ready when this returns
debian_attach() {
	local options=()

	modprobe nbd
	use_device nbd0
	[ "$mode" = netlink ] || options=(-nonetlink)
	debian "${server_args[@]}" "$dev" "${options[@]}" "$@"
	# in ioctl mode a child of it goes on after it has returned, and another one has
	# a look at the partitions
	wait_for 10 [ -e /sys/block/nbd0/pid ]
	wait_for 10 looks_at_no_partitions
}

looks_at_no_partitions() {
	local pids

	pids=$(pgrep -x nbd-client || true)
	[ -z "$pids" ] || [ "$pids" = "$(</sys/block/nbd0/pid)" ]
}

# debian_detach: everything is over when it returns, but for the process of ioctl mode
debian_detach() {
	debian -d "$dev"
	assert_equal "$(<"/sys/block/$name/size")" 0 "size after detaching"
	expect_status 1 debian -c "$dev"
	assert_equal "$output" "" "output of -c"
}

# start_export: $server with 64 MiB in the file image, over TCP
start_export() {
	transport=tcp
	truncate -s 64M image
	case $server in
	nbdkit) start_nbdkit file image ;;
	nbd_server) start_nbd_server disk "$PWD/image" "flush = true" "fua = true" "trim = true" ;;
	esac
	[ "$server" != nbd_server ] || server_args+=(-N disk)
}

# driver_connections: how many TCP connections lead to the server
driver_connections() {
	local line hex count=0

	printf -v hex ':%04X state 01' "$port"
	find_connections
	for line in "${connections[@]}"; do
		[[ $line != *"$hex" ]] || count=$((count + 1))
	done
	echo "$count"
}

# write_data MEGABYTES SEEK: random data, left in the file data, to the device
write_data() {
	head -c "$1M" /dev/urandom >data
	dd if=data of="$dev" bs=1M seek="$2" oflag=direct conv=fsync status=none
}

# compare_data SEEK: what write_data wrote is there, past the page cache
compare_data() {
	dd if="$dev" bs=1M skip="$1" count="$(stat -c %s data)" iflag=direct,count_bytes \
		status=none | cmp - data
}

# says_pid: -c prints who attached the device
says_pid() {
	expect_status 0 debian -c "$dev"
	assert_equal "$output" "$(<"/sys/block/$name/pid")" "output of -c"
	assert_match "$output" '^[0-9]+$'
	[ "$mode" = netlink ] || assert_equal "$(<"/proc/$output/comm")" nbd-client
}

variants[test_use]="mode:netlink,ioctl conns:1,4"
test_use() {
	local server=nbdkit

	use
}

variants[test_nbd_server]="mode:netlink,ioctl"
test_nbd_server() {
	local server=nbd_server conns=2

	use
}

# use: with $conns connections to $server
use() {
	start_export
	debian_attach -connections "$conns"
	assert_equal "$(blockdev --getsize64 "$dev")" $((64 << 20)) "size"
	assert_equal "$(driver_connections)" "$conns" "connections"
	says_pid
	write_data 8 3
	compare_data 3
	debian_detach
	cmp -i 0:3M -n 8M data image

	# and once more, on the same device
	debian_attach -C "$conns"
	compare_data 3
	debian_detach
}

variants[test_filesystem]="mode:netlink,ioctl"
test_filesystem() {
	local server=nbdkit

	start_export
	debian_attach -C 4
	mount_ext4 "$dev"
	head -c 4M /dev/urandom >data
	cp data mnt/file
	umount mnt
	debian_detach
	debian_attach
	mount -o ro "$dev" mnt
	cmp data mnt/file
	umount mnt
	e2fsck -fn "$dev"
	debian_detach
}

# The client attaches half of what the server has; the device grows to all of it, and
# shrinks again, in use.
variants[test_resize]="mode:netlink,ioctl conns:1,4"
test_resize() {
	local server=nbdkit holder size=size

	[ "$mode" = netlink ] || size="size-by-ioctl"
	start_export
	debian_attach -C "$conns" -size $((32 << 20))
	exec {holder}<"$dev"
	write_data 4 28
	reconfigure "$dev" "$size" $((64 << 20))
	assert_equal "$(blockdev --getsize64 "$dev")" $((64 << 20)) "size after growing"
	assert_equal "$(<"/sys/block/$name/size")" $((64 * 2048)) "sectors after growing"
	compare_data 28
	write_data 4 60
	compare_data 60
	reconfigure "$dev" "$size" $((32 << 20))
	assert_equal "$(blockdev --getsize64 "$dev")" $((32 << 20)) "size after shrinking"
	assert_equal "$(dd if="$dev" bs=1M skip=60 status=none 2>/dev/null | wc -c)" 0 "bytes beyond"
	exec {holder}<&-
	debian_detach
}

# What the options ask of the driver is there.
variants[test_options]="mode:netlink,ioctl"
test_options() {
	local server=nbdkit

	start_export
	debian_attach -readonly -block-size 4096 -timeout 7
	assert_equal "$(<"/sys/block/$name/ro")" 1 "read-only"
	assert_equal "$(<"/sys/block/$name/queue/logical_block_size")" 4096 "block size"
	assert_equal $(($(</sys/kernel/debug/nbd/nbd0/timeout) % 7)) 0 "rest of the timeout in jiffies"
	assert_within "$(</sys/kernel/debug/nbd/nbd0/timeout)" 700 7000 "timeout in jiffies"
	expect_failure dd if=/dev/zero of="$dev" bs=4k count=1 status=none
	debian_detach

	# the next session has nothing of it
	debian_attach
	assert_equal "$(<"/sys/block/$name/ro")" 0 "read-only"
	assert_equal "$(<"/sys/block/$name/queue/logical_block_size")" 512 "block size"
	write_data 1 0
	compare_data 0
	debian_detach
}

variants[test_swap]="mode:netlink,ioctl"
test_swap() {
	local server=nbdkit

	start_export
	debian_attach -swap
	mkswap "$dev" >/dev/null
	swapon "$dev"
	grep "^$dev " /proc/swaps
	swapoff "$dev"
	debian_detach
}

# A device that is attached stays as it is.
test_busy() {
	local mode=netlink server=nbdkit

	start_export
	debian_attach
	write_data 1 5
	expect_status 1 debian "${server_args[@]}" "$dev"
	expect_status 1 debian "${server_args[@]}" "$dev" -nonetlink
	says_pid
	compare_data 5
	debian_detach
	# not an error, nor is a device that never was attached
	debian -d "$dev"
	debian -d /dev/nbd3
}

# Each interface ends what the other attached.
variants[test_detach_otherwise]="mode:netlink,ioctl"
test_detach_otherwise() {
	local server=nbdkit

	start_export
	debian_attach -C 4
	if [ "$mode" = netlink ]; then
		debian -d "$dev" -nonetlink
	else
		"$NBD_CLIENT" -d "$dev"
	fi
	assert_equal "$(<"/sys/block/$name/size")" 0 "size after detaching"
	expect_status 1 debian -c "$dev"
}

# The server goes away, for good: what is read fails, and the device can be let go.
variants[test_server_ends]="mode:netlink,ioctl"
test_server_ends() {
	local server=nbdkit

	start_export
	debian_attach
	allow_log 'error,? (on )?dev nbd0'
	kill -9 "$server_pid"
	if [ "$mode" = ioctl ]; then
		# DO_IT returns, and the client with it
		wait_for 10 [ ! -e /sys/block/nbd0/pid ]
	else
		expect_failure dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct
	fi
	debian_detach
}

run_tests
