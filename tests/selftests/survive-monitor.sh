#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The monitor, and every other process of nbd-client, may be killed at any time: I/O
# goes on, the device can be detached or attached again, and a monitor that is started
# by hand takes over.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../links.sh"
dealt_out=1

monitor_runs() {
	[ -n "$(monitor_pid)" ]
}

kill_monitor() {
	local pid

	pid=$(monitor_pid)
	[ -n "$pid" ] || fail "no monitor runs"
	kill -9 "$pid"
	wait_for 20 gone_or_reaped "$pid"
}

tells_of_no_monitor() {
	"$NBD_CLIENT" -status "$dev" | grep 'no monitor runs'
}

read_block() {
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
}

# By hand, as a service manager would: in the foreground.
start_monitor() {
	"$NBD_CLIENT" -monitor >>monitor.log 2>&1 &
	cleanup_fn stop_process $!
	monitor=$!
	wait_for 20 monitor_runs
}

variants[test_one_takes_over]=$ways
test_one_takes_over() {
	local reader

	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
	! tells_of_no_monitor || fail "a monitor that runs is missed"
	kill_monitor
	tells_of_no_monitor
	read_block
	restart_server
	read_block &
	reader=$!
	wait_for 20 state_is waiting
	start_monitor
	wait "$reader"
	has_live "$conns" || wait_for 10 has_live "$conns"
	grep -q 'reconnected' monitor.log
	detach
	monitor_runs
	stop_process "$monitor"
}

# It knows nothing of an outage that began without it, but finds it and tells of it once; also
# of one that ended without it.
test_outage_without_monitor() {
	start_disk 64M
	attach "${server_args[@]}" -connections 2
	kill_monitor
	kill_server
	wait_for 20 state_is waiting
	start_monitor
	wait_for 10 grep -q "cannot reconnect" monitor.log
	assert_equal "$(grep -c "$dev: no connection is left, I/O waits" monitor.log)" 1 "lines"
	kill_monitor
	launch
	start_monitor
	wait_for 10 has_live 2
	detach
	stop_process "$monitor"
}

# The next attach starts a new one, which cares for the old devices too.
test_next_attach_brings_one() {
	local first

	start_disk 64M
	attach "${server_args[@]}" -connections 1
	first=$dev
	kill_monitor
	attach "${server_args[@]}" -connections 1
	monitor_runs
	restart_server
	for dev in "$first" "$dev"; do
		read_block
		detach
	done
	wait_for 20 no_monitor
}

no_monitor() {
	! monitor_runs
}

# There is only one; it ends with the last device.
test_one_for_all() {
	local i devices=()

	start_disk 64M
	for i in 1 2 3; do
		attach "${server_args[@]}"
		devices+=("$dev")
	done
	assert_equal "$(pgrep -cx nbd-client)" 1 "processes of nbd-client"
	for dev in "${devices[@]}"; do
		monitor_runs
		detach
	done
	wait_for 20 no_monitor
	assert_equal "$(find /run/nbd -mindepth 1 -name 'nbd*' | wc -l)" 0 "records"
}

says() {
	grep -q "$1" "$2"
}

# A service manager's waits while there is another, and then takes over.
test_foreground_monitor_waits() {
	local service

	start_disk 64M
	attach "${server_args[@]}"
	"$NBD_CLIENT" -monitor >monitor.log 2>&1 &
	service=$!
	cleanup_fn stop_process "$service"
	wait_for 10 says "waiting for its end" monitor.log
	kill -9 "$(</run/nbd/.monitor)"
	wait_for 10 says "^$service$" /run/nbd/.monitor
	restart_server
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
	detach
}

# Under systemd the service is started, not a child, which would end with the unit that
# attached the first device; and a child where there is no such service.
variants[test_started_by_systemd]="service:there,missing"
test_started_by_systemd() {
	mkdir -p /run/systemd/system bin
	cleanup_fn rmdir /run/systemd/system
	cat >bin/systemctl <<-EOF
		#!/bin/bash
		echo "\$*" >>"$PWD/asked"
		[ $service = there ] || exit 5
		setsid "$NBD_CLIENT" -monitor >/dev/null 2>&1 &
		echo \$! >"$PWD/service"
	EOF
	chmod +x bin/systemctl
	start_disk 64M
	PATH=$PWD/bin:$PATH attach "${server_args[@]}"
	assert_equal "$(<asked)" "--no-block start nbd-monitor.service" "what systemctl was asked"
	if [ "$service" = there ]; then
		cleanup_fn stop_service
		assert_equal "$(</run/nbd/.monitor)" "$(<service)" "the monitor's process"
	fi
	restart_server
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
	detach
}

stop_service() {
	kill "$(<service)"
	wait_for 20 gone_or_reaped "$(<service)"
}

accepted_connections() {
	ctl stats | sed -n 's/^accepted=//p'
}

# A server that breaks each connection at once is not asked again at once for ever.
variants[test_broken_server]="mode:netlink,ioctl"
test_broken_server() {
	local before tries

	transport=unix start_hostile --size 64M
	if [ "$mode" = ioctl ]; then
		modprobe nbd
		use_device nbd0
		"$NBD_CLIENT" "${server_args[@]}" "$dev" -nonetlink -connections 1
	else
		attach "${server_args[@]}" -connections 1
	fi
	device_works
	# garbage is the first thing on a connection
	ctl "hs.reply opt=go place=after type=3 data=0009"
	before=$(accepted_connections)
	ctl "kill all"
	nap 5		# the time that is looked at
	tries=$(($(accepted_connections) - before))
	echo "$tries connections in five seconds"
	# the shortest pauses: 75 ms for an outage of up to a second, then 7.5 % of it
	assert_within "$tries" 3 45 "connections"
	ctl clear
	wait_for 15 device_works
	detach
}

variants[test_killed_in_an_outage]="conns:1,4"
timeouts[test_killed_in_an_outage]=200
test_killed_in_an_outage() {
	local i n

	start_disk 64M
	attach "${server_args[@]}" -connections "$conns"
	start_load "$dev"
	n=$(count 30)
	for ((i = 0; i < n; i++)); do
		kill_server
		random_nap 300
		kill_monitor
		start_monitor
		launch
		wait_for 15 state_is live
		random_nap 300
		load_goes_on
	done
	end_load
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
	stop_process "$monitor"
}

# Without a monitor a device is detached, and attached again, as always.
variants[test_detach_without_monitor]="server:alive,dead"
test_detach_without_monitor() {
	start_disk 64M
	attach "${server_args[@]}"
	kill_monitor
	[ "$server" = alive ] || kill_server
	detach
	[ "$server" = alive ] || launch
	"$NBD_CLIENT" "${server_args[@]}" "$dev"
	read_block
	detach
}

# SIGKILL in the middle of attaching, replacing or detaching.
variants[test_client_killed]="action:attach,replace,detach"
timeouts[test_client_killed]=200
test_client_killed() {
	local i n client

	start_disk 64M
	attach "${server_args[@]}"
	n=$(count 100)
	for ((i = 0; i < n; i++)); do
		case $action in
		attach)
			detach
			"$NBD_CLIENT" "${server_args[@]}" "$dev" >/dev/null 2>&1 &
			;;
		replace) "$NBD_CLIENT" -replace "$dev" 2>/dev/null & ;;
		detach) "$NBD_CLIENT" -d "$dev" & ;;
		esac
		client=$!
		random_nap 60
		kill -9 "$client" 2>/dev/null || true
		wait "$client" 2>/dev/null || true
		wait_for 10 settled
		connected "$name" || "$NBD_CLIENT" "${server_args[@]}" "$dev"
		read_block
	done
	detach
}

settled() {
	! connected "$name" || state_is live
}

# In the ioctl mode a process stays with the device; without it the device is free, or
# can be freed.
test_ioctl_process_killed() {
	local pid

	start_disk 64M
	attach_ioctl "${server_args[@]}"
	read_block
	pid=$(<"/sys/block/$name/pid")
	kill -9 "$pid"
	wait_for 20 gone_or_reaped "$pid"
	"$NBD_CLIENT" -d "$dev"
	"$NBD_CLIENT" "${server_args[@]}" "$dev"
	read_block
	detach
}

# Reconnecting works in the ioctl mode too.
test_ioctl_mode_reconnects() {
	start_disk 64M
	attach_ioctl "${server_args[@]}"
	read_block
	restart_server
	read_block
	detach
}

# What it reports: every change, with the reason, and that an outage goes on.
timeouts[test_what_it_reports]=90
test_what_it_reports() {
	start_disk 64M
	attach "${server_args[@]}" -connections 1
	kill_server
	wait_for 10 said "nbd-monitor: $dev: no connection is left, I/O waits"
	wait_for 10 said "nbd-monitor: $dev: cannot reconnect: .*"
	wait_for 45 said "nbd-monitor: $dev: cannot reconnect for 3[0-9] s: .*"
	launch
	wait_for 15 said "nbd-monitor: $dev: reconnected to .* after [0-9.]+ s"
	detach
}

# Who could open the lock could hold it, and nobody could attach any more.
test_lock_is_roots() {
	start_disk 16M
	attach "${server_args[@]}" -connections 1
	assert_equal "$(stat -c %a /run/nbd/.lock "/run/nbd/.$name.lock" | sort -u)" 600 "mode of the locks"
	assert_equal "$(stat -c %a /run/nbd/.monitor)" 600 "mode of the monitor's lock"
	assert_match "$(setpriv --reuid=65534 "$NBD_CLIENT" -status -json "$dev")" '"monitor": *true'
	detach
}

# start_syslog: what it gets is in the file syslog
start_syslog() {
	rm -f /dev/log
	datagrams /dev/log >>syslog &
	syslog=$!
	wait_for 20 [ -S /dev/log ]
}

stop_syslog() {
	stop_process "$syslog"
	rm -f /dev/log
}

# logged PRIORITY REGEX: the syslog has it, of the monitor and with that priority of the
# facility "daemon"
logged() {
	grep -qxE "<$((3 << 3 | $1))>nbd-monitor\[$(monitor_pid)\]: $dev: $2" syslog
}

# Each change reaches the syslog, with its priority, and nothing else gets it; also a syslog
# that was restarted.
timeouts[test_syslog]=90
test_syslog() {
	local transport=tcp how=drop command

	make_links 1
	choose_address
	truncate -s 16M image
	command=(nbdkit -f -p "$port" file "$PWD/image")
	cleanup_fn stop_present_server
	launch_far "${command[@]}"
	await_far "${command[@]}"
	start_syslog
	cleanup_fn stop_syslog
	cleanup_fn cat syslog
	attach 10.77.0.2 "$port" -connections 1 -peer-timeout 3 -reconnect-limit 30
	cleanup_fn heal_at_end
	cut_link 0
	wait_for 15 logged 4 "no connection is left, I/O waits"
	wait_for 20 logged 4 "1 of 1 connections are lost: server does not answer at TCP level"
	heal_link 0
	wait_for 15 logged 5 "reconnected to 10\.77\.0\.2:[0-9]+ after [0-9.]+ s \(1 connections\)"
	stop_syslog
	start_syslog
	kill_server
	wait_for 10 logged 4 "cannot reconnect: .*refused.*; trying on"
	truncate -s 8M image
	launch_far "${command[@]}"
	wait_for 20 logged 4 "cannot reconnect: .*the export has shrunk from 16777216 to 8388608 bytes.*"
	wait_for 30 logged 3 "gave up after 30 attempts to reconnect: I/O fails"
	wait_for 20 logged 3 "no connection is left, I/O fails"
	detach
	! said nbd-monitor
}

# of_unit KEY: the values that the unit has for it
of_unit() {
	sed -n "s,^$1=,,p" "$top/system/nbd-monitor.service.in"
}

# As the unit starts it: its environment, its capabilities, and what it does after a crash. The
# journal reads the priority from the beginning of a line.
start_unit() {
	local arguments capabilities

	arguments=$(of_unit ExecStart)
	capabilities=$(of_unit CapabilityBoundingSet | tr 'A-Z\n' 'a-z ' | sed 's/cap_/,+/g; s/ //g')
	assert_equal "$(of_unit NoNewPrivileges)" yes "NoNewPrivileges"
	# shellcheck disable=SC2086 # words
	(cd / && exec env -i setpriv --no-new-privs --bounding-set "-all$capabilities" \
		"$NBD_CLIENT" ${arguments#* }) </dev/null >>unit.log 2>&1 &
	monitor=$!
	cleanup_fn stop_process "$monitor"
	wait_for 20 monitor_runs
}

test_service() {
	local monitor first

	start_disk 64M
	start_unit
	attach "${server_args[@]}" -connections 2
	first=$dev
	attach "${server_args[@]}" -connections 1
	assert_equal "$(monitor_pid)" "$monitor" "the monitor"
	kill -9 "$monitor"
	wait "$monitor" || true
	start_unit
	assert_equal "$(monitor_pid)" "$monitor" "the monitor"
	restart_server
	for dev in "$first" "$dev"; do
		read_block
		wait_for 20 grep -qE "^<4>$dev: [12] of [12] connections are lost" unit.log
		wait_for 20 grep -qE "^<5>$dev: reconnected to .* \\([12] connections\\)$" unit.log
		detach
	done
	monitor_runs
	kill "$monitor"
	wait "$monitor"
	! grep -vE '^<[3-6]>/dev/nbd' unit.log
}

# With the unit's capabilities it gets where a device was attached
test_service_elsewhere() {
	local monitor transport=tcp

	make_links 1
	start_disk 64M
	start_unit
	modprobe nbd
	use_device nbd0
	ip netns exec far "$NBD_CLIENT" 10.77.0.1 "$port" nbd0 -connections 1
	restart_server
	read_block
	from_far
	detach
	grep -q '^<5>/dev/nbd0: reconnected' unit.log
	! grep -vE '^<[3-6]>/dev/nbd' unit.log
}

# --- a monitor that was started in an initramfs ---

# boot HOW COMMAND...: an initramfs in namespaces of its own, which runs the command and
# then switches to the guest's root; /run and its like it moves there (HOW is "move"), or
# mounts them once more ("bind"), which some distributions do. Sets init, the process that
# does it.
boot() {
	mkdir initramfs
	cat >boot <<-'END'
		set -e
		mount -t tmpfs initramfs initramfs
		cd initramfs
		mkdir bin dev proc run sys root
		cp "$NBD_CLIENT" bin/nbd-client
		cp /run/vm/busybox ../init .
		for library in $(ldd "$NBD_CLIENT" | grep -o '/[^ ]*'); do
			mkdir -p ".${library%/*}"
			cp "$library" ".$library"
		done
		mount --rbind / root
		for folder in dev proc run sys; do
			umount -l "root/$folder"
		done
		exec chroot . /busybox sh /init "$@"
	END
	cat >init <<-'END'
		/busybox mount -t proc proc /proc
		/busybox mount -t sysfs sys /sys
		/busybox mount -t devtmpfs dev /dev
		/busybox mount -t tmpfs run /run
		how=$1
		shift
		"$@" || exit
		for folder in dev proc run sys; do
			/busybox mount -o "$how" "/$folder" "/root/$folder"
		done
		exec /busybox switch_root /root /bin/sh -c 'echo >/run/switched; exec sleep 1000'
	END
	NBD_CLIENT=$NBD_CLIENT unshare --mount --pid --fork --kill-child bash boot "$@" &
	cleanup_fn stop_process $!
	wait_for 10 pgrep -P $!
	init=$(pgrep -P $!)
	wait_for 20 switched_or_dead
	! gone_or_reaped "$init" || fail "the initramfs ended"
}

switched_or_dead() {
	[ -e "/proc/$init/root/run/switched" ] || gone_or_reaped "$init"
}

# in_system OPTION... -- COMMAND...: in the system that was switched to; options are
# nsenter's
in_system() {
	nsenter --target "$init" --mount --pid --root --wd "$@"
}

system_monitor_runs() {
	in_system "$NBD_CLIENT" -status -json | grep -q '"monitor": true'
}

no_system_monitor() {
	! system_monitor_runs
}

# from_far: the server has a connection that came from the namespace "far"
from_far() {
	[ -n "$(ss -Htn state established dst 10.77.0.2)" ]
}

# It cares for what was attached before and after, and sees it go.
variants[test_started_in_initramfs]="run:move,bind"
timeouts[test_started_in_initramfs]=90
test_started_in_initramfs() {
	local init records device transport=tcp

	make_links 1
	start_disk 64M
	modprobe nbd
	use_device nbd1
	use_device nbd0
	boot "$run" /bin/nbd-client 127.0.0.1 "$port" nbd0 -connections 1
	records=/proc/$init/root/run/nbd
	in_system --net=/run/netns/far "$NBD_CLIENT" 10.77.0.1 "$port" nbd1 -connections 1
	kill_server
	truncate -s 65M image
	launch
	for device in nbd0 nbd1; do
		dev=/dev/$device
		wait_for 15 state_is live
		read_block
		wait_for 20 grep -x "size $((65 << 20))" "$records/$device"
	done
	from_far
	in_system "$NBD_CLIENT" -d nbd0
	assert_equal "$(cd "$records" && echo nbd*)" nbd1 "records"
	system_monitor_runs
	in_system "$NBD_CLIENT" -d nbd1
	wait_for 20 no_system_monitor
	! said 'nbd-monitor: .*(No such file|cannot write)'
}

run_tests
