#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --udev
# On a machine whose configuration says something about nbd (used_machine in tests/meta/run):
# the guest does not see it, and has what a test puts there.
. "$(dirname "$0")/../../lib.sh"

max_part() {
	cat /sys/module/nbd/parameters/max_part
}

test_default_parameters() {
	modprobe nbd
	assert_equal "$(max_part)" 31 "max_part"
}

test_no_foreign_files() {
	local found

	found=$(find /etc /usr/lib/modprobe.d /usr/lib/udev /usr/lib/systemd -name '*planted*')
	assert_equal "$found" "" "planted files"
	[ ! -e /etc/nbdtab ]
	assert_equal "$(head -n 1 /etc/hosts)" "127.0.0.1 localhost"
	! grep planted /etc/hosts
}

test_no_foreign_rules() {
	modprobe nbd
	udevadm trigger --action=change --settle /dev/nbd0
	[ ! -e /dev/planted-etc ] || fail "a rule of the machine's administrator"
	[ ! -e /dev/planted-lib ] || fail "a rule of one of its packages"
	[ -e /usr/lib/udev/rules.d/60-persistent-storage.rules ]
}

test_own_rules() {
	mkdir -p /etc/udev/rules.d
	echo 'KERNEL=="nbd0", SYMLINK+="own"' >/etc/udev/rules.d/99-own.rules
	cleanup_fn rm -r /etc/udev
	udevadm control --reload
	modprobe nbd
	udevadm trigger --action=change --settle /dev/nbd0
	[ -e /dev/own ]
}

test_own_options() {
	mkdir -p /etc/modprobe.d
	echo 'options nbd max_part=15' >/etc/modprobe.d/own.conf
	cleanup_fn rm -r /etc/modprobe.d
	modprobe -r nbd
	modprobe nbd
	assert_equal "$(max_part)" 15 "max_part"
}

run_tests
