#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What nbd-client prints, for scripts that were written for Debian's and for people, and
# that nobody is left with a device of which he does not know.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"

debian_client=$top/build/unpacked/nbd-client/sbin/nbd-client

# answer CLIENT ARGUMENTS...: attaches with it and detaches again; what it printed is in
# the files out and err
answer() {
	local ending=0

	timeout "$(scaled 20)" "$@" >out 2>err || ending=$?
	wait_for 10 connected nbd0
	wait_for 10 leaves_device_alone
	"$NBD_CLIENT" -d nbd0
	assert_equal "$ending" 0 "exit status of $1"
}

# Children of Debian's go on after it.
leaves_device_alone() {
	! pgrep -x nbd-client | grep -vxF "$(</sys/block/nbd0/pid)" | grep -q . ||
		pgrep -f -- '-monitor -background' >/dev/null
}

# Byte for byte and on the same outputs, but for Debian's word about an old protocol.
variants[test_as_debian]="arguments:nbd0,-nonetlink_nbd0,none"
test_as_debian() {
	local words=()

	[ "$arguments" = none ] || IFS=_ read -ra words <<<"$arguments"
	words=("${words[@]/#nbd0//dev/nbd0}")
	transport=tcp start_nbdkit memory 10M
	modprobe nbd
	use_device nbd0
	answer "$debian_client" "${server_args[@]}" "${words[@]}"
	sed '/^Warning: the oldstyle protocol/,+1d' out >wanted
	mv err wanted_err
	answer "$NBD_CLIENT" "${server_args[@]}" "${words[@]}"
	cat out err
	cmp wanted out
	cmp wanted_err err
	[ -s out ] || fail "nothing was printed"
}

# Without and with a device, and where a process serves it.
test_print_device() {
	local words

	start_nbdkit memory 10M
	modprobe nbd
	use_device nbd0
	for words in "" nbd0 "-L nbd0"; do
		# shellcheck disable=SC2086 # words
		answer "$NBD_CLIENT" -print-device "${server_args[@]}" $words
		assert_equal "$(<out)" /dev/nbd0 "output"
		assert_equal "$(<err)" "" "standard error"
	done
}

# What is behind the last whole block is left out, as Debian's does; and said.
variants[test_odd_size]="mode:netlink,ioctl"
test_odd_size() {
	local options=()

	[ "$mode" = netlink ] || options=(-L)
	truncate -s 1000001 image
	transport=tcp start_nbdkit file image
	modprobe nbd
	use_device nbd0
	"$debian_client" "${server_args[@]}" /dev/nbd0 "${options[@]}"
	wait_for 10 connected nbd0
	assert_equal "$(blockdev --getsize64 "$dev")" 999936 "size with Debian's"
	wait_for 10 leaves_device_alone
	"$NBD_CLIENT" -d nbd0
	"$NBD_CLIENT" "${server_args[@]}" nbd0 "${options[@]}" 2>err
	assert_equal "$(blockdev --getsize64 "$dev")" 999936 "size"
	assert_match "$(<err)" 'has 1000001 bytes, of which the device lacks the last 65,'
	dd if=/dev/urandom of="$dev" bs=999936 count=1 oflag=direct status=none
	detach
	"$NBD_CLIENT" -b 4096 "${server_args[@]}" nbd0 "${options[@]}"
	assert_equal "$(blockdev --getsize64 "$dev")" 999424 "size in blocks of 4096"
}

# A device that was chosen is given back if its name cannot be printed; one that the
# caller has named needs no name.
variants[test_nowhere_to_print]="to:full,closed,pipe"
test_nowhere_to_print() {
	local status=0

	start_nbdkit memory 10M
	use_device nbd0
	say_to_nobody "${server_args[@]}" || status=$?
	assert_equal "$status" 1 "exit status"
	assert_match "$(<err)" '^nbd-client: /dev/nbd0 was detached again, for its name could not be printed: '
	assert_equal "$(connected_devices)" ""
	[ ! -e /run/nbd/nbd0 ] || fail "the record is left"
	say_to_nobody "${server_args[@]}" nbd0
	connected nbd0 || fail "not attached"
	device_works
}

# say_to_nobody ARGUMENTS...: nbd-client whose output goes $to where nobody gets it
say_to_nobody() {
	local writer

	case $to in
	full) "$NBD_CLIENT" "$@" >/dev/full 2>err ;;
	closed) "$NBD_CLIENT" "$@" >&- 2>err ;;
	pipe)
		exec {writer}> >(exec true)
		wait $!
		"$NBD_CLIENT" "$@" 2>err 1>&"$writer"
		;;
	esac
}

# Whoever ends it while the device is being made ready knows the name.
variants[test_interrupted]="signal:INT,TERM,HUP"
test_interrupted() {
	local pid status=0

	start_nbdkit --filter=delay memory 10M rdelay=600
	use_device nbd0
	allow_log 'error,? (on )?dev nbd0'
	env --default-signal="$signal" "$NBD_CLIENT" "${server_args[@]}" >out &
	pid=$!
	wait_for 10 connected nbd0
	wait_for 10 [ -s out ]
	kill -"$signal" "$pid"
	wait "$pid" || status=$?
	assert_equal "$status" $((128 + $(kill -l "$signal"))) "exit status"
	assert_match "$(<out)" 'Connected /dev/nbd0$' "output"
	stop_process "$server_pid"
	"$NBD_CLIENT" -force -d nbd0
}

run_tests
