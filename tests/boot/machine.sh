# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Library of what boots a machine from a network block device: its disk, its server and what
# it says. Sourced after tests/outside.sh; the server is on $port, all files are in $work, and
# $begun is when it began.

here=$top/tests/boot
PATH=$PATH:/sbin:/usr/sbin
limit=${LIMIT:-400}		# seconds for a guest, from its start to its end

serve_options=()		# of nbdkit
listen=127.0.0.1		# the server's address
network=ip=10.0.2.15::10.0.2.2:255.255.255.0:nbdboot:eth0:none
vm_options=()			# of tests/vm/run
lease_options=()		# of dnsmasq

# prepare KERNEL PROGRAM [more]: the disk as new, with more on it, and the initramfs
prepare() {
	local full

	full=$("$here/root" "${@:3}") || return
	cp --sparse=always "$full" "$work/disk"
	image=$work/$2.$1
	[ -e "$image" ] || "$here/initramfs" "$1" "$image" "$2"
}

# serve: nbdkit with serve_options, whose log tells who says goodbye
serve() {
	: >"$work/server.log"
	nbdkit -f -v "${serve_options[@]}" -i "$listen" -p "$port" file "$work/disk" >>"$work/server.log" 2>&1 &
	server=$!
	outside_pids+=("$server")
	wait_until 20 answers || { echo "the server does not start"; return 1; }
}

# put_on_disk FILE PATH [MODE]: onto the disk, which nobody uses yet
put_on_disk() {
	local mode=${3:-100644}

	debugfs -w -f - "$work/disk" >"$work/debugfs" 2>&1 <<-END
		rm $2
		write $1 $2
		sif $2 mode 0$mode
	END
	debugfs -R "stat $2" "$work/disk" 2>/dev/null | grep -q 'Type: regular' ||
		{ cat "$work/debugfs"; return 1; }
}

# in_a_guest KERNEL COMMAND...: with nbdkit's exports of the folder "volumes" on $port, which it is
# given behind the host
in_a_guest() {
	local kernel=$1 status=0

	shift
	nbdkit -f -i 127.0.0.1 -p "$port" file dir="$work/volumes" >"$work/volumes.log" 2>&1 &
	outside_pids+=($!)
	wait_until 20 answers || return
	"$top/tests/vm/run" --kernel "$kernel" --nic --timeout "$limit" --console "$work/console" -- \
		"$@" 10.0.2.2 "$port" || status=$?
	kill "${outside_pids[-1]}"
	wait "${outside_pids[-1]}" 2>/dev/null
	unset 'outside_pids[-1]'
	return $status
}

# encrypt KERNEL: the disk, in a guest, for this machine has no use for such volumes
encrypt() {
	mkdir -p "$work/volumes"
	mv "$work/disk" "$work/volumes/plain"
	truncate -s 700M "$work/volumes/disk"
	in_a_guest "$1" "$here/encrypt" make "$("$here/tools")" || return
	echo "$(since_begun): encrypted"
	mv "$work/volumes/disk" "$work/disk"
}

# luks_uuid: of the encrypted volume
luks_uuid() {
	sed 's/.*UUID=\([^ ]*\).*/\1/' "$("$here/tools")/etc/crypttab"
}

# check_encrypted KERNEL: the file system on it, which nobody serves any more
check_encrypted() {
	stop_server
	rm "$work/volumes/plain"
	mv "$work/disk" "$work/volumes/disk"
	in_a_guest "$1" "$here/encrypt" check "$("$here/tools")"
}

# link_on_disk PATH TARGET
link_on_disk() {
	debugfs -w -R "symlink $1 $2" "$work/disk" >"$work/debugfs" 2>&1
	debugfs -R "stat $1" "$work/disk" 2>/dev/null | grep -q 'Type: symlink' ||
		{ cat "$work/debugfs"; return 1; }
}

# install_client: client, units, generator and rules, as `make install` has them
install_client() {
	local tree=$work/tree units=/usr/lib/systemd/system unit generator
	local rules=/usr/lib/udev/rules.d/59-nbd.rules

	make -s -C "$top" install-client DESTDIR="$tree" PREFIX=/usr SBINDIR=/usr/sbin || return
	put_on_disk "$tree/usr/sbin/nbd-client" /usr/sbin/nbd-client 100755 || return
	for unit in "$tree$units"/*; do
		put_on_disk "$unit" "$units/${unit##*/}" || return
	done
	put_on_disk "$tree$rules" "$rules" || return
	generator=$units-generators/nbd-generator
	put_on_disk "$tree$generator" "$generator" 100755
}

# install_dracut KERNEL: what of dracut the root itself has, and its image
install_dracut() {
	local kernel_dir file release units=/usr/lib/systemd/system

	kernel_dir=$("$top/tests/vm/kernel" "$1") || return
	read -r release <"$kernel_dir/release"
	debugfs -w -R "mkdir /usr/lib/dracut" "$work/disk" 2>/dev/null
	for file in /usr/lib/dracut/{dracut-initramfs-restore,skipcpio} "$(command -v cpio)"; do
		put_on_disk "$file" "$file" 100755 || return
	done
	for file in dracut-shutdown{,-onfailure}.service; do
		put_on_disk "/lib/systemd/system/$file" "$units/$file" || return
	done
	file=dracut-shutdown.service
	link_on_disk "$units/sysinit.target.wants/$file" "../$file" &&
		put_on_disk "$image" "/boot/initrd.img-$release"
}

# install_kexec KERNEL: it and its initramfs, where the marker looks for them, and what of ours
# is for systemd's kexec
install_kexec() {
	local kernel_dir

	kernel_dir=$("$top/tests/vm/kernel" "$1") || return
	put_on_disk "$kernel_dir/vmlinuz" /boot/vmlinuz &&
		put_on_disk "$image" /boot/initrd &&
		put_on_disk "$top/system/nbd-kexec.sh" /usr/lib/systemd/system-shutdown/nbd-kexec 100755
}

# make_disks: the exports of the servers that serve_disks starts
make_disks() {
	mkdir -p "$work"/{disks,early}
	truncate -s 64M "$work"/{disks/data,disks/swap,early/kept}
	mke2fs -q -t ext4 "$work/disks/data" && mkswap -q "$work/disks/swap" &&
		mke2fs -q -t ext4 -L kept "$work/early/kept"
}

# configure_disks PORT: in nbdtab and fstab; one by its link, and one by its label, whose server
# is on the next port, and whose service is enabled as "systemctl enable" does it
configure_disks() {
	local enabled=/etc/systemd/system/multi-user.target.wants/nbd@nbd3.service

	printf '%s\n' "nbd1 10.0.2.2 data port=$1,wait=forever" \
		"nbd2 10.0.2.2 swap port=$1,wait=forever,swap" \
		"nbd3 10.0.2.2 kept port=$(($1 + 1))" >"$work/nbdtab"
	printf '%s\n' "LABEL=nbdroot / ext4 defaults 0 1" \
		"/dev/disk/by-path/nbd-10.0.2.2:$1-data /data ext4 _netdev,nofail 0 2" \
		"/dev/nbd2 none swap _netdev,nofail 0 0" \
		"LABEL=kept /kept ext4 _netdev 0 2" >"$work/fstab"
	put_on_disk "$work/nbdtab" /etc/nbdtab && put_on_disk "$work/fstab" /etc/fstab &&
		link_on_disk "$enabled" /usr/lib/systemd/system/nbd@.service
}

# serve_disks FOLDER PORT
serve_disks() {
	nbdkit -f -v -i 127.0.0.1 -p "$2" file dir="$work/$1" >>"$work/$1.log" 2>&1 &
	outside_pids+=($!)
}

# in_order WORDS...: the console has them, each after the one before
in_order() {
	local words line=0 next

	for words; do
		next=$(grep -an -- "$words" "$work/console" | awk -F: -v line="$line" '$1 > line { print $1; exit }')
		[ -n "$next" ] || { echo "not on the console, or too early: $words"; tail -n 60 "$work/console"; return 1; }
		line=$next
	done
}

stop_server() {
	kill -9 "$server"
	wait "$server" 2>/dev/null
}

# boot KERNEL WORDS: in the background; sets guest
boot() {
	start_guest "$1" --append "$2 $network ro" --initramfs "$image"
}

# start_guest KERNEL OPTION...: of tests/vm/run
start_guest() {
	: >"$work/console"
	"$top/tests/vm/run" --kernel "$1" --timeout "$limit" --console "$work/console" --mem 1G \
		"${vm_options[@]}" "${@:2}" >"$work/vm.log" 2>&1 &
	guest=$!
	outside_pids+=("$guest")
}

# serve_boot_files KERNEL WORDS: what the firmware of a network card gets from the server of
# serve_leases, which is started later
serve_boot_files() {
	local kernel_dir dir=$work/tftp unpacked=$top/build/unpacked

	kernel_dir=$("$top/tests/vm/kernel" "$1") || return
	mkdir -p "$dir/pxelinux.cfg"
	cp "$unpacked/pxelinux/usr/lib/PXELINUX/pxelinux.0" \
		"$unpacked/syslinux-common/usr/lib/syslinux/modules/bios/ldlinux.c32" "$dir/" || return
	cp "$kernel_dir/vmlinuz" "$dir/" && cp "$image" "$dir/initrd.img" || return
	cat >"$dir/pxelinux.cfg/default" <<-END
		DEFAULT nbd
		LABEL nbd
		KERNEL vmlinuz
		INITRD initrd.img
		APPEND $2 ip=dhcp ro console=ttyS0 panic=-1 oops=panic net.ifnames=0 tsc=reliable
		IPAPPEND 2
	END
	lease_options=(--enable-tftp "--tftp-root=$dir" --dhcp-boot=pxelinux.0)
}

says() {
	grep -aq -- "$1" "$work/console"
}

says_or_over() {
	says "$1" || ! kill -0 "$guest" 2>/dev/null
}

# await WORDS: until the console has them; shows that line, and when that was after $begun
await() {
	wait_until "$limit" says_or_over "$1"
	says "$1" || { echo "never on the console: $1"; tail -n 60 "$work/console"; return 1; }
	echo "$(since_begun): $(grep -a -m 1 -- "$1" "$work/console" | tr -cd '[:print:]')"
}

since_begun() {
	awk -v begun="$begun" -v now="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", now - begun }'
}

says_times() {
	[ "$(grep -ac -- "$2" "$work/console")" -ge "$1" ]
}

says_times_or_over() {
	says_times "$@" || ! kill -0 "$guest" 2>/dev/null
}

# await_times NUMBER WORDS: until the console has them in so many lines
await_times() {
	wait_until "$limit" says_times_or_over "$@"
	says_times "$@" || { echo "not $1 times on the console: $2"; tail -n 60 "$work/console"; return 1; }
	echo "$(since_begun): $1 times: $2"
}

# await_end WORDS: the guest ends by itself, and that is what its kernel says then
await_end() {
	wait "$guest" || { cat "$work/vm.log"; return 1; }
	await "$1"
}

await_off() {
	await_end 'reboot: Power down'
}

# make_network: in the network namespace that this runs in, with the guest at one end of a
# cable; it ends with the guest as a power cut does, without a word on any connection
make_network() {
	listen=0.0.0.0 vm_options=(--tap tap0)
	network=ip=192.0.2.2:::255.255.255.0:nbdboot:eth0:none
	ip link set lo up && ip tuntap add dev tap0 mode tap &&
		ip addr add 192.0.2.1/24 dev tap0 && ip link set tap0 up
}

# serve_leases ROOT_PATH: and the name disks.lab
serve_leases() {
	network=ip=dhcp
	dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= \
		--no-resolv --no-hosts --interface=tap0 --bind-interfaces --log-queries --log-dhcp \
		--log-facility="$work/leases.log" --dhcp-leasefile="$work/leases" \
		--dhcp-range=192.0.2.50,192.0.2.60,1h \
		--domain=lab --host-record=disks.lab,192.0.2.1 \
		--dhcp-option=option:root-path,"$1" "${lease_options[@]}" &
	outside_pids+=($!)
}

# goodbyes [LOG]: connections that ended with one; those of answers() sent nothing
goodbyes() {
	grep -c 'client sent NBD_CMD_DISC' "${1:-$work/server.log}"
}

connections() {
	grep -v 'TLS handshake' "${1:-$work/server.log}" | grep -c 'handshake complete'
}

no_error() {
	! grep -aE 'I/O (error|fails)|EXT4-fs (error|warning)|FAILED' "$work/console"
}

# nothing_broken: neither in the guest's kernel nor on the disk
nothing_broken() {
	no_error || return
	e2fsck -fn "$work/disk" >"$work/fsck" 2>&1 || { cat "$work/fsck"; return 1; }
}

# outage: of ten seconds
outage() {
	stop_server
	sleep 10		# what is tested
	serve
}

# said_goodbye [LOG]: each connection of the last server, or of that with this log
said_goodbye() {
	echo "$(connections "$@") connections, $(goodbyes "$@") goodbyes"
	[ "$(connections "$@")" != 0 ] && [ "$(connections "$@")" = "$(goodbyes "$@")" ]
}

# outage_under_load: of ten seconds, while the guest writes
outage_under_load() {
	await 'boot-test: under load' && outage && await 'boot-test: load done'
}

# ends_well: the guest goes off, with a goodbye on each connection, and left nothing broken
ends_well() {
	await_off && said_goodbye "$work/server.log" && nothing_broken
}
