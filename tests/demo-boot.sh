#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# `make demo-boot`: a machine without a disk, in a VM: its root file system comes from a server
# on this machine, which is late, and which is killed for ten seconds under its load.
set -uo pipefail

top=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$top" || exit
. tests/steps.sh
. tests/outside.sh
. tests/boot/machine.sh
kernel=6.12

# do_step TEXT COMMAND...: as step, in this shell, for what starts a process that stays
do_step() {
	local text=$1 begin=${EPOCHREALTIME/[.,]/} status=0

	shift
	printf '\n%s\n' "$text"
	"$@" >"$work/said" 2>&1 || status=$?
	sed 's/^/      /' "$work/said"
	[ $status = 0 ] || { printf '   failed after %s\n' "$(seconds "$begin")"; exit 1; }
	printf '   done in %s\n' "$(seconds "$begin")"
}

build() {
	tests/vm/kernel $kernel >/dev/null && tests/vm/module $kernel && make -s client
}

power_on() {
	echo "# kernel command line: root=nbd://10.0.2.2:$port/ test=load"
	boot $kernel "root=nbd://10.0.2.2:$port/ test=load"
	await 'trying again each second'
}

start_server() {
	echo "# nbdkit -i 127.0.0.1 -p $port file disk"
	serve && await 'boot-test: up'
}

kill_server() {
	await 'boot-test: under load' || return
	echo "# kill -9 $server"
	outage || return
	echo "# nbdkit -i 127.0.0.1 -p $port file disk"
	await 'boot-test: load done'
}

check() {
	said_goodbye "$work/server.log" && nothing_broken && cat "$work/fsck"
}

begin=${EPOCHREALTIME/[.,]/} begun=$EPOCHREALTIME
find_port
do_step "1. Build nbd.ko and nbd-client, and fetch Debian's Linux $kernel" build
do_step "2. A small Debian on a disk image, and an initramfs with our hook" prepare $kernel mkinitramfs
do_step "3. Power on: the server is not there yet, and is waited for" power_on
do_step "4. The server comes, and the machine boots" start_server
do_step "5. Kill it for ten seconds while the machine writes to its root" kill_server
do_step "6. The machine powers itself off" await_off
do_step "7. What the server heard, and whether its disk is in order" check
printf '\nThe demo succeeded. It took %s.\n' "$(seconds "$begin")"
