#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Attaching and detaching very often.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# All at the same time: each gets a device of its own. The server comes before them,
# and does with one thread for each connection: it is not what is tried here, and would
# get one part in two hundred of the processors. Nor is the patience of the clients.
timeouts[test_parallel]=$(($(count 500) + 60))
test_parallel() {
	local n i pids=() failed=() pid

	n=$(count 200)
	start_nbdkit --threads=1 memory 1M
	renice -n -20 -p "$server_pid" >/dev/null
	cleanup_fn detach_all
	for ((i = 0; i < n; i++)); do
		"$NBD_CLIENT" "${server_args[@]}" -connect-timeout 60 -print-device >"name.$i" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || failed+=("$pid")
	done
	[ ${#failed[@]} = 0 ] || fail "${#failed[@]} of $n did not get a device"
	assert_equal "$(cat name.* | sort -u | wc -l)" "$n" "distinct names"
	assert_equal "$(connected_devices | wc -l)" "$n" "attached devices"
	detach_all
	assert_equal "$(connected_devices)" ""
}

detach_all() {
	local name pids=() pid

	for name in $(connected_devices); do
		"$NBD_CLIENT" -d "/dev/$name" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
}

# When -d returns the device is free: the next attach of it works, every time.
timeouts[test_same_device]=$(($(count 3000) + 60))
test_same_device() {
	local n i

	n=$(count 1000)
	start_nbdkit memory 1M
	for ((i = 0; i < n; i++)); do
		"$NBD_CLIENT" "${server_args[@]}" /dev/nbd5 >/dev/null
		"$NBD_CLIENT" -d /dev/nbd5
	done
}

# kernel_memory: kilobytes of what the kernel allocates for itself
kernel_memory() {
	echo 3 >/proc/sys/vm/drop_caches
	awk '/^(Slab|Percpu|KernelStack):/ { sum += $2 } END { print sum }' /proc/meminfo
}

cycles() {
	local i

	for ((i = 0; i < $1; i++)); do
		"$NBD_CLIENT" "${server_args[@]}" /dev/nbd5 >/dev/null
		dd if=/dev/zero of=/dev/nbd5 bs=64k count=4 oflag=direct status=none
		"$NBD_CLIENT" -d /dev/nbd5
	done
}

# The first cycles fill caches that stay. After that, 1 MiB is the tolerance: caches
# of the slab allocator come and go by some hundred kilobytes.
timeouts[test_memory]=$(($(count 2000) + 120))
test_memory() {
	local before after

	start_nbdkit memory 1M
	cycles 20
	before=$(kernel_memory)
	cycles "$(count 500)"
	after=$(kernel_memory)
	echo "kernel memory: $before kB before, $after kB after"
	assert_within $((after - before)) -1000000 1024 "growth in kB"
}

run_tests
