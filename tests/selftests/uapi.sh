#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every step of the ioctl and netlink interfaces has the stock driver's outcome, or one
# that Documentation/differences.md lists with its reason.
. "$(dirname "$0")/../lib.sh"

timeouts[test_every_step]=400
test_every_step() {
	local options=()

	# reads that must fail do; and what the block layer says of it
	allow_log 'I/O error, dev nbd'
	modprobe nbd
	if [ "$DRIVER" = stock ]; then
		[[ $(uname -r) != 6.1.* ]] || skip "there is no table of the stock driver in 6.1"
		uapi-probe --safe --reload >steps
	else
		uapi-probe --reload >steps
		options=(--differences "$top/Documentation/differences.md")
	fi
	"$top/tests/uapi/compare" steps "${options[@]}"
}

# The stock driver and this one cannot both be there: the second is refused, and does not
# harm the first.
ours_only[test_two_drivers]=1
test_two_drivers() {
	local stock ours

	stock=$(find "/lib/modules/$(uname -r)/" -path "*/kernel/*/nbd.ko*")
	ours=$(modinfo --field filename nbd)
	[ -n "$stock" ] || return 0	# the debug kernel comes without
	[ "$stock" != "$ours" ]
	start_nbdkit memory 1M
	attach "${server_args[@]}"
	expect_failure insmod "$stock"
	assert_match "$output" "File exists"
	dd "if=$dev" of=/dev/null bs=4k iflag=direct status=none
	detach
	modprobe -r nbd
	insmod "$stock"
	cleanup_fn modprobe -r nbd
	expect_failure insmod "$ours"
	assert_match "$output" "File exists"
	[ -b /dev/nbd0 ]
}

run_tests
