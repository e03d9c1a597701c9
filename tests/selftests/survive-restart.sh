#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A server that is killed and comes back costs a pause, never an error: with a
# mounted file system, with verified direct I/O, with one connection and with four.
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# kill_at_random N: SIGKILL at random moments, restarted after a random outage
kill_at_random() {
	local i

	for ((i = 0; i < $1; i++)); do
		random_nap 900
		load_goes_on
		kill_server
		random_nap 400
		launch
	done
	echo "tally: $1 server crashes"
}

variants[test_killed_below_file_system]=$ways
timeouts[test_killed_below_file_system]=300
test_killed_below_file_system() {
	start_disk 128M
	attach "${server_args[@]}" -connections "$conns"
	mount_disk
	start_load mnt/a mnt/b
	kill_at_random "$(count 50)"
	end_load
	assert_equal "$(counter failed)" 0 "requests that failed"
	unmount_and_check
	has_live "$conns" || wait_for 15 has_live "$conns"
	detach
}

# The whole device, and what was written before an outage is there after it; however it was
# attached.
variants[test_killed_below_raw_device]="transport:tcp conns:1,4 mode:netlink,ioctl"
timeouts[test_killed_below_raw_device]=300
test_killed_below_raw_device() {
	start_disk 64M
	attach_by_mode "${server_args[@]}" -connections "$conns"
	start_load "$dev"
	kill_at_random "$(count 50)"
	end_load
	head -c 8M /dev/urandom >data
	dd if=data of="$dev" bs=256k oflag=direct conv=fsync status=none
	restart_server
	dd if="$dev" of=copy bs=256k count=32 iflag=direct status=none
	cmp data copy
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
	cmp -n 8M data image
}

# Who reconnects has another working directory than who attached.
variants[test_relative_socket]="mode:netlink,ioctl"
test_relative_socket() {
	start_disk 64M
	attach_by_mode "nbd+unix:///?socket=${socket##*/}"
	restart_server
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
	detach
}

# A reader that has nothing in flight when the server goes notices nothing at all.
test_idle_restart() {
	local connects

	start_disk 64M
	attach "${server_args[@]}"
	connects=$(counter connects)
	restart_server
	wait_for 15 reconnected_since "$connects"
	dd if="$dev" of=/dev/null bs=64k count=4 iflag=direct status=none
	detach
}

reconnected_since() {
	[ "$(counter connects)" -gt "$1" ] && state_is live
}

# Connections that go all at once, and come back, are counted as often as they do.
timeouts[test_all_reset_at_once]=300
test_all_reset_at_once() {
	local i n conn

	n=$(count 50)
	start_hostile --size 64M --flags has,flush,fua,multi
	attach "${server_args[@]}" -connections 8
	start_load "$dev"
	for ((i = 1; i <= n; i++)); do
		ctl "kill all how=rst"
		wait_for 10 has_lost $((8 * i))
		wait_for 20 has_live 8
		load_goes_on
	done
	# half of them stay away, and all are replaced
	ctl "listen off"
	for conn in $(ctl conns | sed -n 's/^conn=\([1-9][0-9]*\) .*/\1/p' | head -n 4); do
		ctl "kill conn=$conn how=rst"
	done
	wait_for 10 has_live 4
	ctl "listen on"
	"$NBD_CLIENT" -replace -connections 8 "$dev"
	assert_equal "$(live_connections)" 9 "live entries"
	end_load
	assert_equal "$(counter failed)" 0 "requests that failed"
	wait_for 20 nothing_in_flight
	detach
}

has_lost() {
	[ "$(counter connection_deaths)" -ge "$1" ]
}

nothing_in_flight() {
	! "$NBD_CLIENT" -status -json "$dev" | grep -q '"inflight": [1-9]'
}

# The kernel waits for the requests of a hardware queue before its processor goes, and for
# all requests of a device before its scheduler changes. What sets up the new connection of
# those requests, or ends them, must not wait for that.
change_processor() {
	unplug
}

processor_waits() {
	grep -q blk_mq_hctx_notify_offline "/proc/$(pgrep -x cpuhp/1)/stack"
}

change_scheduler() {
	echo "${1:-mq-deadline}" >"/sys/block/$name/queue/scheduler"
}

scheduler_waits() {
	grep -q blk_mq_freeze_queue_wait "/proc/$change/stack"
}

variants[test_change_waits_for_requests]="what:processor,scheduler end:server,detach"
test_change_waits_for_requests() {
	local reader change wanted=0 status=0

	start_disk 64M
	attach "${server_args[@]}" -connections 2
	kill_server
	wait_for 10 state_is waiting
	taskset -c 1 dd if="$dev" of=/dev/null bs=64k count=1 iflag=direct status=none &
	reader=$!
	wait_for 10 in_flight
	cleanup_fn plug_in
	cleanup_fn change_scheduler none
	"change_$what" &
	change=$!
	wait_for 10 "${what}_waits"
	if [ "$end" = server ]; then
		launch
	else
		wanted=1
		allow_log 'I/O error.* dev '"$name"
		"$NBD_CLIENT" -force -d "$dev"
	fi
	wait "$reader" || status=$?
	assert_equal "$status" $wanted "exit status of the reader"
	wait "$change"
}

run_tests
