#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Devices that were attached in network and mount namespaces of their own: they are
# reconnected where they were attached, to the disk that they had, or not at all.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# Two disks, which tell by their first bytes which one they are.
right='data="RIGHT"' wrong='data="WRONG"'

# add_net NAME: a network namespace, and a folder of files that "ip netns exec" puts in the
# place of those in /etc
add_net() {
	ip netns add "$1"
	cleanup_fn ip netns del "$1"
	ip -n "$1" link set lo up
	mkdir -p "/etc/netns/$1"
	cleanup_fn rm -r "/etc/netns/$1"
}

# hosts FILE ADDRESS [NAME]: that is the address of "store", or of NAME; in the same file,
# which may be mounted somewhere
hosts() {
	printf '127.0.0.1 localhost\n%s %s\n' "$2" "${3:-store}" >"$1"
}

keep_hosts() {
	cp /etc/hosts hosts.kept
	cleanup_fn cp "$PWD/hosts.kept" /etc/hosts
}

# serve DISK [NSENTER-OPTION...] -- NBDKIT-OPTION...: sets serving; ends with the test
serve() {
	local disk=$1 where=()

	shift
	while [ "$1" != -- ]; do
		where+=("$1")
		shift
	done
	shift
	rm -f serving.pid
	${where:+nsenter "${where[@]}"} nbdkit -f -P "$PWD/serving.pid" "$@" data "$disk" size=16M >>server.log 2>&1 &
	serving=$!
	cleanup_fn stop_process "$serving"
	wait_for 20 [ -s serving.pid ]
}

end_server() {
	kill -9 "$serving"
	wait "$serving" 2>/dev/null || true
}

# disk: which one the device is on
disk() {
	timeout "$(scaled 15)" dd if="$dev" bs=512 count=1 iflag=direct status=none | head -c 5
}

has_right_disk() {
	assert_equal "$(disk)" RIGHT "the disk"
}

# attach_in COMMAND...: nbd-client and the server, by that; sets dev, and detaches at the end
attach_in() {
	name=$("$@" -print-device)
	use_device "${name#/dev/}"
}

monitor_runs() {
	[ -n "$(monitor_pid)" ]
}

# The kernel drops messages of a monitor that has much to say.
tell_all() {
	echo on >/proc/sys/kernel/printk_devkmsg
}

# told REGEX: as said, also of a monitor in the foreground
told() {
	said "$1" || grep -qsE -- "$1" monitor.log
}

# new_monitor [COMMAND...]: the monitor is killed, and another one started by the command
new_monitor() {
	local pid

	pid=$(monitor_pid)
	kill -9 "$pid"
	wait_for 10 gone_or_reaped "$pid"
	"$@" "$NBD_CLIENT" -monitor </dev/null >>monitor.log 2>&1 &
	cleanup_fn stop_process $!
	wait_for 20 monitor_runs
}

none_kept() {
	[ -z "$(cd /run/nbd && find netns mntns -type f 2>/dev/null)" ] &&
		! mountpoint -q /run/nbd/mntns
}

# A name means what it meant to the command that attached the device, also to a monitor
# that was started anew, wherever.
variants[test_name_of_a_namespace]="monitor:same,anew,elsewhere"
test_name_of_a_namespace() {
	add_net one
	add_net two
	keep_hosts
	hosts /etc/netns/one/hosts 127.0.0.5
	hosts /etc/netns/two/hosts 127.0.0.9
	hosts /etc/hosts 127.0.0.9
	serve "$wrong" --net=/run/netns/one -- -i 127.0.0.9 -p 10809
	serve "$wrong" -- -i 127.0.0.9 -p 10809
	serve "$right" --net=/run/netns/one -- -i 127.0.0.5 -p 10809
	attach_in ip netns exec one "$NBD_CLIENT" store
	has_right_disk
	end_server
	wait_for 10 state_is waiting
	case $monitor in
	anew) new_monitor ;;
	elsewhere) new_monitor ip netns exec two ;;
	esac
	wait_for 20 told "$dev: cannot reconnect: 127.0.0.5"
	hosts /etc/netns/one/hosts 127.0.0.6
	serve "$right" --net=/run/netns/one -- -i 127.0.0.6 -p 10809
	wait_for 30 told "$dev: reconnected to 127.0.0.6"
	has_right_disk
	! told 127.0.0.9 || fail "the other disk was tried"
	detach
	wait_for 10 none_kept
}

# What is kept ends with the attachment, also if nobody knows any more what that was.
test_record_gone() {
	add_net one
	serve "$right" --net=/run/netns/one -- -i 127.0.0.5 -p 10809
	attach_in ip netns exec one "$NBD_CLIENT" 127.0.0.5
	! none_kept || fail "nothing is kept"
	rm "/run/nbd/$name"
	detach
	wait_for 10 none_kept
}

# in_mounts [COMMAND...]: in the mount namespace of $holder
in_mounts() {
	nsenter --target "$holder" --mount --wd=/ "$@"
}

# hold_mounts: a process with a mount namespace and a /mnt of its own
hold_mounts() {
	unshare --mount bash -c "mount -t tmpfs mnt /mnt; echo >held; exec sleep 1000" &
	holder=$!
	cleanup_fn stop_process "$holder"
	wait_for 10 [ -e held ]
	rm held
}

# share_run: what is mounted below /run appears in another mount namespace, as it does on every
# system with systemd
share_run() {
	mount --make-shared /run
	cleanup_fn mount --make-private /run
	unshare --mount --propagation slave sleep 1000 &
	cleanup_fn stop_process $!
	wait_for 10 is_namespace_of_its_own $!
}

is_namespace_of_its_own() {
	[ "$(readlink "/proc/$1/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
}

# A path leads to what is mounted where the device was attached, as long as it is attached.
variants[test_socket_of_a_namespace]="monitor:same,anew run:private,shared"
test_socket_of_a_namespace() {
	# shellcheck disable=SC2154 # a variant
	[ "$run" = private ] || share_run
	hold_mounts
	serve "$wrong" -- -U /mnt/socket
	cleanup_fn rm -f /mnt/socket
	serve "$right" --target "$holder" --mount --wd=/ -- -U /mnt/socket
	attach_in in_mounts "$NBD_CLIENT" -unix /mnt/socket
	has_right_disk
	in_mounts rm /mnt/socket
	end_server
	stop_process "$holder"
	wait_for 10 state_is waiting
	[ "$monitor" = same ] || new_monitor
	wait_for 20 told "$dev: cannot reconnect: /mnt/socket: .*no server has made that socket"
	serve "$right" --mount=/run/nbd/mntns/"$name" --wd=/ -- -U /mnt/socket
	has_right_disk
	detach
	end_server
	wait_for 10 none_kept
}

# What is lost is said, with the remedy, and nothing else is tried.
test_lost_namespace() {
	add_net one
	serve "$wrong" -- -i 127.0.0.5 -p 10809
	serve "$right" --net=/run/netns/one -- -i 127.0.0.5 -p 10809
	attach_in nsenter --net=/run/netns/one "$NBD_CLIENT" 127.0.0.5
	umount --lazy "/run/nbd/netns/$name"
	new_monitor
	end_server
	wait_for 20 told "$dev: cannot reconnect: the network namespace that .* is lost.* nbd-client -replace HOST $dev"
	expect_failure "$NBD_CLIENT" -replace -connections 1 "$dev"
	assert_match "$output" "network namespace .* is lost"
	state_is waiting
	serve "$right" --net=/run/netns/one -- -i 127.0.0.5 -p 10809
	nsenter --net=/run/netns/one "$NBD_CLIENT" -replace 127.0.0.5 "$dev"
	has_right_disk
	end_server
	serve "$right" --net=/run/netns/one -- -i 127.0.0.5 -p 10809
	has_right_disk
	detach
	wait_for 10 none_kept
}

# -replace takes the caller's namespaces with servers, the device's without, and changes
# nothing when it fails.
test_replace() {
	add_net one
	add_net two
	serve "$wrong" -- -i 127.0.0.5 -p 10809
	serve "$right" --net=/run/netns/two -- -i 127.0.0.5 -p 10809
	serve "$right" --net=/run/netns/one -- -i 127.0.0.5 -p 10809
	attach_in nsenter --net=/run/netns/one "$NBD_CLIENT" 127.0.0.5
	"$NBD_CLIENT" -replace -connections 1 "$dev"
	has_right_disk
	expect_failure "$NBD_CLIENT" -replace 127.0.0.1 9 "$dev"
	end_server
	serve "$right" --net=/run/netns/one -- -i 127.0.0.5 -p 10809
	has_right_disk
	nsenter --net=/run/netns/two "$NBD_CLIENT" -replace 127.0.0.5 "$dev"
	end_server
	has_right_disk
	[ "$(ss -HtnN two state established | wc -l)" = 2 ] || fail "not connected in there"
	"$NBD_CLIENT" -replace 127.0.0.5 "$dev"
	assert_equal "$(disk)" WRONG "the disk, after -replace from outside"
	none_kept || fail "a namespace is kept that is not used"
	detach
}

# A container with a /run of its own has a monitor of its own, and PIDs or not.
variants[test_container]="pids:own,shared"
test_container() {
	local options=(--mount)

	modprobe nbd
	use_device nbd0
	[ "$pids" = shared ] || options+=(--pid --fork --kill-child --mount-proc)
	cat >container <<-END
		mount -t tmpfs run /run
		mount -t tmpfs mnt /mnt
		nbdkit -f -U /mnt/socket data '$right' size=16M & server=\$!
		until [ -e /mnt/socket ]; do sleep 0.1; done
		"$NBD_CLIENT" -unix /mnt/socket nbd0 >attached 2>&1
		rm /mnt/socket
		kill -9 \$server
		nbdkit -f -U /mnt/socket data '$right' size=16M & server=\$!
		echo >ready
		until [ -e stop ]; do sleep 0.1; done
		"$NBD_CLIENT" -d nbd0
		kill \$server
		wait
	END
	serve "$wrong" -- -U /mnt/socket
	cleanup_fn rm -f /mnt/socket
	unshare "${options[@]}" bash container &
	cleanup_fn stop_process $!
	wait_for 30 [ -e ready ]
	assert_match "$(<attached)" "onnected|nbd0"
	has_right_disk
	touch stop
	wait $!
}

# One that shares /run, but may not enter the namespaces of the monitor, is told so.
test_refused_container() {
	modprobe nbd
	use_device nbd0
	"$NBD_CLIENT" -monitor </dev/null >>monitor.log 2>&1 &
	cleanup_fn stop_process $!
	wait_for 20 monitor_runs
	cat >container <<-END
		mount -t tmpfs mnt /mnt
		nbdkit -f -U /mnt/socket data '$right' size=16M & server=\$!
		until [ -e /mnt/socket ]; do sleep 0.1; done
		"$NBD_CLIENT" -unix /mnt/socket nbd0
		status=\$?
		kill \$server
		exit \$status
	END
	expect_status 1 unshare --mount --pid --fork --kill-child --mount-proc bash container
	assert_match "$output" "cannot keep the mount namespace.*that of the monitor cannot be entered.*nsenter --target 1"
	! connected nbd0 || fail "attached all the same"
}

# silence: a name server that never answers, and no other
silence() {
	cp /etc/resolv.conf resolv.kept
	cleanup_fn cp "$PWD/resolv.kept" /etc/resolv.conf
	echo "nameserver 127.0.0.53" >/etc/resolv.conf
	python3 -c '
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.53", 53))
open("silent", "w").close()
time.sleep(1000)' &
	cleanup_fn stop_process $!
	wait_for 20 [ -e silent ]
}

# Six devices wait for a silent name server; another one, whose server has moved, does not
# wait for them.
variants[test_silent_names]="mode:netlink,ioctl"
test_silent_names() {
	local transport=tcp i begin silent=()

	keep_hosts
	silence
	printf '127.0.0.%d store\n' 1 >>/etc/hosts
	for i in 1 2 3 4 5 6; do
		printf '127.0.0.1 silent%d\n' "$i" >>/etc/hosts
	done
	choose_address
	serve "$right" -- -i 127.0.0.1 -p "$port"
	[ "$mode" = netlink ] || attach_ioctl -persist store "$port"
	[ "$mode" = ioctl ] || attach_in "$NBD_CLIENT" store "$port"
	silent=("$name")
	for i in 1 2 3 4 5 6; do
		attach_in "$NBD_CLIENT" "silent$i" "$port"
		silent+=("$name")
	done
	printf '127.0.0.1 localhost\n127.0.0.7 store\n' >/etc/hosts
	allow_log 'error,? (on )?dev nbd0'
	end_server
	for name in "${silent[@]:1}"; do
		dev=/dev/$name
		wait_for 20 state_is waiting
	done
	begin=$(milliseconds)
	serve "$right" -- -i 127.0.0.7 -p "$port"
	dev=/dev/${silent[0]}
	has_right_disk
	echo "reconnected after $(elapsed "$begin") ms"
	assert_within "$(elapsed "$begin")" 0 "$(scaled 6000)" "milliseconds to reconnect"
	serve "$right" -- -i 127.0.0.1 -p "$port"
	for name in "${silent[@]:1}"; do
		dev=/dev/$name
		has_right_disk
		assert_equal "$(counter failed)" 0 "requests that failed"
		detach
	done
	assert_within "$(elapsed "$begin")" 0 "$(scaled 40000)" "milliseconds until all were back"
}

# --- whose socket it is ---

# serve_as USER DISK: at $PWD/shared/socket, where anyone may put one; sets serving
serve_as() {
	mkdir -p shared
	chmod 1777 . shared
	rm -f shared/socket
	setpriv --reuid="$1" --regid="$1" --clear-groups \
		nbdkit -f -U "$PWD/shared/socket" data "$2" size=16M >>server.log 2>&1 &
	serving=$!
	cleanup_fn stop_process "$serving"
	wait_for 20 [ -S shared/socket ]
}

refuses() {
	told "$dev: cannot reconnect: .*shared/socket: refused: user $1 serves this socket"
}

# After the server's end somebody else listens at its path: root, the user who was there and
# who was named may do that, nobody else.
variants[test_foreign_socket]="mode:netlink,ioctl owner:0,1234"
test_foreign_socket() {
	tell_all
	chmod 755 "$test_dir"
	serve_as "$owner" "$right"
	attach_by_mode -unix "$PWD/shared/socket"
	end_server
	serve_as 65534 "$wrong"
	wait_for 20 refuses 65534
	! has_live 1 || fail "the foreign server was connected to"
	expect_failure "$NBD_CLIENT" -replace -connections 1 "$dev"
	assert_match "$output" "user 65534 serves this socket.*-socket-user 65534"
	end_server
	serve_as "$owner" "$right"
	has_right_disk
	end_server
	serve_as 0 "$right"
	has_right_disk
	end_server
	serve_as 4321 "$right"
	wait_for 20 refuses 4321
	"$NBD_CLIENT" -replace -socket-user 4321 "$dev"
	has_right_disk
	end_server
	serve_as 4321 "$right"
	has_right_disk
	detach
}

# Who is named is asked for when the device is attached, too.
test_named_user() {
	chmod 755 "$test_dir"
	serve_as 65534 "$wrong"
	expect_status 4 "$NBD_CLIENT" -socket-user 1234 -unix "$PWD/shared/socket"
	assert_match "$output" "user 65534 serves this socket, not root, nor user 1234, as -socket-user says"
	expect_status 1 "$NBD_CLIENT" -socket-user no-such-user -unix "$PWD/shared/socket"
	attach -socket-user nobody -unix "$PWD/shared/socket"
	detach
}

# A monitor starts at once although no file tells what "localhost" is.
test_start_without_hosts() {
	local begin

	keep_hosts
	silence
	: >/etc/hosts
	serve "$right" -- -i 127.0.0.1 -p 10809
	begin=$(milliseconds)
	attach_in "$NBD_CLIENT" 127.0.0.1
	assert_within "$(elapsed "$begin")" 0 "$(scaled 5000)" "milliseconds to attach"
	detach
}

run_tests
