#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Commits each of the module's bugs; tests/debug/canary/run knows what must be
# reported. The lock inversion comes first: lockdep is silent after any other report.
. "$(dirname "$0")/../../lib.sh"

commit() {
	insmod "$top/build/debug/canary/canary.ko" "plant=$1"
	rmmod canary
}

test_inversion() {
	commit inversion
}

test_leak() {
	commit leak
}

test_nothing() {
	! commit nothing
}

test_race() {
	commit race
}

test_use_after_free() {
	commit use-after-free
}

run_tests
