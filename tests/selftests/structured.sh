#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Structured replies with the servers that have them: holes, the texts of errors, and other
# connections of one device with and without. What servers do wrong is in hostile.sh.
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# replies KIND: whether each live connection has structured replies ("true") or not
replies() {
	local kinds

	kinds=$("$NBD_CLIENT" -status -json "$dev" | sed -nE 's/^ *"structured": (.*)$/\1/p' | sort -u)
	[ "$kinds" = "$1" ]
}

# make_sparse SIZE: the file raw, with data of odd lengths in some places, and the same in
# the file image, a qcow2
make_sparse() {
	local at

	truncate -s "$1" raw
	for at in 0 100 1000 1017 3000 8100; do
		head -c $((1 + RANDOM * 7)) /dev/urandom |
			dd of=raw bs=4k seek="$at" conv=notrunc status=none iflag=fullblock
	done
	qemu-img convert -f raw -O qcow2 -S 4k raw image
}

# bytes_received: over TCP, from the server at $port
bytes_received() {
	ss -tinH "dport = :$port" | grep -oE 'bytes_received:[0-9]+' |
		awk -F: '{ sum += $2 } END { print sum + 0 }'
}

variants[test_holes]="transport:tcp,unix"
test_holes() {
	make_sparse 32M
	start_qemu_nbd -f qcow2 image
	attach "${server_args[@]}"
	replies true || fail "no structured replies"
	# data and holes in one request
	dd if="$dev" of=copy bs=256k iflag=direct status=none
	cmp raw copy
	# blocks that are data or hole
	dd if="$dev" of=copy bs=4k count=1100 iflag=direct status=none
	cmp -n $((1100 * 4096)) raw copy
	[ "$transport" != tcp ] || assert_within "$(bytes_received)" 0 $((8 << 20))
	# merged requests of many pages
	cat "$dev" >copy
	cmp raw copy
	detach
}

# The text of an error is in the log once, and cannot steer a terminal.
test_error_text() {
	local answers text='with error 28: the server is \?\[31mhostile$'

	start_hostile --size 16M --structured --do "err e=28 type=read lba=64K end=68K"
	attach "${server_args[@]}"
	expect_log "$text"
	allow_log '(I/O error|critical space allocation error|blk_update_request).* dev '"$name"
	expect_failure dd if="$dev" of=copy bs=4k skip=16 count=1 iflag=direct status=none
	answers=$(log_since_mark | grep -o 'server answers READ of 4096 bytes at byte 65536 .*')
	assert_match "$answers" "$text"
	assert_equal "$(wc -l <<<"$answers")" 1 "lines in the log"
	dd if="$dev" of=copy bs=4k count=64 iflag=direct status=none
	detach
}

# The same of a command that is not used any more then.
test_refusal_text() {
	local text='server refuses TRIM, not using it any more: the server is \?\[31mhostile$'

	start_hostile --size 16M --structured --do "structured type=trim" \
		--do "err e=95 type=trim"
	attach "${server_args[@]}"
	expect_log "$text"
	blkdiscard -o 1M -l 1M "$dev"		# the block layer calls that a success
	assert_equal "$(log_since_mark | grep -cE "$text")" 1 "lines in the log"
	detach
}

# Each connection as its server has it: the one device moves between them.
test_other_server() {
	truncate -s 16M image
	head -c 1M /dev/urandom | dd of=image bs=64k seek=5 conv=notrunc status=none
	start_nbdkit --no-sr file image
	attach "${server_args[@]}"
	replies false || fail "structured replies that the server does not know"
	cmp image "$dev"
	start_nbdkit file image
	"$NBD_CLIENT" -replace "${server_args[@]}" "$dev"
	replies true || fail "no structured replies after -replace"
	blockdev --flushbufs "$dev"
	cmp image "$dev"
	"$NBD_CLIENT" -replace -no-optgo "${server_args[@]}" "$dev"
	replies false || fail "structured replies with EXPORT_NAME"
	detach
}

# An image that fills while its server dies again and again: what was acknowledged is in it.
timeouts[test_killed_below_qcow2]=300
test_killed_below_qcow2() {
	local i

	qemu-img create -q -f qcow2 image 64M
	choose_address
	server_command=(qemu-nbd --persistent --share=0 --cache=writethrough -f qcow2
		-k "$socket" "$PWD/image")
	server_pid=
	cleanup_fn stop_present_server
	launch
	attach "${server_args[@]}" -connections 1
	start_load "$dev"
	for ((i = 0; i < $(count 30); i++)); do
		random_nap 900
		load_goes_on
		kill_server
		random_nap 400
		launch
	done
	end_load
	wait_for 15 has_live 1
	replies true || fail "no structured replies after reconnecting"
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
	echo "tally: $i server crashes"
}

run_tests
