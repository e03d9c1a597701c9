#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The counter of requests that ended in an error: each way to end so is counted, once.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# Where requests meet an error; nothing else reads there.
place="lba=1M end=2M"

# counts N COMMAND...: that fails, and N more requests have failed then
counts() {
	local before wanted=$1

	shift
	before=$(counter failed)
	expect_failure "$@"
	echo "$output"
	assert_equal $(($(counter failed) - before)) "$wanted" "failed requests of: $*"
}

read_one() {
	dd if="$dev" of=/dev/null bs=4k count=1 skip=256 iflag=direct status=none
}

# write_one [DD-ARGUMENT...]
write_one() {
	dd if=/dev/zero of="$dev" bs=4k count=1 seek=256 oflag=direct status=none "$@"
}

flush_device() {
	dd if=/dev/null of="$dev" conv=fsync,notrunc status=none
}

# What a server answers. One that offers no FUA gets a flush after such a write.
test_server_errors() {
	start_hostile --size 16M --flags has,flush,trim,zeroes
	attach "${server_args[@]}"
	allow_log 'error, dev nbd'
	ctl "err e=5 type=read $place" "err e=28 type=write $place" "err e=5 type=trim $place" \
		"err e=5 type=zeroes $place"
	counts 1 read_one
	counts 1 write_one
	counts 1 blkdiscard -o 1M -l 64k "$dev"
	# Linux 6.1 writes the zeroes then, and succeeds
	blkdiscard -z -o 1M -l 64k "$dev" || true
	assert_equal "$(counter failed)" 4 "requests that failed, those of zeroes included"
	ctl clear "err e=5 type=flush count=2"
	counts 1 flush_device
	counts 1 write_one oflag=direct,dsync
	assert_equal "$(counter server_errors)" 6 "errors that the server answered"
	assert_equal "$(counter failed)" 6 "requests that failed"
	read_one
	write_one oflag=direct,dsync
	assert_equal "$(counter failed)" 6 "requests that failed, after some that did not"
	detach
}

has_died() {
	[ "$(counter connection_deaths)" -ge 1 ] && state_is live
}

# A flush that the server has done, and that fails all the same.
test_strict_flush() {
	start_hostile --size 16M --volatile
	attach "${server_args[@]}" -write-policy strict -connections 1
	allow_log 'error, dev nbd'
	write_one
	ctl power-loss
	wait_for 10 has_died
	counts 1 flush_device
	flush_device
	assert_equal "$(counter failed)" 1 "requests that failed"
	detach
}

# A request that connections keep dying under.
test_poison() {
	start_hostile --size 16M
	attach "${server_args[@]}" -connections 1
	allow_log 'error, dev nbd'
	ctl "end how=rst type=read $place count=0"
	counts 1 read_one
	detach
}

# One that connections are given up for in vain, while others are answered.
test_mute() {
	local reader

	start_hostile --size 16M
	attach "${server_args[@]}" -connections 4 -timeout 1
	allow_log 'error, dev nbd'
	until [ -e read.stop ]; do
		dd if="$dev" of=/dev/null bs=4k count=16 iflag=direct status=none
	done &
	reader=$!
	ctl "never type=read $place count=0"
	counts 1 read_one
	touch read.stop
	wait "$reader"
	detach
}

# One that waits for a connection for too long, and one that need not wait any more.
test_no_connection() {
	start_hostile --size 16M
	attach "${server_args[@]}" -connections 1 -dead-timeout 1
	allow_log 'error, dev nbd'
	ctl "listen off" "kill all how=rst"
	counts 1 read_one
	assert_equal "$(status_field state)" failed "state"
	counts 1 read_one
	detach
}

run_tests
