#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Discarding and zeroing: the server is told, and the data reads back as it must.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# start: a server that logs what it is asked for, and a device full of ones
start() {
	start_nbdkit --filter=log "$@" 32M "logfile=$PWD/log"
	attach "${server_args[@]}"
	fill
}

fill() {
	tr '\0' '\1' </dev/zero | head -c 32M >wanted
	dd if=wanted of="$dev" bs=1M oflag=direct status=none
}

# zeroes_wanted OFFSET LENGTH, in MiB: so it must read back
zeroes_wanted() {
	dd if=/dev/zero of=wanted bs=1M seek="$1" count="$2" conv=notrunc status=none
}

# server_saw REGEX
server_saw() {
	grep -qE -- "$1" log || fail "the server did not see $1: $(tail -n 20 log)"
}

server_did_not_see() {
	! grep -E -- "$1" log || fail "the server saw $1"
}

compare() {
	echo 3 >/proc/sys/vm/drop_caches
	dd if="$dev" of=got bs=1M iflag=direct status=none
	cmp got wanted
}

test_blkdiscard() {
	start memory
	blkdiscard -o 8M -l 16M "$dev"
	zeroes_wanted 8 16		# what nbdkit's memory holds after a TRIM
	compare
	server_saw 'Trim id=.* offset=0x800000 '
	server_did_not_see ' Zero id='
	detach
}

test_blkdiscard_zeroes() {
	start memory
	blkdiscard -z -o 8M -l 16M "$dev"
	zeroes_wanted 8 16
	compare
	server_saw ' Zero id=.* offset=0x800000 '
	detach
}

# Punching a hole allows the server to free the blocks, zeroing a range does not.
test_fallocate() {
	start memory
	fallocate --punch-hole --offset 4M --length 4M "$dev"
	zeroes_wanted 4 4
	compare
	server_saw ' Zero id=.* offset=0x400000 .* trim=1'
	: >log
	fallocate --zero-range --offset 16M --length 4M "$dev"
	zeroes_wanted 16 4
	compare
	server_saw ' Zero id=.* offset=0x1000000 '
	server_did_not_see ' Zero id=.* trim=1'
	# no caller can say that it would rather do without (nbd-client(8), NOTES)
	server_did_not_see ' Zero id=.* fast=1'
	detach
}

# A server that offers neither is not asked: zeroes are written, a discard is refused.
test_not_offered() {
	start_hostile --size 32M --flags -trim,-zeroes
	attach "${server_args[@]}"
	fill
	expect_failure blkdiscard -o 8M -l 8M "$dev"
	assert_match "$output" "not supported"
	blkdiscard -z -o 16M -l 8M "$dev"
	zeroes_wanted 16 8
	compare
	assert_equal "$(ctl "get unoffered")" 0 "requests that were not offered"
	detach
}

# A server that offers zeroes and cannot do them: they are written, and where that is not
# wanted the caller is told.
test_zeroes_refused() {
	start_hostile --size 32M --do "err e=95 type=zeroes count=0"
	attach "${server_args[@]}"
	fill
	expect_log "server refuses WRITE_ZEROES, not using it any more"
	allow_log "operation not supported error, dev $name"
	blkdiscard -z -o 8M -l 8M "$dev"
	fallocate --zero-range --offset 20M --length 4M "$dev"
	expect_failure fallocate --punch-hole --offset 28M --length 4M "$dev"
	assert_match "$output" "unsupported"
	zeroes_wanted 8 8
	zeroes_wanted 20 4
	compare
	assert_equal "$(log_since_mark | grep -c 'server refuses WRITE_ZEROES')" 1 "lines in the log"
	detach
}

run_tests
