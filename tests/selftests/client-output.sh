#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What nbd-client prints, for scripts that were written for Debian's and for people, and
# that nobody is left with a device of which he does not know.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

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

# --- -status ---

# json EXPRESSION: of d, what -status -json prints of $dev, with Python
json() {
	"$NBD_CLIENT" -status -json "$dev" | python3 -c '
import json, os, sys

top = json.load(sys.stdin)
d = top["devices"][0]
print(eval(sys.argv[1]))' "$1"
}

# json_has REGEX: a line of it. Python takes seconds to start in a guest.
json_has() {
	"$NBD_CLIENT" -status -json "$dev" | grep -E "$1" >/dev/null
}

# logged N REGEX: so many lines
logged() {
	[ "$(log_since_mark "$2" | wc -l)" = "$1" ]
}

# A primary that is gone, a backup that is another disk, one whose name is wrong: all of it is
# told as long as it lasts, to everybody in this user namespace.
ours_only[test_outage]=1
test_outage() {
	local transport=tcp backup monitor told

	start_nbdkit memory 5M
	backup=$port
	start_nbdkit memory 10M
	use_device nbd0
	"$NBD_CLIENT" -server "127.0.0.1:$backup" -server typo.invalid:1 "${server_args[@]}" nbd0 2>err
	assert_match "$(<err)" "^nbd-client: warning: typo.invalid:1: .*that server will not be used"
	assert_equal "$(wc -l <err)" 1 "lines"
	monitor=$(</run/nbd/monitor.pid)
	assert_equal "$(json 'top["monitor_pid"], d["netns"], d["mntns"], "outage" in d')" "($monitor, None, None, False)"
	stop_process "$server_pid"
	wait_for 20 json_has '"failed_attempts": [3-9]'
	mapfile -t told < <(json '"\n".join(map(str, (lambda o: (o["servers"][0]["error"],
		o["servers"][1]["error"], o["servers"][2], o["given_up"],
		0 <= o["next_attempt_ms"] <= 12500))(d["outage"])))')
	assert_match "${told[0]}" "127.0.0.1:$port: cannot connect: Connection refused"
	assert_match "${told[1]}" "refused to reconnect: .*5242880"
	assert_equal "${told[2]}" "{'server': 'typo.invalid:1'}" "a server without an address"
	assert_equal "${told[3]}" False "given up"
	assert_equal "${told[4]}" True "next attempt within 12.5 s"
	output=$(setpriv --reuid=65534 "$NBD_CLIENT" -status "$dev")
	echo "$output"
	assert_match "$output" "last error: .*Connection refused"
	assert_match "$output" "attempts of process $monitor have failed"
	# somebody else's word is not believed, nor that of a monitor that is gone; one that
	# stands still does not write it anew meanwhile
	kill -STOP "$monitor"
	chown 65534 /run/nbd/.outage.nbd0
	! json_has '"outage":' || fail "told by somebody else"
	kill -9 "$monitor"
	wait_for 10 json_has '"monitor": false'
	assert_equal "$(setpriv --reuid=65534 "$NBD_CLIENT" -status -json "$dev" | grep monitor)" '  "monitor": false,'
	"$NBD_CLIENT" -force -d nbd0
	[ ! -e /run/nbd/monitor.pid ] || [ "$(</run/nbd/monitor.pid)" = "$monitor" ] ||
		fail "a monitor that nobody needs"
}

# It is over when the server is back, and nothing of it is left; nor of the monitor.
ours_only[test_outage_ends]=1
test_outage_ends() {
	start_nbdkit memory 10M
	use_device nbd0
	"$NBD_CLIENT" "${server_args[@]}" -reconnect-limit 3 nbd0
	stop_process "$server_pid"
	wait_for 20 json_has '"given_up": true'
	json_has '"next_attempt_ms": null'
	json_has '"failed_attempts": 3,'
	start_nbdkit memory 10M
	"$NBD_CLIENT" -replace "${server_args[@]}" nbd0
	[ ! -e /run/nbd/.outage.nbd0 ] || wait_for 5 [ ! -e /run/nbd/.outage.nbd0 ]
	"$NBD_CLIENT" -d nbd0
	[ ! -e /run/nbd/monitor.pid ] || fail "monitor.pid is left"
}

hex() {
	printf %s "$1" | od -An -v -tx1 | tr -d ' \n'
}

# Names come out of JSON as they went in, whatever is in them.
test_names() {
	local name=$'q"b\\s\x01\xff\xfeü' id=$'id\xc3\x80\xc3' got

	# shellcheck disable=SC2016 # nbdkit's shell expands that
	start_nbdkit eval open='echo h' get_size='echo 1048576' \
		pread='dd if=/dev/zero count=$3 iflag=count_bytes status=none'
	use_device nbd0
	"$NBD_CLIENT" -N "$name" -i "$id" "${server_args[@]}" nbd0
	got=$(json 'os.fsencode(d["export"]).hex(), os.fsencode(d["identifier"]).hex()')
	assert_equal "$got" "('$(hex "$name")', '$(hex "$id")')"
	detach
}

# In another user namespace the driver tells what mainline's tells.
ours_only[test_user_namespace]=1
test_user_namespace() {
	start_nbdkit memory 10M
	attach "${server_args[@]}" -i a-secret
	rm -f /run/nbd/nbd0
	output=$(unshare --user --map-root-user "$NBD_CLIENT" -status -json)
	echo "$output"
	assert_match "$output" '"device": "/dev/nbd0"'
	[[ $output != *a-secret* && $output != *session* ]] || fail "it tells too much"
	assert_match "$(setpriv --reuid=65534 "$NBD_CLIENT" -status -json)" a-secret
}

# Each line of the monitor is in the kernel's log, also when many come at once.
ours_only[test_many_lines]=1
test_many_lines() {
	local i

	start_nbdkit memory 1M
	cleanup_fn detach_all
	for i in {0..15}; do
		"$NBD_CLIENT" "${server_args[@]}" "nbd$i" >/dev/null
	done
	stop_process "$server_pid"
	wait_for 20 all_are_told_of
	detach_all
	logged 0 "nbd-client: .* callbacks suppressed"
}

# A server that is just ending may let somebody in once more: then there are two lines.
all_are_told_of() {
	[ "$(log_since_mark "nbd-monitor: .*: no connection is left" |
		sed -E 's/.*(nbd[0-9]+): .*/\1/' | sort -u | wc -l)" = 16 ]
}

detach_all() {
	local name

	for name in $(connected_devices); do
		"$NBD_CLIENT" -force -d "$name"
	done
}

# Users' PATH has no sbin.
test_completion() {
	cp "$NBD_CLIENT" /usr/sbin/nbd-client
	cleanup_fn rm /usr/sbin/nbd-client
	# shellcheck disable=SC1090 # it has no name that could be known here
	PATH=/usr/bin:/bin bash -c '
		. "$1/system/nbd-client.completion"
		COMP_WORDS=(nbd-client -stat) COMP_CWORD=1
		_nbd_client
		[ "${COMPREPLY[*]}" = -status ]' - "$top"
}

run_tests
