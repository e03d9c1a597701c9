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
		[[ $(uname -r) = 6.12* ]] || skip "the table is that of the stock driver in 6.12"
		uapi-probe --safe --reload >steps
	else
		uapi-probe --reload >steps
		options=(--differences "$top/Documentation/differences.md")
	fi
	"$top/tests/uapi/compare" steps "${options[@]}"
}

run_tests
