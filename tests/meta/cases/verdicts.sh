#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests that pass, fail and skip; tests/meta/run knows which must do what.
NBD_CLIENT=$(dirname "$0")/../../../build/unpacked/nbd-client/sbin/nbd-client
. "$(dirname "$0")/../../lib.sh"

test_passes() {
	assert_equal "$PWD" "$test_dir/work"
	assert_equal "$(ls)" ""
}

variants[test_variant]="size:1,2 colour:red,blue"
test_variant() {
	[ "$size$colour" != 2red ]
}

test_command_fails() {
	echo "output before"
	false
	true
}

test_skips() {
	skip "no reason"
}

test_status_4_without_skip() {
	exit 4
}

test_log_warning() {
	echo "<4>WARNING: planted" >/dev/kmsg
}

test_log_allowed() {
	allow_log 'I/O error, dev planted'
	echo "<4>I/O error, dev planted" >/dev/kmsg
}

test_log_expected_but_missing() {
	expect_log 'never said'
}

# Until it has a session of its own it is one of the test's, and ends with them.
test_leaves_process() {
	setsid sleep 1000 &
	wait_for 10 runs_sleep $!
}

runs_sleep() {
	[ "$(<"/proc/$1/comm")" = sleep ]
}

test_leaves_mount() {
	mkdir m
	mount -t tmpfs none m
}

test_leaves_connection() {
	setsid python3 -c '
import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
c = socket.create_connection(s.getsockname())
open("ready", "w").close()
time.sleep(1000)' &
	wait_for 10 [ -e ready ]
}

test_leaves_setting() {
	echo "nbd0 nowhere.invalid" >/etc/nbdtab
}

test_leaves_device() {
	start_nbdkit memory 1M
	modprobe nbd
	"$NBD_CLIENT" -unix "$socket" /dev/nbd3
	connected nbd3
}

test_after_leftovers_passes() {
	[ ! -e /etc/nbdtab ]
}

timeouts[test_hangs]=3
test_hangs() {
	cleanup_fn touch /tmp/hang-cleaned-up
	sleep 1000
}

test_hang_was_cleaned_up() {
	[ -e /tmp/hang-cleaned-up ]
}

timeouts[test_ignores_term]=3
test_ignores_term() {
	trap '' TERM
	sleep 1000
}

test_cleanup_order() {
	local order

	order=$( (
		cleanup_fn echo first
		cleanup_fn echo second
		run_cleanups
	))
	assert_equal "$order" "$(printf 'second\nfirst')"
}

test_server_dies() {
	choose_address
	start_server false
}

test_server_starts() {
	start_nbdkit memory 1M
	assert_equal "$(nbdinfo_size)" 1
}

nbdinfo_size() {
	qemu-img info "$server_uri" | grep -c '1 MiB'
}

run_tests
