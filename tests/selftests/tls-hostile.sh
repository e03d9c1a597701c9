#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A live device and a server that breaks the rules of TLS (tests/servers/forger): what is read
# is right and without an error whatever comes, what must cost the connection costs one, and
# its cause is told. Without FULL=1 one play in five.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../tls.sh"
dealt_out=1
# The driver says why a connection ends; the stock one does not.
for name in plays load silence full updates renewal; do
	ours_only[test_$name]=1
done

# What the server does in place of a reply of 4 KiB, the version of TLS that it is about, or
# "-", and the cause of the end of the connection; none if that goes on. "1.3 able" is where
# the driver can follow a change of keys, and "1.3 unable" where not.
plays=$(cat <<'END'
22:04000001aa data|1.3|
data:7 22:04000001aa data|1.3|
data:16 22:04000001aa data|1.3|
data:1000 22:04000001aa data|1.3|
data 22:04000001aa|1.3|
data:3 22:04 22:0000 22:01 22:aa data|1.3|
data:16 22:04000001aa04000002bbcc0400 22:0000 data|1.3|
data:16 22:04000001aa*64 data:1 22:04000001aa*64 data|-|
21:015a data|-|
data:16 21:01 21:5a data|-|
23: data|-|
data:16 23:*200 data:1 23: data|-|
data:1 data:1 data:14 data:1 data:4095|-|
piece:1 data:64 piece:7 data|-|
pad:1000 data|1.3|
pad:1 data:16 pad:4000 22:04000001aa data|1.3|
21:0100 close|-|ended the TLS connection
data:16 21:0100 close|-|ended the TLS connection
data:1000 21:01 21:00 close|-|ended the TLS connection
data:16 21:0100 data|-|ended the TLS connection
21:0250 close|-|alert of the server: number 80
data:16 21:0250 data|-|alert of the server: number 80
data:9 21:02 21:2a close|-|alert of the server: number 42
22:1800000100 data|1.3 unable|changed its TLS key
data:16 22:1800000101 data|1.3 unable|changed its TLS key
data:1000 22:18 stall|1.3|changed its TLS key
22:1800000100 rekey data|1.3 able|
data:16 22:1800000100 rekey data:1000 22:1800000101 rekey data|1.3 able|
22:1800000101 rekey 22:1800000101 rekey 22:1800000100 rekey data|1.3 able|
data:16 22:04000001aa1800000101 rekey data:1 22:04000001aa data|1.3 able|
data:7 21:015a 22:1800000101 rekey 21:015a data|1.3 able|
22:1800000100 data|1.3 able|cannot be decrypted
data:16 rekey data|1.3|cannot be decrypted
data:16 22:1800000100 rekey forge data|1.3 able|cannot be decrypted
22:1800000100 rekey skip data|1.3 able|cannot be decrypted
data:16 22:1800000102 stall|1.3 able|breaks the rules of TLS
22:18000000 stall|1.3 able|breaks the rules of TLS
data:9 22:180000020000 stall|1.3 able|breaks the rules of TLS
22:18000001001800000100 stall|1.3 able|breaks the rules of TLS
data:16 22:180000010004 stall|1.3 able|breaks the rules of TLS
data:16 22:18000001 22:00 stall|1.3 able|changed its TLS key
22:0400000a 22:18000000000000000000 data|1.3 able|changed its TLS key
22:00000000 data|1.2|wants another TLS handshake
data:16 22:00000000 stall|1.2|wants another TLS handshake
data:16 22:04000001aa*65 data|-|without end
22:04000001aa*20000 data|-|without end
21:015a*20000 stall|-|without end
22:04ffffff data|-|breaks the rules of TLS
data:16 22:04 data|-|breaks the rules of TLS
data:16 21:02 data|-|breaks the rules of TLS
data:16 22:04 21:0100 stall|-|breaks the rules of TLS
data:16 22: stall|-|breaks the rules of TLS
21: stall|-|breaks the rules of TLS
22:01000000 stall|-|breaks the rules of TLS
20:01 stall|-|breaks the rules of TLS
data:16 99:00 stall|-|breaks the rules of TLS
forge data|-|cannot be decrypted
data:16 forge data|-|cannot be decrypted
data:16 forge 22:04000001aa stall|-|cannot be decrypted
skip data|-|cannot be decrypted
data:16 skip data|-|cannot be decrypted
data:16 raw:1703030018000000000000000000000000000000000000000000000000 stall|-|cannot be decrypted
raw:17030300000000000000000000 stall|-|is no TLS|cannot be decrypted
raw:170303ffff0000000000000000 stall|-|is no TLS
data:16 raw:17030100200000000000000000 stall|-|is no TLS
raw:485454502f312e312034303020426164 stall|-|is no TLS
cut:3 close|-|.
cut:20 close|-|.
data:16 cut:20 reset|-|.
data:16 close|-|.
END
)

# start_forger: one of TLS $version
start_forger() {
	transport=tcp choose_address
	mkdir plans
	head -c 8M /dev/urandom >image
	transport=tcp start_server forger "$port" image "$tls_dir/server-cert.pem" \
		"$tls_dir/server-key.pem" "NORMAL:-VERS-ALL:+VERS-TLS$version:-CIPHER-ALL:+${cipher:-AES-128-GCM}"
}

# attach_forger OPTION...
attach_forger() {
	make_certificates
	start_forger
	attach "${server_args[@]}" "${ca_args[@]}" "$@"
}

# plan NAME STEPS: for the next one
plan() {
	echo "$2" >new-plan
	mv new-plan "plans/$1"
}

no_plan() {
	[ ! -e plans/reply ]
}

# read_right: 4 KiB, at another place each time
read_right() {
	local place=$((place++ % 2048))

	dd if="$dev" of=got bs=4k count=1 skip="$place" iflag=direct status=none
	cmp got <(dd if=image bs=4k count=1 skip="$place" status=none)
}

# look: sets deaths, cause and state
look() {
	"$NBD_CLIENT" -status -json "$dev" >status
	deaths=$(sed -nE 's/^ *"connection_deaths": ([0-9]+).*/\1/p;T;q' status)
	cause=$(sed -nE 's/^ *"cause": "(.*)",?$/\1/p;T;q' status)
}

has_died() {
	look
	[ "$deaths" -gt "$1" ]
}

# chosen_plays: those of $version
chosen_plays() {
	local stride=5

	[ "${FULL:-0}" != 1 ] || stride=1
	[ "${QUICK:-0}" != 1 ] || stride=9
	awk -F'|' -v version="$version" -v able="$version $able" \
		'$2 == version || $2 == able || $2 == "-"' <<<"$plays" | sed -n "1~${stride}p"
}

# follows: whether the driver can follow a change of keys; sets able
follows() {
	able=unable
	[[ $(uname -r) = 6.* ]] || able=able
}

# play STEPS CAUSE
play() {
	local before=$deaths

	plan reply "$1"
	read_right || fail "wrong data or an error after: $1"
	wait_for 5 no_plan
	if [ -z "$2" ]; then
		# the next reply comes after all that the plan was
		read_right || fail "wrong data or an error behind: $1"
		look
		assert_equal "$deaths" "$before" "lost connections after $1"
	else
		wait_for 10 has_died "$before"
		assert_equal "$deaths" $((before + 1)) "lost connections after $1"
		[[ $cause =~ $2 ]] || fail "the cause after '$1' is '$cause', not '$2'"
	fi
}

variants[test_plays]="version:1.3,1.2"
all_variants[test_plays]=1
timeouts[test_plays]=240
test_plays() {
	local steps about causes number=0 deaths place=0 able

	follows
	attach_forger
	look
	assert_equal "$deaths" 0 "lost connections"
	while IFS='|' read -r steps about causes; do
		play "$steps" "$causes"
		number=$((number + 1))
	done < <(chosen_plays)
	assert_within "$number" 3 1000 "plays"
	[ -n "$(log_since_mark "$name: connection .*(TLS|decrypted)")" ] ||
		fail "the kernel log says nothing of TLS"
	echo "tally: $number plays of a server that breaks the rules of TLS"
	detach
}

# load_device: until there is a file "enough"; what it reads is verified
load_device() {
	while [ ! -e enough ]; do
		fio --name=verify "--filename=$dev" --rw=randrw --bs=4k --direct=1 --size=4M \
			--iodepth=8 --ioengine=libaio --verify=crc32c --verify_fatal=1 \
			--output=fio.log || return
	done
}

# whole_or_idle: the device and both connections are live
whole_or_idle() {
	local live

	live=$("$NBD_CLIENT" -status -json "$dev" | grep -c '"state": "live",') || true
	[ "$live" = 3 ] || gone_or_reaped "$load"
}

taken_or_idle() {
	no_plan || gone_or_reaped "$load"
}

# One play after the other beside requests of which many are under way.
variants[test_load]="version:1.3,1.2"
timeouts[test_load]=240
test_load() {
	local load steps deaths cause plays=("data:16 21:0250 data" "data:16 23:*20 data" "forge data")

	[ "${FULL:-0}" != 1 ] ||
		plays+=("data:16 22: stall" "data:1000 22:1800000100 data"
			"data:16 22:04000001aa*65 data" "data:16 cut:20 close")
	attach_forger -connections 2
	load_device &
	load=$!
	for steps in "${plays[@]}"; do
		wait_for 60 whole_or_idle
		plan reply "$steps"
		wait_for 20 taken_or_idle
	done
	wait_for 60 whole_or_idle
	: >enough
	wait "$load"
	look
	assert_equal "$deaths" $((${#plays[@]} - 1)) "lost connections"
	echo "tally: ${#plays[@]} plays of a server that breaks the rules of TLS, under load"
	device_works
	detach
}

# Whoever waits for the rest of a record, or of a message, uses no processor meanwhile. The
# request's timeout ends that, and moves the request.
variants[test_silence]="steps:23=,22=04000001aa,22=04,21=01"
test_silence() {
	local version=1.3 deaths cause place=0 ticks begin
	local worker_used=()

	attach_forger -timeout $((2 * TIME_SCALE))
	look
	worker_ticks
	begin=$(milliseconds)
	plan reply "data:16 ${steps/=/:} cut:20 stall"
	read_right
	begin=$(($(milliseconds) - begin))
	worker_ticks
	look
	assert_equal "$deaths" 1 "lost connections"
	assert_within "$begin" $((1000 * TIME_SCALE)) 1000000 "milliseconds of silence"
	assert_within $((ticks * 10)) 0 $((begin / 4)) "milliseconds of the kworkers"
	detach
}

# is_full: nothing has come into the client's socket for a while, and nothing has left it
is_full() {
	local before=$queued now

	queued=$(ss -Htn "dport = :$port" | awk '{ n += $3 } END { print n + 0 }')
	now=$(milliseconds)
	[ "$queued" = "$before" ] || full_since=$now
	[ "$queued" -gt 100000 ] && [ $((now - full_since)) -ge $((300 * TIME_SCALE)) ]
}

# dies_full: the connection has died; until the look before that, at $until, the kworkers have
# used $spent ticks. What they do after it is to send all again.
dies_full() {
	! has_died 0 || return 0
	worker_ticks
	spent=$((spent + ticks))
	until=$(milliseconds)
	return 1
}

# Nor does whoever waits for room in the socket, of a server that reads nothing more.
test_full() {
	local version=1.3 deaths cause ticks begin load queued=0 full_since spent=0 until=0
	local worker_used=()

	attach_forger -connections 1 -timeout $((4 * TIME_SCALE))
	look
	plan reply stall
	fio --name=write "--filename=$dev" --rw=write --bs=1M --size=8M --direct=1 --iodepth=8 \
		--ioengine=libaio --verify=crc32c --verify_fatal=1 --output=fio.log &
	load=$!
	wait_for 20 is_full
	worker_ticks
	begin=$(milliseconds)
	wait_for 60 dies_full
	assert_within $((until - begin)) $((1000 * TIME_SCALE)) 1000000 "milliseconds without room"
	assert_within $((spent * 10)) 0 $(((until - begin) / 4)) "milliseconds of the kworkers"
	wait "$load"
	look
	assert_equal "$deaths" 1 "lost connections"
	detach
}

# client_keys: how many keys clients have had so far, each connection's first one included
client_keys() {
	if [ -e plans/updates ]; then wc -l <plans/updates; else echo 0; fi
}

# has_replied: the load has begun
has_replied() {
	[ -s fio.log ] || [ "$(status_field replies)" -gt 100 ] || gone_or_reaped "$load"
}

# other_key_or_idle KEYS: clients have had more of them
other_key_or_idle() {
	[ "$(client_keys)" -gt "$1" ] || gone_or_reaped "$load"
}

# Changes of keys beside requests of which many are under way, with each cipher: the connection
# goes on, what is asked for is answered with a key of the client's, and all data is right.
variants[test_updates]="cipher:AES-128-GCM,AES-256-GCM,CHACHA20-POLY1305"
timeouts[test_updates]=240
test_updates() {
	local version=1.3 load deaths cause able round rounds=20 before place=0 wish keys

	follows
	[ "$able" = able ] || return 0	# plays have what comes of it then
	[ "${FULL:-0}" != 1 ] || rounds=200
	attach_forger -connections 1
	load_device &
	load=$!
	wait_for 60 has_replied
	keys=$(client_keys)
	for ((round = 1; round <= rounds; round++)); do
		# GnuTLS ends a connection with more than eight a second
		wish=$((round % (rounds / 5) == 0))
		before=$(client_keys)
		plan reply "data:$((round * 37 % 4000)) 22:1800000100 rekey data:1 22:180000010$wish rekey data"
		wait_for 20 taken_or_idle
		# with the next request
		[ "$wish" = 0 ] || wait_for 20 other_key_or_idle "$before"
		keys=$((keys + wish))
	done
	: >enough
	wait "$load"
	look
	assert_equal "$deaths" 0 "lost connections ($cause)"
	assert_equal "$(client_keys)" "$keys" "keys of the client"
	echo "tally: $((2 * rounds)) keys of a server, under load"
	plan reply "22:1800000101 rekey 22:1800000100 rekey 22:1800000101 rekey data"
	read_right
	read_right
	# one answers both
	assert_equal "$(client_keys)" $((keys + 1)) "keys of the client"
	# no end of them
	plan reply "data:16 $(printf '22:1800000101 rekey %.0s' {1..65}) stall"
	read_right
	wait_for 10 has_died 0
	assert_equal "$deaths" 1 "lost connections"
	[[ $cause = *"without end"* ]] || fail "the cause is '$cause'"
	detach
}

is_retiring() {
	[ "$(status_field retiring)" != 0 ]
}

not_retiring() {
	! is_retiring
}

# read_on CPU: all of the device, again and again, until there is a file "enough"
read_on() {
	while [ ! -e enough ]; do
		taskset -c "$1" dd if="$dev" bs=4k iflag=direct status=none | cmp - image || return
	done
}

# Connections are being replaced by new ones; the old one that still waits for its last answer
# gets a KeyUpdate before it.
timeouts[test_renewal]=120
test_renewal() {
	local version=1.3 readers=() reader able update="22:1800000100"

	follows
	[ "$able" = unable ] || update="22:1800000101 rekey"
	attach_forger -connections 2 -tls-renew 300
	mkfifo plans/gate
	read_on 0 &
	readers+=($!)
	read_on 1 &
	readers+=($!)
	plan reply "until:gate data:16 $update data"
	wait_for 20 no_plan
	wait_for 60 is_retiring
	[ "$able" = able ] || expect_log "server changed its TLS key"
	: >plans/gate
	wait_for 20 not_retiring
	: >enough
	for reader in "${readers[@]}"; do wait "$reader"; done
	detach
}

run_tests
