#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What nbd-client keeps under /run/nbd: who is believed, and who waits for whom.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../survive.sh"

# start_afresh: no monitor, and no folder
start_afresh() {
	local pid

	pid=$(monitor_pid)
	[ -z "$pid" ] || stop_process "$pid"
	rm -rf /run/nbd
	cleanup_fn rm -rf /run/nbd
}

# make_foreign HOW: what somebody else may have put in its place
make_foreign() {
	case $1 in
	owner) install -d -o nobody -m 755 /run/nbd ;;
	writable) install -d -m 777 /run/nbd ;;
	link) install -d elsewhere && ln -s "$PWD/elsewhere" /run/nbd ;;
	esac
}

test_foreign_folder() {
	local kind
	local -A words=([owner]="belongs to user 65534, not to root"
		[writable]="can be written to by others than root" [link]="is a symbolic link")

	start_afresh
	start_nbdkit memory 1M
	modprobe nbd
	for kind in "${!words[@]}"; do
		make_foreign "$kind"
		expect_failure "$NBD_CLIENT" "${server_args[@]}"
		assert_match "$output" "/run/nbd ${words[$kind]}.*rm -r /run/nbd"
		expect_failure timeout 20 "$NBD_CLIENT" -monitor
		assert_match "$output" "/run/nbd ${words[$kind]}"
		rm -r /run/nbd
	done
	assert_equal "$(connected_devices)" "" "attached devices"
	attach "${server_args[@]}"
	detach
}

# forge HOW: makes the record of $name one that leads to $forged_socket, and that a
# monitor must not believe
forge() {
	local record=/run/nbd/$name

	rm -f "$record" /run/nbd/.y
	case $1 in
	owner) install -m 644 -o nobody forged "$record" ;;
	mode) install -m 666 forged "$record" ;;
	links) install -m 644 forged "$record" && ln "$record" /run/nbd/.y ;;
	link) ln -s "$PWD/forged" "$record" ;;
	fifo) mkfifo "$record" ;;
	number) sed 's/^index .*/index 77/' true >"$record" ;;
	esac
}

# The true one is put back in the end.
test_forged_record() {
	local record reader kind forged_socket
	local -A words=([mode]="can be written to by others"
		[links]="has 2 names" [link]="is a symbolic link" [fifo]="is no regular file"
		[number]="damaged: it is one of /dev/nbd77" [owner]="belongs to user 65534")

	start_afresh
	start_nbdkit data '"EVIL"' size=1M
	forged_socket=$socket
	start_disk 1M
	attach "${server_args[@]}" -connections 1
	record=/run/nbd/$name
	cp -p "$record" true
	sed "s,${socket//./[.]},$forged_socket," true >forged
	! cmp -s forged true || fail "nothing is forged"
	kill -9 "$(monitor_pid)"
	for kind in "${!words[@]}" owner; do
		forge "$kind"
		expect_failure timeout 20 "$NBD_CLIENT" -replace -connections 1 "$dev"
		assert_match "$output" "$record.*${words[$kind]}"
	done
	"$NBD_CLIENT" -monitor 2>>monitor.log &
	cleanup_fn stop_process $!
	wait_for 20 grep -q "$record.*${words[$kind]}" monitor.log
	kill_server
	wait_for 20 state_is waiting
	cp -p true /run/nbd/.x
	mv /run/nbd/.x "$record"
	dd if="$dev" of=block bs=4 count=1 status=none &
	reader=$!
	launch
	wait "$reader"
	assert_equal "$(tr -d '\0' <block)" "" "what is read"
	detach
}

# shellcheck disable=SC2034
variants[test_umask]="mask:000,077"
test_umask() {
	start_afresh
	start_nbdkit memory 1M
	(umask "$mask" && "$NBD_CLIENT" "${server_args[@]}" /dev/nbd0)
	use_device nbd0
	assert_equal "$(cd /run/nbd && stat -c '%n %a %u' . nbd0 monitor.pid .monitor .lock .nbd0.lock | paste -sd ,)" \
		". 755 0,nbd0 644 0,monitor.pid 644 0,.monitor 600 0,.lock 600 0,.nbd0.lock 600 0"
	assert_match "$(setpriv --reuid=65534 --clear-groups "$NBD_CLIENT" -status "$dev")" "$socket"
	detach
}

umount_records() {
	detach_if_attached "/dev/$survivor"
	wait_for 20 monitor_is_gone
	umount /run/nbd
}

monitor_is_gone() {
	[ -z "$(monitor_pid)" ]
}

# On this file system the number of a file that was removed is that of the next one: the
# record that the monitor sees at last has that of the one it knows.
timeouts[test_number_used_again]=60
test_number_used_again() {
	local first second survivor

	start_afresh
	start_nbdkit memory 16M
	attach "${server_args[@]}" -no-persist -connections 1
	mkfs.ext4 -q "$dev"
	mount "$dev" /run/nbd
	cleanup_fn umount_records
	start_twins
	attach "${twin_uri[0]}" -connections 1
	survivor=$name
	first=$(stat -c %i "/run/nbd/$name")
	kill -STOP "$(monitor_pid)"
	"$NBD_CLIENT" -replace "${twin_uri[1]}" "$dev"
	"$NBD_CLIENT" -replace "${twin_uri[1]}" "$dev"
	second=$(stat -c %i "/run/nbd/$name")
	assert_equal "$second" "$first" "number of the file"
	kill -CONT "$(monitor_pid)"
	# it has read what was announced when it has heard of another device
	attach "${twin_uri[1]}" -connections 1
	detach
	use_device "$survivor"
	twin 1 "kill all"
	wait_for 20 said "$dev: reconnected to "
	said "$dev: reconnected to .*${twin_uri[1]##*=}"
	detach
}

# --- locks ---

# hold FILE: of /run/nbd, in another process; sets holder
hold() {
	touch "/run/nbd/$1"
	flock -x "/run/nbd/$1" -c "touch $PWD/held.$1; exec sleep 1000" &
	holder=$!
	cleanup_fn stop_process "$holder"
	wait_for 20 [ -e "held.$1" ]
}

release() {
	pkill -P "$holder"
	wait "$holder" || true
}

# refused DEVICE: attaching it fails in time, and it is said who is in the way
refused() {
	expect_status 9 timeout 30 "$NBD_CLIENT" "${server_args[@]}" "$1"
	assert_match "$output" "process $holder \(flock\) holds /run/nbd/[.a-z0-9]*, and does not let go: end it \(kill $holder\)"
	! connected "${1#/dev/}" || fail "it is attached"
}

# Somebody who holds the lock of one device is in the way of nobody else, and of those who
# want that device not for ever.
test_lock_of_a_device() {
	local holder since

	start_afresh
	start_nbdkit memory 1M
	use_device nbd6
	"$NBD_CLIENT" "${server_args[@]}" /dev/nbd6
	hold .nbd5.lock
	since=$(milliseconds)
	refused /dev/nbd5 &
	detach
	"$NBD_CLIENT" "${server_args[@]}" /dev/nbd6
	assert_within "$(elapsed "$since")" 0 "$(scaled 8000)" "milliseconds"
	wait $!
	release
	"$NBD_CLIENT" "${server_args[@]}" /dev/nbd5
	"$NBD_CLIENT" -d /dev/nbd5
	detach
}

# The same for the lock that keeps the monitor from ending; the monitor itself waits for
# nobody.
test_lock_of_the_monitor() {
	local holder monitor

	start_afresh
	start_nbdkit memory 1M
	use_device nbd6
	"$NBD_CLIENT" "${server_args[@]}" /dev/nbd6
	monitor=$(monitor_pid)
	hold .lock
	detach
	refused /dev/nbd5
	assert_equal "$(monitor_pid)" "$monitor" "the monitor"
	release
	wait_for 10 gone_or_reaped "$monitor"
	"$NBD_CLIENT" "${server_args[@]}" /dev/nbd6
	monitor=$(monitor_pid)
	hold .lock
	detach
	kill "$monitor"
	wait_for 10 gone_or_reaped "$monitor"
	release
}

# A client that is stopped while it holds what it needs is in nobody's way.
test_stopped_client() {
	local holder

	start_afresh
	start_nbdkit memory 1M
	use_device nbd6
	"$NBD_CLIENT" "${server_args[@]}" /dev/nbd6
	flock -s /run/nbd/.lock -c "touch $PWD/held; exec sleep 1000" &
	holder=$!
	cleanup_fn stop_process "$holder"
	wait_for 20 [ -e held ]
	"$NBD_CLIENT" "${server_args[@]}" /dev/nbd5
	"$NBD_CLIENT" -d /dev/nbd5
	release
	detach
}

# What is left of a client that waits for the first read is no user of the device.
test_leftover_probe() {
	local client since

	allow_log 'I/O error,? (on )?dev nbd0, .*(READ|async page read)'
	allow_log 'nbd0: unable to read partition table'
	start_nbdkit --filter=delay memory 1M rdelay=60
	use_device nbd0
	"$NBD_CLIENT" "${server_args[@]}" /dev/nbd0 &
	client=$!
	wait_for 20 pgrep -x nbdprobe0
	wait_for 20 in_flight
	kill -9 "$client"
	since=$(milliseconds)
	detach
	assert_within "$(elapsed "$since")" 0 "$(scaled 8000)" "milliseconds"
	wait_for 20 no_probe
}

no_probe() {
	! pgrep -x nbdprobe0
}

run_tests "$@"
