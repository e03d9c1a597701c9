#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest dies in the middle of the file.
. "$(dirname "$0")/../../lib.sh"

test_before() {
	true
}

test_panics() {
	echo c >/proc/sysrq-trigger
}

test_never_reached() {
	true
}

run_tests
