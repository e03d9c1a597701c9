#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# nbd-client to the letter: what scripts that were written for Debian's nbd-client ask
# of it. (test-documents compares the options with --help, the pages, the completion.)
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

debian_client=$top/build/unpacked/nbd-client/sbin/nbd-client

# --- the ioctl interface ---

serving_process() {
	cat "/sys/block/$name/pid"
}

variants[test_nonetlink]="option:-L,--nonetlink"
test_nonetlink() {
	local pid conns=1

	[ "$option" = -L ] || conns=4

	start_nbdkit memory 64M
	use_device nbd0
	"$NBD_CLIENT" "${server_args[@]}" "$dev" "$option" -C "$conns"
	# ready when it returns, and a process of ours stays with it
	pid=$(serving_process)
	assert_equal "$(<"/proc/$pid/comm")" nbd-client "who serves the device"
	expect_status 0 "$NBD_CLIENT" -c "$dev"
	assert_equal "$output" "$pid" "output of -c"
	device_works
	detach
	wait_for 20 gone "$pid"
	expect_status 1 "$NBD_CLIENT" -c "$dev"
}

# In the foreground until somebody detaches it, or a signal comes.
variants[test_nofork]="end:detach,SIGTERM"
test_nofork() {
	local pid status=0 option=-nofork

	[ "$end" = detach ] || option=-n

	start_nbdkit memory 64M
	use_device nbd0
	"$NBD_CLIENT" -L "$option" "${server_args[@]}" "$dev" &
	pid=$!
	wait_for 10 [ -e /sys/block/nbd0/pid ]
	assert_equal "$(serving_process)" "$pid" "who serves the device"
	device_works
	if [ "$end" = detach ]; then
		detach
		wait "$pid" || status=$?
		assert_equal "$status" 0 "exit status"
	else
		kill "$pid"
		wait "$pid" || true
		wait_for 20 is_free
	fi
}

is_free() {
	! connected "$name"
}

# nofork_fails STATUS MESSAGE COMMAND...: one message, and the device is free again
nofork_fails() {
	local status=$1 message=$2

	shift 2
	expect_status "$status" "$@" -L -n "${server_args[@]}" "$dev"
	assert_match "$output" "nbd-client: $message"
	assert_equal "$(grep -c 'nbd-client:' <<<"$output")" 1 "messages"
	is_free
}

# What fails after the last word of the negotiation is told as well.
test_nofork_refused() {
	start_nbdkit memory 1M
	use_device nbd0
	nofork_fails 4 "$dev: the driver refused NBD_DO_IT: Operation not permitted" \
		env "LD_PRELOAD=$top/build/tests/refuse.so" "$NBD_CLIENT"
}

ours_only[test_nofork_without_monitor]=1
test_nofork_without_monitor() {
	start_nbdkit memory 1M
	use_device nbd0
	mkdir -p /run/nbd
	rm -f /run/nbd/.monitor
	mkdir /run/nbd/.monitor
	cleanup_fn rmdir /run/nbd/.monitor
	nofork_fails 1 "the monitor, .* does not start: .*Is a directory" "$NBD_CLIENT"
}

# The connection is lost, and made again; without a monitor that is the serving process.
# It resolves the name again, and without an answer it knows the last address.
test_nonetlink_persist() {
	local transport=tcp change

	cp /etc/hosts hosts
	cleanup_fn cp "$PWD/hosts" /etc/hosts
	echo "127.0.0.1 disk-host" >/etc/hosts
	start_nbdkit memory 64M
	use_device nbd0
	"$NBD_CLIENT" -L -persist -connect-timeout 3 disk-host "$port" "$dev"
	allow_log 'error,? (on )?dev nbd0'
	for change in "moved to 127.0.0.2" "has no name"; do
		kill -9 "$server_pid"
		wait "$server_pid" || true
		echo "127.0.0.2 disk-host" >/etc/hosts
		[ "$change" != "has no name" ] || : >/etc/hosts
		start_server nbdkit -f -i 127.0.0.2 -p "$port" memory 64M
		wait_for 20 device_works_again || fail "not reconnected: the server $change"
	done
	detach
}

# serve_as USER BYTE: a disk of that byte at $PWD/socket, where anyone may make one
serve_as() {
	rm -f socket
	: >server.log
	setpriv --reuid="$1" --regid="$1" --clear-groups \
		nbdkit -f -v -U "$PWD/socket" data "@0x3ffffff $2 @0 $2" >>server.log 2>&1 &
	server_pid=$!
	cleanup_fn stop_process "$server_pid"
	wait_for 20 [ -S socket ]
}

# seen_again: a server that was refused once is tried again, for it may have changed
seen_again() {
	[ "$(grep -c "accepted connection" server.log)" -ge 2 ]
}

begins_with() {
	[ "$(timeout 5 dd if="$dev" bs=512 count=1 iflag=direct status=none | head -c 1)" = "$1" ]
}

# Whoever puts a socket in the place of the server's is not taken for it: what is read
# meanwhile fails, or waits for the server with our driver.
test_nonetlink_foreign_socket() {
	local reader

	chmod 755 "$test_dir"
	chmod 1777 .
	serve_as 1234 65
	modprobe nbd
	use_device nbd0
	"$NBD_CLIENT" -L -persist -unix "$PWD/socket" "$dev"
	begins_with A
	allow_log 'error,? (on )?dev nbd0'
	kill -9 "$server_pid"
	wait "$server_pid" || true
	serve_as 65534 66
	wait_for 20 grep -q "accepted connection" server.log
	touch read
	dd if="$dev" of=read bs=512 count=1 iflag=direct status=none &
	reader=$!
	wait_for 20 seen_again
	kill -9 "$server_pid"
	wait "$server_pid" || true
	serve_as 1234 65
	wait_for 20 begins_with A
	wait "$reader" || true
	[ "$(head -c 1 read)" != B ] || fail "the other disk was taken"
	detach
}

# On a busy machine the announcement of the lost connection is late.
test_nonetlink_persist_late() {
	local transport=tcp

	start_nbdkit memory 64M
	use_device nbd0
	LD_PRELOAD=$top/build/tests/late.so "$NBD_CLIENT" -L -persist 127.0.0.1 "$port" "$dev"
	allow_log 'error,? (on )?dev nbd0'
	kill -9 "$server_pid"
	wait "$server_pid" || true
	start_server nbdkit -f -p "$port" memory 64M
	wait_for 20 device_works_again || fail "not reconnected"
	detach
}

device_works_again() {
	connected "$name" && device_works >/dev/null 2>&1
}

# --- the handshake ---

# start_bare_server: serves 16 MiB, without a word of handshake
start_bare_server() {
	choose_address
	start_server python3 -c '
import socket, struct, sys

def receive(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            sys.exit()
        data += more
    return data

image = bytearray(16 << 20)
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
connection, _ = server.accept()
while True:
    _, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", receive(connection, 28))
    if kind == 1:
        image[offset:offset + length] = receive(connection, length)
    elif kind == 2:
        break
    connection.sendall(struct.pack(">IIQ", 0x67446698, 0, cookie))
    if kind == 0:
        connection.sendall(image[offset:offset + length])
' "$socket"
}

variants[test_preinit]="mode:netlink,ioctl"
test_preinit() {
	local options=(-P)

	[ "$mode" = netlink ] || options=(-preinit -L)
	start_bare_server
	use_device nbd0
	expect_failure "$NBD_CLIENT" "${server_args[@]}" "$dev" "${options[@]}"
	assert_match "$output" "size"
	"$NBD_CLIENT" "${server_args[@]}" "$dev" "${options[@]}" -B $((16 << 20)) -no-persist
	assert_equal "$(blockdev --getsize64 "$dev")" $((16 << 20)) "size"
	device_works
	detach
}

variants[test_no_optgo]="option:none,-g"
test_no_optgo() {
	local options=()

	[ "$option" = none ] || options=("$option")
	start_nbdkit -v memory 64M
	attach "${server_args[@]}" "${options[@]}"
	device_works
	detach
	case $option in
	none) not_logged NBD_OPT_EXPORT_NAME ;;
	*)
		grep NBD_OPT_EXPORT_NAME server.log
		not_logged NBD_OPT_GO
		;;
	esac
}

# not_logged TEXT: by nbdkit -v
not_logged() {
	if grep "$1" server.log; then fail "the server saw $1"; fi
}

test_sdp() {
	start_nbdkit memory 1M
	for option in -S -sdp --sdp; do
		expect_failure "$NBD_CLIENT" "$option" "${server_args[@]}" /dev/nbd0
		assert_match "$output" "Sockets Direct Protocol"
	done
	assert_equal "$(connected_devices)" ""
}

# --- processes ---

# Whoever serves the device, or reconnects it, is not paged out and not killed.
variants[test_swap]="mode:netlink,ioctl"
test_swap() {
	local pid options=(-s)

	[ "$mode" = netlink ] || options=(-swap -L)
	start_nbdkit memory 64M
	use_device nbd0
	"$NBD_CLIENT" "${server_args[@]}" "$dev" "${options[@]}"
	pid=$(guardian)
	assert_equal "$(<"/proc/$pid/oom_score_adj")" -1000 "oom_score_adj"
	assert_match "$(<"/proc/$pid/status")" 'VmLck:[[:space:]]+[1-9]' "locked memory"
	mkswap "$dev" >/dev/null
	swapon "$dev"
	cleanup_fn swapoff_quietly
	assert_match "$(</proc/swaps)" "$dev"
	expect_failure "$NBD_CLIENT" -d "$dev"
	assert_match "$output" "swap"
	swapoff "$dev"
	detach
}

# guardian: the process that serves the device, or the monitor
guardian() {
	if [ "$mode" = netlink ]; then pgrep -f 'bd-client -monitor'; else serving_process; fi
}

variants[test_systemd_mark]="mode:netlink,ioctl"
test_systemd_mark() {
	local pid options=(-m) first

	[ "$mode" = netlink ] || options=(-systemd-mark -L)
	start_nbdkit memory 64M
	use_device nbd0
	"$NBD_CLIENT" "${server_args[@]}" "$dev" "${options[@]}"
	pid=$(guardian)
	IFS= read -rd '' first <"/proc/$pid/cmdline"
	assert_match "$first" '^@.*bd-client$' "name of process $pid"
	detach
}

# --- -c and -l ---

# same_answer ARGUMENTS...: Debian's client has the same exit status and output, but for
# the empty line that it prints after a pid
same_answer() {
	local status=0

	"$debian_client" "$@" >debian 2>/dev/null || status=$?
	expect_status "$status" "$NBD_CLIENT" "$@" >/dev/null
	"$NBD_CLIENT" "$@" 2>/dev/null >ours || true
	diff -B debian ours
}

test_check() {
	! [ -e /sys/module/nbd ] || modprobe -r nbd
	same_answer -c /dev/nbd0		# no module
	start_nbdkit memory 1M
	use_device nbd0
	"$NBD_CLIENT" "${server_args[@]}" "$dev"
	expect_status 0 "$NBD_CLIENT" -c "$dev"
	assert_match "$output" '^[0-9]+$'
	same_answer -c /dev/nbd0
	same_answer -check /dev/nbd0
	same_answer -c /dev/nbd0p1		# its disk counts
	same_answer -c nbd0p1
	same_answer -c /dev/nbd1p1
	same_answer -c /dev/nbd1		# free
	same_answer -c /dev/nbd777		# no such device
	same_answer -c /dev/null
	same_answer -c /nonsense
	detach
	same_answer -c /dev/nbd0
}

# 2: it could not find out
test_check_error() {
	modprobe nbd
	mount -t tmpfs none /sys/block
	cleanup_fn umount /sys/block
	mkdir -p /sys/block/nbd0/pid
	expect_status 2 "$NBD_CLIENT" -c /dev/nbd0
	umount /sys/block
	cleanups=()
}

variants[test_list]="server:nbdkit,nbdkit_exports,qemu_nbd,nbd_server"
test_list() {
	transport=tcp
	truncate -s 1M image
	case $server in
	nbdkit) start_nbdkit memory 1M ;;
	nbdkit_exports)
		start_nbdkit --filter=exportname memory 1M exportname-list=explicit \
			exportname=alpha exportname=beta exportdesc=fixed:text
		;;
	qemu_nbd) start_qemu_nbd -f raw -x alpha -D "what it is" image ;;
	nbd_server) start_nbd_server alpha "$PWD/image" ;;
	esac
	same_answer -l "${server_args[@]}"
	same_answer --list "${server_args[@]}"
	[ "$server" = nbdkit ] || grep -q alpha ours
}

# --- how it may be written ---

# In any order that the original accepts.
test_orders() {
	transport=tcp
	start_nbdkit memory 64M
	use_device nbd0
	each_form -block-size 4096 -N any 127.0.0.1 "$port" /dev/nbd0
	each_form 127.0.0.1 "$port" -b 4096 /dev/nbd0 -name any
	each_form 127.0.0.1 "$port" /dev/nbd0 --block-size=4096 --name=any
	each_form 127.0.0.1 -b4096 "$port" -Nany /dev/nbd0
	each_form 127.0.0.1 "$port" /dev/nbd0 bs=4096 timeout=7 -persist
	each_form -timeout 7 -p -m -s -R -- 127.0.0.1 "$port" /dev/nbd0 2>/dev/null
}

each_form() {
	"$NBD_CLIENT" "$@"
	connected nbd0 || fail "not attached: $*"
	[[ "$*" != *4096* ]] || assert_equal "$(<"/sys/block/nbd0/queue/logical_block_size")" 4096
	detach
}

test_version_and_help() {
	for option in -V -version --version; do
		expect_status 0 "$NBD_CLIENT" "$option"
		assert_match "$output" '^This is nbd-client, version [0-9]'
	done
	for option in -h -help --help; do
		expect_status 0 "$NBD_CLIENT" "$option"
		assert_match "$output" 'Usage: nbd-client'
	done
	expect_failure "$NBD_CLIENT"
	assert_match "$output" "server"
}

# --- nbdtab ---

# tab OPTIONS: the definition of nbd0, at the server that was started last
tab() {
	printf '# devices\n\nnbd1 nowhere.invalid none\nnbd0\t%s any  %s # with a comment\n' \
		"$tab_server" "$1" >/etc/nbdtab
	cleanup_fn rm -f /etc/nbdtab
}

# tab_attach OPTIONS: with `nbd-client nbd0`, and nothing to complain of
tab_attach() {
	tab "$1"
	expect_status 0 "$NBD_CLIENT" nbd0
	assert_match "$output" '^Negotiation: ..size = [0-9]+MB' "output"
	connected nbd0 || fail "not attached"
}

# start_for_tab ARGUMENTS...: nbdkit's
start_for_tab() {
	start_nbdkit "$@"
	if [ "${transport:-unix}" = unix ]; then
		ln -s "$socket" /tmp/nbdtab.socket	# without spaces
		cleanup_fn rm /tmp/nbdtab.socket
		tab_server=/tmp/nbdtab.socket where=unix
	else
		tab_server=127.0.0.1 where=port=$port
	fi
	use_device nbd0
}

# start_for_tab's server with one option; then CHECK..., while it is attached
tab_case() {
	tab_attach "$where,$1"
	shift
	"$@"
	detach
}

queue_is() {
	assert_equal "$(<"/sys/block/nbd0/queue/$1")" "$2" "$1"
}

field_is() {
	assert_equal "$(status_field "$1")" "$2" "$1"
}

connections_are() {
	assert_equal "$("$NBD_CLIENT" -status -json "$dev" | grep -c '"slot"')" "$1" "connections"
}

served_by_process() {
	assert_equal "$(<"/proc/$(serving_process)/comm")" nbd-client "who serves the device"
}

is_readonly() {
	assert_equal "$(</sys/block/nbd0/ro)" 1 "read-only"
}

process_marked() {
	pgrep -f '^@.*bd-client'
}

identifier_is() {
	assert_equal "$(</sys/block/nbd0/backend)" "$1" "backend"
}

size_is() {
	assert_equal "$(blockdev --getsize64 /dev/nbd0)" "$1" "size"
}

memory_locked() {
	assert_match "$(cat "/proc/$(serving_process)/status")" 'VmLck:[[:space:]]+[1-9]'
}

ours_only[test_nbdtab]=1
variants[test_nbdtab]="transport:tcp,unix"
timeouts[test_nbdtab]=120
test_nbdtab() {
	start_for_tab memory 64M
	tab_attach "$where"
	device_works
	expect_status 5 "$NBD_CLIENT" nbd0
	detach
	tab_case bs=4096 queue_is logical_block_size 4096
	tab_case conns=3,timeout=9 connections_are 3
	tab_case readonly is_readonly
	tab_case size=1M size_is $((1 << 20))
	tab_case nonetlink,swap memory_locked
	# the name of the device may be written in full; the command line is stronger
	tab "$where,timeout=9"
	"$NBD_CLIENT" /dev/nbd0 -timeout 5
	field_is timeout 5
	detach
}

ours_only[test_nbdtab_policies]=1
test_nbdtab_policies() {
	start_for_tab memory 64M
	tab_case timeout=9 field_is timeout 9
	tab_case dead_timeout=8,peer_timeout=7,slow_timeout=6 all_fields \
		dead_timeout 8 peer_timeout 7 slow_timeout 6
	tab_case persist,reconnect_limit=3,connect_timeout=4 all_fields \
		reconnect true reconnect_limit 3
	tab_case no_persist field_is reconnect false
	tab_case queue_depth=16,write_policy=through all_fields queue_depth 16 write_policy through
	tab_case read_ahead=512 queue_is read_ahead_kb 512
	tab_case read_ahead=512,nonetlink queue_is read_ahead_kb 512
	tab_case identifier=mine identifier_is mine
	tab_case systemd_mark process_marked
	tab_case "server=/nowhere/else,nonetlink" served_by_process
	tab_case _ours=1,_theirs true
}

all_fields() {
	while [ $# != 0 ]; do
		field_is "$1" "$2"
		shift 2
	done
}

test_nbdtab_no_optgo() {
	start_for_tab -v memory 64M
	tab_case no_optgo device_works
	grep NBD_OPT_EXPORT_NAME server.log
}

test_nbdtab_preinit() {
	start_bare_server
	tab_server=$socket
	use_device nbd0
	tab_attach unix,preinit,size=16M,no_persist
	device_works
	detach
}

test_nbdtab_bad() {
	start_for_tab memory 64M
	tab "$where,no_such_option=1"
	expect_status 0 "$NBD_CLIENT" nbd0
	assert_match "$output" "no_such_option"
	detach
	tab "$where,sdp"
	expect_failure "$NBD_CLIENT" nbd0
	assert_match "$output" "Sockets Direct Protocol"
	for option in tls certfile=x keyfile=x cacertfile=x tlshostname=x priority=x; do
		tab "$where,$option"
		expect_status 8 "$NBD_CLIENT" nbd0
		assert_match "$output" "TLS"
	done
	tab "$where,bs=777"
	expect_failure "$NBD_CLIENT" nbd0
	assert_match "$output" "nbdtab.*line 4.*777"
	expect_failure "$NBD_CLIENT" nbd7
	assert_match "$output" "nbdtab.*nbd7"
	assert_equal "$(connected_devices)" ""
}

# --- completion ---

# complete_words WORD...: what the completion offers for the last word
complete_words() {
	(
		PATH=$top/build:$PATH
		. "$top/system/nbd-client.completion"
		COMP_WORDS=(nbd-client "$@")
		COMP_CWORD=$#
		_nbd_client
		echo "${COMPREPLY[*]}"
	)
}

ours_only[test_completion_of_devices]=1
test_completion_of_devices() {
	start_nbdkit memory 1M
	modprobe -r nbd
	modprobe nbd nbds_max=3
	use_device nbd1
	"$NBD_CLIENT" "${server_args[@]}" "$dev"
	assert_equal "$(complete_words -d /dev/)" "/dev/nbd1" "after -d"
	assert_equal "$(complete_words -c nbd)" "nbd1" "after -c"
	assert_equal "$(complete_words -u "$socket" /dev/nbd)" "/dev/nbd0 /dev/nbd2" "to attach"
	assert_equal "$(complete_words -status nbd)" "nbd1" "after -status"
	detach
}

run_tests
