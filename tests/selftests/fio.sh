#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Verified load: every block that fio wrote is read back and its checksum compared.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# Blocks of 512 bytes to 4 MiB, at any multiple of 512.
timeouts[test_verify]=$(($(count 600) + 120))
variants[test_verify]="conns:1,4 engine:libaio,io_uring transport:tcp,unix"
test_verify() {
	start_nbdkit memory 1G
	attach "${server_args[@]}" -connections "$conns"
	fio --name=mixed --filename="$dev" --ioengine="$engine" --direct=1 --iodepth=32 \
		--rw=randwrite --bsrange=512-4M --blockalign=512 --size="$(count 640)M" \
		--verify=crc32c --verify_fatal=1 --do_verify=1 --randseed=7 --minimal >fio.out
	detach
}

# Reads and writes at once, from two jobs that each verify their own half.
timeouts[test_mixed]=$(($(count 600) + 120))
variants[test_mixed]="conns:1,4"
test_mixed() {
	start_nbdkit memory 1G
	attach "${server_args[@]}" -connections "$conns"
	fio --filename="$dev" --ioengine=libaio --direct=1 --iodepth=32 --rw=randrw \
		--bsrange=512-256k --blockalign=512 --size="$(count 320)M" --offset_increment=512M \
		--numjobs=2 --verify=crc32c --verify_fatal=1 --verify_backlog=256 \
		--name=mixed --minimal >fio.out
	detach
}

run_tests
