#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every scenario of the hostile server. In the transmission phase a live device keeps its
# promises (tests/scenarios); in the handshake nbd-client ends soon, with a documented
# status and one message, or attaches what works. SCENARIOS=REGEX plays those only.
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# The plain run takes each scenario with one transport and number of connections.
ways="way:unix-1,tcp-2"
[ "${FULL:-0}" != 1 ] || ways+=",tcp-1,unix-2"

# possible: of the scenarios on the input those that SCENARIOS chooses and that $conns are
# enough for
possible() {
	awk -F'\t' -v choice="${SCENARIOS:-.}" -v conns="$conns" '$1 ~ choice && $4 <= conns'
}

# what_to_play: the transmission scenarios; last those that turn something off for good.
# The plain run leaves out most of a series that differs in a number only.
what_to_play() {
	local list

	list=$(hostile --list transmission | grep -vE '^(cut|mute|chunk)-' | possible)
	if [ -z "${SCENARIOS:-}" ] && [ "${FULL:-0}" != 1 ]; then
		list=$(grep -vE '^(alien-bit-[0-9]*[1-9]|reply-(fin|rst)-at-[0-9]*[1-57-9])	' <<<"$list")
	fi
	awk '/^error-95-/ { last = last $0 "\n"; next } NF { print } END { printf "%s", last }' <<<"$list"
}

# set_send_buffers "MIN DEFAULT MAX": those of TCP sockets
set_send_buffers() {
	echo "$1" >/proc/sys/net/ipv4/tcp_wmem
}

# list_must_have_some: only a choice may leave nothing
list_must_have_some() {
	[ -s list ] || [ -z "${SCENARIOS:-}" ] || skip "no scenario is chosen"
	[ -s list ]
}

set_unix_buffers() {
	echo "$1" >/proc/sys/net/core/wmem_default
}

# play_list OPTION...: plays the scenarios of the file list, on a device of its own, whose
# server has these options
play_list() {
	list_must_have_some
	# a long request is not sent at once, as if the network were slower: what both ends'
	# sockets hold is less than "unsent" writes, or the parts that they may go out in
	start_hostile --size 32M --flags has,flush,fua,trim,zeroes,multi --rcvbuf 65536 "$@"
	cleanup_fn set_send_buffers "$(</proc/sys/net/ipv4/tcp_wmem)"
	cleanup_fn set_unix_buffers "$(</proc/sys/net/core/wmem_default)"
	set_send_buffers "4096 16384 65536"
	set_unix_buffers 65536
	attach "${server_args[@]}" -connections "$conns" \
		-timeout "${request_timeout:-$((2 + TIME_SCALE))}"
	# what the block layer says of requests that must fail
	allow_log '(I/O error|blk_update_request|lost async page write).* dev '"$name"
	scenarios "$dev" "$control" "$conns" <list
	detach
	ctl ping
}

variants[test_transmission]="$ways"
timeouts[test_transmission]=600
test_transmission() {
	take_way
	what_to_play >list
	play_list
}

# A small reply cut off at every byte; the plain run takes one of 33, so that it meets
# header and payload, the quick one fewer.
variants[test_cuts]="way:tcp-2,unix-1"
timeouts[test_cuts]=900
test_cuts() {
	local stride=33

	take_way
	[ "${QUICK:-0}" != 1 ] || stride=131
	[ "${FULL:-0}" != 1 ] && [ -z "${SCENARIOS:-}" ] || stride=1
	hostile --list transmission | grep '^cut-' | possible | sed -n "1~${stride}p" >list
	play_list
}

# Where structured replies were agreed on. The plain run takes one cut of three.
variants[test_chunks]="$ways"
timeouts[test_chunks]=600
test_chunks() {
	take_way
	hostile --list transmission | grep '^chunk-' | possible >list
	[ "${FULL:-0}" = 1 ] || [ -n "${SCENARIOS:-}" ] ||
		sed -i -E '/^chunk-(fin|rst)-at-[0-9]*[1-57-8]\t/d' list
	play_list --structured
}

# A request that the server is silent about each time costs a number of connections, and
# others go on meanwhile. The quick run takes the one that stops most.
variants[test_mute]="way:tcp-1,unix-4"
timeouts[test_mute]=300
test_mute() {
	local request_timeout=$TIME_SCALE

	take_way
	hostile --list transmission | grep '^mute-' | possible >list
	[ "${FULL:-0}" = 1 ] || [ -n "${SCENARIOS:-}" ] || sed -i -E '/^mute-(write|half)/d' list
	[ "${QUICK:-0}" != 1 ] || sed -i '/^mute-stall/!d' list
	play_list
	expect_log "fails: the server is silent about it each time, and answers others"
}

# The plain run cuts the handshake at every fifth byte, the quick one at every tenth and in
# one of three ways.
variants[test_handshake]="transport:unix"
[ "${FULL:-0}" != 1 ] || variants[test_handshake]+=",tcp"
timeouts[test_handshake]=900
test_handshake() {
	modprobe nbd
	# devices may be attached that the server breaks at once
	allow_log 'I/O error.* dev nbd'
	start_hostile --size 64M --flags has,flush,fua,trim,zeroes,multi
	conns=2
	hostile --list handshake | possible >list
	list_must_have_some
	[ "${FULL:-0}" = 1 ] || [ -n "${SCENARIOS:-}" ] ||
		sed -i -E '/^hs-(fin|rst|stall)-at-[0-9]*[^05]\t/d' list
	[ "${QUICK:-0}" != 1 ] || [ -n "${SCENARIOS:-}" ] ||
		sed -i -E '/^hs-((rst|stall)-at-|fin-at-[0-9]*5\t)/d' list
	handshakes "$control" "$NBD_CLIENT" "${server_args[@]}" <list
	ctl ping
}

run_tests
