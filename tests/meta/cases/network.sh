#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --nic
# The network card's link is up before the first command: what is sent sooner is lost.
. "$(dirname "$0")/../../lib.sh"

test_link_is_up() {
	[ "$(cat /sys/class/net/eth0/carrier)" = 1 ]
}

run_tests
