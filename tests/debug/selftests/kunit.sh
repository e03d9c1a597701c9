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

# run_suite NAME: all its cases pass, and none is skipped
run_suite() {
	[ -e "$filter" ] || skip "needs a kernel with KUnit"
	modprobe -r nbd
	printf %s "$1" >"$filter"	# a newline would belong to it
	insmod "$module"
	log_since_mark
	assert_match "$(result_of "$1")" "^ok " "verdict on $1"
	assert_match "$(log_since_mark)" "$1: pass:[1-9][0-9]* fail:0 skip:0 " "count"
	log_since_mark | sed -nE "s/.*$1: pass:([0-9]+) .*/tally: \1 KUnit cases/p"
	modprobe -r nbd
}

all_variants[test_passes]=1
variants[test_passes]="suite:wire,framing,distance,tlsrec,tlskey,tlspages,order,spread,later,chunks,conn,session"
timeouts[test_passes]=120
# shellcheck disable=SC2154 # set by the variants
test_passes() {
	run_suite "nbd_$suite"
}

run_tests
