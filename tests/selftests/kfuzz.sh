#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Random calls, well-formed and malformed, as root and as nobody: each ends, none is
# allowed that may not be, nothing is left, and I/O on another device goes on unharmed.
# SEED=N repeats a run.
. "$(dirname "$0")/../survive.sh"
dealt_out=1

timeouts[test_random_calls]=900
test_random_calls() {
	modprobe nbd
	start_disk 64M
	attach "${server_args[@]}" /dev/nbd0
	start_load "$dev"
	# what the block layer says of devices whose server is gone
	allow_log '(I/O error|blk_update_request).* dev nbd([1-9]|1[0-9])'
	kfuzz "$(count 100000)" ${SEED:+"$SEED"}
	end_load
	detach
}

run_tests
