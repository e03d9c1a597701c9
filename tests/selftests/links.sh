#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The names in /dev/disk that udev's rule gives to a device and its partitions: there when
# nbd-client returns, gone with the medium, and always of what is attached.
# vm: --udev
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

rule=/run/udev/rules.d/59-nbd.rules

# install_rule: as `make install` does, for the program of this tree
install_rule() {
	mkdir -p "${rule%/*}"
	sed "s,@SBINDIR@,$(dirname "$NBD_CLIENT")," "$top/system/59-nbd.rules.in" >"$rule"
	cleanup_fn reload_without "$rule"
	udevadm control --reload
}

reload_without() {
	rm -f "$1"
	udevadm control --reload
}

# start_disks: a server with two exports, each with two partitions
start_disks() {
	mkdir disks
	truncate -s 64M "disks/one" disks/two
	printf 'label: gpt\nsize=16M\nsize=32M\n' | sfdisk --quiet disks/one
	cp disks/one "disks/two"
	start_nbdkit file dir=disks
}

# leads LINK NODE: at once
leads() {
	[ "/dev/disk/$1" -ef "$2" ] || fail "/dev/disk/$1 does not lead to $2: $(ls -l /dev/disk/by-*)"
}

nbd_links() {
	local link

	for link in /dev/disk/by-{path,id}/nbd-*; do
		[ ! -L "$link" ] || echo "$link"
	done
}

no_links() {
	[ -z "$(nbd_links)" ]
}

variants[test_links]="mode:netlink,ioctl"
test_links() {
	local transport=tcp path options=(-identifier vm/1)

	[ "$mode" = netlink ] || options=(-nonetlink)
	modprobe nbd
	install_rule
	start_disks
	path=by-path/nbd-127.0.0.1:$port-one
	use_device nbd3
	for _ in 1 2 3; do
		"$NBD_CLIENT" "${options[@]}" -N one 127.0.0.1 "$port" "$dev" 2>messages
		leads "$path" "$dev"
		leads "$path-part1" "${dev}p1"
		leads "$path-part2" "${dev}p2"
		if [ "$mode" = netlink ]; then
			leads 'by-id/nbd-vm\x2f1' "$dev"
			leads 'by-id/nbd-vm\x2f1-part2' "${dev}p2"
		fi
		[[ $(<messages) != *udev* ]] || fail "$(<messages)"
		detach
		wait_for 20 no_links
	done
}

# A device that the kernel chooses; another disk on it; another server of the same.
test_links_follow() {
	local transport=tcp first

	modprobe nbd
	install_rule
	start_disks
	attach -N one 127.0.0.1 "$port"
	leads "by-path/nbd-127.0.0.1:$port-one-part2" "${dev}p2"
	detach
	"$NBD_CLIENT" -N two 127.0.0.1 "$port" "$dev"
	leads "by-path/nbd-127.0.0.1:$port-two-part2" "${dev}p2"
	[ ! -e "/dev/disk/by-path/nbd-127.0.0.1:$port-one" ] || fail "the link to the first disk is still there"
	first=$port
	choose_address
	start_server nbdkit -f -p "$port" file dir=disks
	"$NBD_CLIENT" -replace 127.0.0.1 "$port" "$dev"
	leads "by-path/nbd-127.0.0.1:$port-two" "$dev"
	leads "by-path/nbd-127.0.0.1:$port-two-part1" "${dev}p1"
	[ ! -e "/dev/disk/by-path/nbd-127.0.0.1:$first-two" ] || fail "the link to the first server is still there"
	detach
}

# Names that could lead elsewhere do not.
test_strange_names() {
	local transport=unix

	modprobe nbd
	install_rule
	mkdir disks
	truncate -s 16M 'disks/a b%$'
	start_nbdkit file dir=disks
	attach -N 'a b%$' -identifier '../../escaped' -unix "$socket"
	leads "by-path/nbd-${socket//\//\\x2f}-a\\x20b\\x25\\x24" "$dev"
	leads 'by-id/nbd-..\x2f..\x2fescaped' "$dev"
	[ ! -e /dev/escaped ] || fail "a link outside"
	detach
	wait_for 20 no_links
}

# Nobody waits for links that a rule in the administrator's folder has taken away.
test_masked() {
	modprobe nbd
	install_rule
	mkdir -p /etc/udev/rules.d
	ln -s /dev/null "/etc/udev/rules.d/${rule##*/}"
	cleanup_fn reload_without "/etc/udev/rules.d/${rule##*/}"
	udevadm control --reload
	start_nbdkit memory 16M
	attach "${server_args[@]}" 2>messages
	[[ $(<messages) != *udev* ]] || fail "$(<messages)"
	no_links
	detach
}

# A device that another client attached: what the driver knows, and no place.
test_foreign_client() {
	modprobe nbd
	install_rule
	start_nbdkit memory 16M
	use_device nbd0
	"$top/build/unpacked/nbd-client/sbin/nbd-client" -unix "$socket" "$dev"
	udevadm settle --timeout=30
	no_links || fail "$(nbd_links)"
	detach
}

run_tests
