#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The servers that people run: each attaches with the plain command, takes data and
# gives it back, and is let go.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# write_and_compare: fills the device, reads it back past the page cache
write_and_compare() {
	local megabytes=${1:-8}

	head -c "${megabytes}M" /dev/urandom >data
	dd if=data of="$dev" bs=256k oflag=direct conv=fsync status=none
	dd if="$dev" of=copy bs=64k count="$megabytes"M iflag=direct,count_bytes status=none
	cmp data copy
}

# round_trip: attaches the server that was started, uses and detaches it
round_trip() {
	attach "${server_args[@]}" "$@"
	write_and_compare
	detach
	assert_equal "$(<"/sys/block/$name/size")" 0 "size after detaching"
}

variants[test_nbdkit_memory]="transport:tcp,tcp6,unix"
test_nbdkit_memory() {
	start_nbdkit memory 64M
	round_trip
}

variants[test_nbdkit_file]="transport:tcp,unix"
test_nbdkit_file() {
	truncate -s 64M image
	start_nbdkit file image
	round_trip
	cmp -n 8M data image
}

# the stock driver does not know of the largest block
ours_only[test_nbdkit_filters]=1
variants[test_nbdkit_filters]="transport:tcp,unix"
test_nbdkit_filters() {
	start_nbdkit --filter=error --filter=delay --filter=blocksize-policy memory 64M \
		error-rate=0 wdelay=5ms rdelay=5ms \
		blocksize-minimum=4096 blocksize-preferred=64k blocksize-maximum=128k \
		blocksize-error-policy=error
	round_trip
}

variants[test_qemu_nbd_raw]="transport:tcp,tcp6,unix"
test_qemu_nbd_raw() {
	truncate -s 64M image
	start_qemu_nbd -f raw image
	round_trip
	cmp -n 8M data image
}

variants[test_qemu_nbd_qcow2]="transport:tcp,unix"
test_qemu_nbd_qcow2() {
	qemu-img create -q -f qcow2 image 64M
	start_qemu_nbd -f qcow2 image
	round_trip
	stop_process "$server_pid"
	qemu-img check -q image
	qemu-img convert -O raw image raw
	cmp -n 8M data raw
}

variants[test_nbd_server]="transport:tcp,tcp6,unix"
test_nbd_server() {
	truncate -s 64M image
	start_nbd_server disk "$PWD/image" "flush = true" "fua = true" "trim = true"
	round_trip -name disk
	cmp -n 8M data image
}

# errno_text NUMBER: what the block layer makes of the protocol's error, in the words
# of strerror(); it has none for EPERM, and for EINVAL since 6.11 only
errno_text() {
	case $1 in
	ENOMEM) echo "Cannot allocate memory" ;;
	ENOSPC) echo "No space left on device" ;;
	EINVAL)
		if [[ $(uname -r) = 6.1.* ]]; then
			echo "Input/output error"
		else
			echo "Invalid argument"
		fi
		;;
	*) echo "Input/output error" ;;
	esac
}

# A server's error number reaches the application, and does not harm what follows.
# (ESHUTDOWN is not among them: it ends the connection, and the request waits.)
# with the stock driver it is always EIO
ours_only[test_error_numbers]=1
variants[test_error_numbers]="number:EPERM,EIO,ENOMEM,EINVAL,ENOSPC"
test_error_numbers() {
	start_nbdkit --filter=error memory 64M "error=$number" error-pwrite-rate=1 \
		"error-file=$PWD/trigger"
	attach "${server_args[@]}"
	touch trigger
	allow_log 'error, dev nbd'
	expect_failure dd if=/dev/zero "of=$dev" bs=4k count=1 oflag=direct
	assert_match "$output" "$(errno_text "$number")"
	rm trigger
	write_and_compare 1
	detach
}

# What a server can provoke at will does not flood the kernel's log.
ours_only[test_error_flood]=1
test_error_flood() {
	local begin lines

	start_nbdkit --filter=error memory 64M error-pread-rate=1 "error-file=$PWD/trigger"
	attach "${server_args[@]}"
	touch trigger
	allow_log 'error, dev nbd'
	begin=$SECONDS
	fio --name=flood "--filename=$dev" --rw=randread --bs=4k --direct=1 --size=8M \
		--continue_on_error=all --output=fio.json --output-format=json || true
	python3 -c 'import json; print(json.load(open("fio.json"))["jobs"][0]["total_err"])' >errors
	assert_within "$(<errors)" 2048 2048 "failed reads"
	lines=$(log_since_mark "$name: server answers READ .* with error" | wc -l)
	# ten in five seconds
	assert_within "$lines" 1 $((10 * (2 + (SECONDS - begin) / 5))) "lines in the log"
	detach
}

run_tests
