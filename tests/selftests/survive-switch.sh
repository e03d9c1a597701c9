#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Switch-over: a device moves to other servers and other numbers of connections while
# it is written to, and nobody notices.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# switch_to I N [OPTION...]: to that twin, with N connections; the load goes on there
switch_to() {
	local before

	before=$(twin "$1" "get requests")
	"$NBD_CLIENT" -replace "${@:3}" -connections "$2" "${twin_uri[$1]}" "$dev"
	assert_equal "$(live_connections)" $(($2 + 1)) "live entries, the device's included"
	twin $((1 - $1)) "wait tx_conns=0"
	twin "$1" "wait requests>=$((before + 1)) timeout=$(scaled 30)"
}

# The servers saw nothing but well-formed requests of connections in order.
check_twin() {
	local name

	for name in misaligned out_of_range unoffered dup_cookie bad_magic hs_bad outstanding; do
		assert_equal "$(twin "$1" "get $name")" 0 "twin $1: $name"
	done
	[ "$(twin "$1" "get requests")" -gt 0 ] || fail "twin $1 was never used"
}

# lost_requests LOG...: of these servers' logs, the requests that were lost: not answered
# when their connection went, and not answered on a later one of any of the servers either
lost_requests() {
	awk '
		$3 ~ /^(read|write|flush|trim|zeroes)$/ {
			id = FILENAME " " $2 " " $5
			came[id] = $1
			what[id] = $3 " " $4 " " $6 " " $7
		}
		$3 == "sent" {
			id = FILENAME " " $2 " " $4
			if (id in came && !(answered[what[id]] > came[id]))
				answered[what[id]] = came[id]
			delete came[id]
		}
		END {
			for (id in came)
				if (!(answered[what[id]] > came[id]))
					print "lost: " id ": " what[id]
		}' "$@"
}

# check_twins: the servers saw nothing but well-formed requests, and answered each
check_twins() {
	check_twin 0
	check_twin 1
	assert_equal "$(lost_requests log.0 log.1)" "" "requests that no server answered"
}

variants[test_switch_under_load]="transport:tcp,unix"
timeouts[test_switch_under_load]=600
test_switch_under_load() {
	local i n

	start_twins
	attach "${twin_uri[0]}" -connections 2
	start_load "$dev"
	n=$(count 100)
	for ((i = 1; i <= n; i++)); do
		random_nap 300
		load_goes_on
		switch_to $((i % 2)) $((RANDOM % 4 + 1))
	done
	end_load
	assert_equal "$(counter failed)" 0 "requests that failed"
	check_twins
	detach
}

# To one connection of one twin, to four of the other.
timeouts[test_switch_below_file_system]=600
test_switch_below_file_system() {
	local i n=2

	[ "${FULL:-0}" != 1 ] || n=100
	start_twins
	attach "${twin_uri[0]}" -connections 1
	mount_disk
	start_load mnt/file
	for ((i = 1; i <= n; i++)); do
		random_nap 500
		load_goes_on
		switch_to $((i % 2)) $((1 + i % 2 * 3))
	done
	end_load
	assert_equal "$(counter failed)" 0 "requests that failed"
	unmount_and_check
	check_twins
	detach
}

# A server that lives answers what it has, however long it takes: it would execute a
# request late that is sent again to another one.
test_switch_waits_for_answers() {
	local writer

	start_twins
	attach "${twin_uri[0]}" -connections 2
	twin 0 "hold type=write t=8s count=0"
	head -c 4096 /dev/zero | tr '\0' K >block
	dd if=block of="$dev" bs=4k count=1 oflag=direct status=none &
	writer=$!
	twin 0 "wait outstanding>=1"
	"$NBD_CLIENT" -replace -connections 3 "${twin_uri[1]}" "$dev"
	assert_equal "$(twin 0 "get outstanding")" 1 "requests at the old server"
	dd if="$dev" of=copy bs=4k skip=1 count=1 iflag=direct status=none
	wait_for 10 retiring_is 1 1
	"$NBD_CLIENT" -status "$dev" | grep "replaced: 1 connections, whose server has 1 requests"
	wait "$writer"
	twin 0 "wait tx_conns=0"
	wait_for 10 retiring_is 0 0
	assert_equal "$(counter resent)" 0 "requests that were sent again"
	! grep " write " log.1 || fail "the new server got the write, too"
	dd if="$dev" of=copy bs=4k count=1 iflag=direct status=none
	cmp block copy
	check_twins
	detach
}

# retiring_is CONNECTIONS REQUESTS: so many were replaced and still live, with so many
retiring_is() {
	[ "$(counter retiring) $(counter retiring_inflight)" = "$1 $2" ]
}

# start_unanswered_read [OPTION...]: on a device at twin 0, which has it; sets reader
start_unanswered_read() {
	attach "${twin_uri[0]}" -connections 2 "$@"
	twin 0 "never type=read count=0"
	dd if="$dev" of=block bs=4k count=1 iflag=direct status=none &
	reader=$!
	twin 0 "wait outstanding>=1"
}

# Nor does a detach wait for it.
test_detach_after_switch() {
	local reader status=0

	start_twins
	start_unanswered_read
	"$NBD_CLIENT" -replace "${twin_uri[1]}" "$dev"
	allow_log 'I/O error.* dev '"$name"
	timeout "$(scaled 3)" "$NBD_CLIENT" -force -d "$dev"
	wait "$reader" || status=$?
	assert_equal "$status" 1 "exit status of the reader"
}

# Nor does it outlast the wait for a connection: nobody could send it again.
variants[test_dead_timeout_after_switch]="option:-dead-timeout=1,-dead-timeout=0"
test_dead_timeout_after_switch() {
	local reader status=0

	start_twins
	start_unanswered_read "$option"
	"$NBD_CLIENT" -replace "${twin_uri[1]}" "$dev"
	allow_log 'I/O error.* dev '"$name"
	twin 1 "listen off" "kill all how=rst"
	wait_for 15 gone_or_reaped "$reader"
	wait "$reader" || status=$?
	assert_equal "$status" 1 "exit status of the reader"
	assert_equal "$(status_field state)" failed "state"
	"$NBD_CLIENT" -force -d "$dev"
}

# What the old server does not answer is sent again on the new connections when the
# administrator says that it is dead: at once, or with a second switch-over.
variants[test_switch_with_requests_in_flight]="switches:one,two"
test_switch_with_requests_in_flight() {
	local reader

	start_twins
	twin 0 "fill from=0 len=4096 byte=75"
	start_unanswered_read
	expect_log "$name: replaced connection [01]: what its server has not answered is sent again"
	if [ "$switches" = two ]; then
		"$NBD_CLIENT" -replace "${twin_uri[1]}" "$dev"
		wait_for 10 retiring_is 1 1
	fi
	switch_to 1 3 -now
	wait "$reader"
	assert_equal "$(tr -d K <block | wc -c)" 0 "bytes that are not the server's"
	[ "$(counter resent)" -ge 1 ] || fail "nothing was sent again"
	assert_match "$(lost_requests log.0)" "^lost: .*: read 0 0 4096\$" "twin 0's log alone"
	assert_equal "$(lost_requests log.0 log.1)" "" "requests that no server answered"
	detach
}

# Or when its connection dies.
test_switch_before_the_end() {
	local reader

	start_twins
	start_unanswered_read
	"$NBD_CLIENT" -replace "${twin_uri[1]}" "$dev"
	! gone_or_reaped "$reader" || fail "the read has ended"
	twin 0 "kill all how=rst"
	wait "$reader"
	wait_for 10 retiring_is 0 0
	assert_equal "$(counter resent)" 1 "requests that were sent again"
	detach
}

# Raising and lowering the number of connections of one server. Not nbdkit: it has been
# seen to fail an assertion of its own when a busy connection is reset.
test_number_of_connections() {
	local n

	start_twins
	attach "${twin_uri[0]}" -connections 1
	start_load "$dev"
	for n in 4 2 8 1; do
		"$NBD_CLIENT" -replace -connections "$n" "$dev"
		assert_equal "$(live_connections)" $((n + 1)) "live entries"
		load_goes_on
	done
	end_load
	detach
}

# A switch-over that cannot be done changes nothing.
test_refused_switch() {
	start_twins
	attach "${twin_uri[0]}" -connections 2
	twin 1 "export size=32M"
	expect_failure "$NBD_CLIENT" -replace "${twin_uri[1]}" "$dev"
	assert_match "$output" "smaller|33554432"
	expect_failure "$NBD_CLIENT" -replace "nbd+unix:///?socket=$PWD/nobody" "$dev"
	assert_equal "$(live_connections)" 3 "live entries"
	assert_equal "$(counter connection_deaths)" 0 "lost connections"
	dd if="$dev" of=/dev/null bs=64k count=1 iflag=direct status=none
	detach
	expect_failure "$NBD_CLIENT" -replace "${twin_uri[0]}" "$dev"
	assert_match "$output" "not attached"
	expect_failure "$NBD_CLIENT" -now "${twin_uri[0]}" "$dev"
	assert_match "$output" "-now .* -replace only"
}

# waits_for_lock PID: it has opened the lock of $name, which the test holds
waits_for_lock() {
	[ -n "$(find "/proc/$1/fd" -lname "/run/nbd/.$name.lock")" ]
}

# What the driver does and what the record says change together, or not at all.
test_interrupted_switch() {
	local client lock

	start_twins
	attach "${twin_uri[0]}"
	exec {lock}<>"/run/nbd/.$name.lock"
	flock "$lock"
	"$NBD_CLIENT" -replace "${twin_uri[1]}" "$dev" {lock}>&- &
	client=$!
	wait_for 10 waits_for_lock "$client"
	assert_equal "$(twin 1 "get requests")" 0 "requests at the new server"
	kill -TERM "$client"
	wait "$client" || true
	exec {lock}>&-
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
	assert_equal "$(twin 1 "get requests")" 0 "requests at the new server"
	grep -qF "${twin_uri[0]##*=}" "/run/nbd/$name"
	! grep -F "${twin_uri[1]##*=}" "/run/nbd/$name" || fail "the new server is in the record"
	"$NBD_CLIENT" -replace "${twin_uri[1]}" "$dev"
	grep -qF "${twin_uri[1]##*=}" "/run/nbd/$name"
	detach
}

# A device without any connection is brought to life by hand.
test_switch_of_a_waiting_device() {
	local reader

	start_disk 64M
	attach "${server_args[@]}" -connections 2
	kill_server
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none &
	reader=$!
	wait_for 20 state_is waiting
	start_disk 64M
	"$NBD_CLIENT" -replace "$server_uri" "$dev"
	wait "$reader"
	detach
}

# What belongs to the attachment is not changed, and above all not believed.
test_what_cannot_be_replaced() {
	local option

	start_disk 64M
	attach "${server_args[@]}"
	expect_failure "$NBD_CLIENT" -replace -size 1M "${server_args[@]}" "$dev"
	assert_match "$output" "-size cannot be changed"
	for option in -readonly -swap -systemd-mark -nonetlink; do
		expect_failure "$NBD_CLIENT" -replace "$option" "${server_args[@]}" "$dev"
		assert_match "$output" "$option cannot be changed"
	done
	truncate -s 32M small
	start_nbdkit file "$PWD/small"
	expect_failure "$NBD_CLIENT" -replace "${server_args[@]}" "$dev"
	assert_match "$output" "shrunk from 67108864 to 33554432"
	device_works
	detach
}

# The new server may be one that only knows the old negotiation.
test_switch_to_an_old_server() {
	start_disk 64M
	attach "${server_args[@]}"
	start_nbdkit -v file "$PWD/image"
	"$NBD_CLIENT" -replace -no-optgo "${server_args[@]}" "$dev"
	grep NBD_OPT_EXPORT_NAME server.log
	device_works
	detach
}

run_tests
