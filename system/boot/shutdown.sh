#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# /run/initramfs/shutdown, of an initramfs of initramfs-tools: what systemd goes on with when
# all is stopped and what is left is the root, which is mounted at /oldroot now. Unmounts that,
# takes apart what is between it and the device (LUKS, LVM), and detaches the device. What
# cannot be done in time is left to the driver, which says goodbye when the kernel ends.

PATH=/bin:/sbin:/usr/bin:/usr/sbin
export PATH

# A server that is away must not keep the machine from going off.
limit=30

say() {
	echo "<5>nbd-boot: $*" >/dev/kmsg
}

complain() {
	echo "<4>nbd-boot: $*" >/dev/kmsg
}

# mounts_left: those of the old root, the last one first
mounts_left() {
	places=
	while read -r _ place _; do
		case $place in
		/oldroot | /oldroot/*) places="$place $places" ;;
		esac
	done </proc/mounts
	echo "$places"
}

# unmount_root: its dev, proc, run and sys are those that are used here, too
unmount_root() {
	for name in dev proc run sys; do
		umount -l "/oldroot/$name" 2>/dev/null
	done
	for place in $(mounts_left); do
		# /proc/mounts writes blanks as \040
		place=$(printf '%b' "$place")
		said=$(umount "$place" 2>&1) || complain "$place stays mounted: $said"
	done
	[ -z "$(mounts_left)" ]
}

mappings() {
	dmsetup ls 2>/dev/null | sed -n 's/[[:space:]]*(.*//p'
}

# remove_mappings: those that no other is on, until none is left. udev has ended.
remove_mappings() {
	before=
	left=$(mappings)
	while [ -n "$left" ] && [ "$left" != "$before" ]; do
		for name in $left; do
			said=$(dmsetup --noudevsync remove "$name" 2>&1)
		done
		before=$left
		left=$(mappings)
	done
	[ -z "$left" ] || complain "in use: $(echo "$left" | tr '\n' ' '): $said"
}

# detach_device: that of the root
detach_device() {
	device=$(sed -n 's/^device //p' /run/nbd/root)
	if said=$(nbd-client -d "$device" 2>&1); then
		say "$device is detached"
	else
		complain "$device stays attached: $said"
	fi
}

take_apart() {
	unmount_root && remove_mappings
	detach_device
}

# end ACTION: what systemd calls it. The network stays up for what is attached still.
end() {
	/usr/lib/nbd/bound now "$1"
	reboot -n -f
}

{
	sleep $limit
	complain "the root's device is not free after $limit s"
	end "$1"
} &
take_apart
end "$1"
