#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A server that is killed and comes back costs a pause, never an error: with a
# mounted file system, with verified direct I/O, with one connection and with four.
. "$(dirname "$0")/../survive.sh"

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

# The whole device, and what was written before an outage is there after it.
variants[test_killed_below_raw_device]="transport:tcp conns:1,4"
timeouts[test_killed_below_raw_device]=300
test_killed_below_raw_device() {
	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
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

# Taking a processor away waits in the kernel for the requests of its hardware queue, and
# what sets up their new connection, or ends them, must not wait for that.
processor_waits() {
	grep -q blk_mq_hctx_notify_offline "/proc/$(pgrep -x cpuhp/1)/stack"
}

variants[test_processor_taken_during_outage]="end:server,detach"
test_processor_taken_during_outage() {
	local reader unplugging wanted=0 status=0

	start_disk 64M
	attach "${server_args[@]}" -connections 2
	kill_server
	wait_for 10 state_is waiting
	taskset -c 1 dd if="$dev" of=/dev/null bs=64k count=1 iflag=direct status=none &
	reader=$!
	wait_for 10 in_flight
	cleanup_fn plug_in
	unplug &
	unplugging=$!
	wait_for 10 processor_waits
	if [ "$end" = server ]; then
		launch
	else
		wanted=1
		allow_log 'I/O error.* dev '"$name"
		"$NBD_CLIENT" -force -d "$dev"
	fi
	wait "$reader" || status=$?
	assert_equal "$status" $wanted "exit status of the reader"
	wait "$unplugging"
}

run_tests
