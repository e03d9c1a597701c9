# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Library of the selftests. A test file in tests/selftests sources it, defines
# functions test_NAME, and ends with `run_tests`. It runs in the VM only.
#
# A test is its function's commands: each runs in a subshell, in an empty folder of
# its own, with `set -e`, so that the first command that fails fails the test, and
# its output is shown then. Nothing of it may be left when it ends (leftovers_*),
# and the kernel log of its time must be clean (log_*).
#
#	variants[test_NAME]="transport:tcp,unix conns:1,4"
# runs test_NAME for each combination, with $transport and $conns set, and
#	timeouts[test_NAME]=300
# gives it more than the default of 60 seconds, and
#	ours_only[test_NAME]=1
# leaves it out with DRIVER=stock, for what the stock driver cannot do, and
#	all_variants[test_NAME]=1
# takes all of them with QUICK=1, for tests that do a different thing in each. All go
# between the functions. A file whose tests depend little on the kernel says
#	dealt_out=1
# and each of its tests runs on one kernel; with FULL=1 on all of them.
#
# A line "tally: N WORDS" of a test's output counts what it tried; the whole run ends with
# the sums.
#
# From the environment: FULL=1 for full counts, QUICK=1 for the smallest and for one
# variant of each test only, TIME_SCALE (how much slower than usual the guest is),
# VERBOSE=1 to see the output of tests that pass, ONLY (a pattern for the names of tests),
# DEAL=I/N for the Ith share (from 0 on) of what is dealt out to N runs,
# NBD_CLIENT (default: ours), DRIVER (ours or stock), LEAK_CHECK=later (not in this file),
# ANNOUNCE=1 (tests/vm/batch: a line "@test SECONDS NAME" before each test).

top=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
NBD_CLIENT=${NBD_CLIENT:-$top/build/nbd-client}
DRIVER=${DRIVER:-ours}
TIME_SCALE=${TIME_SCALE:-1}
PATH=$PATH:$top/build/unpacked/nbd-server/bin:$top/build/tests

declare -A variants=() timeouts=() ours_only=() all_variants=()
declare -a processes=() foreign_threads=()
dealt_out=''
readonly SKIP_STATUS=4 BAIL_OUT_STATUS=3 DEFAULT_TIMEOUT=60

# --- small things ---

# nap SECONDS: a pause that starts no process. For wait_for, not for tests: they
# wait for what they need.
exec {nap_fd}<> <(:)
nap() {
	read -rt "$1" -u "$nap_fd" || true
}

# milliseconds: of the guest's clock
milliseconds() {
	local now=${EPOCHREALTIME/[.,]/}

	echo $((now / 1000))
}

# scaled SECONDS: what is allowed in this guest
scaled() {
	echo $(($1 * TIME_SCALE))
}

# count N: N in the full run, else a tenth of it, or a thirtieth with QUICK=1
count() {
	local part=10

	[ "${QUICK:-0}" != 1 ] || part=30
	[ "${FULL:-0}" != 1 ] || part=1
	echo $((($1 + part - 1) / part))
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails at the deadline.
# For conditions that no event announces. Starts no process of its own.
wait_for() {
	local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * TIME_SCALE * 1000000))

	shift
	until "$@"; do
		if [ "${EPOCHREALTIME/[.,]/}" -gt "$deadline" ]; then
			echo "never came true: $*"
			return 1
		fi
		nap 0.02
	done
}

# --- verdicts inside a test ---

fail() {
	echo "failed: $*"
	exit 1
}

skip() {
	echo "$*" >"$test_state/skip"
	exit $SKIP_STATUS
}

# requires COMMAND...: skips the test unless the command succeeds
requires() {
	"$@" >/dev/null 2>&1 || skip "needs: $*"
}

# requires_program NAME...
requires_program() {
	local name

	for name; do
		command -v "$name" >/dev/null || skip "needs the program $name"
	done
}

# assert_equal GOT WANTED [WHAT]
assert_equal() {
	[ "$1" = "$2" ] || fail "${3:-value}: got '$1', wanted '$2'"
}

# assert_match TEXT REGEX [WHAT]
assert_match() {
	[[ $1 =~ $2 ]] || fail "${3:-text}: '$1' does not match '$2'"
}

# assert_within VALUE LOW HIGH [WHAT]: LOW <= VALUE <= HIGH, all whole numbers
assert_within() {
	(($1 >= $2 && $1 <= $3)) || fail "${4:-value}: $1 is not within $2..$3"
}

# expect_status N COMMAND...: the command's exit status must be N; what it printed
# is in $output
expect_status() {
	local wanted=$1 status=0

	shift
	output=$("$@" 2>&1) || status=$?
	[ -z "$output" ] || echo "$output"
	[ "$status" = "$wanted" ] || fail "status $status, not $wanted: $*"
}

# expect_failure COMMAND...: it must fail, but not be killed by a signal or a
# time limit; what it printed is in $output
expect_failure() {
	local status=0

	output=$("$@" 2>&1) || status=$?
	[ -z "$output" ] || echo "$output"
	[ "$status" != 0 ] || fail "succeeded: $*"
	[ "$status" -lt 124 ] || fail "ended with status $status: $*"
}

# --- clean-up ---

cleanups=()

# cleanup_fn COMMAND...: run at the end of the test, the last registered first,
# whatever the test's outcome
cleanup_fn() {
	cleanups+=("$(printf '%q ' "$@")")
}

run_cleanups() {
	local i

	for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do
		eval "${cleanups[i]}" || echo "clean-up failed: ${cleanups[i]}"
	done
	cleanups=()
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

# stop_process PID: asks it to end, and insists after 5 seconds
stop_process() {
	kill "$1" 2>/dev/null || return 0
	kill -CONT "$1" 2>/dev/null || return 0
	wait_for 5 gone_or_reaped "$1" >/dev/null || kill -9 "$1" 2>/dev/null
	wait "$1" 2>/dev/null || true
}

# A child of ours that ended stays until it is waited for.
gone_or_reaped() {
	local stat=''

	read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
	stat=${stat##*) }
	[ "${stat%% *}" = Z ]
}

# --- devices ---

# attach ARGUMENTS...: nbd-client without a device name; sets $dev and $name, and
# detaches at the end of the test
attach() {
	dev=$("$NBD_CLIENT" -print-device "$@")
	dev=/dev/${dev##*/}
	name=${dev#/dev/}
	[ -b "$dev" ] || fail "nbd-client printed '$dev', which is no block device"
	cleanup_fn detach_if_attached "$dev"
}

# use_device NAME: sets $dev and $name, and detaches it at the end of the test
use_device() {
	dev=/dev/$1
	name=$1
	cleanup_fn detach_if_attached "$dev"
}

# in_flight: whether $dev has requests that have not ended
in_flight() {
	local counts

	read -ra counts <"/sys/block/$name/inflight"
	[ $((counts[0] + counts[1])) -gt 0 ]
}

# device_works: what is written can be read, past the page cache
device_works() {
	head -c 1M /dev/urandom >data
	dd if=data of="$dev" bs=64k oflag=direct conv=fsync status=none
	dd if="$dev" bs=64k count=1M iflag=direct,count_bytes status=none | cmp - data
}

# status_field KEY: of $dev, the first value of that key in nbd-client -status -json,
# without quotes
status_field() {
	"$NBD_CLIENT" -status -json "$dev" |
		sed -nE "s/^ *\"$1\": \"?([^\",]*)\"?,?\$/\\1/p" | head -n 1
}

# mount_ext4 DEVICE: a new file system at mnt, until the end of the test at most
mount_ext4() {
	mkfs.ext4 -q "$1"
	mkdir mnt
	mount "$1" mnt
	cleanup_fn umount_quietly
}

# umount_quietly, swapoff_quietly: if mnt is mounted, if $dev is used as swap
umount_quietly() {
	! mountpoint -q mnt || umount mnt
}

swapoff_quietly() {
	! grep -q "^$dev " /proc/swaps || swapoff "$dev"
}

# detach: what attach attached
detach() {
	"$NBD_CLIENT" -d "$dev"
}

detach_if_attached() {
	! connected "${1#/dev/}" || "$NBD_CLIENT" -d "$1"
}

# connected NAME: the device is attached. (In a clean-up a bare `return` would mean
# the test's status.)
connected() {
	[ -e "/sys/block/$1/pid" ] && return 0
	[ -e "/sys/block/$1/size" ] && [ "$(<"/sys/block/$1/size")" != 0 ]
}

connected_devices() {
	local path

	for path in /sys/block/nbd*; do
		if connected "${path##*/}"; then echo "${path##*/}"; fi
	done
}

# worker_ticks: sets ticks to what the kworkers whose last work was the driver's have used of the
# processors since the call before (worker_used, an array of the caller's); what one used that
# has ended meanwhile is lost
worker_ticks() {
	local stat line fields now pid used=()

	ticks=0
	for stat in /proc/[0-9]*/stat; do
		{ read -r line <"$stat"; } 2>/dev/null || continue
		[[ $line = *"(kworker/"*-nbd* ]] || continue
		pid=${line%% *}
		read -ra fields <<<"${line##*) }"
		now=$((fields[11] + fields[12]))
		used[pid]=$now
		ticks=$((ticks + now - ${worker_used[pid]:-0}))
	done
	worker_used=()
	for pid in "${!used[@]}"; do worker_used[pid]=${used[pid]}; done
}

# --- servers ---
# Each start_ function takes where to listen from $transport (tcp, tcp6 or unix,
# default unix), and sets: $server_pid, $server_args (what nbd-client needs to
# reach it), $server_uri, and $socket or $port. The server ends with the test.

next_port=20000

# take_way: sets transport and conns from $way, if the test has such variants
take_way() {
	[ -n "${way:-}" ] || return 0
	transport=${way%-*}
	# shellcheck disable=SC2034 # for the test files
	conns=${way#*-}
}

# choose_address: sets the variables above but $server_pid
# shellcheck disable=SC2034 # for the test files
choose_address() {
	take_way
	port=$((next_port++))
	socket=$PWD/socket.$port
	case ${transport:-unix} in
	unix)
		server_args=(-unix "$socket")
		server_uri="nbd+unix:///?socket=$socket"
		;;
	tcp)
		server_args=(127.0.0.1 "$port")
		server_uri="nbd://127.0.0.1:$port/"
		;;
	tcp6)
		server_args=(::1 "$port")
		server_uri="nbd://[::1]:$port/"
		;;
	*) fail "unknown transport $transport" ;;
	esac
}

# listening: something accepts connections at the chosen address; connects to
# nothing, because a server might count connections
listening() {
	local inode address state hex rest file

	if [ "${transport:-unix}" = unix ]; then
		while read -r _ _ _ inode _ state _ rest; do
			if [ "$inode" = 00010000 ] && [ "$rest" = "$socket" ]; then return 0; fi
		done </proc/net/unix
		return 1
	fi
	printf -v hex ':%04X' "$port"
	for file in /proc/net/tcp /proc/net/tcp6; do
		while read -r _ address _ state _; do
			if [ "$state" = 0A ] && [[ $address = *"$hex" ]]; then return 0; fi
		done <"$file"
	done
	return 1
}

# start_server COMMAND...: in the background, its output in server.log, ready when
# this returns. The command must not put itself into the background.
start_server() {
	"$@" >>"$PWD/server.log" 2>&1 &
	server_pid=$!
	cleanup_fn stop_process "$server_pid"
	wait_for 20 listening_or_dead "$server_pid"
	if gone_or_reaped "$server_pid"; then
		cat server.log
		fail "the server ended: $*"
	fi
}

listening_or_dead() {
	listening || gone_or_reaped "$1"
}

# start_nbdkit ARGUMENTS...: nbdkit's, without those that say where to listen
start_nbdkit() {
	choose_address
	case ${transport:-unix} in
	unix) start_server nbdkit -f -U "$socket" "$@" ;;
	*) start_server nbdkit -f -p "$port" "$@" ;;
	esac
}

# start_qemu_nbd ARGUMENTS...: qemu-nbd's, with --share=0 (any number of clients)
start_qemu_nbd() {
	choose_address
	case ${transport:-unix} in
	unix) start_server qemu-nbd --persistent --share=0 -k "$socket" "$@" ;;
	tcp6) start_server qemu-nbd --persistent --share=0 -b ::1 -p "$port" "$@" ;;
	*) start_server qemu-nbd --persistent --share=0 -b 127.0.0.1 -p "$port" "$@" ;;
	esac
}

# start_nbd_server EXPORT FILE [LINE...]: Debian's nbd-server; each LINE is one of
# the export's section of its configuration, $extra_generic are lines for all
start_nbd_server() {
	local export=$1 file=$2 where

	shift 2
	choose_address
	case ${transport:-unix} in
	unix) where=$(printf 'unixsock = %s\nlistenaddr = 127.0.0.1\nport = %s' "$socket" "$port") ;;
	tcp6) where=$(printf 'listenaddr = ::1\nport = %s' "$port") ;;
	*) where=$(printf 'listenaddr = 127.0.0.1\nport = %s' "$port") ;;
	esac
	{
		printf '[generic]\nallowlist = true\n%s\n%s\n' "$where" "${extra_generic:-}"
		printf '[%s]\nexportname = %s\n' "$export" "$file"
		[ $# = 0 ] || printf '%s\n' "$@"
	} >nbd-server.conf
	# with -d it would stay in the foreground, but serve one connection only
	LD_PRELOAD=$top/build/tests/nodh.so nbd-server -C "$PWD/nbd-server.conf" -p "$PWD/nbd-server.pid" >>server.log 2>&1
	wait_for 20 [ -s nbd-server.pid ]
	server_pid=$(<nbd-server.pid)
	cleanup_fn stop_process "$server_pid"
	wait_for 20 listening
}

# start_impostor GREETING|silent|close: accepts connections and is no NBD server
start_impostor() {
	transport=tcp
	choose_address
	start_server python3 -c '
import socket, sys

server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
open_ones = []
while True:
    connection, _ = server.accept()
    if sys.argv[2] == "close":
        connection.close()
        continue
    if sys.argv[2] != "silent":
        connection.send(sys.argv[2].encode())
    open_ones.append(connection)
' "$port" "$1"
}

# start_hostile ARGUMENTS...: tests/servers/hostile
start_hostile() {
	choose_address
	control=$PWD/control.$port
	case ${transport:-unix} in
	unix) set -- --listen "unix:$socket" "$@" ;;
	tcp6) set -- --listen "tcp:::1:$port" "$@" ;;
	*) set -- --listen "tcp:127.0.0.1:$port" "$@" ;;
	esac
	start_server hostile --control "$control" --ports /dev/null "$@"
}

# ctl COMMAND...: to the hostile server that was started last
ctl() {
	hostile --ctl "$control" "$@"
}

# --- the kernel log ---

log_bad='BUG:|WARNING:|Oops|Call Trace|general protection fault|KASAN|UBSAN|kmemleak: [0-9]'
log_bad+='|possible (circular|recursive) locking|inconsistent lock state|lockdep'
log_bad+='|suspicious RCU|sleeping function|ODEBUG|list_(add|del) corruption|refcount_t'
log_bad+='|blocked for more than|soft lockup|hard LOCKUP|workqueue lockup|rcu:.*stall'
log_bad+='|page allocation failure|Out of memory|duplicate filename|kobject_add_internal failed'
log_bad+='|I/O error|blk_update_request|already present!'

# allow_log REGEX: the test makes the kernel say this
allow_log() {
	echo "$1" >>"$test_state/allowed"
}

# expect_log REGEX: as allow_log, and it must have been said when the test ends
expect_log() {
	allow_log "$1"
	echo "$1" >>"$test_state/expected"
}

# allow_udev: it reads a device that a writer has closed, in its own time, and what the
# device's end finds unanswered fails
allow_udev() {
	[ ! -e /run/udev/control ] ||
		allow_log 'I/O error,? (on )?dev nbd[0-9]+(p[0-9]+)?, .*(READ|async page read)'
}

# log_since_mark [REGEX]: the kernel log since this test began, or what is left of it, or
# the lines of that that match. (The shell's own matching takes minutes for a long log.)
log_since_mark() {
	dmesg | awk -v mark="$log_mark" -v wanted="${1:-.*}" '
		index($0, mark) { n = 0; next }
		$0 ~ wanted { line[n++] = $0 }
		END { for (i = 0; i < n; i++) print line[i] }'
}

# log_mark_new NAME: from here on the log is another test's
log_mark_new() {
	log_mark="selftest: $1 $BASHPID $EPOCHREALTIME"
	echo "<5>$log_mark" >/dev/kmsg
}

# check_log: prints what is wrong with it; fails then
check_log() {
	local log=$test_state/log bad regex status=0

	bad=$(log_since_mark "$log_bad")
	if [ -n "$bad" ] || [ -e "$test_state/expected" ]; then
		log_since_mark >"$log"
	fi
	if [ -e "$test_state/allowed" ] && [ -n "$bad" ]; then
		bad=$(grep -vE -f "$test_state/allowed" <<<"$bad" || true)
	fi
	if [ -n "$bad" ]; then
		echo "the kernel log is not clean, it has these lines:"
		head -n 50 <<<"$bad"
		status=1
	fi
	if [ -e "$test_state/expected" ]; then
		while read -r regex; do
			grep -qE -- "$regex" "$log" && continue
			echo "the kernel log lacks: $regex"
			status=1
		done <"$test_state/expected"
	fi
	if [ $status != 0 ]; then
		echo "the end of the kernel log:"
		tail -n 200 "$log"
	fi
	return $status
}

# --- what a test may not leave behind ---
# All of it in this shell: a process start is slow in the guest, and would be found.

# find_processes: sets processes, pid => "name (first argument)", of all but kernel
# threads, zombies and udev's workers; and threads, the kernel threads named after us
# (not the kworkers, which carry the name of what they did last). Most of what there is
# are kernel threads of others, which are looked at once: no guest lives long enough for
# a process id to come again. Those have low ones; a higher one without arguments may be a
# process that is just beginning or ending.
find_processes() {
	local dir name arguments

	processes=()
	threads=
	for dir in /proc/[0-9]*; do
		[ -z "${foreign_threads[${dir##*/}]:-}" ] || continue
		{ read -r name <"$dir/comm"; } 2>/dev/null || continue
		case $name in *udevd* | *udev-worker* | kworker/[0-9u]*) continue ;; esac
		arguments=
		{ IFS= read -rd '' arguments <"$dir/cmdline"; } 2>/dev/null || true
		if [ -n "$arguments" ]; then
			processes[${dir##*/}]="$name ($arguments)"
		elif [[ $name = *nbd* ]]; then
			gone_or_reaped "${dir##*/}" || threads+=" $name"
		elif [ "${dir##*/}" -lt 100 ]; then
			foreign_threads[${dir##*/}]=1
		fi
	done
}

# find_connections: sets connections to TCP connections that are neither listening
# nor winding down
find_connections() {
	local file from to state

	connections=()
	for file in /proc/net/tcp /proc/net/tcp6; do
		while read -r _ from to state _; do
			case $state in
			01 | 02 | 08) connections+=("$from $to state $state") ;;
			esac
		done <"$file"
	done
}

# find_mounts: sets mounts to those below the test's folder, the newest first
find_mounts() {
	local path

	mounts=()
	while read -r _ path _; do
		[[ $path != "$test_dir"/* ]] || mounts=("$path" "${mounts[@]}")
	done </proc/mounts
}

# find_configuration: sets configuration to the files that say how the system uses the driver
find_configuration() {
	local path

	configuration=()
	for path in /etc/nbd* /etc/nbdtab.d/* /etc/modprobe.d/* /etc/udev/rules.d/* /etc/netns/*; do
		[ ! -e "$path" ] || configuration+=("$path")
	done
}

# remember_world: what is there before the test
remember_world() {
	find_configuration
	configuration_before=("${configuration[@]}")
	find_processes
	processes_before=("${!processes[@]}")
	threads_before=$threads
	loaded_before=
	[ ! -e /sys/module/nbd ] || loaded_before=1
}

# find_leftovers: sets leftovers to one line for each thing that is left, and
# left_processes and left_configuration to the process ids and files among them
find_leftovers() {
	local path pid refs=0 line

	leftovers=()
	left_processes=()
	for path in /sys/block/nbd*; do
		! connected "${path##*/}" || leftovers+=("${path##*/} is attached")
	done
	find_processes
	for pid in "${!processes[@]}"; do
		[[ " ${processes_before[*]} " != *" $pid "* ]] || continue
		left_processes+=("$pid")
		leftovers+=("process $pid ${processes[$pid]}")
	done
	[ -e /sys/module/nbd ] || threads_before=
	if [[ -n $loaded_before || ! -e /sys/module/nbd ]] && [ "$threads" != "$threads_before" ]; then
		leftovers+=("kernel threads:$threads; before:$threads_before")
	fi
	find_connections
	for line in "${connections[@]}"; do
		leftovers+=("TCP connection $line")
	done
	find_mounts
	for path in "${mounts[@]}"; do
		leftovers+=("mount $path")
	done
	find_configuration
	left_configuration=()
	for path in "${configuration[@]}"; do
		[[ " ${configuration_before[*]} " != *" $path "* ]] || continue
		left_configuration+=("$path")
		leftovers+=("file $path")
	done
	[ ! -e /sys/module/nbd/refcnt ] || read -r refs </sys/module/nbd/refcnt
	[ "$refs" = 0 ] || leftovers+=("$refs references to the module")
}

none_left() {
	find_leftovers
	[ ${#leftovers[@]} = 0 ]
}

check_leftovers() {
	none_left || wait_for 5 none_left >/dev/null && return 0
	printf 'left: %s\n' "${leftovers[@]}"
	return 1
}

# remove_leftovers: so that the next test can run; fails if that is impossible
remove_leftovers() {
	local pid path name

	for pid in "${left_processes[@]}"; do
		kill -9 "$pid" 2>/dev/null
	done
	for path in "${mounts[@]}"; do
		umount "$path"
	done
	rm -rf "${left_configuration[@]}"
	for name in $(connected_devices); do
		timeout 20 "$NBD_CLIENT" -d "/dev/$name"
	done
	wait_for 10 none_left
}

# --- running the tests ---

# test_functions: in the order in which the file defines them
test_functions() {
	sed -nE 's/^(test_[A-Za-z0-9_]+)[[:space:]]*\(\).*/\1/p' "$0"
}

# combinations "A:1,2 B:x": one line for each, "A=1 B=x"
combinations() {
	local first rest values value tail

	if [ -z "$1" ]; then
		echo
		return
	fi
	read -r first rest <<<"$1"
	IFS=, read -ra values <<<"${first#*:}"
	for value in "${values[@]}"; do
		while read -r tail; do
			echo "${first%%:*}=$value${tail:+ $tail}"
		done < <(combinations "$rest")
	done
}

# takes_variant FUNCTION INDEX COUNT TURN: whether this run takes a test's variant INDEX of
# COUNT. With QUICK=1 it is one, and TURN, which is another for each test, decides which.
# Otherwise they are dealt out over the runs that DEAL counts; two of them so that of two
# settings each meets each on one of them.
takes_variant() {
	[ "${FULL:-0}" != 1 ] && [ -z "${ONLY:-}" ] || return 0
	if [ "${QUICK:-0}" = 1 ]; then
		[ -n "${all_variants[$1]:-}" ] || [ "$2" = $(($4 % $3)) ]
		return
	fi
	is_turn $((($2 ^ $2 >> 1) + $4))
}

# is_turn N: of what is counted, each of the runs takes its share. DEAL is I/RUNS, with I
# from 0 on.
is_turn() {
	local deal=${DEAL:-0/1}

	[ $(($1 % ${deal#*/})) = "${deal%/*}" ]
}

# takes_whole N: whether this run takes the file's Nth test without variants. If there are
# more than two each test is left out by one of them, unless the file deals out these, too.
takes_whole() {
	local deal=${DEAL:-0/1}

	[ "${FULL:-0}" != 1 ] && [ "${QUICK:-0}" != 1 ] && [ -z "${ONLY:-}" ] || return 0
	if [ -n "$dealt_out" ]; then
		is_turn "$1"
	else
		[ "${deal#*/}" -le 2 ] || ! is_turn "$1"
	fi
}

# list_tests: "FUNCTION SETTINGS" of every test that ONLY selects
list_tests() {
	local function settings i turn=0 whole=0

	for function in $(test_functions); do
		[ "$DRIVER" != stock ] || [ -z "${ours_only[$function]:-}" ] || continue
		mapfile -t settings < <(combinations "${variants[$function]:-}")
		if [ ${#settings[@]} = 1 ]; then
			whole=$((whole + 1))
			takes_whole $whole || continue
		else
			turn=$((turn + 1))
		fi
		for i in "${!settings[@]}"; do
			[ ${#settings[@]} = 1 ] ||
				takes_variant "$function" "$i" ${#settings[@]} $turn || continue
			[[ "${function#test_} ${settings[i]}" = *${ONLY:-}* ]] || continue
			echo "$function ${settings[i]}"
		done
	done
}

say_failed_command() {
	local status=$? i=1

	echo "failed with status $status: $BASH_COMMAND"
	while [ "$i" -lt "${#FUNCNAME[@]}" ] && [ "${FUNCNAME[i]}" != test_body ]; do
		echo "    ${BASH_SOURCE[i]#"$top/"}:${BASH_LINENO[i - 1]} in ${FUNCNAME[i]}"
		i=$((i + 1))
	done
}

# test_body FUNCTION SETTINGS...: in a process group of its own
test_body() {
	local function=$1

	set +m
	trap run_cleanups EXIT
	trap 'exit 143' TERM
	shift
	# shellcheck disable=SC2163 # NAME=VALUE words
	[ $# = 0 ] || export "$@"
	cd "$test_dir/work" || exit
	set -eE
	trap say_failed_command ERR
	"$function"
}

# end_group PGID: a test that exceeded its time; with its clean-up, if it is able to
end_group() {
	echo w >/proc/sysrq-trigger
	kill -TERM -- "-$1" 2>/dev/null
	kill -CONT -- "-$1" 2>/dev/null
	wait_for 10 gone_or_reaped "$1" >/dev/null && return 0
	kill -9 -- "-$1" 2>/dev/null
	wait_for 10 gone_or_reaped "$1" >/dev/null
}

# run_with_limit FUNCTION SETTINGS...: sets $status; 124 if the time was up
run_with_limit() {
	local limit pid timer ended=''

	limit=$(scaled "${timeouts[$1]:-$DEFAULT_TIMEOUT}")
	[ -z "${ANNOUNCE:-}" ] || echo "@test $limit $name"
	set -m
	(test_body "$@") >>"$test_state/output" 2>&1 </dev/null &
	pid=$!
	(nap "$limit") &
	timer=$!
	set +m
	wait -n -p ended "$pid" "$timer" 2>/dev/null
	status=$?
	if [ "$ended" = "$timer" ]; then
		status=124
		echo "not finished after $limit s" >>"$test_state/output"
		end_group "$pid" || stuck=1
	else
		# a shell just forked loses SIGTERM, and would be waited for to its end
		kill -9 -- "-$timer" 2>/dev/null
		wait "$timer" 2>/dev/null
	fi
	[ -n "$stuck" ] || wait "$pid" 2>/dev/null
}

# A task that not even SIGKILL ends makes every later result worthless.
show_stuck_tasks() {
	local dir

	for dir in /proc/[0-9]*; do
		grep -qs '^State:[[:space:]]*D' "$dir/status" || continue
		echo "stuck: $(<"$dir/comm")"
		cat "$dir/stack"
	done
}

# inspect: what the test did beside its own verdict; sets $status
inspect() {
	check_log >>"$test_state/output" 2>&1 || status=1
	if ! check_leftovers >>"$test_state/output" 2>&1; then
		status=1
		remove_leftovers >/dev/null 2>&1 || stuck=1
	fi
	[ -z "$stuck" ] || show_stuck_tasks >>"$test_state/output"
}

# first_complaint: ": WHY" of the test that failed, for those who see the results only
first_complaint() {
	local words='(failed|left|not finished|never came true)'

	{ grep -m 1 -E "^${words}[ :]" "$test_state/output" || tail -n 1 "$test_state/output"; } |
		sed -n '1s/\(.\{,160\}\).*/: \1/p'
}

# report NUMBER NAME STATUS MILLISECONDS
report() {
	local line="$1 - $2" time

	time="$(($4 / 1000)).$(($4 % 1000 / 100)) s"
	if [ "$3" = $SKIP_STATUS ] && [ -e "$test_state/skip" ]; then
		echo "ok $line # SKIP $(<"$test_state/skip")"
	elif [ "$3" = 0 ]; then
		if [ "${VERBOSE:-0}" = 1 ]; then
			sed 's/^/# /' "$test_state/output"
		elif [ -s "$test_state/output" ]; then
			sed -n 's/^tally: /# &/p' "$test_state/output"
		fi
		echo "ok $line # $time"
	else
		[ -s "$test_state/output" ] || echo "# exit status $3"
		awk 'NR <= 200 { print "# " $0; next }
			{ line[NR % 300] = $0 }
			END {
				for (i = NR > 500 ? NR - 299 : 201; i <= NR; i++)
					print "# " line[i % 300]
			}' \
			"$test_state/output"
		echo "not ok $line # $time$(first_complaint)"
	fi
}

# run_test NUMBER FUNCTION SETTINGS...
run_test() {
	local number=$1 begin name status=0

	shift
	name=${1#test_}
	[ $# = 1 ] || name+=" ${*:2}"
	test_dir=/tmp/$name.$number.$RANDOM
	test_state=$test_dir/state
	mkdir "$test_dir" "$test_state" "$test_dir/work"
	remember_world
	log_mark_new "$name"
	allow_udev
	begin=$(milliseconds)
	run_with_limit "$@"
	inspect
	report "$number" "$name" "$status" $(($(milliseconds) - begin))
	cd /
	rm -rf "$test_dir" 2>/dev/null
	if [ -n "$stuck" ]; then
		echo "Bail out! The guest is not usable after: $name"
		exit $BAIL_OUT_STATUS
	fi
	[ "$status" = 0 ] || [ "$status" = $SKIP_STATUS ] || failed=$((failed + 1))
}

# The last test of each file, by the framework: nothing keeps the module loaded.
test_module_unloads() {
	[ -e /sys/module/nbd ] || return 0
	modprobe -r nbd
	[ ! -e /sys/module/nbd ] || fail "still loaded"
	find_processes
	assert_equal "$threads" "" "kernel threads left"
}

# Kernel memory that nothing points to, where the kernel can tell (the debug kernel). A scan
# takes it half a minute, so that tests/vm/batch asks for it (LEAK_CHECK) once in a boot,
# after the last file. An object must be five seconds old to be reported. A boot with
# kmemleak=off has the file, but nothing to scan.
test_no_memory_leak() {
	nap 6
	echo scan >/sys/kernel/debug/kmemleak
	echo scan >/sys/kernel/debug/kmemleak
	[ -z "$(</sys/kernel/debug/kmemleak)" ] || fail "$(</sys/kernel/debug/kmemleak)"
}

run_tests() {
	local tests test number=0 failed=0 stuck='' settings

	if [ ! -e /run/vm/run.conf ]; then
		echo "Bail out! Selftests run in the VM: tests/vm/run -- $0"
		exit $BAIL_OUT_STATUS
	fi
	mapfile -t tests < <(list_tests)
	tests+=("test_module_unloads")
	if [ -w /sys/kernel/debug/kmemleak ] && [ "${LEAK_CHECK:-now}" = now ] &&
	   [[ $(</proc/cmdline) != *kmemleak=off* ]]; then
		tests+=("test_no_memory_leak")
	fi
	echo "TAP version 13"
	echo "1..${#tests[@]}"
	for test in "${tests[@]}"; do
		number=$((number + 1))
		read -ra settings <<<"$test"
		run_test "$number" "${settings[@]}"
	done
	[ "$failed" = 0 ]
	exit
}
