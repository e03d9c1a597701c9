#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The right disk, whatever happens: random worlds of names with one to four addresses,
# spare servers, network and mount namespaces in which the same names mean something else,
# servers and links that die, monitors that are killed and started elsewhere, records that
# vanish and -replace from everywhere. Each server's disk is filled with a letter of its own,
# so that every read tells who answered it. No read may bring another letter than what the
# world allows, and no device stays without connection while its server can be reached.
# SEED=N repeats the order.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../survive.sh"

readonly PORT=10809 DISKS=2
# Where commands are given, and the addresses that names can have there: those of "outside"
# and "apart" are in one network, and differ in what their hosts file says.
readonly PLACES=(outside apart inside)
readonly -A NETWORK=([outside]=outer [apart]=outer [inside]=inner)
readonly -A RANGE=([outside]="1 2" [apart]="3 4" [inside]="1 2 3 4")

# The world as it is: what names mean in each place, "PLACE,DISK" => addresses; whether the
# server of a letter listens; and of each device where its names are looked up, whether it
# has been told of the spare server, and the letter of the address in use.
declare -A main=() spare=() listens=()
declare -a home=() has_spare=() in_use=() ask=() answers=() reader=()

# --- dice ---

# pick WORD...: one of them; sets REPLY
pick() {
	local words=("$@")

	REPLY=${words[RANDOM % $#]}
}

# shuffle WORD...: sets REPLY to all of them
shuffle() {
	local words=("$@") i j word

	for ((i = $# - 1; i > 0; i--)); do
		j=$((RANDOM % (i + 1)))
		word=${words[i]} words[i]=${words[j]} words[j]=$word
	done
	REPLY="${words[*]}"
}

# --- places ---

# in_place PLACE COMMAND...
in_place() {
	local place=$1

	shift
	case $place in
	outside) "$@" ;;
	inside) ip netns exec inside "$@" ;;
	apart) nsenter --mount="/proc/$apart/ns/mnt" "$@" ;;
	esac
}

make_places() {
	cp /etc/hosts hosts.saved
	cleanup_fn cp "$PWD/hosts.saved" /etc/hosts
	mkdir -p /etc/netns/inside
	cleanup_fn rm -r /etc/netns/inside
	: >/etc/netns/inside/hosts
	: >hosts.apart
	ip netns add inside
	cleanup_fn ip netns del inside
	ip -n inside link set lo up
	unshare --mount bash -c "mount --bind '$PWD/hosts.apart' /etc/hosts && touch '$PWD/is.apart' &&
		exec sleep infinity" &
	apart=$!
	cleanup_fn stop_process "$apart"
	wait_for 20 [ -e is.apart ]
}

# address DISK K
address() {
	echo "127.0.$((10 + $1)).$2"
}

# write_hosts PLACE: as its names are now. Into the file that is there, which is mounted.
write_hosts() {
	local disk k text='127.0.0.1 localhost'

	for ((disk = 0; disk < DISKS; disk++)); do
		for k in ${main[$1,$disk]}; do
			text+=$'\n'"127.0.$((10 + disk)).$k disk$disk"
		done
		for k in ${spare[$1,$disk]}; do
			text+=$'\n'"127.0.$((10 + disk)).$k spare$disk"
		done
	done
	case $1 in
	outside) echo "$text" >/etc/hosts ;;
	inside) echo "$text" >/etc/netns/inside/hosts ;;
	apart) echo "$text" >"$world/hosts.apart" ;;
	esac
}

# name_disk PLACE DISK: gives the name some addresses, and the spare server's the others
name_disk() {
	local addresses n

	# shellcheck disable=SC2086 # words
	shuffle ${RANGE[$1]}
	read -ra addresses <<<"$REPLY"
	n=$((RANDOM % ${#addresses[@]} + 1))
	main[$1,$2]=${addresses[*]:0:n}
	spare[$1,$2]=${addresses[*]:n}
}

name_disks() {
	local place disk

	for place in "${PLACES[@]}"; do
		for ((disk = 0; disk < DISKS; disk++)); do
			name_disk "$place" "$disk"
		done
		write_hosts "$place"
	done
}

# --- servers ---

# letters_of NETWORK DISK K...: sets REPLY to their letters
letters_of() {
	local base=$((65 + $2 * 4)) k code

	[ "$1" = outer ] || base=$((base + DISKS * 4))
	REPLY=
	for k in "${@:3}"; do
		printf -v code '\\x%x' $((base + k - 1))
		printf -v code '%b' "$code"
		REPLY+=$code
	done
}

# launch_letter NETWORK DISK K
launch_letter() {
	local letter command

	letters_of "$@"
	letter=$REPLY
	command=(hostile --listen "tcp:$(address "$2" "$3"):$PORT" --size 64K "--flags=has,flush,multi"
		--control "$PWD/$letter.control" --ports /dev/null
		--do "fill from=0 len=64K byte=$(printf %d "'$letter")")
	[ "$1" = outer ] || command=(nsenter --net=/run/netns/inside "${command[@]}")
	"${command[@]}" >>"$PWD/server.log" 2>&1 &
	cleanup_fn stop_process $!
	listens[$letter]=1
}

start_letters() {
	local network disk k letter

	for network in outer inner; do
		for ((disk = 0; disk < DISKS; disk++)); do
			for k in 1 2 3 4; do
				launch_letter "$network" "$disk" "$k"
			done
		done
	done
	for letter in "${!listens[@]}"; do
		wait_for 30 [ -S "$letter.control" ]
	done
}

# tell LETTER COMMAND...
tell() {
	hostile --ctl "$world/$1.control" "${@:2}" >/dev/null
}

# silence LETTER...: they refuse and have no connections
silence() {
	local letter

	for letter; do
		listens[$letter]=
		tell "$letter" "listen off" "kill all"
	done
}

# revive LETTER...
revive() {
	local letter

	for letter; do
		[ -z "${listens[$letter]}" ] || continue
		tell "$letter" "listen on"
		listens[$letter]=1
	done
}

# listening_of LETTERS: sets REPLY to those that listen
listening_of() {
	local i found=

	for ((i = 0; i < ${#1}; i++)); do
		[ -z "${listens[${1:i:1}]}" ] || found+=${1:i:1}
	done
	REPLY=$found
}

# each CHARACTERS: as words, in REPLY
each() {
	local i

	REPLY=
	for ((i = 0; i < ${#1}; i++)); do
		REPLY+="${1:i:1} "
	done
}

# main_of DISK, spare_of DISK: sets REPLY to the letters of the servers that its device has
main_of() {
	# shellcheck disable=SC2086 # words
	letters_of "${NETWORK[${home[$1]}]}" "$1" ${main[${home[$1]},$1]}
}

spare_of() {
	REPLY=
	[ -n "${has_spare[$1]}" ] || return 0
	# shellcheck disable=SC2086 # words
	letters_of "${NETWORK[${home[$1]}]}" "$1" ${spare[${home[$1]},$1]}
}

# candidates DISK: sets REPLY to the letters that a device without connection may come to:
# the spare server's only if no address of the first one listens
candidates() {
	main_of "$1"
	listening_of "$REPLY"
	[ -z "$REPLY" ] || return 0
	spare_of "$1"
	listening_of "$REPLY"
}

# need_candidates DISK: the world has to keep a server for it
need_candidates() {
	candidates "$1"
	[ -z "$REPLY" ] || return 0
	main_of "$1"
	revive "${REPLY:0:1}"
}

# --- devices ---

# open_reader DISK: a program that reads the device all the time
open_reader() {
	local fd

	rm -f "ask.$1" "answers.$1"
	mkfifo "ask.$1" "answers.$1"
	"$top/build/tests/letters" "/dev/nbd$1" <"ask.$1" >"answers.$1" 2>>reader.log &
	reader[$1]=$!
	exec {fd}>"ask.$1"
	ask[$1]=$fd
	exec {fd}<"answers.$1"
	answers[$1]=$fd
}

close_reader() {
	local fd

	[ -n "${reader[$1]:-}" ] || return 0
	kill -9 "${reader[$1]}"
	wait "${reader[$1]}" || true
	reader[$1]=
	fd=${ask[$1]}
	exec {fd}>&-
	fd=${answers[$1]}
	exec {fd}<&-
}

# only CHARACTERS ALLOWED
only() {
	[ -z "${1//[$2]/}" ]
}

# question DISK ALLOWED: reads go on, or begin again, and bring one of these letters and no
# other from now on; those before may have been of the address in use until now
question() {
	local line='' seen now

	echo >&"${ask[$1]}"
	read -rt "$(scaled 40)" -u "${answers[$1]}" line || true
	[ -n "$line" ] || fail "nbd$1: no read ends, though one of $2 can be reached"
	read -r _ seen _ now <<<"$line"
	echo "    nbd$1: $line, allowed $2, before ${in_use[$1]:-nothing}"
	if [ ${#now} != 1 ] || ! only "$now" "$2"; then fail "nbd$1: read $now, not one of $2"; fi
	only "$seen" "$2${in_use[$1]:-}" || fail "nbd$1: read $seen in between, not one of $2 or ${in_use[$1]}"
	in_use[$1]=$now
}

# whole DISK: it has both of its connections
whole() {
	dev=/dev/nbd$1
	wait_for 30 has_live 2
}

show_world() {
	local disk

	[ -z "$done" ] || return 0
	for ((disk = 0; disk < DISKS; disk++)); do
		"$NBD_CLIENT" -status "/dev/nbd$disk" || true
		! [ -e /run/nbd/nbd$disk ] || grep -E '^(server|address|current)' /run/nbd/nbd$disk || true
	done
}

attach_disk() {
	local arguments=(-connections 2 -connect-timeout 5 "disk$1" "$PORT" "/dev/nbd$1")

	pick "${PLACES[@]}"
	home[$1]=$REPLY
	has_spare[$1]="" in_use[$1]=""
	if [ -n "${spare[${home[$1]},$1]}" ] && [ $((RANDOM % 2)) = 0 ]; then
		has_spare[$1]=1
		arguments+=(-server "spare$1:$PORT")
	fi
	need_candidates "$1"
	in_place "${home[$1]}" "$NBD_CLIENT" "${arguments[@]}"
	open_reader "$1"
	candidates "$1"
	question "$1" "$REPLY"
}

detach_disk() {
	close_reader "$1"
	! connected "nbd$1" || "$NBD_CLIENT" -d "/dev/nbd$1"
}

# abandon_disk DISK: at the end, whatever state it is in; what reads it can only end then
abandon_disk() {
	! connected "nbd$1" || "$NBD_CLIENT" -force -d "/dev/nbd$1"
	close_reader "$1"
}

# --- what happens; the argument is the device that it happens to ---

# One connection of two dies.
cut_one() {
	local conn

	conn=$(hostile --ctl "$world/${in_use[$1]}.control" conns |
		sed -nE 's/^conn=([1-9][0-9]*) .*/\1/p' | shuf -n 1 --random-source=<(echo "$RANDOM$RANDOM"))
	tell "${in_use[$1]}" "kill conn=$conn"
}

lose_one() {
	cut_one "$1"
	question "$1" "${in_use[$1]}"
	whole "$1"
}

# ... and its server lets nobody in, while other addresses do: they are other disks.
lose_one_for_a_while() {
	tell "${in_use[$1]}" "listen off"
	cut_one "$1"
	nap 0.6		# in which it must not go elsewhere
	question "$1" "${in_use[$1]}"
	tell "${in_use[$1]}" "listen on"
	whole "$1"
	question "$1" "${in_use[$1]}"
}

# The name means something else by now: of no importance while one connection lives.
rename() {
	name_disk "${home[$1]}" "$1"
	write_hosts "${home[$1]}"
	need_candidates "$1"
	lose_one "$1"
}

die() {
	silence "${in_use[$1]}"
	need_candidates "$1"
	candidates "$1"
	question "$1" "$REPLY"
	whole "$1"
}

# Everybody dies, and one comes back.
all_die() {
	local letters

	main_of "$1"
	letters=$REPLY
	spare_of "$1"
	letters+=$REPLY
	# the one in use last, lest the device go to those that are still there
	each "${letters/${in_use[$1]}/}${in_use[$1]}"
	# shellcheck disable=SC2086 # words
	silence $REPLY
	random_nap 1500
	each "$letters"
	# shellcheck disable=SC2086 # words
	pick $REPLY
	revive "$REPLY"
	question "$1" "$REPLY"
	whole "$1"
}

# The first server takes a second to let somebody in, the spare one none.
slow_first() {
	local slow letter

	main_of "$1"
	each "$REPLY"
	slow=$REPLY
	for letter in $slow; do
		tell "$letter" "hs.drip n=1 t=10ms"
	done
	candidates "$1"
	tell "${in_use[$1]}" "kill all"
	question "$1" "$REPLY"
	whole "$1"
	for letter in $slow; do
		tell "$letter" clear
	done
}

somebody_returns() {
	pick "${!listens[@]}"
	revive "$REPLY"
	question "$1" "${in_use[$1]}"
}

kill_monitor() {
	local pid

	pid=$(monitor_pid)
	[ -n "$pid" ] || fail "no monitor runs"
	kill -9 "$pid"
	wait_for 20 gone_or_reaped "$pid"
	pick "${PLACES[@]}"
	echo "    a new one, $REPLY"
	# it may be killed in its turn
	{ in_place "$REPLY" "$NBD_CLIENT" -monitor -background 3>/dev/null || true; } &
	lose_one "$1"
}

lose_link() {
	ip -n inside link set lo down
	random_nap 500
	ip -n inside link set lo up
	candidates "$1"
	question "$1" "$REPLY${in_use[$1]}"
	whole "$1"
}

# replace_at PLACE DISK: with what the name means in that place
replace_at() {
	home[$2]=$1
	has_spare[$2]=
	need_candidates "$2"
	in_place "$1" "$NBD_CLIENT" -replace -connections 2 "disk$2" "$PORT" "/dev/nbd$2"
	candidates "$2"
	question "$2" "$REPLY"
	whole "$2"
}

replace_elsewhere() {
	pick "${PLACES[@]}"
	echo "    now $REPLY"
	replace_at "$REPLY" "$1"
}

# The address that it has, in the place that it has, whoever says so.
replace_as_it_is() {
	pick "${PLACES[@]}"
	in_place "$REPLY" "$NBD_CLIENT" -replace "/dev/nbd$1"
	question "$1" "${in_use[$1]}"
	whole "$1"
}

# Nobody cares for the device any more; it works, and can be adopted.
lose_record() {
	rm "/run/nbd/nbd$1"
	cut_one "$1"
	question "$1" "${in_use[$1]}"
	replace_at "${home[$1]}" "$1"
	lose_one "$1"
}

attach_anew() {
	detach_disk "$1"
	attach_disk "$1"
}

readonly EVENTS=(lose_one lose_one_for_a_while rename die all_die slow_first somebody_returns
	kill_monitor lose_link replace_elsewhere replace_as_it_is lose_record attach_anew)

timeouts[test_worlds]=900
ours_only[test_worlds]=1
test_worlds() {
	local world=$PWD seed=${SEED:-$RANDOM} step disk steps apart done=

	steps=$(count 1000)
	echo "SEED=$seed"
	RANDOM=$seed
	make_places
	start_letters
	name_disks
	modprobe nbd
	for ((disk = 0; disk < DISKS; disk++)); do
		cleanup_fn abandon_disk "$disk"
		attach_disk "$disk"
	done
	cleanup_fn show_world
	for ((step = 1; step <= steps; step++)); do
		disk=$((RANDOM % DISKS))
		pick "${EVENTS[@]}"
		echo "$step: $REPLY nbd$disk (${home[disk]}: ${main[${home[disk]},$disk]} / ${spare[${home[disk]},$disk]}${has_spare[disk]:+, known})"
		"$REPLY" "$disk"
		question $((1 - disk)) "${in_use[1 - disk]}"
	done
	done=1
	for ((disk = 0; disk < DISKS; disk++)); do
		detach_disk "$disk"
	done
	echo "tally: $steps steps in random worlds"
}

run_tests
