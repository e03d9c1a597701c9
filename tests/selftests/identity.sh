#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A device is not continued on another disk: what udev knew of it is compared with what
# the server has when it comes back.
# vm: --udev
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../survive.sh"
dealt_out=1

readonly ours=11111111-1111-4111-8111-111111111111 other=22222222-2222-4222-8222-222222222222

# make_disk KIND FILE UUID
make_disk() {
	truncate -s 64M "$2"
	case $1 in
	ext4) mkfs.ext4 -q -U "$3" "$2" ;;
	swap) mkswap -q -U "$3" "$2" 2>/dev/null ;;
	gpt) printf 'label: gpt\nlabel-id: %s\nsize=8M\n' "$3" | sfdisk --quiet "$2" ;;
	blank) ;;
	esac
}

# serve FILE [ARGUMENT...]: at the address in use, another server if one is there
serve() {
	[ -z "$server_pid" ] || kill_server
	server_command=(hostile --listen "$listen" --control "$PWD/control" --ports /dev/null
		--file "$PWD/$1" --size 64M --log "$PWD/log" "${@:2}")
	launch
}

# attach_disk FILE [ARGUMENT...]: udev has looked at it when this returns
attach_disk() {
	choose_address
	case ${transport:-unix} in
	unix) listen=unix:$socket ;;
	tcp) listen=tcp:127.0.0.1:$port ;;
	esac
	server_pid=
	cleanup_fn stop_present_server
	serve "$1"
	mode=${mode:-netlink}
	attach_by_mode "${server_args[@]}" "${@:2}"
	udevadm settle --timeout="$(scaled 30)"
}

# udev_knows UUID: as file system or partition table
udev_knows() {
	grep -qE "^E:ID_(FS|PART_TABLE)_UUID=$1$" "/run/udev/data/b$(<"/sys/block/$name/dev")"
}

# start_reader: it waits, for the server is gone; reader_ends says that it has ended well
start_reader() {
	dd if="$dev" of=copy bs=64k count=1 skip=16 iflag=direct status=none &
	reader=$!
	cleanup_fn stop_process "$reader"
	wait_for 20 in_flight
}

reader_ends() {
	wait_for 30 gone_or_reaped "$reader"
	wait "$reader" || fail "the reader failed"
}

# comes_back: the server, as it is, while somebody waits for it
comes_back() {
	kill_server
	start_reader
	launch
	reader_ends
}

# is_refused: I/O waits, the log has both UUIDs, and no byte was written to the server
is_refused() {
	wait_for 30 said "refused: this is another disk: .*$1.*$2"
	! gone_or_reaped "$reader" || fail "the reader got something"
	assert_equal "$(status_field state)" waiting
	! grep -qE ' (write|trim|zeroes) ' log || fail "the other disk was written to"
	assert_equal "$(counter failed)" 0 "requests that failed"
}

# One kind each of partition table, file system, swap area, and a disk with nothing.
variants[test_another_disk]="kind:ext4,gpt,swap"
timeouts[test_another_disk]=120
test_another_disk() {
	local uuid found

	make_disk "$kind" right "$ours"
	attach_disk right
	wait_for 30 udev_knows "$ours"
	kill_server
	start_reader
	for uuid in "$other" none; do
		found=$uuid
		rm -f wrong log
		if [ "$uuid" = none ]; then
			make_disk blank wrong
		else
			make_disk "$kind" wrong "$uuid"
		fi
		serve wrong
		is_refused "$ours" "$found"
	done
	rm -f log
	serve right
	reader_ends
	cmp copy <(dd if=right bs=64k count=1 skip=16 status=none)
	detach
}

# The connection that was looked at is the very one that is used: nothing is left in it.
variants[test_same_disk]="transport:tcp,unix"
test_same_disk() {
	make_disk ext4 right "$ours"
	attach_disk right -connections 2
	wait_for 30 udev_knows "$ours"
	kill_server
	start_reader
	rm -f log
	serve right
	reader_ends
	wait_for 20 has_live 2
	device_works
	assert_equal "$(counter connection_deaths)" 2 "lost connections"
	# head and tail on one connection, before anything else
	assert_equal "$(awk '$3 == "read" { print $2 }' log | head -n 2 | uniq | wc -l)" 1 "connections that were looked at"
	detach
}

# Everything that says yes.
variants[test_overruled]="how:attach,replace"
test_overruled() {
	local options=()

	[ "$how" != attach ] || options=(-no-identity-check)
	make_disk ext4 right "$ours"
	make_disk ext4 wrong "$other"
	attach_disk right "${options[@]}"
	wait_for 30 udev_knows "$ours"
	kill_server
	start_reader
	serve wrong
	if [ "$how" = replace ]; then
		wait_for 30 said "refused: this is another disk"
		expect_failure "$NBD_CLIENT" -replace "$dev"
		assert_match "$output" "$ours.*$other"
		assert_match "$output" "-other-disk"
		"$NBD_CLIENT" -replace -other-disk "$dev"
	fi
	reader_ends
	# the monitor goes on with that disk, though udev has not looked at it
	udev_knows "$ours"
	comes_back
	detach
}

# A process that sits in NBD_DO_IT has the device open, but is no program that writes.
test_ioctl() {
	mode=ioctl
	make_disk ext4 right "$ours"
	make_disk ext4 wrong "$other"
	attach_disk right
	wait_for 30 udev_knows "$ours"
	kill_server
	start_reader
	rm -f log
	serve wrong
	is_refused "$ours" "$other"
	serve right
	reader_ends
	detach
}

# Without anything known there is nothing to compare.
test_nothing_known() {
	make_disk blank right
	make_disk ext4 wrong "$other"
	attach_disk right
	kill_server
	start_reader
	serve wrong
	reader_ends
	detach
}

# What a program has written that still has the disk open, udev does not know yet.
test_new_file_system() {
	make_disk ext4 right "$ours"
	make_disk ext4 new "$other"
	attach_disk right
	wait_for 30 udev_knows "$ours"
	exec 7<>"$dev"
	# through this descriptor, for udev looks when any other is closed
	dd if=new bs=1M oflag=direct status=none >&7
	udev_knows "$ours"
	# the server shall not inherit it
	comes_back 7>&-
	said "$other, which udev does not know; process [0-9]+"
	exec 7>&-
	wait_for 30 udev_knows "$other"
	comes_back
	detach
}

# An error in answer to a read says nothing about whose disk it is.
test_unreadable() {
	make_disk ext4 right "$ours"
	attach_disk right
	wait_for 30 udev_knows "$ours"
	kill_server
	start_reader
	serve right --do "err type=read lba=0 e=5 count=0"
	reader_ends
	said "is not known: the server answers reads .* with error 5"
	detach
}

# A server that does not answer the reads, or wrongly, is no server yet.
variants[test_bad_answers]="rule:never,garbage,magic,cut"
test_bad_answers() {
	local words

	case $rule in
	never) words="waited for its first and last blocks in vain" ;;
	garbage) rule+=" n=40" words="wrong magic in a reply" ;;
	magic) rule+=" value=1" words="wrong magic in a reply" ;;
	cut) rule+=" at=5000 then=fin" words="the server ended the connection" ;;
	esac
	make_disk ext4 right "$ours"
	attach_disk right -connect-timeout 1
	wait_for 30 udev_knows "$ours"
	kill_server
	start_reader
	serve right --do "$rule type=read lba=0 count=0"
	wait_for 30 said "cannot reconnect: .*$words"
	! gone_or_reaped "$reader" || fail "the reader got something"
	serve right
	reader_ends
	detach
}

run_tests
