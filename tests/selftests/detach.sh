#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What is true when `nbd-client -d` returns, without waiting any longer.
. "$(dirname "$0")/../lib.sh"
dealt_out=1

variants[test_nothing_is_left]="transport:tcp,unix conns:1,4"
test_nothing_is_left() {
	start_nbdkit memory 16M
	attach "${server_args[@]}" -connections "$conns"
	dd if=/dev/zero of="$dev" bs=1M count=16 oflag=direct status=none
	detach
	assert_equal "$(<"/sys/block/$name/size")" 0 "size"
	[ ! -e "/sys/block/$name/pid" ] || fail "pid is still there"
	assert_equal "$(</sys/module/nbd/refcnt)" 0 "module references"
	assert_equal "$(our_ends)" "" "TCP connections"
	modprobe -r nbd
	[ ! -e /sys/module/nbd ] || fail "the module is still there"
}

# our_ends: of the TCP connections; the server closes its own in its own time
our_ends() {
	local line hex

	printf -v hex ':%04X' "$port"
	find_connections
	for line in "${connections[@]}"; do
		[[ $line != *"$hex state "* ]] || echo "$line"
	done
}

# Everything that was in flight ends with an error, and -d waits for it.
test_in_flight() {
	local reader status=0

	start_hostile
	attach "${server_args[@]}"
	ctl "never type=read count=0"
	allow_log 'error, dev nbd'
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct &
	reader=$!
	wait_for 10 in_flight
	"$NBD_CLIENT" -force -d "$dev"
	wait "$reader" || status=$?
	assert_equal "$status" 1 "exit status of the reader"
}

test_twice() {
	start_nbdkit memory 1M
	attach "${server_args[@]}"
	detach
	detach
}

# A device that is in use is not taken away from its users, and they are named.
test_mounted() {
	start_nbdkit memory 64M
	attach "${server_args[@]}"
	mount_ext4 "$dev"
	expect_failure "$NBD_CLIENT" -d "$dev"
	assert_match "$output" "$PWD/mnt"
	touch mnt/file
	umount mnt
	detach
}

# What an opener wrote and did not flush is lost with the attachment, and fsync() tells;
# it is no part of the next one.
ours_only[test_cache_of_an_opener]=1
test_cache_of_an_opener() {
	local fd second

	allow_log 'I/O error|lost async page write'
	head -c 64K /dev/zero | tr '\0' A >marks
	truncate -s 1M first second
	start_nbdkit file "$PWD/second"
	second=("${server_args[@]}")
	start_nbdkit file "$PWD/first"
	attach "${server_args[@]}"
	exec {fd}<>"$dev"
	dd if=marks bs=4k iflag=fullblock status=none >&"$fd"
	"$NBD_CLIENT" -force -d "$dev"
	"$NBD_CLIENT" "${second[@]}" "$dev"
	if dd if=/dev/null conv=fsync status=none >&"$fd"; then fail "fsync() reports success"; fi
	cmp -n 65536 "$dev" /dev/zero
	exec {fd}>&-
	detach
	cmp -n 65536 second /dev/zero
}

# A file system submits buffers that it has looked up and holds: taken away in between, the
# kernel dies. They stay until it is gone, and another attachment waits for that.
ours_only[test_cache_of_a_file_system]=1
test_cache_of_a_file_system() {
	allow_log 'I/O error|EXT4-fs|JBD2|Aborting journal|lost (async|sync) page write'
	start_nbdkit memory 64M
	attach "${server_args[@]}"
	mount_ext4 "$dev"
	head -c 64K "$dev" >/dev/null	# a page counts as cached if all of it has been read
	"$NBD_CLIENT" -force -d "$dev"
	[ "$(cached "$dev" $((64 << 20)))" -gt 0 ]
	expect_failure "$NBD_CLIENT" "${server_args[@]}" "$dev"
	assert_match "$output" "in use"
	umount mnt
	[ "$(cached "$dev" $((64 << 20)))" = 0 ]
	"$NBD_CLIENT" "${server_args[@]}" "$dev"
	detach
}

# start_container: processes of its own; sets container, the first of them
start_container() {
	local outer child

	unshare --mount --pid --fork --mount-proc sleep 1000 &
	outer=$!
	cleanup_fn stop_process "$outer"
	wait_for 5 has_child "$outer"
	container=$child
	cleanup_fn kill -9 "$container"
	wait_for 5 in_container [ -e /proc/1/ns ]
}

has_child() {
	child=$(pgrep -P "$1" -x sleep)
}

in_container() {
	nsenter --target "$container" --pid --mount "$@"
}

# A device whose server is a process of a container is detached there, in another
# container, and outside.
variants[test_container]="from:inside,another,outside"
all_variants[test_container]=1
test_container() {
	local server

	start_nbdkit memory 1M
	modprobe nbd
	use_device nbd3
	start_container
	in_container "$NBD_CLIENT" "${server_args[@]}" -nonetlink "$dev"
	server=$(<"/sys/block/$name/pid")
	[ "$from" != another ] || start_container
	if [ "$from" = outside ]; then
		"$NBD_CLIENT" -d "$dev"
	else
		in_container "$NBD_CLIENT" -d "$dev"
	fi
	expect_status 1 "$NBD_CLIENT" -c "$dev"
	wait_for 5 gone_or_reaped "$server"
}

# A container keeps a copy of each mount that it began with, which nobody outside sees.
test_mounted_in_container() {
	start_nbdkit memory 64M
	attach "${server_args[@]}"
	mount_ext4 "$dev"
	start_container
	expect_status 5 "$NBD_CLIENT" -d "$dev"
	assert_match "$output" "\(mounted on $PWD/mnt\)"
	umount mnt
	expect_status 5 "$NBD_CLIENT" -d "$dev"
	assert_match "$output" \
		"mounted in another namespace, that of process [0-9]+ \((unshare|sleep)\), on $PWD/mnt"
	in_container umount "$PWD/mnt"
	detach
}

# The number that the driver tells is the initial namespace's. Who has it in a container
# uses the device, and does not serve it.
test_foreign_number() {
	local server

	[ -e /proc/sys/kernel/ns_last_pid ] || return 0	# the debug kernel comes without
	start_nbdkit memory 1M
	modprobe nbd
	use_device nbd3
	"$NBD_CLIENT" "${server_args[@]}" -nonetlink "$dev"
	server=$(<"/sys/block/$name/pid")
	start_container
	# shellcheck disable=SC2016 # for the shell in the container
	in_container bash -c 'echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid &&
		{ sleep 1000 <"$0" >/dev/null 2>&1 & } && [ $! = "$1" ]' "$dev" "$server"
	expect_status 5 in_container "$NBD_CLIENT" -d "$dev"
	assert_match "$output" "process $server \(sleep\)"
	in_container kill "$server"
	in_container "$NBD_CLIENT" -d "$dev"
	expect_status 1 "$NBD_CLIENT" -c "$dev"
}

test_check() {
	start_nbdkit memory 1M
	attach "${server_args[@]}"
	expect_status 0 "$NBD_CLIENT" -c "$dev"
	assert_match "$output" '^[0-9]+$'
	detach
	expect_status 1 "$NBD_CLIENT" -c "$dev"
}

run_tests
