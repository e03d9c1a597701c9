#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest dies of what looks like the emulator's fault, twice: the second time counts.
. "$(dirname "$0")/../../lib.sh"

test_int3() {
	echo "Oops: int3: 0000 [#1]" >/dev/kmsg
	echo c >/proc/sysrq-trigger
}

run_tests
