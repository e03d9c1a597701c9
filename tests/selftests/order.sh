#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Short requests do not wait behind long writes that have not begun, which go out in parts
# then; and such a write is one to who made it. Of several connections each kind has its own.
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# start_slow: a server that takes one request after the other, slowly, and notes them in
# "requests"
start_slow() {
	start_nbdkit --threads=1 --filter=log --filter=rate memory 128M rate=64M \
		burstiness=0.1 "logfile=$PWD/requests"
}

# write_long N: so many writes of a MiB, all under way at once
write_long() {
	fio --name=write "--filename=$dev" --rw=write --bs=1M --iodepth="$1" --size="$1M" \
		--ioengine=io_uring --direct=1 --output-format=terse >fio.write 2>&1
}

# start_reading: short requests, one after the other, until stop_reading; sets reader
start_reading() {
	keep_reading &
	reader=$!
	cleanup_fn stop_reading
}

keep_reading() {
	while [ ! -e enough ]; do
		dd if="$dev" of=/dev/null bs=4k count=1 skip=4095 iflag=direct \
			status=none 2>>said.reader || break
	done
}

# stop_reading: when it is back nobody has the device open
stop_reading() {
	touch enough
	wait "$reader" 2>/dev/null || true
}

# read_on: short requests, one after the other and without a pause, to the test's end
read_on() {
	fio --name=read "--filename=$dev" --rw=randread --bs=4k --size=1M --iodepth=1 --thread \
		--ioengine=io_uring --direct=1 --time_based --runtime=1h >fio.read 2>&1 &
	reader=$!
	cleanup_fn stop_process "$reader"
}

# all_under_way N: writes
all_under_way() {
	local reads writes

	read -r reads writes <"/sys/block/$name/inflight"
	[ "$reads" = 0 ] && [ "$writes" -ge "$1" ]
}

# overtaken: how many writes came to the server after the first of the reads
overtaken() {
	awk '/ Read .*offset=0xfff000 / { reads++ } reads && / Write / { n++ } END { print n + 0 }' \
		requests
}

parts() {
	grep -c ' Write .*count=0x20000 ' requests
}

# What is in the buffers of TCP or of the server's socket when the read comes goes before it,
# and is far less.
ours_only[test_read_overtakes]=1
variants[test_read_overtakes]="transport:tcp,unix"
timeouts[test_read_overtakes]=120
test_read_overtakes() {
	local reader writer

	start_slow
	attach "${server_args[@]}"
	write_long 64 &
	writer=$!
	wait_for 20 all_under_way 48
	start_reading
	wait "$writer"
	stop_reading
	assert_within "$(overtaken)" 24 512 "writes that a read overtook"
	assert_within "$(parts)" 24 512 "parts of writes"
	detach
}

# start_faulty: 16 MiB in "disk", of which the range from 512 KiB to 640 KiB is bad
start_faulty() {
	truncate -s 16M disk
	export disk=$PWD/disk
	# shellcheck disable=SC2016
	start_nbdkit --filter=log eval "logfile=$PWD/requests" \
		get_size='stat -c %s $disk' \
		pread='dd if=$disk skip=$4 count=$3 iflag=skip_bytes,count_bytes status=none' \
		pwrite='
			if [ $4 -lt 655360 ] && [ $(($4 + $3)) -gt 524288 ]; then
				echo ENOSPC bad >&2
				exit 1
			fi
			dd of=$disk seek=$4 bs=$3 oflag=seek_bytes iflag=fullblock conv=notrunc \
				status=none'
}

# write_divided FILE MIB: a write of one MiB that goes out in parts; its status
write_divided() {
	local status=0

	: >requests
	dd if="$1" of="$dev" bs=1M count=1 seek="$2" oflag=direct status=none 2>said || status=$?
	[ "$(parts)" -gt 1 ] || return 100
	return "$status"
}

# divided STATUS FILE MIB: as soon as the reader is in time for it to be divided
divided() {
	local status=0

	write_divided "$2" "$3" || status=$?
	[ "$status" != 100 ] || return 1
	assert_equal "$status" "$1" "status of the write"
}

ours_only[test_part_fails]=1
test_part_fails() {
	local reader

	allow_log 'I/O error|critical space allocation error|server reports'
	transport=unix start_faulty
	attach "${server_args[@]}"
	start_reading
	head -c 1M /dev/urandom >data
	wait_for 20 divided 0 data 1
	wait_for 20 divided 1 data 0
	assert_match "$(<said)" "No space left"
	cmp -n 1M -i 1048576:0 disk data
	stop_reading
	detach
}

# Segments of any size, across which parts end and begin
ours_only[test_data_of_file_system]=1
test_data_of_file_system() {
	local n reader

	start_nbdkit --filter=log memory 128M "logfile=$PWD/requests"
	attach "${server_args[@]}"
	mount_ext4 "$dev"
	start_reading
	head -c 8M /dev/urandom >data
	for n in 1 2 3; do
		cp data "mnt/file.$n"
		sync -f mnt
	done
	umount mnt
	mount -o ro "$dev" mnt
	for n in 1 2 3; do
		cmp data "mnt/file.$n"
	done
	umount mnt
	[ "$(parts)" -gt 8 ] || fail "no write went out in parts"
	stop_reading
	detach
}

has_read() {
	grep -q ' Read .*count=0x1000 ' requests
}

# among_others: after the first write, the reads, the writes, and those of the writes that came
# over connections that had more than a tenth of the reads
among_others() {
	awk '
		{ match($0, /connection=[0-9]+/); c = substr($0, RSTART, RLENGTH) }
		/ Write / { writes[c]++; all_writes++ }
		/ Read .*count=0x1000 / && all_writes { reads[c]++; all_reads++ }
		END {
			for (c in writes)
				if (reads[c] * 10 > all_reads)
					n += writes[c]
			print all_reads + 0, all_writes + 0, n + 0
		}' requests
}

# writes_come_apart: a few may come there
writes_come_apart() {
	local reads writes shared

	: >requests
	wait_for 20 has_read
	write_long 32
	read -r reads writes shared < <(among_others)
	echo "$reads reads, $writes writes, $shared of them on the connections of the reads"
	[ "$reads" -ge 20 ] && [ "$writes" -ge 32 ] && [ "$shared" -le $((writes / 8)) ]
}

# within_rounds N TEXT COMMAND: one of so many rounds passes. When this machine stands still no
# read is expected any more, and the writes that come then go anywhere, in whoever's time.
within_rounds() {
	local rounds=$1

	until "$3"; do
		rounds=$((rounds - 1))
		[ $rounds != 0 ] || fail "$2"
	done
}

ours_only[test_kinds_apart]=1
timeouts[test_kinds_apart]=200
test_kinds_apart() {
	local transport=tcp reader

	start_slow
	attach "${server_args[@]}" -connections 4
	: >requests
	read_on
	within_rounds 10 "writes go where reads go" writes_come_apart
	stop_process "$reader"
	detach
}

# trace EVENT: to the test's end
trace() {
	cleanup_fn trace_nothing
	echo "$1" >/sys/kernel/tracing/set_event
}

trace_nothing() {
	echo >/sys/kernel/tracing/set_event
	echo >/sys/kernel/tracing/trace
}

# sent_in_share: how often a work has sent that has no more of a processor than its share
sent_in_share() {
	grep -c 'function nbd_xmit_bulk_work' /sys/kernel/tracing/trace || true
}

# writes_are_shared: also this says how often
writes_are_shared() {
	local shared

	: >requests
	wait_for 20 has_read
	write_long 32
	shared=$(sent_in_share)
	echo "$shared times, of $(grep -c ' function nbd_' /sys/kernel/tracing/trace)"
	[ "$shared" -gt 0 ]
}

# Who sends the writes does not keep the tasks that the reads wait for from the processors.
ours_only[test_writes_take_share]=1
timeouts[test_writes_take_share]=60
test_writes_take_share() {
	local transport=tcp reader

	start_slow
	attach "${server_args[@]}" -connections 4
	trace workqueue:workqueue_execute_start
	write_long 32
	assert_equal "$(sent_in_share)" 0 "shares without reads"
	read_on
	within_rounds 5 "the writes were sent before all ordinary tasks" writes_are_shared
	stop_process "$reader"
	detach
}

# works_send: writes, nearly all of them, whoever comes meanwhile
works_send() {
	local all works n=$((256 / TIME_SCALE))

	echo >/sys/kernel/tracing/trace
	write_long $n
	all=$(grep -c ' nbd_payload_sent: ' /sys/kernel/tracing/trace)
	works=$(grep -cE '^ *kworker.* nbd_payload_sent: ' /sys/kernel/tracing/trace)
	echo "$all writes, $works sent by works"
	[ "$all" = $n ] && [ $((works * 100)) -ge $((n * 97)) ]
}

# Nor does a reader, or who else comes, send the writes that short requests go before.
ours_only[test_works_send_writes]=1
timeouts[test_works_send_writes]=200
test_works_send_writes() {
	local transport=tcp reader

	start_nbdkit null 512M
	attach "${server_args[@]}" -connections 1
	read_on
	trace nbd:nbd_payload_sent
	within_rounds 10 "who comes meanwhile sends them, too" works_send
	stop_process "$reader"
	detach
}

# hang: a read and so many writes
hang() {
	local reads writes

	read -r reads writes <"/sys/block/$name/inflight"
	[ "$reads" -ge 1 ] && [ "$writes" -ge "$1" ]
}

# Nobody tries on and on to send what a full socket does not take.
ours_only[test_full_socket]=1
variants[test_full_socket]="transport:tcp,unix"
timeouts[test_full_socket]=120
test_full_socket() {
	local reader writer ticks worker_used=()

	start_nbdkit memory 128M
	attach "${server_args[@]}" -connections 1
	read_on
	kill -STOP "$server_pid"
	write_long 32 &
	writer=$!
	wait_for 20 hang 32
	worker_ticks
	sleep 2		# what is measured is how it passes
	worker_ticks
	kill -CONT "$server_pid"
	assert_within $((ticks * 10)) 0 300 "milliseconds of the kworkers, of 2000"
	wait "$writer"
	stop_process "$reader"
	detach
}

# No request waits for a later one to be sent with. Two reads go where this processor's always
# go, and are not sent at once; the write, with which they were to go, goes to another
# connection.
timeouts[test_both_in_one_batch]=60
test_both_in_one_batch() {
	start_nbdkit memory 64M
	attach "${server_args[@]}" -connections 2
	together "$dev" 0
	detach
}

# What was on it goes to others, whatever their kind; and the next one takes its place.
ours_only[test_one_of_four_dies]=1
timeouts[test_one_of_four_dies]=300
test_one_of_four_dies() {
	local i transport=tcp reader conn

	allow_log 'connection [0-9]+ lost'
	start_hostile --size 64M --flags has,flush,fua,multi
	attach "${server_args[@]}" -connections 4
	read_on
	start_load "$dev"
	for ((i = 1; i <= 4; i++)); do
		wait_for 60 has_passed "$i"
		conn=$(ctl conns | sed -nE 's/^conn=([1-9][0-9]*) .*/\1/p' | head -n 1)
		ctl "kill conn=$conn how=rst"
		wait_for 60 has_live 4
	done
	end_load
	kill -0 "$reader"
	stop_process "$reader"
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
}

run_tests
