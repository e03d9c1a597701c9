#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What a crash of the server may cost (-write-policy), what is slow and what is dead,
# and which export a device comes back to.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# start_cache: a hostile server that loses, with power-loss, what was not made durable
start_cache() {
	start_hostile --size 16M --volatile
}

# dd_write [DD-ARGUMENT...]: 64 KiB at a time, past the page cache
dd_write() {
	dd if=/dev/urandom of="$dev" bs=64k oflag=direct status=none "$@"
}

flush_device() {
	dd if=/dev/null of="$dev" conv=fsync,notrunc status=none
}

# --- write policies ---

variants[test_through]="conns:1,4"
test_through() {
	start_cache
	attach "${server_args[@]}" -write-policy through -connections "$conns"
	assert_equal "$(<"/sys/block/$name/queue/write_cache")" "write through"
	dd_write count=16
	blkdiscard -z -o 8M -l 1M "$dev"
	dd if=/dev/urandom of="$dev" bs=4k count=16 seek=1024 conv=fsync status=none
	assert_equal "$(ctl "get fua")" "$(($(ctl "get writes") + $(ctl "get zeroes")))" \
		"writes with FUA"
	dd if="$dev" of=before bs=64k iflag=direct status=none
	assert_equal "$(ctl power-loss)" 0 "bytes lost"
	dd if="$dev" of=after bs=64k iflag=direct status=none
	cmp before after
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
}

test_through_needs_fua() {
	start_hostile --size 16M --flags -fua
	expect_failure "$NBD_CLIENT" "${server_args[@]}" -write-policy through
	assert_match "$output" "FUA"
}

# With the default policy the same loss goes unnoticed, by design.
test_back() {
	start_cache
	attach "${server_args[@]}" -connections 1
	assert_equal "$(<"/sys/block/$name/queue/write_cache")" "write back"
	dd_write count=1
	assert_equal "$(ctl "get fua")" 0 "writes with FUA"
	[ "$(ctl power-loss)" -gt 0 ] || fail "nothing was lost"
	flush_device
	detach
}

lost_connections() {
	[ "$(counter connection_deaths)" -ge "$1" ] && state_is live
}

variants[test_strict]="conns:1,4"
test_strict() {
	start_cache
	attach "${server_args[@]}" -write-policy strict -connections "$conns"
	dd_write count=4
	flush_device
	ctl power-loss
	wait_for 10 lost_connections "$conns"
	flush_device			# nothing was in doubt
	dd_write count=4
	[ "$(ctl power-loss)" -gt 0 ] || fail "nothing was lost"
	wait_for 10 lost_connections $((2 * conns))
	allow_log 'error, dev nbd'
	expect_failure flush_device
	assert_match "$output" "Input/output error"
	flush_device
	dd_write count=1 conv=fsync
	detach
}

# --- slow is not dead ---

# A server that answers after a long time keeps its connection.
variants[test_slow_server]="conns:1,4"
timeouts[test_slow_server]=200
test_slow_server() {
	local seconds=3 begin

	[ "${FULL:-0}" != 1 ] || seconds=90
	start_hostile --size 16M
	attach "${server_args[@]}" -slow-timeout 1 -connections "$conns"
	ctl "hold t=$seconds type=read"
	begin=$(milliseconds)
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
	assert_within "$(elapsed "$begin")" $((seconds * 1000)) \
		$(((seconds + $(scaled 5)) * 1000)) "milliseconds"
	assert_equal "$(counter slow)" 1 "slow requests"
	assert_equal "$(counter timed_out)" 0 "connections given up"
	assert_equal "$(counter connection_deaths)" 0 "lost connections"
	assert_equal "$(counter resent)" 0 "requests sent again"
	expect_log 'READ of 4096 bytes at byte [0-9]+ unanswered for [0-9]+ s, still waiting'
	detach
	attach "${server_args[@]}" -connections "$conns"
	assert_equal "$(counter slow)" 0 "slow requests of a new attachment"
	assert_equal "$(status_field slow_timeout)" 30 "the slow timeout of a new attachment"
	detach
}

slow_is_counted() {
	[ "$(counter slow)" -gt 0 ]
}

# A server that reads nothing, so that the end of a request stays in our socket: its TCP
# answers, so it is no dead peer.
test_full_window() {
	local writer

	transport=tcp
	start_hostile --size 16M --rcvbuf 65536
	attach "${server_args[@]}" -connections 1 -peer-timeout 3 -slow-timeout $((6 + $(scaled 3)))
	kill -STOP "$server_pid"
	dd if=/dev/zero of="$dev" bs=512k count=1 oflag=direct status=none &
	writer=$!
	wait_for 30 slow_is_counted
	kill -CONT "$server_pid"
	wait "$writer"
	assert_equal "$(counter connection_deaths)" 0 "lost connections"
	expect_log 'unanswered for [0-9]+ s, still waiting'
	detach
}

# However a device is attached, a slow server is given up only if that was asked for.
variants[test_no_timeout_by_default]="how:host,uri,nbdtab,ioctl"
test_no_timeout_by_default() {
	transport=tcp
	start_hostile --size 16M
	case $how in
	host) attach 127.0.0.1 "$port" ;;
	uri) attach "$server_uri" ;;
	nbdtab)
		echo "nbd0 127.0.0.1 - port=$port" >tab
		modprobe nbd
		use_device nbd0
		"$NBD_CLIENT" -nbdtab "$PWD/tab" nbd0
		;;
	ioctl) attach_ioctl 127.0.0.1 "$port" ;;
	esac
	assert_equal "$(status_field timeout)" null "the request timeout"
	detach
}

# All three timers are shown by their names.
test_three_timers() {
	start_hostile --size 16M
	attach "${server_args[@]}" -slow-timeout 7 -timeout 11 -peer-timeout 13 -dead-timeout 17
	assert_equal "$(status_field slow_timeout)" 7
	assert_equal "$(status_field timeout)" 11
	assert_equal "$(status_field peer_timeout)" 13
	assert_equal "$(status_field dead_timeout)" 17
	output=$("$NBD_CLIENT" -status "$dev")
	assert_match "$output" "slow after 7 s"
	assert_match "$output" "failed over after 11 s"
	assert_match "$output" "failed without a connection after 17 s"
	assert_match "$output" "peer dead after 13 s"
	detach
}

# A request that exceeds -timeout costs its connection, and is answered by another.
variants[test_timeout_moves_request]="conns:1,4"
test_timeout_moves_request() {
	local begin

	start_hostile --size 16M
	attach "${server_args[@]}" -timeout 1 -connections "$conns"
	ctl "never type=read"
	begin=$(milliseconds)
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
	assert_within "$(elapsed "$begin")" 900 $(($(scaled 5) * 1000 + 1000)) "milliseconds"
	assert_equal "$(counter timed_out)" 1 "connections given up"
	assert_equal "$(counter resent)" 1 "requests sent again"
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
}

# --- another export at the same address ---

test_export_that_grew() {
	start_hostile --size 16M
	attach "${server_args[@]}" -connections 1
	ctl "export size=32M" "kill all"
	wait_for 10 device_has $((32 << 20))
	dd_write count=1 seek=300
	said 'has grown from 16777216 to 33554432 bytes'
	detach
}

device_has() {
	[ "$(blockdev --getsize64 "$dev")" = "$1" ]
}

# refused_until_fixed COMMAND FIX REGEX: the server comes back changed by COMMAND; the
# device waits and the log says why; after FIX it goes on as if nothing had been
refused_until_fixed() {
	local reader

	ctl "$1" "kill all"
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none &
	reader=$!
	wait_for 10 said "refused to reconnect.*$3"
	! gone_or_reaped "$reader" || fail "the read has ended"
	assert_equal "$(status_field state)" waiting "state"
	ctl "$2"
	wait "$reader"
	assert_equal "$(counter failed)" 0 "requests that failed"
}

test_export_that_shrank() {
	start_hostile --size 32M
	attach "${server_args[@]}" -connections 1
	refused_until_fixed "export size=16M" "export size=32M" "16777216"
	assert_equal "$(blockdev --getsize64 "$dev")" $((32 << 20)) "size"
	detach
}

test_export_that_lost_a_feature() {
	start_hostile --size 16M
	attach "${server_args[@]}" -connections 1
	refused_until_fixed "export flags=-flush" "export flags=flush" "lost features"
	detach
}

test_export_that_became_read_only() {
	start_hostile --size 16M
	attach "${server_args[@]}" -connections 1
	refused_until_fixed "export flags=ro" "export flags=-ro" "read-only"
	detach
}

test_export_of_another_name() {
	start_hostile --size 16M --name disk
	attach "${server_args[@]}" -name disk -connections 1
	ctl "export name=other" "kill all"
	wait_for 10 said "cannot reconnect.*no such export"
	assert_equal "$(status_field state)" waiting "state"
	ctl "export name=disk"
	wait_for 20 state_is live
	detach
}

run_tests
