#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The network between two namespaces is cut and comes back: a pause, no error. And a
# connection that was given up is gone for good: nothing that it still had to send
# may reach the server later. What the kernel's own driver does there is shown by
#	tests/vm/run --driver stock -- env DRIVER=stock ONLY=stale_writes THIS-FILE
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../links.sh"
dealt_out=1

# read_one: past every cache; the time is in took
read_one() {
	timed_dd 0 if="$dev" of=/dev/null bs=4k count=1 iflag=direct
}

# outage SECONDS: the time from its end to the next answer is told, and bounded
outage() {
	cut_link 0
	nap "$1"
	heal_link 0
	read_one
	echo "$how for $1 s: the next read took $took ms"
	assert_within "$took" 0 $(($(scaled 13) * 1000)) "milliseconds after $1 s of $how"
	load_goes_on
}

# attach_far_disk: mounted, and under load; its server is at the other end of link 0
attach_far_disk() {
	local mode=${mode:-netlink}

	make_links 1
	choose_address
	truncate -s 64M image
	start_far nbdkit -f -p "$port" file "$PWD/image"
	attach_by_mode 10.77.0.2 "$port" -connections "$conns"
	cleanup_fn heal_at_end
	mount_disk
	start_load mnt/file
}

detach_far_disk() {
	end_load
	assert_equal "$(counter failed)" 0 "requests that failed"
	unmount_and_check
	detach
}

variants[test_cut]="conns:1,4"
timeouts[test_cut]=1200
test_cut() {
	local seconds how outages="0.1 3"

	[ "${FULL:-0}" != 1 ] || outages="0.1 0.5 2 10 30 60"
	attach_far_disk
	for how in down drop loss; do
		for seconds in $outages; do
			outage "$seconds"
		done
	done
	detach_far_disk
}

# In any way, at any moment and for any time up to three seconds.
variants[test_random_cuts]="conns:1,4 mode:netlink,ioctl"
timeouts[test_random_cuts]=600
test_random_cuts() {
	local how i n ways=(down drop loss)

	n=$(count 50)
	attach_far_disk
	for ((i = 0; i < n; i++)); do
		random_nap 1000
		how=${ways[RANDOM % 3]}
		cut_link 0
		random_nap 3000
		heal_link 0
		load_goes_on
	done
	detach_far_disk
}

# Whoever attached a device in a namespace reaches the server from there only.
test_attached_in_a_namespace() {
	local command

	make_links 1
	choose_address
	truncate -s 16M image
	command=(nbdkit -f -i 127.0.0.1 -p "$port" file "$PWD/image")
	launch_far "${command[@]}"
	cleanup_fn stop_present_server
	await_far "${command[@]}"
	name=$(nsenter --net=/run/netns/far "$NBD_CLIENT" -print-device 127.0.0.1 "$port")
	use_device "${name#/dev/}"
	read_one
	kill -9 "$server_pid"
	wait "$server_pid" || true
	wait_for 10 state_is waiting
	launch_far "${command[@]}"
	await_far "${command[@]}"
	read_one
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
}

# host_is ADDRESS: what "disk-host" means
host_is() {
	echo "$1 disk-host" >/etc/hosts
}

# A server that has moved: its name leads to another address, and the device follows.
test_moved_address() {
	local how=down

	make_links 2
	choose_address
	truncate -s 16M image
	start_far nbdkit -f -p "$port" file "$PWD/image"
	cp /etc/hosts hosts
	cleanup_fn cp "$PWD/hosts" /etc/hosts
	host_is 10.77.0.2
	attach disk-host "$port" -peer-timeout 3 -connections 1
	cleanup_fn heal_at_end
	cut_link 0
	host_is 10.77.1.2
	wait_for 30 said 'reconnected to 10.77.1.2'
	read_one
	# or the server's end of the old connection would keep the namespace
	heal_link 0
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
}

# A dead peer is noticed on an idle link: nothing is sent that could time out.
test_idle_peer_is_found_dead() {
	local begin how=loss

	make_links 1
	choose_address
	truncate -s 16M image
	start_far nbdkit -f -p "$port" file "$PWD/image"
	attach 10.77.0.2 "$port" -connections 1 -peer-timeout 3
	cleanup_fn heal_at_end
	cut_link 0
	begin=$(milliseconds)
	wait_for 15 state_is waiting
	assert_within "$(elapsed "$begin")" 1000 $(($(scaled 8) * 1000)) "milliseconds to notice"
	heal_link 0
	read_one
	detach
}

# The server's machine is replaced while the disk is idle, and nobody says so: each of the
# connections only dies of a request. The monitor sleeps all the while.
test_all_silently_dead() {
	local monitor reader how=loss command

	make_links 1
	choose_address
	truncate -s 16M image
	command=(nbdkit -f -i 10.77.0.2 -p "$port" file "$PWD/image")
	start_far "${command[@]}"
	attach 10.77.0.2 "$port" -connections 8 -peer-timeout 300
	cleanup_fn heal_at_end
	monitor=$(monitor_pid)
	kill -STOP "$monitor"
	cleanup_fn kill -CONT "$monitor"
	cut_link 0
	stop_process "$server_pid"
	ip netns exec far ss -Kt src 10.77.0.2 >/dev/null
	nap 3			# so long at least takes a machine
	heal_link 0
	start_far "${command[@]}"
	assert_equal "$(live_connections)" 9 "that look live"
	read_one &
	reader=$!
	wait_for 30 state_is waiting
	kill -CONT "$monitor"
	wait "$reader"
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
}

# --- stale writes ---

# fill_disk LETTER: its first 4 MiB
fill_disk() {
	head -c 4M /dev/zero | tr '\0' "$1" |
		dd of="$dev" bs=1M iflag=fullblock oflag=direct conv=fsync status=none
}

# occurrences LETTER: how often it stands in the server's image
occurrences() {
	tr -dc "$1" <image | wc -c
}

# unsent: bytes that the kernel still has to send to that address, or to see acknowledged
unsent() {
	ss -Htn dst "$1" | awk '{ n += $3 } END { print n + 0 }'
}

has_unsent() {
	[ "$(unsent "$1")" -gt 0 ]
}

# poke_stale N: the server sends a byte on its first N connections: whoever is at the
# other end must answer, and if nobody is, that is a reset
poke_stale() {
	local i

	for ((i = 1; i <= $1; i++)); do
		ctl "inject conn=$i data=00" || true
	done
}

# How the loss is noticed, and the number of connections.
variants[test_stale_writes]="kind:timeout-1,peer-4"
[ "${FULL:-0}" != 1 ] || variants[test_stale_writes]+=",timeout-4,peer-1"
timeouts[test_stale_writes]=120
test_stale_writes() {
	local writer control=$PWD/control options how=drop conns=${kind#*-}

	case ${kind%-*} in
	timeout) options=(-timeout 5) ;;
	peer) options=(-peer-timeout 5 -connect-timeout 3) ;;
	esac
	make_links 2
	choose_address
	start_far hostile --control "$control" --listen "tcp:10.77.0.2:$port" \
		--listen "tcp:10.77.1.2:$port" --log "$PWD/hostile.log" --file "$PWD/image" --size 16M
	attach 10.77.0.2 "$port" -server "nbd://10.77.1.2:$port/" -connections "$conns" \
		"${options[@]}"
	cleanup_fn heal_at_end
	cut_link 0
	fill_disk O &
	writer=$!
	wait_for 10 has_unsent 10.77.0.2
	wait "$writer"
	grep -q 'up, accepted as .* by listener 2' hostile.log
	ss -tan dst 10.77.0.2
	assert_equal "$(unsent 10.77.0.2)" 0 "bytes unsent on the old link"
	fill_disk N
	heal_link 0
	poke_stale "$conns"
	ctl "wait tx_conns=$conns timeout=20"
	assert_equal "$(occurrences O)" 0 "old bytes in the image"
	assert_equal "$(occurrences N)" $((4 << 20)) "new bytes in the image"
	detach
}

run_tests
