#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Nobody waits for somebody else's device, and a forced detach for nothing: not for pages
# that a cgroup's limit holds back, nor for a task that keeps a socket locked, nor for one
# that keeps a CPU.
. "$(dirname "$0")/../survive.sh"
. "$(dirname "$0")/../tls.sh"
dealt_out=1

# Two for a forced detach; and a process takes its time to start in a guest.
readonly DETACH_SECONDS=3
# Ours keeps no descriptor of the socket.
readonly DEBIAN_CLIENT=$top/build/unpacked/nbd-client/sbin/nbd-client

# in_time COMMAND...: succeeds within the time that a forced detach may take
in_time() {
	local begin status=0

	begin=$(milliseconds)
	"$@" || status=$?
	assert_within "$(elapsed "$begin")" 0 $(($(scaled $DETACH_SECONDS) * 1000)) \
		"milliseconds of $*"
	[ $status = 0 ] || fail "status $status: $*"
}

# start_other: a device of a server that others_work ends and starts again
start_other() {
	transport=unix choose_address
	other_socket=$socket
	other_args=("${server_args[@]}")
	truncate -s 16M image
	cleanup_fn stop_other
	launch_other
	attach "${other_args[@]}"
	other=$dev
}

launch_other() {
	local socket=$other_socket transport=unix

	(
		# Not the server is to have the stuck device open.
		[ -z "${fd:-}" ] || exec {fd}>&-
		exec nbdkit -f -U "$socket" file "$PWD/image"
	) &
	other_server=$!
	wait_for 20 listening
}

stop_other() {
	stop_process "$other_server"
}

kill_other() {
	kill -9 "$other_server"
	wait "$other_server" || true
	rm "$other_socket"
}

read_some() {
	dd if="$1" of=/dev/null bs=64k count=16 iflag=direct status=none
}

# others_work: while a device is stuck
others_work() {
	local third

	in_time "$NBD_CLIENT" -status >status
	in_time read_some "$other"
	kill_other
	launch_other
	in_time read_some "$other"
	in_time "$NBD_CLIENT" -print-device "${other_args[@]}" >third
	third=$(<third)
	third=/dev/${third##*/}
	in_time read_some "$third"
	in_time "$NBD_CLIENT" -d "$third"
}

# --- pages that are held back ---

# make_group: a cgroup, in cgroups/limited
make_group() {
	mkdir cgroups
	mount -t cgroup2 none cgroups
	cleanup_fn umount cgroups
	echo "+io +memory" >cgroups/cgroup.subtree_control
	mkdir cgroups/limited
	cleanup_fn rmdir cgroups/limited
}

# limit_writes DEVICE: the group may write 64 KiB/s to it; sets number, of the device
limit_writes() {
	number=$(<"/sys/block/${1#/dev/}/dev")
	echo "$number wbps=65536" >cgroups/limited/io.max
}

# lift_limit: unless the device has gone, and the limit with it
lift_limit() {
	[ ! -e "/sys/dev/block/$number" ] || echo "$number wbps=max" >cgroups/limited/io.max
}

# held_back: what the group has written is under writeback, and most of it not on its way
held_back() {
	awk '$1 == "file_writeback" { n = $2 } $1 == "file_dirty" { dirty = $2 }
		END { exit !(n >= 1048576 && !dirty) }' cgroups/limited/memory.stat
}

write_soon() {
	echo 10 >/proc/sys/vm/dirty_writeback_centisecs
	echo 10 >/proc/sys/vm/dirty_expire_centisecs
}

write_as_usual() {
	echo 500 >/proc/sys/vm/dirty_writeback_centisecs
	echo 3000 >/proc/sys/vm/dirty_expire_centisecs
}

# attaches_again ARGUMENT...: $dev
attaches_again() {
	"$NBD_CLIENT" "$@" "$dev" >again 2>&1
}

# still_open ARGUMENT...: $dev is refused for that
still_open() {
	! attaches_again "$@" && grep -q "still open by who used it before" again
}

# disk_can_end: while a write to it may be held back. Before Linux 6.3 that hangs a processor.
disk_can_end() {
	[[ $(uname -r) != 6.[0-2].* ]]
}

ours_only[test_pages_held_back]=1
timeouts[test_pages_held_back]=120
test_pages_held_back() {
	local fd stuck second other other_socket other_args other_server

	make_group
	[ -e cgroups/limited/io.max ] || return 0	# the debug kernel comes without
	allow_log 'I/O error|lost (async )?page write'
	start_other
	head -c 2M /dev/zero | tr '\0' A >marks
	start_two_disks
	attach "${server_args[@]}"
	stuck=$dev
	limit_writes "$stuck"
	cleanup_fn write_as_usual
	write_soon
	cleanup_fn take_away "$stuck"
	cleanup_fn lift_limit
	exec {fd}<>"$stuck"
	bash -c 'echo $$ >cgroups/limited/cgroup.procs && exec dd if=marks of="$0" bs=64k conv=notrunc status=none' "$stuck"
	wait_for 20 held_back
	in_time "$NBD_CLIENT" -force -d "$stuck" 2>said
	assert_match "$(<said)" "cannot be attached again yet: pages"
	assert_equal "$(<"/sys/block/${stuck#/dev/}/size")" 0 "size"
	expect_status 1 "$NBD_CLIENT" -c "$stuck"
	others_work
	grep -q closing status
	expect_failure "$NBD_CLIENT" "${second[@]}" "$stuck"
	assert_match "$output" "held back"
	lift_limit
	dev=$stuck
	if ! disk_can_end; then
		wait_for 20 still_open "${second[@]}"
		exec {fd}>&-
	fi
	wait_for 20 attaches_again "${second[@]}"
	cmp -n $((2 << 20)) "$stuck" /dev/zero
	exec {fd}>&-
	detach
	cmp -n $((2 << 20)) second /dev/zero
}

# start_two_disks: of 8 MiB of zeroes, in first and second; server_args is the first's
start_two_disks() {
	truncate -s 8M first second
	choose_address
	second=(-unix "$socket")
	nbdkit -f -U "$socket" file "$PWD/second" &
	cleanup_fn stop_process $!
	wait_for 20 listening
	choose_address
	nbdkit -f -U "$socket" file "$PWD/first" &
	cleanup_fn stop_process $!
	wait_for 20 listening
}

# hold_direct_write: marks, by a process of the group past the page cache to $dev
hold_direct_write() {
	head -c 1M /dev/zero | tr '\0' A >marks
	make_group
	[ -e cgroups/limited/io.max ] || return 1	# the debug kernel comes without
	limit_writes "$dev"
	cleanup_fn lift_limit
	bash -c 'echo $$ >cgroups/limited/cgroup.procs && exec dd if=marks of="$0" bs=1M oflag=direct conv=notrunc status=none' \
		"$dev" 2>writer.log &
	writer=$!
	wait_for 20 write_held_back
}

# write_held_back: the writer waits, and not for a request
write_held_back() {
	local stat inflight

	read -r -a stat <"/proc/$writer/stat"
	read -r inflight _ < <(tr -s ' \t' ' ' <"/sys/block/$name/inflight")
	[ "${stat[1]}" = "(dd)" ] && [ "${stat[2]}" = D ] && [ "$inflight" = 0 ]
}

ours_only[test_direct_write_held_back]=1
timeouts[test_direct_write_held_back]=120
test_direct_write_held_back() {
	local second writer

	allow_log 'I/O error'
	start_two_disks
	attach "${server_args[@]}"
	hold_direct_write || return 0
	"$NBD_CLIENT" -force -d "$dev"
	if disk_can_end; then
		"$NBD_CLIENT" "${second[@]}" "$dev"
	else
		expect_failure "$NBD_CLIENT" "${second[@]}" "$dev"
		assert_match "$output" "still open by who used it before"
	fi
	lift_limit
	wait_for 20 gone_or_reaped "$writer"
	if wait "$writer"; then fail "the write to the disk before reports success"; fi
	disk_can_end || "$NBD_CLIENT" "${second[@]}" "$dev"
	cmp -n $((1 << 20)) "$dev" /dev/zero
	device_works
	detach
	cmp -n $((1 << 20)) first /dev/zero
}

# The device is to go with its attachment: it does when that can be done.
ours_only[test_direct_write_held_back_destroy]=1
timeouts[test_direct_write_held_back_destroy]=120
test_direct_write_held_back_destroy() {
	local second writer

	allow_log 'I/O error'
	start_two_disks
	attach "${server_args[@]}"
	hold_direct_write || return 0
	reconfigure "$dev" destroy
	"$NBD_CLIENT" -force -d "$dev"
	! disk_can_end || wait_for 20 [ ! -e "/sys/block/$name" ]
	lift_limit
	wait_for 20 gone_or_reaped "$writer"
	if wait "$writer"; then fail "the write to the removed disk reports success"; fi
	wait_for 20 [ ! -e "/sys/block/$name" ]
	"$NBD_CLIENT" "${second[@]}" "$dev"
	cmp -n $((1 << 20)) "$dev" /dev/zero
	detach
	cmp -n $((1 << 20)) first /dev/zero
}

# With ioctls, too, unless the same process goes on.
ours_only[test_direct_write_held_back_ioctl]=1
timeouts[test_direct_write_held_back_ioctl]=120
test_direct_write_held_back_ioctl() {
	local second writer

	allow_log 'I/O error'
	start_two_disks
	attach_ioctl "${server_args[@]}"
	hold_direct_write || return 0
	expect_log 'still open by who used it before'
	"$NBD_CLIENT" -force -d "$dev"
	expect_failure "$NBD_CLIENT" -nonetlink "${second[@]}" "$dev"
	lift_limit
	wait_for 20 gone_or_reaped "$writer"
	attach_ioctl "${second[@]}"
	cmp -n $((1 << 20)) "$dev" /dev/zero
	detach
	cmp -n $((1 << 20)) second /dev/zero
}

# --- a socket that is locked ---

read_device() {
	taskset -c 0 fio --name=read "--filename=$1" --rw=randread --bs=4k --iodepth=16 \
		--ioengine=libaio --direct=1 --thread --number_ios=200 --norandommap \
		--size=4M
}

# take_away DEVICE: should the test have failed in the middle
take_away() {
	! connected "${1#/dev/}" || "$NBD_CLIENT" -force -d "$1"
}

# keep_locked: the sockets of the process that serves $dev, by a send() of what the
# device $1 does not answer
keep_locked() {
	keeplock "$(<"/sys/block/$name/pid")" "$1" >locked 2>&1 &
	keeper=$!
	cleanup_fn stop_process "$keeper"
	cleanup_fn take_away "$1"
	wait_for 20 [ -s locked ]
	assert_equal "$(<locked)" 1 "locked sockets"
}

# start_silent: a device that does not answer reads any more
start_silent() {
	transport=unix start_hostile --size 16M
	attach "${server_args[@]}"
	silent=$dev
	ctl "never type=read count=0"
}

# detach_refused: it comes back, and says who still holds the device
detach_refused() {
	expect_failure "$NBD_CLIENT" -force -d "$dev"
}

ours_only[test_locked_socket]=1
timeouts[test_locked_socket]=120
test_locked_socket() {
	local other other_socket other_args other_server keeper silent reader server

	allow_log 'I/O error'
	transport=tcp start_nbdkit memory 16M
	modprobe nbd
	cleanup_fn take_away /dev/nbd0
	"$DEBIAN_CLIENT" "${server_args[@]}" -nonetlink /dev/nbd0
	wait_for 10 [ -e /sys/block/nbd0/pid ]
	server=$(<"/sys/block/nbd0/pid")
	start_other
	start_silent
	dev=/dev/nbd0 name=nbd0
	keep_locked "$silent"
	read_device "$dev" >reads.stuck 2>&1 &
	reader=$!
	wait_for 10 in_flight
	in_time read_device "$other" >reads.other
	others_work
	in_time detach_refused >said
	assert_match "$(<said)" "keeps a socket .*locked"
	others_work
	# Its page comes: never.
	"$NBD_CLIENT" -force -d "$silent"
	kill "$keeper" || true
	wait_for 10 gone_or_reaped "$reader"
	wait_for 10 gone_or_reaped "$server"
	wait_for 10 [ ! -e "/sys/block/$name/pid" ]
	# What the keeper has sent is no request; the server may not have survived it.
	transport=tcp start_nbdkit memory 16M
	attach_ioctl "${server_args[@]}"
	device_works
	detach
}

# --- a CPU that a real-time task keeps ---

# urgently HOW [OPTION...]: reads on CPU 0, as tests/tools/urgent.c says; all else is on CPU 1.
# OPTIONs are nbd-client's; with some the server wants TLS.
urgently() {
	local how=$1

	shift
	taskset -p -c 1 $BASHPID >/dev/null
	if [ $# = 0 ]; then
		start_nbdkit memory 16M
	else
		make_certificates
		transport=tcp tls_nbdkit server memory 16M
	fi
	attach "${server_args[@]}" "$@"
	echo -1 >/proc/sys/kernel/sched_rt_runtime_us
	cleanup_fn write 950000 /proc/sys/kernel/sched_rt_runtime_us
	# What is left to wait for on CPU 0 waits for ever.
	timeout -s KILL "$(scaled 20)" urgent "$dev" 0 "$how"
	device_works
	detach
}

write() {
	echo "$1" >"$2"
}

ours_only[test_realtime_reader]=1
test_realtime_reader() {
	urgently realtime
}

ours_only[test_overtaken_reader]=1
test_overtaken_reader() {
	urgently overtaken
}

# What comes over the loopback is taken from it on CPU 0, too; by a thread at times, which Linux
# 6.1 always waits for then.
receive_on_cpu_0() {
	write 1 /sys/class/net/lo/queues/rx-0/rps_cpus
	cleanup_fn write 0 /sys/class/net/lo/queues/rx-0/rps_cpus
	chrt -f -p 90 "$(pgrep -x ksoftirqd/0)"
	cleanup_fn chrt -o -p 0 "$(pgrep -x ksoftirqd/0)"
}

ours_only[test_realtime_reader_with_tls]=1
test_realtime_reader_with_tls() {
	receive_on_cpu_0
	urgently realtime "${ca_args[@]}"
}

ours_only[test_overtaken_reader_with_tls]=1
test_overtaken_reader_with_tls() {
	receive_on_cpu_0
	urgently overtaken "${ca_args[@]}"
}

run_tests
