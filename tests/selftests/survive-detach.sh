#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Detaching always works, and soon, whatever the server does. What is in use is not
# taken away unless that is asked for. The kernel log shows no stuck task, the device is
# free and the module can be unloaded (the framework looks after each test).
. "$(dirname "$0")/../survive.sh"

readonly DETACH_SECONDS=5

# detach_in_time [OPTION...]: must succeed within the promised time
detach_in_time() {
	local begin

	begin=$(milliseconds)
	"$NBD_CLIENT" "$@" -d "$dev"
	assert_within "$(elapsed "$begin")" 0 $(($(scaled $DETACH_SECONDS) * 1000)) \
		"milliseconds to detach"
	assert_equal "$(<"/sys/block/$name/size")" 0 "size after detaching"
	expect_status 1 "$NBD_CLIENT" -c "$dev"
}

# start_io: reads and writes in the background that must all end with one clear error
# when the device is taken away
start_io() {
	local i

	io=()
	for i in 1 2; do
		dd if=/dev/zero of="$dev" bs=1M count=8 oflag=direct 2>"write.$i" &
		io+=($!)
		dd if="$dev" of=/dev/null bs=64k count=64 iflag=direct 2>"read.$i" &
		io+=($!)
	done
}

# start_stuck_io: start_io, of which each process waits for the device when this returns
start_stuck_io() {
	start_io
	wait_for 20 all_io_waits
}

# Two read and two write, a request at a time or more.
all_io_waits() {
	local counts

	read -ra counts <"/sys/block/$name/inflight"
	[ "${counts[0]}" -ge 2 ] && [ "${counts[1]}" -ge 2 ]
}

# io_has_failed: all of start_io's, with an error of its own and none with a signal
io_has_failed() {
	local pid file

	for pid in "${io[@]}"; do
		wait_for "$DETACH_SECONDS" gone_or_reaped "$pid"
		! wait "$pid" || fail "an I/O of the detached device succeeded"
	done
	for file in write.* read.*; do
		grep -q 'Input/output error' "$file" || fail "$file: $(<"$file")"
	done
}

# take_away: by force, with I/O in flight
take_away() {
	allow_log 'error, dev nbd'
	detach_in_time -force
	io_has_failed
}

# --- in every condition ---

variants[test_dead_server]=$ways
test_dead_server() {
	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
	kill_server
	start_stuck_io
	wait_for 5 state_is waiting
	take_away
}

variants[test_stopped_server]=$ways
test_stopped_server() {
	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
	kill -STOP "$server_pid"
	start_stuck_io
	take_away
	kill -CONT "$server_pid"
}

requests_in_flight() {
	"$NBD_CLIENT" -status -json "$dev" | grep -q '"inflight": [1-9]'
}

# The server takes nothing more out of its socket; the writer's buffer is full.
variants[test_full_socket_buffer]=$ways
test_full_socket_buffer() {
	start_hostile --rcvbuf 16384
	attach "${server_args[@]}" -connections "$conns"
	ctl pause
	start_stuck_io
	take_away
}

variants[test_requests_that_nobody_answers]=$ways
test_requests_that_nobody_answers() {
	start_hostile
	attach "${server_args[@]}" -connections "$conns"
	ctl "never type=read count=0" "never type=write count=0"
	start_stuck_io
	ctl "wait outstanding>=4"
	take_away
}

variants[test_mid_reply]=$ways
test_mid_reply() {
	start_hostile
	attach "${server_args[@]}" -connections "$conns"
	ctl "cut type=read at=20000 then=stall count=0" "never type=write count=0"
	start_stuck_io
	ctl "wait outstanding>=4"
	take_away
}

# With a working server, in the middle of a stream.
variants[test_mid_io]=$ways
test_mid_io() {
	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
	start_endless_io
	allow_log 'error, dev nbd'
	detach_in_time -force
	wait_for "$DETACH_SECONDS" gone_or_reaped "$endless"
	wait "$endless"
	cat endless.out
	# in the middle of a write, or of a write that begins when the size is 0
	grep -qE 'Input/output error|No space left on device' endless.out
}

# start_endless_io: writes over and over until that fails; is at work when this returns
start_endless_io() {
	while dd if=/dev/zero of="$dev" bs=256k count=64 oflag=direct; do
		touch wrote
	done 2>endless.out &
	endless=$!
	wait_for 20 test -e wrote
}

# The server accepts and says nothing: the monitor is in the middle of a handshake.
test_mid_negotiation() {
	start_hostile
	attach "${server_args[@]}" -connections 1
	ctl "scenario hs-silent" "kill all"
	start_stuck_io
	ctl "wait accepted>=2"
	take_away
}

test_from_another_process() {
	start_disk 64M
	attach "${server_args[@]}"
	kill -STOP "$server_pid"
	start_stuck_io
	allow_log 'error, dev nbd'
	setsid --wait "$NBD_CLIENT" -force -d "$dev" &
	"$NBD_CLIENT" -force -d "$dev"
	wait $!
	io_has_failed
	kill -CONT "$server_pid"
}

# No call about another device waits for one that is stuck.
test_others_beside_a_stuck_one() {
	local stuck begin

	start_hostile --rcvbuf 16384
	attach "${server_args[@]}"
	ctl pause
	start_stuck_io
	stuck=$dev
	start_nbdkit memory 1M
	begin=$(milliseconds)
	"$NBD_CLIENT" -status -json >/dev/null
	blockdev --getsize64 /dev/nbd15
	attach "${server_args[@]}"
	device_works
	detach
	assert_within "$(elapsed "$begin")" 0 $(($(scaled $DETACH_SECONDS) * 1000)) \
		"milliseconds of another device's life"
	use_device "${stuck#/dev/}"
	take_away
}

# A mount that is taken away: what is in it fails, and it can be unmounted.
variants[test_mounted_by_force]=$ways
test_mounted_by_force() {
	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
	mount_disk
	dd if=/dev/urandom of=mnt/file bs=1M count=4 conv=fsync status=none
	kill -STOP "$server_pid"
	allow_log 'I/O error.* nbd[0-9]|(JBD2|EXT4-fs).*nbd[0-9]'
	dd if=/dev/zero of=mnt/file bs=64k count=8 oflag=direct conv=notrunc 2>dd.out &
	wait_for 10 requests_in_flight
	detach_in_time -force
	! wait $! || fail "the write succeeded"
	grep 'Input/output error' dd.out
	umount mnt
	kill -CONT "$server_pid"
}

# --- what is in use ---

test_refused_while_mounted() {
	start_disk 64M
	attach "${server_args[@]}"
	mount_disk
	expect_failure "$NBD_CLIENT" -d "$dev"
	assert_match "$output" "in use"
	assert_match "$output" "$PWD/mnt"
	touch mnt/still-works
	sync -f mnt
	umount mnt
	detach_in_time
}

test_refused_while_open() {
	start_disk 64M
	attach "${server_args[@]}"
	sleep 1000 3<"$dev" &
	cleanup_fn stop_process $!
	wait_for 5 holds_open $!
	expect_failure "$NBD_CLIENT" -d "$dev"
	assert_match "$output" "in use"
	assert_match "$output" "sleep"
	assert_match "$output" "$!"
	stop_process $!
	detach_in_time
}

holds_open() {
	[ "$(readlink "/proc/$1/fd/3")" = "$dev" ]
}

test_refused_below_device_mapper() {
	requires_program dmsetup
	start_disk 64M
	attach "${server_args[@]}"
	dmsetup create survive --table "0 1000 linear $dev 0"
	cleanup_fn dmsetup remove --retry survive
	expect_failure "$NBD_CLIENT" -d "$dev"
	assert_match "$output" "dm-|survive"
	dmsetup remove --retry survive
	detach_in_time
}

test_refused_while_swapping() {
	start_disk 64M
	attach "${server_args[@]}"
	mkswap -q "$dev" || mkswap "$dev" >/dev/null
	swapon "$dev"
	cleanup_fn swapoff_quietly
	expect_failure "$NBD_CLIENT" -d "$dev"
	assert_match "$output" "swap"
	swapoff "$dev"
	detach_in_time
}

test_second_detach() {
	start_disk 64M
	attach "${server_args[@]}"
	detach_in_time
	expect_status 0 "$NBD_CLIENT" -d "$dev"
	expect_status 0 "$NBD_CLIENT" -force -d "$dev"
}

run_tests
