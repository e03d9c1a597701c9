#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Detaching always works, and soon, whatever the server does. What is in use is not
# taken away unless that is asked for. The kernel log shows no stuck task (the framework
# looks), the device is free, and the module unloads.
. "$(dirname "$0")/../survive.sh"
dealt_out=1

readonly DETACH_SECONDS=5

declare -a io=() load=()

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

# start_work_if_full: a file system in the device's first half. Without FULL=1 two of the
# conditions have it.
start_work_if_full() {
	[ "${FULL:-0}" != 1 ] || start_work
}

# start_stuck_io: reads and writes of the device's other half, in the background, that must
# all end with one clear error when it is taken away; each process waits for the device
# when this returns
start_stuck_io() {
	local i

	io=()
	for i in 1 2; do
		dd if=/dev/zero of="$dev" bs=1M count=8 seek=32 oflag=direct 2>"write.$i" &
		io+=($!)
		dd if="$dev" of=/dev/null bs=64k count=64 skip=512 iflag=direct 2>"read.$i" &
		io+=($!)
	done
	wait_for 20 all_io_waits
}

# Not by the number of requests in flight: most of those are the load's.
all_io_waits() {
	local pid stack

	for pid in "${io[@]}"; do
		stack=
		read -rd '' stack <"/proc/$pid/stack" || true
		[[ $stack = *blkdev_@(read|write)_iter* ]] || return
	done
}

# has_io_error FILE: a process said there that its I/O failed: once, and with EIO
has_io_error() {
	assert_equal "$(grep -o 'error .*' "$1" | sed 's/.*: //')" "Input/output error" "$1"
}

# io_has_failed: all of start_stuck_io's, and none with a signal
io_has_failed() {
	local pid file status

	for pid in "${io[@]}"; do
		wait_for "$DETACH_SECONDS" gone_or_reaped "$pid"
		status=0
		wait "$pid" || status=$?
		assert_equal "$status" 1 "status of an I/O of the detached device"
	done
	for file in write.* read.*; do
		has_io_error "$file"
	done
}

# load_has_failed: with EIO at the requests that the driver had. What had not come as far
# the file system refuses by itself.
load_has_failed() {
	wait_for "$DETACH_SECONDS" gone_or_reaped "${load[0]}"
	! wait "${load[0]}" || fail "the load went on"
	grep 'Input/output error' fio.file
	! grep 'io_u error' fio.file | grep -vE 'Input/output error|Read-only file system' ||
		fail "another error than EIO"
}

# unload: what the device was does not keep the module. Whoever attaches next loads it.
unload() {
	if mountpoint -q mnt; then umount mnt; fi
	test_module_unloads
}

# take_away: by force, with I/O in flight
take_away() {
	allow_log 'I/O error.* dev nbd|Buffer I/O error|(JBD2|EXT4-fs|Aborting journal).*nbd'
	detach_in_time -force
	[ ${#io[@]} = 0 ] || io_has_failed
	[ ${#load[@]} = 0 ] || load_has_failed
	unload
}

# --- in every condition ---

# The server is gone, and the monitor tries again now and then.
variants[test_dead_server]=$ways
test_dead_server() {
	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
	start_work_if_full
	kill_server
	start_stuck_io
	wait_for 20 state_is waiting
	take_away
}

variants[test_stopped_server]=$ways
test_stopped_server() {
	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
	start_work
	kill -STOP "$server_pid"
	start_stuck_io
	take_away
}

# The server takes nothing more out of its socket; the writer's buffer is full.
variants[test_full_socket_buffer]=$ways
test_full_socket_buffer() {
	start_hostile --rcvbuf 16384 --size 64M
	attach "${server_args[@]}" -connections "$conns"
	start_work_if_full
	ctl pause
	start_stuck_io
	take_away
}

variants[test_requests_that_nobody_answers]=$ways
test_requests_that_nobody_answers() {
	start_hostile --size 64M
	attach "${server_args[@]}" -connections "$conns"
	start_work_if_full
	ctl "never type=read count=0" "never type=write count=0"
	start_stuck_io
	ctl "wait outstanding>=4"
	take_away
}

variants[test_mid_reply]=$ways
test_mid_reply() {
	start_hostile --size 64M
	attach "${server_args[@]}" -connections "$conns"
	start_work_if_full
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
	start_work
	take_away
}

# The server accepts and says nothing: the monitor is in the middle of a handshake.
variants[test_mid_negotiation]=$ways
test_mid_negotiation() {
	start_hostile --size 64M
	attach "${server_args[@]}" -connections "$conns"
	start_work_if_full
	ctl "scenario hs-silent" "kill all"
	start_stuck_io
	ctl "wait accepted>=$((conns + 1))"
	take_away
}

# refuse_to_answer: nothing that is sent to the server's port arrives from now on
refuse_to_answer() {
	nft -f - <<-END
		table inet silence {
			chain in { type filter hook input priority 0; tcp dport $port drop; }
		}
	END
	cleanup_fn nft delete table inet silence
}

# connecting: somebody waits for the server's answer to a SYN
connecting() {
	local to state

	while read -r _ _ to state _; do
		[[ $to = *"$(printf ':%04X' "$port")" ]] && [ "$state" = 02 ] && return 0
	done </proc/net/tcp
	return 1
}

# The server's address is silent: the monitor is in the middle of a connect().
variants[test_during_reconnect]="transport:tcp conns:1,4"
test_during_reconnect() {
	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
	start_work_if_full
	refuse_to_answer
	kill_server
	start_stuck_io
	wait_for 10 connecting
	take_away
}

variants[test_from_another_process]=$ways
test_from_another_process() {
	local other

	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
	start_work_if_full
	kill -STOP "$server_pid"
	start_stuck_io
	setsid --wait "$NBD_CLIENT" -force -d "$dev" &
	other=$!
	take_away
	wait "$other"
}

# No call about another device waits for one that is stuck.
test_others_beside_a_stuck_one() {
	local stuck begin

	start_hostile --rcvbuf 16384 --size 64M
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
	wait_for 20 holds_open $!
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
