#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What a boot needs of nbd-client: it waits for servers that come late, not for what cannot
# pass, and it does without the files that an initramfs may lack.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# told WORDS: the client has said that
told() {
	grep -q -- "$1" messages
}

told_times() {
	[ "$(grep -c "trying again" messages)" = "$1" ]
}

# wait_in_background OPTION...: a client that waits; its output is in "device", its messages
# in "messages"
wait_in_background() {
	use_device nbd0
	"$NBD_CLIENT" -print-device "$@" "$dev" >device 2>messages &
	client=$!
	cleanup_fn stop_process "$client"
}

# What it waits for changes; each reason is told once, however often it is tried.
variants[test_late]="mode:netlink,ioctl"
test_late() {
	local transport=tcp options=(-wait 60 -name disk)

	[ "$mode" = netlink ] || options+=(-nonetlink)
	choose_address
	wait_in_background "${options[@]}" "${server_args[@]}"
	wait_for 20 told "Connection refused.*trying again each second"
	start_server nbdkit -f -p "$port" --filter=exportname memory 16M \
		exportname-strict=true exportname=other
	wait_for 20 told "no such export"
	stop_process "$server_pid"
	wait_for 20 told_times 3
	start_server nbdkit -f -p "$port" memory 16M
	wait "$client" || { cat messages; fail "status $?"; }
	told_times 3 || { cat messages; fail "not three messages"; }
	device_works
	detach
}

# A name that the resolver learns later, as from a lease.
test_late_name() {
	local transport=tcp

	cp /etc/hosts hosts
	cleanup_fn cp "$PWD/hosts" /etc/hosts
	start_nbdkit memory 16M
	wait_in_background -wait forever late-host "$port"
	wait_for 30 told "late-host.*for as long as it takes"
	echo "127.0.0.1 late-host" >>/etc/hosts
	wait "$client" || { cat messages; fail "status $?"; }
	device_works
	detach
}

# The second server is waited for, too.
test_late_second() {
	local transport=tcp first

	choose_address
	first=("${server_args[@]}")
	choose_address
	wait_in_background -wait 60 -server "127.0.0.1:$port" "${first[@]}"
	wait_for 20 told "trying again each second"
	start_server nbdkit -f -p "$port" memory 16M
	wait "$client" || { cat messages; fail "status $?"; }
	detach
}

test_in_vain() {
	local transport=tcp begin

	choose_address
	begin=$(milliseconds)
	expect_status 6 "$NBD_CLIENT" -wait 3 "${server_args[@]}" nbd0
	assert_within $(($(milliseconds) - begin)) 2000 $(($(scaled 6) * 1000)) "milliseconds"
	assert_match "$output" "waited for [2-9] s in vain.*refused"
}

# What cannot pass ends it at once, with its own exit status.
variants[test_cannot_pass]="what:no-nbd,size,option,busy"
test_cannot_pass() {
	local begin status options=(-wait forever)

	start_nbdkit memory 16M
	modprobe nbd
	case $what in
	no-nbd)
		start_impostor $'HTTP/1.1 400 Bad Request\r\n\r\n'
		status=10
		;;
	size) options+=(-block-size 512 -size 1000) status=11 ;;
	option) options+=(-queue-depth 0) status=1 ;;
	busy)
		use_device nbd0
		"$NBD_CLIENT" "${server_args[@]}" nbd0
		status=5
		;;
	esac
	begin=$(milliseconds)
	expect_status "$status" timeout "$(scaled 20)" "$NBD_CLIENT" "${options[@]}" \
		"${server_args[@]}" nbd0
	assert_within $(($(milliseconds) - begin)) 0 $(($(scaled 5) * 1000)) "milliseconds"
	[[ $output != *"trying again"* ]] || fail "it was waited for"
}

# A line of nbdtab can say it, for the units.
test_in_nbdtab() {
	local transport=tcp

	choose_address
	echo "nbd0 127.0.0.1 - port=$port,wait=60" >tab
	use_device nbd0
	"$NBD_CLIENT" -nbdtab tab nbd0 2>messages &
	client=$!
	cleanup_fn stop_process "$client"
	wait_for 20 told "trying again each second"
	start_server nbdkit -f -p "$port" memory 16M
	wait "$client" || { cat messages; fail "status $?"; }
	detach
	expect_status 1 "$NBD_CLIENT" -wait 5 -d nbd0
}

# in_bare_system COMMAND...: without all that an initramfs may lack, and with a loopback
# interface that does not answer for a name server
in_bare_system() {
	unshare --mount bash -c '
		mount -t tmpfs none /etc
		exec "$@"' bash "$@"
}

# Nobody asks a name server that is not there: it would be waited for.
test_bare_system() {
	local transport=tcp begin

	start_nbdkit memory 16M
	modprobe nbd
	use_device nbd0
	perl -MSocket -e '
		socket(S, PF_INET, SOCK_DGRAM, 0) or die;
		bind(S, sockaddr_in(53, INADDR_LOOPBACK)) or die;
		$| = 1;
		while (recv(S, $_, 512, 0)) { s/[^a-z0-9]+/./g; print "$_\n" }' >asked &
	cleanup_fn stop_process $!
	wait_for 10 grep -q ":0035 " /proc/net/udp
	begin=$(milliseconds)
	in_bare_system "$NBD_CLIENT" -systemd-mark "${server_args[@]}" nbd0
	assert_within $(($(milliseconds) - begin)) 0 $(($(scaled 4) * 1000)) "milliseconds"
	[ ! -s asked ] || fail "a name server was asked: $(<asked)"
	device_works
	detach
}

run_tests
