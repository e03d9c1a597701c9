#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# nbd-kexec ACTION: called by systemd-shutdown(8) when all is unmounted that can be. systemd lets
# "kexec -e" start the next kernel, which takes the network's interfaces down first: then the
# driver's goodbye reaches no server, and one with a place for one client keeps it taken, for the
# next kernel, too. So where devices are attached still this does it, and leaves them up.

# Those that have ended systemd collects in an order of its own.
others_run() {
	children=$(cat "/proc/$PPID/task/$PPID/children" 2>/dev/null) || return
	for child in $children; do
		# a name, in parentheses, is before the state
		read -r stat 2>/dev/null <"/proc/$child/stat" || continue
		case $child:${stat##*) } in
		$$:* | *:Z*) ;;
		*) return 0 ;;
		esac
	done
	return 1
}

# When the other programs of this folder, which run beside this one, have ended.
wait_for_others() {
	i=0
	while others_run && [ $i -lt 300 ]; do
		sleep 0.1
		i=$((i + 1))
	done
}

any_attached() {
	for attached in /sys/block/nbd*/pid; do
		[ ! -e "$attached" ] || return 0
	done
	return 1
}

if [ "$1" != kexec ] || ! any_attached; then exit 0; fi
wait_for_others
exec kexec -e -x
