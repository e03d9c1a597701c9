#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Everything at once, for MINUTES (1, or 3 with FULL=1): verified I/O in a file system,
# and writes whose flushes are recorded, while servers are killed or lose power, the
# network is cut, devices come, go and change their size, processors and the monitor
# disappear and memory is short. No error, and what was flushed is there. SEED=N repeats
# the order.
# vm: --mem 1G
. "$(dirname "$0")/../links.sh"
dealt_out=1

events=(kill_disk lose_power cut resize come_and_go replug eat_memory kill_monitor)
declare -A happened=()
if [ "${FULL:-0}" = 1 ]; then minutes=${MINUTES:-3}; else minutes=${MINUTES:-1}; fi

# --- what is at stake ---

# A file system on a server that is killed and restarted, at the other end of a link.
start_disk_server() {
	local command=(nbdkit -f -p "$disk_port" file "$PWD/image")

	launch_far "${command[@]}"
	disk_server=$server_pid
	await_far "${command[@]}"
}

stop_disk_server() {
	stop_process "$disk_server"
}

attach_file_system() {
	choose_address
	disk_port=$port
	truncate -s 128M image
	cleanup_fn stop_disk_server
	start_disk_server
	attach 10.77.0.2 "$disk_port" -connections 4
	disk=$dev
	mount_disk
}

# A raw device with -write-policy through, whose server forgets what is not flushed.
attach_journal() {
	truncate -s 16M journal.image
	start_hostile --size 16M --volatile --file "$PWD/journal.image" \
		--flags has,flush,fua,multi
	attach "${server_args[@]}" -write-policy through -connections 2
	journal_device=$dev
	journal write "$dev" "$PWD/record" >journal.out 2>&1 &
	journal_pid=$!
	cleanup_fn stop_process "$journal_pid"
}

attach_resizable() {
	start_nbdkit memory 64M
	attach "${server_args[@]}"
	resizable=$dev
}

# --- what happens to it ---

kill_disk() {
	kill -9 "$disk_server"
	wait "$disk_server" || true
	random_nap 1500
	port=$disk_port start_disk_server
}

lose_power() {
	ctl power-loss >/dev/null
}

cut() {
	local ways=(down drop loss)

	how=${ways[RANDOM % 3]}
	cut_link 0
	random_nap 2000
	heal_link 0
}

resize() {
	local bytes=$(((RANDOM % 32 + 32) << 20))

	reconfigure "$resizable" size "$bytes"
	assert_equal "$(blockdev --getsize64 "$resizable")" "$bytes" "size of $resizable"
	dd if="$resizable" of=/dev/null bs=4k count=1 skip=$((bytes / 4096 - 1)) \
		iflag=direct status=none
}

come_and_go() {
	local other

	other=$("$NBD_CLIENT" -print-device 10.77.0.2 "$disk_port" -readonly -connections $((RANDOM % 4 + 1)))
	dd if="/dev/${other##*/}" of=/dev/null bs=64k count=16 iflag=direct status=none
	"$NBD_CLIENT" -d "$other"
}

replug() {
	unplug
	random_nap 1000
	plug_in
}

# All but 192 MB of what is available, for two seconds at most: the guest's programs come
# over 9p, and with less it would read nothing else any more.
eat_memory() {
	local megabytes eater

	megabytes=$(awk '/^MemAvailable/ { print int($2 / 1024) - 192 }' /proc/meminfo)
	perl -e 'my $eaten = "x" x ($ARGV[0] << 20); sleep' "$megabytes" &
	eater=$!
	nap 2
	kill -9 "$eater"
	wait "$eater" || true
}

# The next attachment starts another.
kill_monitor() {
	kill -9 "$(</run/nbd/.monitor)"
	come_and_go
}

# nothing_failed: so far
nothing_failed() {
	load_goes_on
	if gone_or_reaped "$journal_pid"; then
		cat journal.out
		fail "the journal ended"
	fi
}

# let_it_happen EVENT: the console tells of it, too, should the guest hang
let_it_happen() {
	echo "$(elapsed "$begin") ms: $1" | tee /dev/kmsg
	$1
	happened[$1]=$((${happened[$1]:-0} + 1))
	nothing_failed
	random_nap 1000
}

shuffle_events() {
	local i other event

	for ((i = ${#events[@]} - 1; i > 0; i--)); do
		other=$((RANDOM % (i + 1)))
		event=${events[i]}
		events[i]=${events[other]}
		events[other]=$event
	done
}

# Round after round, each in an order of its own. The first is done to its end.
let_things_happen() {
	local begin end event

	begin=$(milliseconds)
	end=$((begin + minutes * 60000))
	while [ "$(milliseconds)" -lt $end ]; do
		shuffle_events
		for event in "${events[@]}"; do
			[ "$(milliseconds)" -lt $end ] || [ -z "${happened[$event]:-}" ] || break
			let_it_happen "$event"
		done
	done
}

end_journal() {
	kill "$journal_pid"
	wait "$journal_pid" || fail "the journal: $(<journal.out)"
	dev=$journal_device
	assert_equal "$(counter failed)" 0 "failed requests of the journal"
	detach
	journal check journal.image record >>journal.out || fail "$(<journal.out)"
}

end_file_system() {
	end_load
	dev=$disk
	assert_equal "$(counter failed)" 0 "failed requests of the file system"
	unmount_and_check
	detach
}

# Of a test that failed, before its servers go: nothing shall wait for them.
force_all_off() {
	local device

	for device in "$disk" "$journal_device" "$resizable"; do
		! connected "${device#/dev/}" || "$NBD_CLIENT" -force -d "$device"
	done
}

# summary: for who reads the log of a test that passed
summary() {
	local event

	for event in "${events[@]}"; do
		echo -n "$event ${happened[$event]:-0}, "
	done
	echo "seed $seed"
	cat journal.out
}

timeouts[test_all_at_once]=$((minutes * 120 + 120))
test_all_at_once() {
	seed=${SEED:-$RANDOM}
	RANDOM=$seed
	make_links 1
	cleanup_fn heal_at_end
	cleanup_fn plug_in
	attach_file_system
	start_load mnt/first mnt/second
	attach_resizable
	attach_journal
	cleanup_fn force_all_off
	let_things_happen
	end_journal
	dev=$resizable
	detach
	end_file_system
	summary
}

run_tests
