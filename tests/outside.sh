# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Library of the tests whose servers are outside the guest. They write TAP.

# Not below /tmp: the guest has its own.
mkdir -p "$top/build"
work=$(mktemp -d "$top/build/outside.XXXXXX")
outside_pids=()
trap 'outside_end; rm -rf "$work"' EXIT

# outside_end: the processes in outside_pids
outside_end() {
	local pid

	for pid in "${outside_pids[@]}"; do
		kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	outside_pids=()
}

# wait_until SECONDS COMMAND...
wait_until() {
	local deadline=$((SECONDS + $1))

	shift
	until "$@"; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.05
	done
}

# answers: something listens on $port
answers() {
	(: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

# find_port: one that nobody uses, and that no socket of another program gets by chance
# while a server is down
find_port() {
	port=$((RANDOM % 10000 + 20000))
	while answers; do port=$((port + 1)); done
}

# outside_tests COMMAND NAME WORDS...: a test for each of WORDS, which are the command's
# arguments; the exit status says whether all passed
outside_tests() {
	local command=$1 name=$2 number=0 failed=0 words verdict

	shift 2
	echo "TAP version 13"
	echo "1..$#"
	for words; do
		number=$((number + 1))
		verdict=ok
		# shellcheck disable=SC2086 # words
		$command $words >"$work/output" 2>&1 || verdict="not ok"
		outside_end
		sed 's/^/# /' "$work/output"
		echo "$verdict $number - $name $words"
		[ "$verdict" = ok ] || failed=1
	done
	return $failed
}
