#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What goes wrong when people attach: each ends soon, with one message that says what,
# where and why, and leaves nothing attached.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# refused REGEX... -- ARGUMENTS...: nbd-client must fail within 30 s, with one line
# that matches every REGEX
refused() {
	local wanted=() begin

	while [ "$1" != -- ]; do
		wanted+=("$1")
		shift
	done
	shift
	begin=$(milliseconds)
	expect_failure timeout "$(scaled 30)" "$NBD_CLIENT" "$@"
	assert_within "$(($(milliseconds) - begin))" 0 "$(scaled 20000)" "milliseconds"
	assert_equal "$(wc -l <<<"$output")" 1 "lines of output"
	while [ ${#wanted[@]} != 0 ]; do
		assert_match "$output" "${wanted[0]}"
		wanted=("${wanted[@]:1}")
	done
}

variants[test_unknown_export]="transport:tcp,unix"
test_unknown_export() {
	truncate -s 1M image
	start_qemu_nbd -f raw -x right image
	refused wrong -- "${server_args[@]}" -name wrong
}

test_refused_connection() {
	refused "127.0.0.1" "20001" "refused" -- 127.0.0.1 20001
}

test_no_socket() {
	refused "$PWD/nothing" "No such file" -- -unix "$PWD/nothing"
}

test_no_such_host() {
	refused "no-such-host.invalid" -- no-such-host.invalid 10809
}

test_http_server() {
	start_impostor $'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'
	refused "127.0.0.1" "$port" "NBD" -- "${server_args[@]}"
}

test_silent_server() {
	start_impostor silent
	refused "127.0.0.1" "$port" -- "${server_args[@]}" -connect-timeout 3
}

test_closing_server() {
	start_impostor close
	refused "127.0.0.1" "$port" "clos" -- "${server_args[@]}"
}

test_tls_demanded() {
	transport=tcp
	echo "user:1234567890abcdef" >psk
	start_nbdkit --tls=require --tls-psk="$PWD/psk" memory 1M
	refused "TLS" -- "${server_args[@]}"
}

test_size_not_multiple_of_block() {
	start_nbdkit memory 1M
	refused "4096" "1049088" -- "${server_args[@]}" -block-size 4096 -size 1049088
}

test_less_than_a_block() {
	start_nbdkit memory 511
	refused "511 bytes, less than one block of 512" -- "${server_args[@]}"
}

test_device_in_use() {
	start_nbdkit memory 1M
	attach "${server_args[@]}"
	refused "$name" "attached" -- "${server_args[@]}" "$dev"
	connected "$name"
	detach
}

test_no_permission() {
	local user

	modprobe nbd
	# no server listens there, and none is asked
	for user in "setpriv --reuid=65534 --regid=65534 --clear-groups" "unshare --user --map-root-user"; do
		# shellcheck disable=SC2086 # words
		expect_status 4 $user "$NBD_CLIENT" 127.0.0.1 20001
		assert_match "$output" "^nbd-client: only root can attach devices"
	done
	assert_equal "$(connected_devices)" ""
}

# No device, or two of them: nothing is detached, and that is said.
test_detach_what() {
	start_nbdkit memory 1M
	attach "${server_args[@]}"
	refused "/dev/nbd99 does not exist" -- -d nbd99
	refused "no use for \"nbd1\", and nothing was done" -- -d "$dev" nbd1
	refused "once only" -- -d "$dev" -d nbd1
	refused "is a partition: name the whole device" -- -d "${dev}p1"
	connected "$name"
	detach
	detach
}

test_no_module() {
	transport=tcp
	start_nbdkit memory 1M
	! [ -e /sys/module/nbd ] || modprobe -r nbd
	mount -t tmpfs none "/lib/modules/$(uname -r)"
	cleanup_fn umount "/lib/modules/$(uname -r)"
	refused "nbd" "module" -- "${server_args[@]}"
}

set_modprobe() {
	echo "$1" >/proc/sys/kernel/modprobe
}

# The library is looked for when it is needed, and only then: mostly the kernel loads the
# module itself when it is asked for the netlink family.
test_no_module_library() {
	local library

	transport=tcp
	start_nbdkit memory 1M
	! [ -e /sys/module/nbd ] || modprobe -r nbd
	library=$(ldconfig -p | sed -n 's/.*libkmod\.so\.2 .* => //p' | head -n 1)
	mount --bind /dev/null "$library"
	cleanup_fn umount "$library"
	cleanup_fn set_modprobe "$(</proc/sys/kernel/modprobe)"
	set_modprobe /bin/false
	refused "libkmod" "modprobe nbd" -- "${server_args[@]}"
	modprobe nbd
	attach "${server_args[@]}"
	detach
}

test_no_such_device() {
	start_nbdkit memory 1M
	refused "/dev/null" -- "${server_args[@]}" /dev/null
	refused "/dev/nothing" -- "${server_args[@]}" /dev/nothing
}

test_nonsense_options() {
	refused "no-such-option" -- -no-such-option 127.0.0.1
	refused "many" -- 127.0.0.1 -connections many
	refused "777" -- 127.0.0.1 -block-size 777
}

run_tests
