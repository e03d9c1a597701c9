#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The KUnit suites, tests/kunit. They run when the module that has them is loaded.
. "$(dirname "$0")/../../lib.sh"

module=$top/build/$(uname -r)-kunit/nbd.ko
filter=/sys/module/kunit/parameters/filter_glob

# result_of SUITE: its line of the results, of the last load
result_of() {
	log_since_mark | sed -E 's/^\[[^]]*\] //' | grep -E "^(not )?ok [0-9]+ $1( |\$)"
}

variants[test_suite]="suite:nbd_wire,nbd_conn,nbd_session"
timeouts[test_suite]=120
test_suite() {
	[ -e "$filter" ] || skip "needs a kernel with KUnit"
	modprobe -r nbd
	printf %s "$suite" >"$filter"	# a newline would belong to it
	insmod "$module"
	log_since_mark
	assert_match "$(result_of "$suite")" "^ok " "verdict on $suite"
	# all cases of the suite, and none is skipped
	assert_match "$(log_since_mark)" "$suite: pass:[1-9][0-9]* fail:0 skip:0 " "count"
	modprobe -r nbd
}

run_tests
