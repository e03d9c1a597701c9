#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# How long the application waits when the server is stuck or gone: until it is back,
# until another one has been reached, or as long as the administrator has said.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# start_second_disk: another server of the same image; sets second_uri and second_pid
start_second_disk() {
	local pid=$server_pid uri=$server_uri arguments=("${server_args[@]}")

	choose_address
	case ${transport:-unix} in
	unix) start_server nbdkit -f -U "$socket" file "$PWD/image" ;;
	*) start_server nbdkit -f -p "$port" file "$PWD/image" ;;
	esac
	second_pid=$server_pid second_uri=$server_uri
	server_pid=$pid server_uri=$uri server_args=("${arguments[@]}")
}

write_block() {
	dd if=/dev/urandom of="$dev" bs=64k count=1 oflag=direct status=none
}

# timed_write STATUS: write_block, whose time is in took
timed_write() {
	timed_dd "$1" if=/dev/urandom of="$dev" bs=64k count=1 oflag=direct
}

# stop_server_at_work: passes counts what ended before
stop_server_at_work() {
	start_work
	kill -STOP "$server_pid"
	passes=$(wc -l <passes)
}

# What a file system's load waits for is its longest pause. The stopped server is not
# continued before the file system has been looked at: what a Unix socket had brought it,
# it would execute then.
variants[test_stopped_server_fails_over]=$ways
test_stopped_server_fails_over() {
	local passes

	start_disk 64M
	start_second_disk
	attach "${server_args[@]}" -timeout 3 -server "$second_uri" -connections "$conns"
	stop_server_at_work
	wait_for 30 has_passed $((passes + 1))
	end_load
	echo "the longest pause was $(longest_pause) ms"
	assert_within "$(longest_pause)" 2000 $(($(scaled 2) * 1000 + 3900)) \
		"milliseconds of the longest pause, less than two timeouts"
	[ "$(counter timed_out)" -ge 1 ] || fail "no connection was given up"
	assert_equal "$(counter failed)" 0 "requests that failed"
	unmount_and_check
	detach
}

# read_there CPU: the block of that number on that processor, whose connection is the one
# of the same number
read_there() {
	taskset -c "$1" dd if="$dev" of=/dev/null bs=4k count=1 skip="$1" iflag=direct 2>"dd.$1"
}

# read_on: the other blocks of the second processor, until read.stop is there
read_on() {
	until [ -e read.stop ]; do
		taskset -c 1 dd if="$dev" of=/dev/null bs=4k count=16 skip=16 iflag=direct \
			status=none
	done
}

# The first connection that is given up makes the monitor move the device. A request that
# comes from there has had its time, unless its new connection is well; what that one
# carries has the time that it always has, no more.
variants[test_silence_costs_one_timeout]="other:silent,well"
test_silence_costs_one_timeout() {
	local report readers=() pid

	start_twins
	attach "${twin_uri[0]}" -server "${twin_uri[1]}" -timeout 3 -connections 2
	twin 0 "never type=read lba=0 end=8192 count=0" "listen off"
	read_there 0 &
	readers+=($!)
	if [ "$other" = well ]; then
		read_on &
		readers+=($!)
		nap 1.5			# another time for the second connection
		read_there 1
		touch read.stop
	fi
	for pid in "${readers[@]}"; do
		wait "$pid"
	done
	for report in dd.*; do
		echo "$report: $(dd_took "$report") ms"
		assert_within "$(dd_took "$report")" 1000 $(($(scaled 2) * 1000 + 3900)) \
			"milliseconds of a read, less than two timeouts"
	done
	[ "$(counter timed_out)" -ge 1 ] || fail "no connection was given up"
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
}

# A server that lets clients in and then does not answer, as when the disk behind it hangs,
# is not asked first for ever.
variants[test_hung_server_fails_over]="transport:tcp,unix conns:1,2"
test_hung_server_fails_over() {
	start_twins
	attach "${twin_uri[0]}" -server "${twin_uri[1]}" -timeout 2 -connections "$conns"
	twin 0 "never type=read lba=0 end=4096 count=0"
	read_there 0
	echo "the read took $(dd_took dd.0) ms"
	[ "$(twin 1 "get requests")" -gt 0 ] || fail "the second server was not used"
	[ "$(counter timed_out)" -ge 2 ] || fail "the first server was not asked twice"
	assert_equal "$(counter failed)" 0 "requests that failed"
	wait_for 20 has_live "$conns"
	detach
}

# With one server only the pause ends when that goes on. TCP, for what is left in a Unix
# socket is executed then, maybe later than the same block's next write. Not nbdkit, which
# may fail an assertion of its own when it finds busy connections reset.
variants[test_stopped_server_is_waited_for]="transport:tcp conns:1,4"
test_stopped_server_is_waited_for() {
	local passes begin stopped

	truncate -s 64M image
	start_hostile --file "$PWD/image" --size 64M
	attach "${server_args[@]}" -timeout 3 -connections "$conns"
	stop_server_at_work
	begin=$(milliseconds)
	wait_for 10 state_is waiting
	[ "$(counter timed_out)" -ge 1 ] || fail "no connection was given up"
	! has_passed $((passes + 1)) || fail "a pass has ended"
	load_goes_on
	stopped=$(elapsed "$begin")
	kill -CONT "$server_pid"
	wait_for 30 has_passed $((passes + 1))
	end_load
	echo "stopped for $stopped ms, the longest pause was $(longest_pause) ms"
	assert_within "$(longest_pause)" 2000 $((stopped + $(scaled 13) * 1000)) \
		"milliseconds of the longest pause"
	assert_equal "$(counter failed)" 0 "requests that failed"
	unmount_and_check
	detach
}

# Without -timeout a stopped server is nothing but slow.
variants[test_no_timeout_by_default]=$ways
test_no_timeout_by_default() {
	local writer

	start_disk 64M
	attach "${server_args[@]}" -slow-timeout 1 -connections "$conns"
	kill -STOP "$server_pid"
	write_block &
	writer=$!
	wait_for 10 slow_is_counted
	kill -CONT "$server_pid"
	wait "$writer"
	assert_equal "$(counter connection_deaths)" 0 "lost connections"
	expect_log 'unanswered for [0-9]+ s, still waiting'
	detach
}

slow_is_counted() {
	[ "$(counter slow)" -gt 0 ]
}

# --- how long to wait ---

# io_fails: a write that must end in EIO
io_fails() {
	allow_log 'error, dev nbd'
	timed_write 1
	assert_match "$(<dd.out)" "Input/output error"
}

# work_fails SINCE LOW HIGH: with EIO, so many milliseconds after SINCE
work_fails() {
	allow_log 'I/O error.* dev nbd|Buffer I/O error|(JBD2|EXT4-fs|Aborting journal).*nbd'
	wait_for 15 gone_or_reaped "${load[0]}"
	assert_within "$(elapsed "$1")" "$2" "$3" "milliseconds from the loss to the load's end"
	! wait "${load[0]}" || fail "the load goes on"
	grep 'Input/output error' fio.file
	umount mnt
}

variants[test_dead_timeout]=$ways
test_dead_timeout() {
	local begin high

	high=$(($(scaled 5) * 1000 + 3000))
	start_disk 64M
	attach "${server_args[@]}" -dead-timeout 3 -connections "$conns"
	start_work
	begin=$(milliseconds)
	kill_server
	io_fails
	assert_within "$(elapsed "$begin")" 3000 "$high" "milliseconds from the loss to the error"
	work_fails "$begin" 3000 "$high"
	expect_log 'no connection for 3 s, failing I/O'
	assert_equal "$(status_field state)" failed "state"
	io_fails
	assert_within "$took" 0 $(($(scaled 2) * 1000)) "milliseconds of a later write"
	launch
	wait_for 20 state_is live
	write_block
	detach
}

# What waited when the connection was lost fails together with what came later.
variants[test_dead_timeout_in_flight]="conns:1,4"
test_dead_timeout_in_flight() {
	local begin reader

	start_hostile
	attach "${server_args[@]}" -dead-timeout 2 -connections "$conns"
	ctl "never type=read count=0"
	allow_log 'error, dev nbd'
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct 2>dd.out &
	reader=$!
	ctl "wait outstanding>=1" "listen off"
	begin=$(milliseconds)
	ctl "kill all how=rst"
	! wait "$reader" || fail "the read succeeded"
	assert_within "$(elapsed "$begin")" 2000 $(($(scaled 5) * 1000 + 2000)) "milliseconds"
	assert_match "$(<dd.out)" "Input/output error"
	ctl "listen on" clear
	wait_for 20 state_is live
	detach
}

variants[test_fail_at_once]="options:-no-persist,-dead-timeout=0 conns:1,4"
test_fail_at_once() {
	local begin

	start_disk 64M
	attach "${server_args[@]}" "$options" -connections "$conns"
	start_work
	begin=$(milliseconds)
	kill_server
	work_fails "$begin" 0 $(($(scaled 5) * 1000))
	assert_equal "$(status_field state)" failed "state"
	io_fails
	assert_within "$took" 0 $(($(scaled 2) * 1000)) "milliseconds to the error"
	detach
}

# idle_connections: their numbers, one in a line
idle_connections() {
	ctl conns | sed -nE 's/^conn=([1-9][0-9]*) .* outstanding=0( .*)?$/\1/p'
}

# At once is when the last connection goes, and not before.
variants[test_fails_with_last_connection]="options:-no-persist,-dead-timeout=0"
test_fails_with_last_connection() {
	local begin reader idle conn

	start_hostile
	attach "${server_args[@]}" "$options" -connections 4
	ctl "never type=read count=0" "listen off"
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct 2>dd.out &
	reader=$!
	ctl "wait outstanding>=1"
	mapfile -t idle < <(idle_connections)
	assert_equal ${#idle[@]} 3 "idle connections"
	for conn in "${idle[@]}"; do
		ctl "kill conn=$conn how=rst"
	done
	wait_for 10 has_live 1
	write_block
	! gone_or_reaped "$reader" || fail "the read has ended"
	allow_log 'error, dev nbd'
	begin=$(milliseconds)
	ctl "kill all how=rst"
	! wait "$reader" || fail "the read succeeded"
	assert_within "$(elapsed "$begin")" 0 $(($(scaled 5) * 1000)) "milliseconds to the error"
	assert_match "$(<dd.out)" "Input/output error"
	assert_equal "$(status_field state)" failed "state"
	detach
}

# A mode that gives up: the error comes with the last attempt and not before. Connections
# that an administrator brings make the device as good as new.
test_reconnect_limit() {
	local writer

	start_disk 64M
	attach "${server_args[@]}" -reconnect-limit 3 -connections 1
	kill_server
	io_fails
	expect_log 'gave up after 3 attempts'
	launch
	"$NBD_CLIENT" -replace "${server_args[@]}" "$dev" -reconnect-limit 0
	write_block
	kill_server
	write_block &
	writer=$!
	wait_for 10 state_is waiting
	launch
	wait "$writer"
	detach
}

# serve PORT SIZE: at any time, for a disk whose contents do not matter
serve() {
	port=$1 start_server nbdkit -f -p "$1" memory "$2"
}

# A server that comes back with something else does not hide the next one, which is well.
test_unfit_server() {
	local first second pids=()

	transport=tcp
	choose_address
	first=$port
	choose_address
	second=$port
	serve "$first" 64M
	pids+=("$server_pid")
	serve "$second" 64M
	pids+=("$server_pid")
	attach 127.0.0.1 "$first" -server "127.0.0.1:$second" -connections 1
	kill -9 "${pids[@]}"
	wait_for 10 state_is waiting
	serve "$first" 32M
	wait_for 20 said 'refused to reconnect: the export has shrunk'
	serve "$second" 64M
	wait_for 20 state_is live
	write_block
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
}

run_tests
