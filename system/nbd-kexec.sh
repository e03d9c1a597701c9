#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# nbd-kexec ACTION: called by systemd-shutdown(8) when all is unmounted that can be. systemd lets
# "kexec -e" start the next kernel, which takes the network's interfaces down first: then the
# driver's goodbye reaches no server, and one with a place for one client keeps it taken, for the
# next kernel, too. So where devices are attached still this does it, and leaves them up.
#
# Where systemd goes on with an initramfs that has been kept, that is left to it: it unmounts the
# root, and takes apart what that is on. Ours (system/boot/shutdown.sh) leaves the network up.

initramfs=/run/initramfs

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

# leave_hook: dracut ends with "kexec -e", too. Of its hooks this is the last one, so it comes when
# all others have done what they can, but before the end. What kexec(8) needs may not be there, but
# if the root is on such a device our own program is.
leave_hook() {
	hooks=$initramfs/lib/dracut/hooks/shutdown
	[ -d "$hooks" ] || return 0
	cat >"$hooks/99-nbd-kexec.sh" <<-'END'
		# Left by nbd-kexec. It fails while another one is to be tried again.
		set -- "$1" "$hookdir"/shutdown/*.sh
		[ "$1" = final ] || [ $# = 2 ] || return 1
		[ ! -x /usr/lib/nbd/bound ] || /usr/lib/nbd/bound now kexec
		kexec -e -x || :
	END
}

if [ "$1" != kexec ] || ! any_attached; then exit 0; fi
if [ -x "$initramfs/shutdown" ]; then
	leave_hook
	exit 0
fi
wait_for_others
exec kexec -e -x
