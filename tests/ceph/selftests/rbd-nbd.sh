#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Ceph's rbd-nbd, which serves the driver over a socket pair, by ioctls or over netlink.
# vm: --mem 4G
. "$(dirname "$0")/../../lib.sh"
. "$(dirname "$0")/../cluster.sh"

# The daemons of the cluster always have some.
find_connections() {
	connections=()
}

ways="way:ioctl,netlink"

# image NAME MEGABYTES
image() {
	rbd create "$1" --size "$2M"
	cleanup_fn remove_image "$1"
}

# remove_image NAME: Ceph waits half a minute for a client that was killed
remove_image() {
	wait_for 60 rbd --no-progress rm "$1" >/dev/null 2>&1
}

# map IMAGE OPTION...: sets dev, name and serving, the process
map() {
	local options=()

	# shellcheck disable=SC2154 # a variant
	[ "${way:-ioctl}" = ioctl ] || options+=(--try-netlink)
	dev=$(rbd-nbd map "$@" "${options[@]}" 2>map.log) || { cat map.log; fail "rbd-nbd map: status $?"; }
	use_mapped
}

use_mapped() {
	name=${dev#/dev/}
	serving=$(<"/sys/block/$name/pid")
	cleanup_fn unmap_if_mapped "$dev"
}

unmap() {
	rbd-nbd unmap "$dev"
	wait_for 20 gone "$serving"
	! connected "$name"
}

unmap_if_mapped() {
	! connected "${1#/dev/}" || rbd-nbd unmap "$1"
}

# contents: what Ceph has, past the device
contents() {
	rbd --no-progress export "$1" - | sha256sum
}

# size_is BYTES
size_is() {
	[ "$(<"/sys/block/$name/size")" = $(($1 / 512)) ]
}

timeouts[test_mapping]=240
variants[test_mapping]=$ways
test_mapping() {
	image disk 32
	map disk
	size_is $((32 << 20))
	rbd-nbd list-mapped | grep "$dev"
	device_works
	head -c 32M /dev/urandom >data
	dd if=data of="$dev" bs=1M oflag=direct conv=fsync status=none
	dd if="$dev" bs=1M iflag=direct status=none | cmp - data
	[ "$(contents disk)" = "$(sha256sum <data)" ]
	blkdiscard -o 4M -l 4M "$dev"
	dd if="$dev" bs=1M skip=4 count=4 iflag=direct status=none | cmp -n 4M - /dev/zero
	unmap
	modprobe -r nbd
	[ ! -e /sys/module/nbd ]
}

# A file system, which grows with its image while it is mounted. Over netlink rbd-nbd 16.2
# forgets the cookie when it tells the new size, which the stock driver refuses, too.
timeouts[test_ext4]=240
test_ext4() {
	image disk 48
	map disk
	mount_ext4 "$dev"
	head -c 16M /dev/urandom >mnt/file
	rbd --no-progress resize disk --size 96M
	wait_for 60 size_is $((96 << 20))
	resize2fs "$dev"
	head -c 48M /dev/urandom >mnt/more
	sha256sum mnt/file mnt/more >sums
	umount mnt
	unmap
	map disk
	e2fsck -fn "$dev"
	mount -r "$dev" mnt
	sha256sum -c sums
	umount mnt
	unmap
}

# A snapshot cannot be written to, and does not change with its image.
timeouts[test_snapshot]=240
variants[test_snapshot]=$ways
test_snapshot() {
	local before

	image disk 16
	map disk
	device_works
	before=$(dd if="$dev" bs=1M iflag=direct status=none | sha256sum)
	unmap
	rbd --no-progress snap create disk@then
	cleanup_fn rbd --no-progress snap rm disk@then
	map disk
	dd if=/dev/urandom of="$dev" bs=1M count=16 oflag=direct conv=fsync status=none
	unmap
	map disk@then
	[ "$(blockdev --getro "$dev")" = 1 ]
	expect_failure dd if=data of="$dev" bs=64k count=1 oflag=direct
	assert_equal "$(dd if="$dev" bs=1M iflag=direct status=none | sha256sum)" "$before" "the snapshot"
	unmap
}

# Who maps it exclusively is alone with it.
timeouts[test_exclusive]=240
test_exclusive() {
	image disk 16
	map disk --exclusive
	expect_failure rbd-nbd map disk --exclusive
	device_works
	unmap
	map disk --exclusive
	unmap
}

# keep_writing FILE: as long as that is there; "written" has the number of the last block
keep_writing() {
	local block=0

	while [ -e "$1" ]; do
		dd if=data of="$dev" bs=64k seek="$block" skip="$block" count=1 oflag=direct conv=notrunc \
			status=none || return
		block=$(((block + 1) % 256))
		echo "$block" >written
	done
}

has_written_on() {
	[ "$(cat written)" != "$1" ]
}

# kill -9 under a writer, who sees a pause and no error when another process has taken over
timeouts[test_attach]=240
test_attach() {
	local way=netlink writer before

	image disk 16
	map disk --cookie right --reattach-timeout 600
	head -c 16M /dev/urandom >data
	dd if=data of="$dev" bs=1M oflag=direct conv=fsync status=none
	touch go
	echo >written
	keep_writing go &
	writer=$!
	wait_for 30 has_written_on ''
	kill -9 "$serving"
	wait_for 30 gone "$serving"
	expect_failure rbd-nbd attach --device "$dev" --cookie wrong disk
	before=$(cat written)
	rbd-nbd attach --device "$dev" --cookie right disk
	use_mapped
	wait_for 60 has_written_on "$before"
	rm go
	wait "$writer"
	dd if="$dev" bs=1M iflag=direct status=none | cmp - data
	unmap
}

# An OSD that does not answer: what the timeout of the device bounds fails, nothing hangs.
timeouts[test_timeout]=240
variants[test_timeout]=$ways
test_timeout() {
	image disk 16
	map disk --io-timeout 5
	device_works
	allow_log 'I/O error'
	kill -STOP "$osd_pid"
	cleanup_fn kill -CONT "$osd_pid"
	expect_failure timeout "$(scaled 60)" dd if="$dev" of=/dev/null bs=64k count=1 iflag=direct
	kill -CONT "$osd_pid"
	unmap_if_mapped "$dev"
	wait_for 30 gone "$serving"
}

# kill_under_reader OPTION...: rbd-nbd, mapped with these, while the partition table is read; sets
# reader, and begin
kill_under_reader() {
	image disk 16
	map disk "$@"
	allow_log 'I/O error|unable to read partition table'
	kill -STOP "$osd_pid"
	cleanup_fn kill -CONT "$osd_pid"
	blockdev --rereadpt "$dev" &
	reader=$!
	wait_for 20 in_flight
	begin=$(milliseconds)
	kill -9 "$serving"
}

# both_ended: the reader and rbd-nbd; sets took
both_ended() {
	wait_for 30 gone_or_reaped "$reader"
	took=$(($(milliseconds) - begin))
	wait_for 30 gone_or_reaped "$serving"
	wait "$reader" || true
}

# kill -9 while somebody reads the partition table: he holds a lock that the dying process
# waits for before its socket is closed. By ioctls a thread of it is in the driver, which sees
# it die.
timeouts[test_killed_in_ioctl]=240
test_killed_in_ioctl() {
	local way=ioctl reader begin took

	kill_under_reader
	both_ended
	assert_within "$took" 0 "$(scaled 2000)" "milliseconds until the reader ends"
	wait_for 30 [ ! -e "/sys/block/$name/pid" ]
}

# Over netlink nobody sees it: the device's timeout ends it, or who detaches it.
timeouts[test_killed_beside_netlink]=240
variants[test_killed_beside_netlink]="end:timeout,detach"
test_killed_beside_netlink() {
	local way=netlink reader begin took options=()

	# shellcheck disable=SC2154 # a variant
	[ "$end" = detach ] || options=(--io-timeout 5)
	kill_under_reader "${options[@]}"
	[ "$end" = timeout ] || "$NBD_CLIENT" -force -d "$dev"
	both_ended
	! connected "$name" || "$NBD_CLIENT" -force -d "$dev"
}

if ! start_cluster; then
	tail -n 20 /run/cluster.log "$cluster"/*.out "$cluster"/*.log 2>/dev/null | sed 's/^/# /'
	echo "Bail out! no cluster"
	stop_cluster
	exit 3
fi
trap stop_cluster EXIT
run_tests
