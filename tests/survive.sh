# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Library of the survive-*.sh selftests: servers that die and come back at their
# address, applications that verify what they wrote, and what the driver says of a
# device. A test file sources it in place of lib.sh.
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

# --- how a test runs ---

# For `variants`: a transport and a number of connections. The plain run takes each
# of them once, the full run all pairs.
ways="way:tcp-1,unix-4"
[ "${FULL:-0}" != 1 ] || ways+=",tcp-4,unix-1"

# --- servers that come back ---

# start_disk SIZE: nbdkit with the file "image" (made if it is missing), at a new
# address; kill_server and restart_server end it and bring it back there
start_disk() {
	[ -e image ] || truncate -s "$1" image
	choose_address
	if [ "${transport:-unix}" = unix ]; then
		server_command=(nbdkit -f -U "$socket" file "$PWD/image")
	else
		server_command=(nbdkit -f -p "$port" file "$PWD/image")
	fi
	server_pid=
	cleanup_fn stop_present_server
	launch
}

# launch: server_command in the background, until it listens
launch() {
	"${server_command[@]}" >>server.log 2>&1 &
	server_pid=$!
	wait_for 20 listening_or_dead "$server_pid"
	if gone_or_reaped "$server_pid"; then
		cat server.log
		fail "the server ended: ${server_command[*]}"
	fi
}

stop_present_server() {
	[ -z "$server_pid" ] || stop_process "$server_pid"
}

kill_server() {
	kill -9 "$server_pid"
	wait "$server_pid" 2>/dev/null || true
	server_pid=
	[ "${transport:-unix}" != unix ] || rm -f "$socket"
}

restart_server() {
	kill_server
	launch
}

# start_twins: two hostile servers of one image that do nothing wrong yet; sets
# twin_uri[0..1] and twin_control[0..1]
start_twins() {
	local i

	truncate -s 64M image
	for i in 0 1; do
		start_hostile --file "$PWD/image" --size 64M --log "$PWD/log.$i"
		twin_uri[i]=$server_uri
		twin_control[i]=$control
	done
}

# twin I COMMAND...: to that one
twin() {
	hostile --ctl "${twin_control[$1]}" "${@:2}"
}

# random_nap MILLISECONDS: up to so long. The moment of a failure is what is tested.
random_nap() {
	local ms=$((RANDOM % $1 + 1))

	nap "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

# unplug, plug_in: the second processor
unplug() {
	echo 0 >/sys/devices/system/cpu/cpu1/online
}

plug_in() {
	echo 1 >/sys/devices/system/cpu/cpu1/online
}

# attach_ioctl ARGUMENT...: through the ioctl interface, which cannot choose a device
attach_ioctl() {
	modprobe nbd
	dev=/dev/nbd0 name=nbd0
	cleanup_fn detach_if_attached "$dev"
	"$NBD_CLIENT" "$@" -nonetlink "$dev"
}

# attach_by_mode ARGUMENT...: through the interface that the variable mode names
attach_by_mode() {
	case $mode in
	netlink) attach "$@" ;;
	ioctl) attach_ioctl "$@" ;;
	esac
}

# --- applications ---

# verify_pass FILE: writes and verifies 8 MiB, or $load_size, in pieces of all sizes; the
# longest time that a read and a write of it took, in microseconds, become a line of the
# file "passes"
verify_pass() {
	local out=fio.${1##*/} field

	if ! fio --name=verify "--filename=$1" "--size=${load_size:-8M}" --direct=1 --ioengine=io_uring \
		--iodepth=32 --rw=randrw --bsrange=4k-256k --verify=crc32c \
		--verify_fatal=1 --verify_state_save=0 --output-format=terse >"$out" 2>&1; then
		cat "$out"
		return 1
	fi
	# fio(1), TERSE OUTPUT: the total latency of reads is min, max, mean, deviation in
	# the fields 38 to 41; that of writes is 41 later
	while IFS=';' read -ra field; do
		[ "${field[0]:-}" != 3 ] || echo "${field[38]} ${field[79]}"
	done <"$out" >>passes
}

# start_load FILE...: verify_pass after verify_pass on each file at once, until
# end_load; load_goes_on tells whether none has failed
start_load() {
	local file

	load=()
	rm -f load.stop load.failed
	: >passes
	for file; do
		(
			until [ -e load.stop ]; do
				verify_pass "$file" || touch load.failed
				[ ! -e load.failed ] || exit 1
			done
		) &
		load+=($!)
	done
	cleanup_fn stop_load
}

load_goes_on() {
	[ ! -e load.failed ] || fail "fio found an error"
}

# end_load: lets the passes that run come to their end; fails if one has failed
end_load() {
	local pid

	touch load.stop
	for pid in "${load[@]}"; do
		wait "$pid"
	done
	load=()
	load_goes_on
}

# has_passed N: the load has come to its end N times since it began
has_passed() {
	local lines

	mapfile -t lines <passes
	[ ${#lines[@]} -ge "$1" ]
}

# longest_pause: of the load's passes that have ended, in milliseconds
longest_pause() {
	awk '{ for (i = 1; i <= 2; i++) if ($i > most) most = $i }
		END { printf "%d", most / 1000 }' passes
}

stop_load() {
	local pid

	touch load.stop
	for pid in "${load[@]}"; do
		stop_process "$pid"
	done
}

# mount_disk: an ext4 file system on the device, or on $fs_size of it, at $PWD/mnt;
# nothing is written to it that the test does not write
mount_disk() {
	mkfs.ext4 -q -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$dev" \
		${fs_size:+"$fs_size"}
	mkdir -p mnt
	mount "$dev" mnt
	cleanup_fn unmount_quietly
}

unmount_quietly() {
	! mountpoint -q mnt || umount -l mnt
}

# unmount_and_check: the file system must be clean, judged from the server's image
# too where there is one
unmount_and_check() {
	umount mnt
	e2fsck -fn "$dev"
	[ ! -e image ] || e2fsck -fn image
}

# start_work: a small file system, mounted and under load, which has been through once and
# has requests in flight when this returns
start_work() {
	fs_size=16M load_size=2M
	mount_disk
	start_load mnt/file
	wait_for 30 has_passed 1
	wait_for 20 in_flight
}

# dd_took FILE: milliseconds, from the report of a dd in that file; without the start of a
# process, which is slow in the guest
dd_took() {
	sed -nE 's/.* copied, ([0-9.e-]+) s,.*/\1/p' "$1" | awk '{ printf "%d", $1 * 1000 }'
}

# timed_dd STATUS ARGUMENT...: dd must end with that; its report is in dd.out, and took
# says how long it took
timed_dd() {
	local wanted=$1 status=0

	shift
	dd "$@" 2>dd.out || status=$?
	cat dd.out
	assert_equal "$status" "$wanted" "status of dd"
	took=$(dd_took dd.out)
}

# --- the monitor ---

# monitor_pid: nothing without one
monitor_pid() {
	local pid=

	[ ! -e /run/nbd/.monitor ] || pid=$(</run/nbd/.monitor)
	[ -z "$pid" ] || gone_or_reaped "$pid" || echo "$pid"
}

# --- what the driver says ---

# counter NAME: of $dev, as in nbd-client -status -json
counter() {
	status_field "$1"
}

live_connections() {
	"$NBD_CLIENT" -status -json "$dev" | grep -c '"state": "live",' || true
}

# has_live N: N connections and the device itself are live
has_live() {
	[ "$(live_connections)" = $(($1 + 1)) ]
}

state_is() {
	[ "$(status_field state)" = "$1" ]
}

# said REGEX: the kernel log (the monitor's messages are there too) has it since the
# test began
said() {
	log_since_mark | grep -qE -- "$1"
}

# elapsed SINCE: milliseconds
elapsed() {
	echo $(($(milliseconds) - $1))
}
