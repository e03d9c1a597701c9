#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A connection that dies before the monitor knows of the device is made again all the same,
# with our driver, which tells how many are left, and with the stock one, which does not.
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# Connections that are dead as soon as they are the driver's: the stock driver says so only
# once, and the record of the device may come later.
variants[test_dead_at_once]="monitor:new,stopped conns:1,4"
timeouts[test_dead_at_once]=30
test_dead_at_once() {
	local client

	start_hostile --size 64M --flags has,flush,fua,multi
	if [ "$monitor" = stopped ]; then
		attach "${server_args[@]}" -connections 1
		kill -STOP "$(monitor_pid)"
	fi
	modprobe nbd
	use_device nbd5
	ctl "hs.reply opt=go place=after type=3 data=0009"
	# the stock driver sends again what died with a connection only after this time
	"$NBD_CLIENT" "${server_args[@]}" "$dev" -connections "$conns" -timeout 3 &
	client=$!
	wait_for 10 connected "$name"
	[ "$monitor" != stopped ] || wait_for 10 [ -e "/run/nbd/$name" ]
	ctl clear
	[ "$monitor" != stopped ] || kill -CONT "$(monitor_pid)"
	wait "$client"
	device_works
	detach
}

run_tests
