#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Control calls against each other, from several tasks: connect, disconnect, reconfigure,
# open, mount, ioctls, unload. Everything ends, nothing is left, the device works.
. "$(dirname "$0")/../lib.sh"

# Each test prints its seed; `races --seed N SCENARIO` repeats it.
race() {
	local seconds=3 seed=$((RANDOM + 1))

	[ "${QUICK:-0}" != 1 ] || seconds=2
	[ "${FULL:-0}" != 1 ] || seconds=60
	# applications lose their device in the middle of what they do
	allow_log '(I/O error|access beyond end).*nbd'
	allow_log 'Buffer I/O error'
	if [ "$DRIVER" = stock ]; then skip "the stock driver crashes"; fi
	modprobe nbd
	races --seconds "$seconds" --seed "$seed" "$1"
}

variants[test_race]="scenario:connect-disconnect,reconnect-disconnect,reconnect-clear,destroy-recreate,destroy-publish,fin-at-once,teardown-io,doit,doit-killed,mixed,any-index,unload,unload-dead-links"
all_variants[test_race]=1
timeouts[test_race]=150
test_race() {
	race "$scenario"
}

timeouts[test_race_mount]=150
test_race_mount() {
	# the journal of a file system whose disk goes away
	allow_log 'EXT4-fs|JBD2|Aborting journal|lost (async|sync) page write'
	race mount
}

# The table above has every scenario.
test_all_scenarios_are_run() {
	local name names run=",${variants[test_race]#scenario:},mount,"

	names=$(races --list)
	[ -n "$names" ] || fail "there are no scenarios"
	for name in $names; do
		[[ $run = *",$name,"* ]] || fail "not run: $name"
	done
}

run_tests
