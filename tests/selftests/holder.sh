#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Somebody else holds a descriptor of a device's socket, and uses it: each socket option,
# ioctl and call there is (tests/holder), before the attach, between SET_SOCK and DO_IT, and
# under I/O. It costs the connection at most, with one line in the log.
. "$(dirname "$0")/../lib.sh"

# Both as root and as nobody with FULL=1, else in turn, and each kernel the other half.
holder_options() {
	if [ "${FULL:-0}" = 1 ]; then
		echo --all
	elif [[ $(uname -r) = 6.1.* ]]; then
		echo --other
	fi
}

# The module has to be there before nobody asks for it.
load_protocols() {
	local module

	modprobe nbd
	for module in tls smc; do
		modprobe "$module" || true
	done
}

variants[test_abuses]="transport:tcp,unix when:running,before,setup"
timeouts[test_abuses]=240
ours_only[test_abuses]=1
test_abuses() {
	load_protocols
	# In ioctl mode nobody makes a connection anew.
	[ "$when" != setup ] || allow_log 'I/O error, dev nbd0|Buffer I/O error on dev nbd0'
	# shellcheck disable=SC2046,SC2154 # words; set by the variants
	holder $(holder_options) "$transport" "$when"
}

run_tests
