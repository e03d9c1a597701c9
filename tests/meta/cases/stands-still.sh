#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The first run of this file sees time jump, for tests/meta/run stops the machine's part
# that runs it; the second run does not.
. "$(dirname "$0")/../../lib.sh"

test_time_flows() {
	local i last now

	last=$(milliseconds)
	echo "stop me now" >/dev/kmsg
	for ((i = 0; i < 40; i++)); do
		nap 0.5
		now=$(milliseconds)
		assert_within $((now - last)) 0 6000 "ms of half a second"
		last=$now	# not read anew: nothing between two naps may go unseen
	done
}

run_tests
