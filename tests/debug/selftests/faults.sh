#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Memory is refused: to each allocation of each control call and of I/O, one at a time,
# and at random to whatever the driver does. See tests/faults/faults.c.
. "$(dirname "$0")/../../lib.sh"

debugfs=/sys/kernel/debug

# set_faults NAME=VALUE...: of slab and page allocations
set_faults() {
	local kind setting

	for kind in failslab fail_page_alloc; do
		for setting; do
			echo "${setting#*=}" >"$debugfs/$kind/${setting%%=*}"
		done
	done
}

# every kind of allocation may fail, and the log holds only what the driver says
prepare_faults() {
	[ -e "$debugfs"/failslab ] || skip "needs a kernel with fault injection"
	set_faults ignore-gfp-wait=N verbose=0 probability=0
	echo 0 >"$debugfs"/fail_page_alloc/min-order
	echo N >"$debugfs"/fail_page_alloc/ignore-gfp-highmem
	# what the block layer says of a read or write without memory, and the kernel's core
	# of a sysfs folder
	allow_log '(I/O error|blk_update_request).* dev nbd'
	allow_log 'kobject(_create_and_add|_add_internal)?[: ].*error: -12'
}

# stride N: every allocation site with FULL=1, otherwise one in N
stride() {
	if [ "${FULL:-0}" = 1 ]; then echo 1; else echo "$1"; fi
}

test_load() {
	prepare_faults
	# the kernel warns of tracepoints that it had no memory for, and shows the stack
	allow_log 'WARNING: .* at kernel/trace/trace_events\.c:|Call Trace:|lockdep_(un)?lock\+'
	allow_log 'socket: no more sockets'
	modprobe -r nbd
	cp "$top/build/$(uname -r)/nbd.ko" .
	MODULE=$PWD/nbd.ko faults load "$(stride 61)"
}

# each OPERATION [STRIDE]
each() {
	prepare_faults
	modprobe nbd
	faults "$1" "$(stride "${2:-5}")"
	# the network stack's own allocations differ
	TCP=1 faults "$1" "$(stride $((${2:-5} * 2 + 1)))"
}

# Tests, not variants, of which this kernel would run half only.
test_connect() { each connect; }
test_create() { each create 50; }
test_status() { each status; }
test_read() { each read; }
test_write() { each write; }
test_flush() { each flush 1; }
test_trim() { each trim 1; }
test_zeroes() { each zeroes 1; }
test_reconnect() { each reconnect; }
test_replace() { each replace; }
test_disconnect() { each disconnect; }
test_close() { each close 1; }
test_destroy() { each destroy; }
test_ioctls() { each ioctls; }
test_do_it() { each do_it; }
test_ioctl_disconnect() { each ioctl_disconnect; }
test_ioctl_clear() { each ioctl_clear; }
# faults_of_driver SETTING...: of allocations with a function of the driver's on the stack
faults_of_driver() {
	local start size

	prepare_faults
	modprobe nbd
	read -r start </sys/module/nbd/sections/.text
	read -r _ size _ < <(grep '^nbd ' /proc/modules)
	set_faults "require-start=$start" "require-end=$(printf '0x%x' $((start + size)))" \
		"stacktrace-depth=32" "$@"
	cleanup_fn set_faults probability=0
}

# anywhere INJECTOR STRIDE: each allocation in the life of a device, also of the driver's threads
anywhere() {
	faults_of_driver interval=1 space=0
	faults "$1" "$(stride "$2")"
	TCP=1 faults "$1" "$(stride "$2")"
}

test_slab_anywhere() { anywhere failslab 11; }
test_page_anywhere() { anywhere fail_page_alloc 3; }

test_random() {
	local slab pages times=1000000

	faults_of_driver "times=$times" interval=1 space=0 probability=4
	faults storm "$(count 500)"
	set_faults probability=0
	slab=$((times - $(<"$debugfs"/failslab/times)))
	pages=$((times - $(<"$debugfs"/fail_page_alloc/times)))
	echo "$slab slab and $pages page allocations failed"
	[ "$slab" != 0 ] || fail "no allocation failed"
	faults check 3
}

for function in $(test_functions); do
	timeouts["$function"]=600
done

run_tests
