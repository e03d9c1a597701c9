#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# How much is read ahead: by the distance of the server, unless somebody decides.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../links.sh"
dealt_out=1

# Link 0 has a round trip of 30 ms, link 1 none.
make_distance() {
	make_links 2
	tc qdisc add dev near0 root netem delay 30ms
}

# start_disk_far PORT: nbdkit with the file "image", reached over either link; its PID is
# in server_pid
start_disk_far() {
	[ -e image ] || truncate -s 16M image
	port=$1
	start_far nbdkit -f -p "$port" file "$PWD/image"
}

# reads_ahead LEAST MOST: what the device has is in this range, KiB, and is what is told
reads_ahead() {
	local kib

	kib=$(<"/sys/block/$name/queue/read_ahead_kb")
	assert_within "$kib" "$1" "$2" "KiB of read-ahead"
	assert_equal "$(status_field read_ahead)" "$kib" "what -status -json tells"
}

reads_as_near() {
	reads_ahead 256 256
}

# The emulated processors add some milliseconds.
reads_as_far() {
	reads_ahead 7680 12288
}

test_by_distance() {
	local status

	make_distance
	start_disk_far 10809
	attach 10.77.0.2 10809
	reads_as_far
	detach
	use_device "$name"
	"$NBD_CLIENT" 10.77.1.2 10809 "$dev" >/dev/null
	reads_as_near
	status=$("$NBD_CLIENT" -status "$dev")
	assert_match "$status" $'\n  reads 256 KiB ahead\n'
}

test_local() {
	start_nbdkit memory 1M
	attach "${server_args[@]}"
	reads_as_near
}

# A preferred block above that is as it was before: two of them.
test_preferred_block() {
	start_nbdkit --filter=blocksize-policy memory 16M blocksize-preferred=1M
	attach "${server_args[@]}"
	reads_ahead 2048 2048
}

is_at() {
	[ "$("$NBD_CLIENT" -status "$dev" | grep -c " at 10.77.$1.2:")" -ge 1 ] &&
		[ "$(status_field server)" = "10.77.$1.2:$2" ] && [ "$(live_connections)" -ge 1 ]
}

# start_pair: the image far away on port 1001, and near on port 1002
start_pair() {
	make_distance
	start_disk_far 1002
	start_disk_far 1001
}

# To a nearer server, and back.
test_failover() {
	start_pair
	attach 10.77.0.2 1001 -server nbd://10.77.1.2:1002
	reads_as_far
	kill -9 "$server_pid"
	wait_for 30 is_at 1 1002
	reads_as_near
	device_works
}

test_replace() {
	start_pair
	attach 10.77.1.2 1002
	reads_as_near
	"$NBD_CLIENT" -replace 10.77.0.2 1001 "$dev"
	reads_as_far
	"$NBD_CLIENT" -replace 10.77.1.2 1002 "$dev"
	reads_as_near
}

# What the user has said, or written, no distance changes; but it is forgotten with the attachment.
variants[test_choice_stays]="by:option,sysfs"
test_choice_stays() {
	local option=()

	[ "$by" = sysfs ] || option=(-read-ahead 512)
	start_pair
	attach 10.77.1.2 1002 "${option[@]}"
	[ "$by" = option ] || echo 512 >"/sys/block/$name/queue/read_ahead_kb"
	reads_ahead 512 512
	"$NBD_CLIENT" -replace 10.77.0.2 1001 "$dev"
	reads_ahead 512 512
	detach
	use_device "$name"
	"$NBD_CLIENT" 10.77.1.2 1002 "$dev" >/dev/null
	reads_as_near
}

run_tests
