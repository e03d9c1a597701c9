#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Not even the framework inside the guest gets an answer: all tasks are stopped.
. "$(dirname "$0")/../../lib.sh"

timeouts[test_stops_everything]=1
test_stops_everything() {
	kill -STOP -1
	kill -STOP $$
}

run_tests
