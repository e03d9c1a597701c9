#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --icount --smp 1 --cpu cx16=off
# (Linux 6.1 does not start a second processor with --icount.)
# One of four connections is reset: what it carried is complete within 100 ms on the
# other three, with the default options. In guest time that counts instructions, so
# that what else this machine does has no part in it.
#
# With --icount the clock runs ahead whenever the guest waits for the host, for a file
# for example: deadlines that are to catch a hang are far away here, but between a reset
# and the replies nothing is read from the host.
# vm-debug: --append kmemleak=off
TIME_SCALE=$((${TIME_SCALE:-1} * 50))
. "$(dirname "$0")/../survive.sh"
dealt_out=1

# The debug kernel executes many times as many instructions: 140 ms of them where others have 6.
# All 64 requests may have been on that connection, for what comes together stays together.
LIMIT_MS=100
[[ $(uname -r) != *-nbd-debug ]] || LIMIT_MS=400
readonly LIMIT_MS

# recovery_times CONN: from the server's log, for each request that was unanswered when
# CONN went, the milliseconds until its reply on another connection
recovery_times() {
	awk -v victim="$1" '
		$3 == "read" || $3 == "write" {
			place[$2 " " $5] = $6 " " $7
		}
		$2 == victim && $3 ~ /^gone/ {
			gone = $1
			for (key in place)
				if (index(key, victim " ") == 1)
					waiting[place[key]] = 1
		}
		$3 == "sent" {
			key = $2 " " $4
			if (gone && (place[key] in waiting)) {
				printf "%.3f\n", ($1 - gone) * 1000
				delete waiting[place[key]]
			}
			delete place[key]
		}
		END {
			for (key in waiting)
				print "never " key
		}' hostile.log
}

# show_distribution FILE
show_distribution() {
	sort -n "$1" | awk '{ v[NR] = $1 } END {
		printf "%d requests, ms: least %s, median %s, 90 %% %s, most %s\n", NR,
			v[1], v[int((NR + 1) / 2)], v[int(NR * 0.9 + 0.5)], v[NR] }'
}

# recovered CONN: nothing that it carried is unanswered
recovered() {
	! recovery_times "$1" | grep -q never
}

# busiest: the connection with the most unanswered requests
busiest() {
	ctl conns | sed -nE 's/^conn=([1-9][0-9]*) .* outstanding=([0-9]+).*/\2 \1/p' |
		sort -n | tail -n 1 | cut -d' ' -f2
}

# reset_one: 64 requests at once over all connections, all unanswered until the
# connection that has most of them is reset; adds to the file "all_times"
reset_one() {
	local victim load

	: >hostile.log
	ctl "hold type=$op t=100000 count=64" "stats reset"
	fio --name=load --filename="$dev" --size=256k --bs=4k --rw="rand$op" --direct=1 \
		--ioengine=io_uring --iodepth=64 --output-format=terse >fio.out 2>&1 &
	load=$!
	ctl "wait ${op}s>=64 timeout=1000"
	victim=$(busiest)
	ctl "kill conn=$victim how=rst"
	wait_for 20 recovered "$victim"
	ctl "release"
	wait "$load"
	recovery_times "$victim" >round
	! grep never round || fail "requests were lost"
	[ -s round ] || fail "connection $victim carried nothing"
	show_distribution round
	cat round >>all_times
	ctl clear
}

variants[test_reset_of_one]="op:read,write"
timeouts[test_reset_of_one]=20
test_reset_of_one() {
	local i n transport=tcp

	start_hostile --size 16M --log "$PWD/hostile.log"
	attach "${server_args[@]}" -connections 4
	n=$(count 30)
	for ((i = 0; i < n; i++)); do
		reset_one
		wait_for 20 has_live 4
	done
	show_distribution all_times
	awk -v limit=$LIMIT_MS '$1 > limit { bad = 1 } END { exit bad }' all_times ||
		fail "more than $LIMIT_MS ms"
	assert_equal "$(counter failed)" 0 "requests that failed"
	detach
}

run_tests
