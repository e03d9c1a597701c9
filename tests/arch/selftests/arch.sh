#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Another architecture: what depends on the order of bytes, the width of a long and the size
# of a page. It is slow, so this is all that is tested there.
. "$(dirname "$0")/../../lib.sh"

timeouts[test_sizes]=180
timeouts[test_beyond_4g]=120
timeouts[test_ext4]=180

# copies SIZE: 64 pieces of that size, at $at
copies() {
	local piece=$1

	head -c 4M /dev/urandom >data
	dd if=data of="$dev" bs="$piece" count=64 seek="$at"B oflag=direct conv=fsync status=none
	dd if="$dev" of=back bs=4M count=$((64 * piece)) skip="$at"B \
		iflag=direct,count_bytes,fullblock status=none
	cmp -n $((64 * piece)) data back
}

# Each size that a request has, from a block to what is split.
test_sizes() {
	local piece at=4096

	start_nbdkit memory 64M
	attach "${server_args[@]}" -block-size 512
	for piece in 512 1024 4096 16384 65536; do
		copies "$piece"
	done
	head -c 16M /dev/urandom >data
	for piece in 1M 4M 16M; do
		dd if=data of="$dev" bs="$piece" oflag=direct conv=fsync status=none
		dd if="$dev" bs=4096 count=16M iflag=direct,count_bytes status=none | cmp - data
	done
	dd if=data of="$dev" bs=1M status=none conv=fsync	# through the page cache
	dd if="$dev" bs=1M count=16 iflag=direct status=none | cmp - data
	detach
}

# Nothing comes out where the lower 32 bits of its offset lead.
test_beyond_4g() {
	start_nbdkit memory 9G
	attach "${server_args[@]}"
	head -c 2M /dev/urandom >data
	for at in $((4 << 30)) $(((4 << 30) - 1048576)) $(((8 << 30) + 4096)); do
		dd if=data of="$dev" bs=1M seek="$at"B oflag=direct conv=fsync status=none
		dd if="$dev" bs=64k count=2M skip="$at"B iflag=direct,count_bytes \
			status=none | cmp - data
	done
	dd if="$dev" bs=1M count=16 iflag=direct status=none | cmp -n 16777216 - /dev/zero
	detach
}

test_ext4() {
	start_nbdkit memory 256M
	attach "${server_args[@]}"
	mount_ext4 "$dev"
	cp -r "$top/client" mnt/
	head -c 20M /dev/urandom >mnt/data
	sha256sum <mnt/data >sum
	umount mnt
	e2fsck -fn "$dev"
	mount "$dev" mnt
	diff -r "$top/client" mnt/client
	sha256sum <mnt/data | cmp - sum
	umount mnt
	detach
}

# The page cache of 32 bits ends at 16 TiB, which the driver says; and its ioctls count blocks
# in a long, of which a disk of 2 TiB has too many.
test_large() {
	local narrow=1

	case $(uname -m) in
	*64* | s390x) narrow='' ;;
	esac
	[ -z "$narrow" ] || expect_log 'more than the page cache of this 32-bit kernel'
	start_nbdkit memory 17T
	attach "${server_args[@]}"
	assert_equal "$(cat "/sys/block/$name/size")" $((17 << 31))
	detach
	if [ -n "$narrow" ]; then
		expect_failure "$NBD_CLIENT" -nonetlink "${server_args[@]}" -size 2T /dev/nbd1
		assert_match "$output" "use netlink .*block-size 1024"
	fi
}

run_tests
