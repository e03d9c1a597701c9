#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every scenario of the hostile server. In the transmission phase a live device keeps its
# promises (tests/scenarios); in the handshake nbd-client ends soon, with a documented
# status and one message, or attaches what works. SCENARIOS=REGEX plays those only.
. "$(dirname "$0")/../lib.sh"

# The plain run takes each scenario with one transport and number of connections.
ways="way:tcp-2,unix-1"
[ "${FULL:-0}" != 1 ] || ways+=",tcp-1,unix-2"

# what_to_play: the transmission scenarios; last those that turn something off for good.
# The plain run leaves out most of a series that differs in a number only.
what_to_play() {
	local list

	list=$(hostile --list transmission)
	if [ -n "${SCENARIOS:-}" ]; then
		grep -E "$SCENARIOS" <<<"$list"
		return
	fi
	if [ "${FULL:-0}" != 1 ]; then
		list=$(grep -vE '^(alien-bit-[0-9]*[1-9]|reply-(fin|rst)-at-[0-9]*[1-57-9])	' <<<"$list")
	fi
	grep -v '^error-95-' <<<"$list"
	grep '^error-95-' <<<"$list"
}

variants[test_transmission]="$ways"
timeouts[test_transmission]=600
test_transmission() {
	start_hostile --size 32M --flags has,flush,fua,trim,zeroes,multi
	attach "${server_args[@]}" -connections "$conns" -timeout $((2 + 2 * TIME_SCALE))
	# what the block layer says of requests that must fail
	allow_log '(I/O error|blk_update_request|lost async page write).* dev '"$name"
	what_to_play >list
	scenarios "$dev" "$control" "$conns" <list
	detach
	ctl ping
}

# The plain run cuts the handshake at every fifth byte.
variants[test_handshake]="transport:unix"
[ "${FULL:-0}" != 1 ] || variants[test_handshake]+=",tcp"
timeouts[test_handshake]=900
test_handshake() {
	modprobe nbd
	# devices may be attached that the server breaks at once
	allow_log 'I/O error.* dev nbd'
	start_hostile --size 64M --flags has,flush,fua,trim,zeroes,multi
	hostile --list handshake >list
	if [ -n "${SCENARIOS:-}" ]; then
		sed -i -nE "/$SCENARIOS/p" list
	elif [ "${FULL:-0}" != 1 ]; then
		sed -i -E '/^hs-(fin|rst|stall)-at-[0-9]*[^05]\t/d' list
	fi
	handshakes "$control" "$NBD_CLIENT" "${server_args[@]}" <list
	ctl ping
}

run_tests
