#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Two addresses are two disks here, whose letters tell them apart: a device never shows
# both, whatever its names mean, and is never moved while the one in use can be reached.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# start_disks: disks A and B, at 127.0.0.2 and 127.0.0.3, on the same port
start_disks() {
	local letter transport=tcp

	choose_address
	for letter in A B; do
		disk_control[$letter]=$PWD/control.$letter
		start_server hostile --control "${disk_control[$letter]}" --ports /dev/null \
			--listen "tcp:${disk_host[$letter]}:$port" --size 1M
		disk "$letter" "fill from=0 len=1048576 byte=$(printf %d "'$letter")"
		disk_pid[$letter]=$server_pid
		disk "$letter" "listen off"
	done
	disk A "listen on"
	cp /etc/hosts hosts
	cleanup_fn cp "$PWD/hosts" /etc/hosts
}
declare -A disk_control disk_pid disk_host=([A]=127.0.0.2 [B]=127.0.0.3)

# disk LETTER COMMAND...: to its server
disk() {
	hostile --ctl "${disk_control[$1]}" "${@:2}"
}

# pair_is LETTER...: whose addresses the name "pair" has
pair_is() {
	local letter

	for letter; do
		echo "${disk_host[$letter]} pair"
	done >/etc/hosts
}

# only LETTER: what is read through each connection, of which each processor has one
only() {
	local cpu

	for cpu in 0 1; do
		taskset -c $cpu dd if="$dev" bs=4k count=8 iflag=direct status=none
	done >contents
	assert_equal "$(tr -d "$1" <contents | head -c 16)" "" "bytes of another disk than $1"
	assert_equal "$(wc -c <contents)" 65536 "bytes that were read"
}

# goes_to LETTER: both connections
goes_to() {
	disk "$1" "wait tx_conns==2 timeout=$(scaled 20)"
	[ "$DRIVER" = stock ] || wait_for 20 has_live 2
}

# knows_pair LETTER...: the monitor has resolved that name, to these only
knows_pair() {
	local letter record

	record=$(grep '^address ' "/run/nbd/$name")
	for letter in A B; do
		if [[ " $* " = *" $letter "* ]]; then
			grep -qF "%7F%00%00$(record_byte "$letter")" <<<"$record" || return 1
		elif grep -qF "%7F%00%00$(record_byte "$letter")" <<<"$record"; then
			return 1
		fi
	done
}

record_byte() {
	printf '%%%02X' "${disk_host[$1]##*.}"
}

restart_monitor() {
	local pid

	pid=$(monitor_pid)
	kill -9 "$pid"
	wait_for 20 gone_or_reaped "$pid"
	"$NBD_CLIENT" -monitor >>monitor.log 2>&1 &
	cleanup_fn stop_process $!
	wait_for 20 monitor_is $!
}

monitor_is() {
	[ "$(monitor_pid)" = "$1" ]
}

# tried_again LETTER N: that disk's server was asked for N more connections
tried_again() {
	disk "$1" "wait accepted>=$(($(disk "$1" "get accepted") + $2)) timeout=$(scaled 20)"
}

# One of two connections dies, and the server lets nobody in, for a while. Another address
# is not asked meanwhile, whatever the name means; when none of them lives, it is.
variants[test_one_of_two_dies]="pair:both,renamed,replaced,ioctl monitor:stays,killed"
test_one_of_two_dies() {
	local here=A there=B attach=attach

	[[ $pair-$DRIVER != @(replaced|ioctl)-stock ]] || skip "the stock driver cannot do that"
	[ "$pair" != ioctl ] || attach=attach_ioctl
	start_disks
	pair_is A B
	$attach pair "$port" -connections 2
	only A
	disk B "listen on"
	if [ "$pair" = replaced ]; then
		here=B there=A
		"$NBD_CLIENT" -replace "${disk_host[B]}" "$port" -server pair:"$port" "$dev"
	fi
	disk $there "stats reset"
	disk $here "hs.cut at=0 then=rst" "kill conn=1 how=rst"
	tried_again $here 3
	if [ "$pair" = renamed ]; then
		pair_is B
		wait_for 20 knows_pair B
	fi
	[ "$monitor" != killed ] || restart_monitor
	tried_again $here 3
	only $here
	disk $here clear
	goes_to $here
	only $here
	assert_equal "$(disk $there "get accepted")" 0 "connections to the other disk"
	kill -9 "${disk_pid[$here]}"
	goes_to $there
	only $there
	detach
}

# Other connections to the same server: where the device is, and not to the first address
# of its name that answers.
ours_only[test_replace_stays]=1
test_replace_stays() {
	start_disks
	pair_is A B
	attach pair "$port" -connections 1
	disk A "hs.drip n=4 t=60ms"
	disk B "listen on"
	"$NBD_CLIENT" -replace -connections 2 "$dev"
	goes_to A
	only A
	assert_equal "$(disk B "get accepted")" 0 "connections to the other disk"
	disk A clear "listen off" "kill all how=rst"
	goes_to B
	only B
	detach
}

# A server whose handshake takes longer than that of the next one is used all the same, by
# the attach and after a loss; the next one is when it is gone.
test_slow_primary() {
	start_disks
	disk A "hs.drip n=4 t=60ms"
	disk B "listen on"
	attach "${disk_host[A]}" "$port" -server "${disk_host[B]}:$port" -connections 2
	only A
	disk A "kill all how=rst" "wait negotiated>=4 timeout=$(scaled 20)"
	only A
	goes_to A
	only A
	assert_equal "$(disk B "get accepted")" 0 "connections to the next server"
	kill -9 "${disk_pid[A]}"
	goes_to B
	only B
	detach
}

run_tests
