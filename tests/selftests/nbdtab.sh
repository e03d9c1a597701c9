#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# All devices of nbdtab with one command, however often it is given.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# use_devices N...: detached at the end of the test
use_devices() {
	local n

	modprobe nbd
	for n; do use_device "nbd$n"; done
}

# attached: the devices that are
attached() {
	local pid

	for pid in /sys/block/nbd*/pid; do
		[ ! -e "$pid" ] || printf '%s ' "$(basename "${pid%/pid}")"
	done
}

# start_exports: the exports a, b and c of one server; line NAME is what nbdtab says of one
start_exports() {
	local transport=tcp

	mkdir disks
	truncate -s 16M disks/{a,b,c}
	start_nbdkit file dir=disks
}

line() {
	echo "127.0.0.1 $1 port=$port"
}

# There and back, twice.
variants[test_all]="mode:netlink,ioctl"
test_all() {
	local name option="" lines=6

	[ "$mode" = netlink ] || option=,nonetlink lines=4
	start_exports
	use_devices 0 1 2
	printf '%s\n' "nbd0 $(line a)$option" "# a comment" "nbd1 $(line b)$option" \
		"/dev/nbd2 $(line c),bs=4096" "nbd2 $(line a)" >tab
	"$NBD_CLIENT" -nbdtab tab -a >output
	assert_equal "$(attached)" "nbd0 nbd1 nbd2 "
	assert_equal "$(grep -c '^Connected /dev/nbd[012]$\|^Negotiation: ' output)" \
		"$lines" "lines of output"
	assert_equal "$(<"/sys/block/nbd2/queue/logical_block_size")" 4096 "of the first line"
	for name in nbd0 nbd1 nbd2; do
		dev=/dev/$name device_works
	done

	"$NBD_CLIENT" -nbdtab tab -a >output 2>&1
	assert_equal "$(sort output)" "$(printf '/dev/nbd%d is attached already\n' 0 1 2)"
	"$NBD_CLIENT" -nbdtab tab -a nbd1 >output 2>&1
	assert_equal "$(<output)" "/dev/nbd1 is attached already"
	"$NBD_CLIENT" -nbdtab tab -detach-all
	assert_equal "$(attached)" ""
	"$NBD_CLIENT" -nbdtab tab -detach-all

	"$NBD_CLIENT" -nbdtab tab -a nbd1 >output
	assert_equal "$(attached)" "nbd1 "
	"$NBD_CLIENT" -nbdtab tab -detach-all
}

# One that fails keeps no other from it, and is named.
test_one_fails() {
	start_exports
	use_devices 0 1 2
	printf '%s\n' "nbd0 $(line none)" "nbd1 127.0.0.1" "disk $(line a)" "nbd2 $(line c)" >tab
	expect_status 7 "$NBD_CLIENT" -nbdtab tab -a
	assert_equal "$(attached)" "nbd2 "
	assert_match "$output" "nbd-client: nbd0: .*127.0.0.1"
	assert_match "$output" "nbd-client: nbd1: tab, line 2: a definition has three"
	assert_match "$output" "nbd-client: disk: "
	assert_match "$output" "nbd-client: 3 of 4 devices of nbdtab are not attached"
	"$NBD_CLIENT" -nbdtab tab -detach-all 2>messages && fail "no failure for a name that is none"
	assert_match "$(<messages)" "nbd-client: disk: .*1 of 4 devices"
	assert_equal "$(attached)" ""
	expect_status 1 "$NBD_CLIENT" -nbdtab missing -a
	assert_match "$output" "missing, .*cannot be read: No such file"
}

told() {
	grep -q -- "$1" messages
}

nobody_waits() {
	! pgrep -f 'nbdtab tab -a' >/dev/null
}

# The others are attached meanwhile. Who gives up does not attach it later.
test_one_is_late() {
	local transport=tcp on_time

	start_exports
	use_devices 0 1
	on_time=$(line b)
	choose_address
	printf '%s\n' "nbd0 $(line -),wait=forever" "nbd1 $on_time" >tab
	"$NBD_CLIENT" -nbdtab tab -a >output 2>messages &
	client=$!
	cleanup_fn stop_process "$client"
	wait_for 20 told "trying again each second"
	wait_for 20 connected nbd1
	kill "$client"
	wait "$client" || true
	wait_for 20 nobody_waits
	start_server nbdkit -f -p "$port" memory 16M
	assert_equal "$(attached)" "nbd1 "
	"$NBD_CLIENT" -nbdtab tab -a >output
	assert_equal "$(attached)" "nbd0 nbd1 "
	"$NBD_CLIENT" -nbdtab tab -detach-all
}

# What is attached to something else, or by somebody else, is told and left alone.
variants[test_attached_elsewhere]="what:export,server,unknown"
test_attached_elsewhere() {
	start_exports
	use_devices 0
	echo "nbd0 $(line a)" >tab
	case $what in
	export)
		"$NBD_CLIENT" -N b 127.0.0.1 "$port" nbd0
		words='attached to .*export "b", and nbdtab says .*export "a"'
		;;
	server)
		"$NBD_CLIENT" -N a "127.0.0.2" "$port" nbd0
		words="attached to 127.0.0.2.*, and nbdtab says 127.0.0.1"
		;;
	unknown)
		"$NBD_CLIENT" -N a 127.0.0.1 "$port" nbd0
		rm /run/nbd/nbd0
		words="nothing here knows to which server"
		;;
	esac
	expect_status 5 "$NBD_CLIENT" -nbdtab tab -a nbd0
	assert_match "$output" "$words"
	expect_status 5 "$NBD_CLIENT" -nbdtab tab -a
	assert_match "$output" "nbd-client: nbd0: .*$words.*1 of 1 devices"
	assert_equal "$(attached)" "nbd0 "
	detach
}

# What is in use stays, and the others do not.
test_detach_in_use() {
	start_exports
	use_devices 0 1
	printf '%s\n' "nbd0 $(line a)" "nbd1 $(line b)" >tab
	"$NBD_CLIENT" -nbdtab tab -a >output
	dev=/dev/nbd0 mount_ext4 /dev/nbd0
	expect_status 5 "$NBD_CLIENT" -nbdtab tab -detach-all
	assert_match "$output" "nbd-client: nbd0: .*in use"
	assert_equal "$(attached)" "nbd0 "
	umount mnt
	"$NBD_CLIENT" -nbdtab tab -detach-all
	assert_equal "$(attached)" ""
}

# Files beside nbdtab, with names that need care, and one that has a word too many.
test_folder() {
	modprobe nbd
	mkdir disks
	truncate -s 16M disks/a 'disks/with blank#,'
	transport=tcp start_nbdkit file dir=disks
	use_devices 0 1 2
	mkdir -p /etc/nbdtab.d
	cleanup_fn rm -rf /etc/nbdtab /etc/nbdtab.d
	echo "nbd0 $(line a)" >/etc/nbdtab.d/20-second.conf
	expect_status 1 "$NBD_CLIENT" nbd1
	assert_match "$output" "20-second.conf has no definition of nbd1"
	"$NBD_CLIENT" nbd0
	"$NBD_CLIENT" -detach-all

	echo "nbd1 $(line 'with\040blank#\054')" >/etc/nbdtab
	printf '%s\n' "nbd1 $(line a)" "nbd2 127.0.0.1 a port=$port no comment" "nbd0 $(line b)" \
		>/etc/nbdtab.d/30-third.conf
	echo "nbd2 $(line a)" >/etc/nbdtab.d/left-alone
	expect_status 1 "$NBD_CLIENT" -a
	assert_equal "$(attached)" "nbd0 nbd1 "
	assert_match "$output" "nbd2: /etc/nbdtab.d/30-third.conf, line 2: a definition has three or four"
	assert_match "$("$NBD_CLIENT" -status -json nbd1)" '"export": "with blank#,"'
	"$NBD_CLIENT" -detach-all
}

run_tests
