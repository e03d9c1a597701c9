#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What nbd-client keeps under /run/nbd: who is believed, who waits for whom, and what
# happens to a device whose record is gone or in another place.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../survive.sh"
dealt_out=1

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

# --- another /run ---

declare -A pods=() inits=()

# start_pod NAME: a container with processes and a /run of its own
start_pod() {
	unshare --mount --pid --fork --kill-child --mount-proc bash -c \
		"mount -t tmpfs run /run; touch '$PWD/$1.up'; exec sleep 1000" &
	pods[$1]=$!
	cleanup_fn stop_pod "$1"
	wait_for 20 [ -e "$1.up" ]
	inits[$1]=$(pgrep -P "${pods[$1]}")
}

# stop_pod NAME: with all that is in it
stop_pod() {
	[ -n "${pods[$1]}" ] || return 0
	kill -9 "${pods[$1]}"
	wait "${pods[$1]}" 2>/dev/null || true
	wait_for 20 gone "${inits[$1]}"
	pods[$1]=
}

in_pod() {
	nsenter -t "${inits[$1]}" -m -p -- "${@:2}"
}

care_is() {
	[ "$(status_field care)" = "$1" ]
}

pod_has_record() {
	in_pod "$1" [ -e "/run/nbd/$name" ]
}

lost_record() {
	[ ! -e "/run/nbd/$name" ]
}

pod_lost_record() {
	! pod_has_record "$1"
}

# The container that attached a device ends, and its monitor with it. Its next server
# restart is somebody else's to heal.
timeouts[test_container_ends]=90
test_container_ends() {
	local reader

	start_afresh
	modprobe nbd
	start_disk 16M
	use_device nbd0
	start_pod one
	in_pod one "$NBD_CLIENT" "${server_args[@]}" -connections 1 "$dev"
	wait_for 20 care_is elsewhere
	assert_match "$("$NBD_CLIENT" -status "$dev")" \
		"its record is in another /run/nbd .*, where process $(status_field keeper_pid) cares for it"
	expect_status 5 "$NBD_CLIENT" "${server_args[@]}" "$dev"
	assert_match "$output" "its record is in another /run/nbd"
	stop_pod one
	wait_for 20 care_is ended
	kill_server
	device_works &
	reader=$!
	wait_for 20 state_is waiting
	launch
	expect_failure "$NBD_CLIENT" -replace "$dev"
	assert_match "$output" "who cared for it has ended .*: nbd-client -replace SERVER $dev"
	start_pod two
	in_pod two "$NBD_CLIENT" -replace "${server_args[@]}" "$dev"
	wait "$reader"
	assert_match "$(in_pod two "$NBD_CLIENT" -status -json "$dev")" '"care": "here"'
	restart_server
	device_works
	detach
	stop_pod two
}

# The monitor of the place that had it lets go; no connection is made twice.
test_adoption_ends_the_others_care() {
	local connects

	start_afresh
	start_disk 16M
	attach "${server_args[@]}" -connections 1
	start_pod one
	assert_match "$(in_pod one "$NBD_CLIENT" -status "$dev")" \
		"its record is in another /run/nbd .*, where a process of another PID namespace cares"
	in_pod one "$NBD_CLIENT" -replace "${server_args[@]}" -connections 1 "$dev"
	wait_for 20 lost_record
	wait_for 20 monitor_is_gone
	said "$dev: another monitor cares for it by now"
	connects=$(counter connects)
	restart_server
	device_works
	assert_equal "$(counter connects)" $((connects + 1)) "connections made"
	"$NBD_CLIENT" -replace "${server_args[@]}" -connections 1 "$dev"
	wait_for 20 pod_lost_record one
	care_is here
	connects=$(counter connects)
	restart_server
	device_works
	assert_equal "$(counter connects)" $((connects + 1)) "connections made"
	detach
	stop_pod one
}

# A monitor that has not heard of it is refused by the driver.
test_record_of_before() {
	start_afresh
	start_disk 16M
	attach "${server_args[@]}" -connections 1
	kill -9 "$(monitor_pid)"
	start_pod one
	in_pod one "$NBD_CLIENT" -replace "${server_args[@]}" "$dev"
	care_is elsewhere
	"$NBD_CLIENT" -monitor 2>monitor.log &
	cleanup_fn stop_process $!
	wait_for 20 lost_record
	grep -q "$dev: the driver refused to change the device: somebody else keeps the device by now" monitor.log
	restart_server
	device_works
	! grep -q reconnected monitor.log || fail "it has reconnected"
	detach
	stop_pod one
}

# A folder of its own is enough: the monitor is where the record is.
test_own_run() {
	local inside

	start_afresh
	modprobe nbd
	start_disk 16M
	use_device nbd0
	cat >inside <<-'END'
		set -e
		mount -t tmpfs run /run
		"$NBD_CLIENT" "$@"
		touch attached
		until [ -e leave ]; do sleep 0.1; done
	END
	NBD_CLIENT=$NBD_CLIENT unshare --mount bash inside "${server_args[@]}" -connections 1 "$dev" &
	inside=$!
	cleanup_fn stop_process "$inside"
	wait_for 20 [ -e attached ]
	care_is elsewhere
	restart_server
	device_works
	touch leave
	wait "$inside"
	restart_server
	device_works
	detach
}

# What does not fit is refused, as when a server comes back; what does is as it was.
test_adoption_compares() {
	local size=$((8 << 20))

	start_afresh
	start_hostile --size 8M
	attach "${server_args[@]}" -connections 1 -timeout 17 -dead-timeout 99 -identifier "a disk"
	rm "/run/nbd/$name"
	wait_for 20 monitor_is_gone
	start_hostile --size 4M
	expect_status 11 "$NBD_CLIENT" -replace "${server_args[@]}" "$dev"
	assert_match "$output" "has shrunk from $size to $((4 << 20)) bytes"
	start_hostile --size 8M --flags -fua
	expect_status 11 "$NBD_CLIENT" -replace "${server_args[@]}" "$dev"
	assert_match "$output" "features that the device relies on: FUA"
	lost_record
	care_is ended
	start_hostile --size 16M
	"$NBD_CLIENT" -replace "${server_args[@]}" "$dev"
	care_is here
	assert_equal "$(blockdev --getsize64 "$dev")" "$size" "size"
	assert_equal "$(grep -E '^(timeout|dead-timeout|identifier|wanted-size) ' "/run/nbd/$name" | sort | paste -sd ,)" \
		"dead-timeout 99,identifier a%20disk,timeout 17,wanted-size $size"
	ctl "kill all how=rst"
	device_works
	assert_equal "$(blockdev --getsize64 "$dev")" "$size" "size"
	detach
}

run_tests "$@"
