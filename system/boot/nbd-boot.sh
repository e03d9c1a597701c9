# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0
#
# The root file system on a network block device: what the kernel command line says about it,
# and how it comes to that. For the scripts of initramfs-tools and of dracut, which source it.
# For any POSIX shell; it sets variables, and calls no program but nbd-client.
#
# nbd_boot_parse WORD...: the words of the command line. Sets
#   NBD_BOOT	"yes" if the root is on a network block device, else empty
#   NBD_ERROR	what cannot be right, if it fails; printable
#   NBD_SERVER	the server: a URI or a host; empty if it comes from DHCP
#   NBD_PORT	its port, NBD_NAME the export's name; each may be empty
#   NBD_DHCP	"yes" if DHCP says which server it is
#   NBD_DEVICE	the device to attach, as /dev/nbd0
#   NBD_ROOT	what is mounted: NBD_DEVICE, a partition of it, or what root= says
#   NBD_FSTYPE, NBD_FLAGS	type and options of the file system; may be empty
#   NBD_OPTS	options of nbd-client, separated by commas
#   NBD_WAIT	how long a late server is waited for, "forever" or seconds
#   NBD_OVERLAY	empty, or the size of the tmpfs above a root that is not written to
#   NBD_UNKNOWN	words that look like one of ours, and are not
# Returns 0, or 1 with NBD_ERROR.
#
# nbd_boot_take_dhcp ROOTPATH SERVER: what a lease says (option 17, and the server's address).
#
# nbd_boot_attach: runs nbd-client, or NBD_CLIENT; its exit status.

# shellcheck disable=SC2034 # the variables are for who sources this

nbd_error() {
	NBD_ERROR=$*
	return 1
}

nbd_is_digits() {
	case $1 in
	'' | *[!0-9]*) return 1 ;;
	esac
}

# nbd_is_seconds VALUE
nbd_is_seconds() {
	[ "$1" = forever ] || nbd_is_digits "$1"
}

# nbd_device NAME: sets NBD_DEVICE to the disk, and NBD_PARTITION to a partition's number, of
# nbdN, nbdNpM or the same below /dev
nbd_device() {
	NBD_DEVICE=${1#/dev/} NBD_PARTITION=''
	case $NBD_DEVICE in
	nbd*p*)
		NBD_PARTITION=${NBD_DEVICE#nbd*p}
		NBD_DEVICE=${NBD_DEVICE%p"$NBD_PARTITION"}
		nbd_is_digits "$NBD_PARTITION" || return
		;;
	esac
	case $NBD_DEVICE in
	nbd*) nbd_is_digits "${NBD_DEVICE#nbd}" || return ;;
	*) return 1 ;;
	esac
	NBD_DEVICE=/dev/$NBD_DEVICE
}

# nbd_port_or_name WORD: all digits are a port
nbd_port_or_name() {
	if nbd_is_digits "$1"; then
		NBD_PORT=$1
	else
		NBD_NAME=$1
	fi
}

# nbd_take_host TEXT: a host in front, an IPv6 address in brackets; sets NBD_SERVER, and
# NBD_REST to what is behind it
nbd_take_host() {
	case $1 in
	'['*']'*)
		NBD_SERVER=${1%%']'*}
		NBD_SERVER=${NBD_SERVER#'['}
		NBD_REST=${1#*']'}
		;;
	*)
		NBD_SERVER=${1%%[:/,]*}
		NBD_REST=${1#"$NBD_SERVER"}
		;;
	esac
	[ -n "$NBD_SERVER" ]
}

nbd_is_uri() {
	case $1 in
	nbd://?* | nbds://?* | nbd+vsock://?* | nbds+vsock://?*) ;;
	*) return 1 ;;
	esac
}

# nbd_take_field: NBD_FIELD is what NBD_REST has up to the next colon, which may be missing
nbd_take_field() {
	NBD_REST=${NBD_REST#:}
	NBD_FIELD=${NBD_REST%%:*}
	NBD_REST=${NBD_REST#"$NBD_FIELD"}
}

# nbd_take_dracut TEXT: SRV:PORT-OR-NAME[:FSTYPE[:FLAGS[:OPTS]]]
nbd_take_dracut() {
	nbd_take_host "$1" || { nbd_error "nbd:$1 names no server"; return; }
	case $NBD_REST in
	:?*) ;;
	*) nbd_error "nbd:$1 has no port and no name of an export behind the server"; return ;;
	esac
	nbd_take_field
	[ -n "$NBD_FIELD" ] || { nbd_error "nbd:$1 has no port and no name of an export"; return; }
	nbd_port_or_name "$NBD_FIELD"
	nbd_take_field
	NBD_FSTYPE=${NBD_FIELD:-$NBD_FSTYPE}
	nbd_take_field
	NBD_FLAGS=${NBD_FIELD:-$NBD_FLAGS}
	NBD_REST=${NBD_REST#:}
	nbd_add_opts "$NBD_REST"
}

nbd_add_opts() {
	[ -z "$1" ] || NBD_OPTS=${NBD_OPTS:+$NBD_OPTS,}$1
}

# nbd_take_commas TEXT: PORT-OR-NAME[,DEV]
nbd_take_commas() {
	local dev=''

	case $1 in
	*,*)
		dev=${1#*,}
		[ -n "$dev" ] || { nbd_error "nothing behind the last comma of nbdroot="; return; }
		;;
	esac
	[ -n "${1%%,*}" ] || { nbd_error "nbdroot= has no port and no name of an export"; return; }
	nbd_port_or_name "${1%%,*}"
	NBD_DEV=${dev:-$NBD_DEV}
}

# nbd_take_place TEXT: what nbdroot=, netroot= and a lease can say
nbd_take_place() {
	if nbd_is_uri "$1"; then
		NBD_SERVER=$1
		return
	fi
	case $1 in
	nbd:*)
		nbd_take_dracut "${1#nbd:}"
		return
		;;
	*://*)
		nbd_error "$1 is no URI of a network block device (nbd://HOST[:PORT]/NAME)"
		return
		;;
	esac
	nbd_take_host "$1" || { nbd_error "nbdroot=$1 names no server"; return; }
	case $NBD_REST in
	,*) nbd_take_commas "${NBD_REST#,}" ;;
	/*) NBD_NAME=${NBD_REST#/} ;;
	:*/*)
		NBD_PORT=${NBD_REST#:}
		NBD_NAME=${NBD_PORT#*/}
		NBD_PORT=${NBD_PORT%%/*}
		nbd_is_digits "$NBD_PORT" || nbd_error "nbdroot=$1: \"$NBD_PORT\" is no port"
		;;
	*) nbd_error "nbdroot=$1 says neither port nor name of an export (SRV,PORT-OR-NAME or SRV[:PORT]/NAME)" ;;
	esac
}

# nbd_take_root: what root= itself says
nbd_take_root() {
	if nbd_is_uri "$NBD_W_ROOT"; then
		NBD_SERVER=$NBD_W_ROOT
	else
		nbd_take_dracut "${NBD_W_ROOT#nbd:}"
	fi
}

# nbd_take_nbdroot
nbd_take_nbdroot() {
	case $NBD_W_NBDROOT in
	dhcp) NBD_DHCP=yes ;;
	dhcp,*)
		NBD_DHCP=yes
		nbd_take_commas "${NBD_W_NBDROOT#dhcp,}"
		;;
	*) nbd_take_place "$NBD_W_NBDROOT" ;;
	esac
}

# nbd_take_mkinitcpio
nbd_take_mkinitcpio() {
	nbd_take_host "$NBD_W_HOST" || { nbd_error "nbd_host= names no server"; return; }
	NBD_NAME=$NBD_W_NAME NBD_PORT=$NBD_W_PORT
	case $NBD_REST in
	'') ;;
	:*) NBD_PORT=${NBD_REST#:} ;;
	*) nbd_error "nbd_host=$NBD_W_HOST is no host"; return ;;
	esac
	[ -z "$NBD_PORT" ] || nbd_is_digits "$NBD_PORT" || nbd_error "nbd_port=$NBD_PORT is no port"
}

# nbd_is_nbd_device WORD: root= is on such a device by its name
nbd_is_nbd_device() {
	case $1 in
	/dev/nbd*) ;;
	*) return 1 ;;
	esac
}

# nbd_take_server: the first of those that say where the root is
nbd_take_server() {
	case $NBD_W_ROOT in
	nbd:* | nbds:* | nbd+vsock:* | nbds+vsock:*)
		NBD_BOOT=yes NBD_W_ROOT_IS_PLACE=yes
		nbd_take_root
		return
		;;
	esac
	case $NBD_W_NETROOT in
	nbd:* | nbds:* | nbd+vsock:* | nbds+vsock:*)
		NBD_BOOT=yes
		nbd_take_place "$NBD_W_NETROOT"
		return
		;;
	esac
	if [ -n "$NBD_W_NBDROOT" ]; then
		NBD_BOOT=yes
		nbd_take_nbdroot
	elif [ -n "$NBD_W_HOST" ]; then
		NBD_BOOT=yes
		nbd_take_mkinitcpio
	elif [ "$NBD_W_ROOT" = dhcp ]; then
		NBD_BOOT=yes NBD_DHCP=yes
	elif nbd_is_nbd_device "$NBD_W_ROOT"; then
		nbd_error "root=$NBD_W_ROOT is a network block device, and no nbdroot= says which server has it"
	fi
}

# nbd_choose_device: from nbddev=, the third word of nbdroot=, or root=
nbd_choose_device() {
	local root_device='' root_partition=''

	[ "$NBD_W_ROOT" != dhcp ] || NBD_W_ROOT=
	[ -z "$NBD_W_ROOT_IS_PLACE" ] || NBD_W_ROOT=
	if nbd_is_nbd_device "$NBD_W_ROOT"; then
		nbd_device "$NBD_W_ROOT" || { nbd_error "root=$NBD_W_ROOT is no device (/dev/nbdN or /dev/nbdNpM)"; return; }
		root_device=$NBD_DEVICE root_partition=$NBD_PARTITION
	fi
	NBD_DEV=${NBD_W_DEV:-${NBD_DEV:-${root_device:-/dev/nbd0}}}
	nbd_device "$NBD_DEV" || { nbd_error "$NBD_DEV is no device (nbdN or nbdNpM)"; return; }
	if [ -n "$root_device" ] && [ "$root_device" != "$NBD_DEVICE" ]; then
		nbd_error "root=$NBD_W_ROOT is not on $NBD_DEVICE, which is to be attached"
		return
	fi
	NBD_PARTITION=${root_partition:-$NBD_PARTITION}
	if [ -n "$NBD_W_ROOT" ] && [ -z "$root_device" ]; then
		NBD_ROOT=$NBD_W_ROOT
	else
		NBD_ROOT=$NBD_DEVICE${NBD_PARTITION:+p$NBD_PARTITION}
	fi
}

# nbd_take_overlay VALUE: of nbdoverlay=
nbd_take_overlay() {
	local number

	case $1 in
	tmpfs) NBD_OVERLAY=50% ;;
	tmpfs:?*)
		NBD_OVERLAY=${1#tmpfs:}
		number=${NBD_OVERLAY%[kKmMgG%]}
		nbd_is_digits "$number" || nbd_error "nbdoverlay=$1: \"$NBD_OVERLAY\" is no size (a number, and k, m, g or % behind it)"
		;;
	*) nbd_error "nbdoverlay=$1 is not known: nbdoverlay, or nbdoverlay=tmpfs:SIZE" ;;
	esac
}

# nbd_take_word WORD: of the command line; the last of its kind counts
nbd_take_word() {
	case $1 in
	root=*) NBD_W_ROOT=${1#root=} ;;
	netroot=*) NBD_W_NETROOT=${1#netroot=} ;;
	rootfstype=*) NBD_FSTYPE=${1#rootfstype=} ;;
	rootflags=*) NBD_FLAGS=${1#rootflags=} ;;
	nbdroot=*) NBD_W_NBDROOT=${1#nbdroot=} ;;
	nbddev=*) NBD_W_DEV=${1#nbddev=} ;;
	nbdopts=*) nbd_add_opts "${1#nbdopts=}" ;;
	nbdwait=*) NBD_WAIT=${1#nbdwait=} ;;
	nbdoverlay) NBD_W_OVERLAY=tmpfs ;;
	nbdoverlay=*) NBD_W_OVERLAY=${1#nbdoverlay=} ;;
	nbd_host=*) NBD_W_HOST=${1#nbd_host=} ;;
	nbd_name=*) NBD_W_NAME=${1#nbd_name=} ;;
	nbd_port=*) NBD_W_PORT=${1#nbd_port=} ;;
	resume=/dev/nbd*) NBD_W_RESUME=$1 ;;
	nbd.*) ;;		# a parameter of the module
	nbd*) NBD_UNKNOWN="${NBD_UNKNOWN:+$NBD_UNKNOWN }$1" ;;
	esac
}

# nbd_check: what does not depend on where the root is
nbd_check() {
	nbd_is_seconds "$NBD_WAIT" || { nbd_error "nbdwait=$NBD_WAIT: a number of seconds or \"forever\" is expected"; return; }
	[ -z "$NBD_W_OVERLAY" ] || nbd_take_overlay "$NBD_W_OVERLAY" || return
	[ -z "$NBD_W_RESUME" ] || nbd_error "$NBD_W_RESUME: the image of a hibernated machine cannot be on a network block device, whose connections the image itself would have to bring back"
}

nbd_boot_parse() {
	NBD_BOOT='' NBD_ERROR='' NBD_SERVER='' NBD_PORT='' NBD_NAME='' NBD_DHCP='' NBD_DEV=''
	NBD_DEVICE='' NBD_PARTITION='' NBD_ROOT='' NBD_FSTYPE='' NBD_FLAGS='' NBD_OPTS=''
	NBD_WAIT=180 NBD_OVERLAY='' NBD_UNKNOWN='' NBD_REST='' NBD_FIELD=''
	NBD_W_ROOT='' NBD_W_NETROOT='' NBD_W_NBDROOT='' NBD_W_DEV='' NBD_W_OVERLAY=''
	NBD_W_HOST='' NBD_W_NAME='' NBD_W_PORT='' NBD_W_RESUME='' NBD_W_ROOT_IS_PLACE=''
	while [ $# != 0 ]; do
		nbd_take_word "$1"
		shift
	done
	nbd_take_server || return
	[ "$NBD_BOOT" = yes ] || return 0
	nbd_check && nbd_choose_device
}

nbd_boot_take_dhcp() {
	local name=$NBD_NAME port=$NBD_PORT

	case $1 in
	*[:,/]*)
		nbd_take_place "$1" || { nbd_error "the root path of the lease is of no use: $NBD_ERROR"; return; }
		;;
	*)
		NBD_SERVER=$2
		[ -z "$1" ] || nbd_port_or_name "$1"
		;;
	esac
	# The command line is stronger.
	NBD_NAME=${name:-$NBD_NAME} NBD_PORT=${port:-$NBD_PORT}
	[ -n "$NBD_SERVER" ] || nbd_error "the lease names no server (root path, option 17)"
}

# nbd_long_option NAME: sets NBD_FIELD to the option of nbd-client, whose names in nbdtab go, too
nbd_long_option() {
	local rest=$1

	case $1 in
	bs) rest=block-size ;;
	conns) rest=connections ;;
	tls) rest=enable-tls ;;
	esac
	NBD_FIELD=-
	while :; do
		case $rest in
		*_*)
			NBD_FIELD=$NBD_FIELD${rest%%_*}-
			rest=${rest#*_}
			;;
		*) break ;;
		esac
	done
	NBD_FIELD=$NBD_FIELD$rest
}

nbd_boot_attach() {
	local opts=$NBD_OPTS, opt

	set -- -wait "$NBD_WAIT" -systemd-mark
	[ -z "$NBD_OVERLAY" ] || set -- "$@" -readonly
	[ -z "$NBD_NAME" ] || set -- "$@" -name "$NBD_NAME"
	while [ -n "$opts" ]; do
		opt=${opts%%,*}
		opts=${opts#*,}
		[ -n "$opt" ] || continue
		nbd_long_option "${opt%%=*}"
		set -- "$@" "$NBD_FIELD"
		case $opt in
		*=*) set -- "$@" "${opt#*=}" ;;
		esac
	done
	set -- "$@" "$NBD_SERVER"
	[ -z "$NBD_PORT" ] || set -- "$@" "$NBD_PORT"
	"${NBD_CLIENT:-nbd-client}" "$@" "$NBD_DEVICE"
}

# --- the system around it ---

# nbd_boot_resolv_conf: what ipconfig of klibc wrote down, for the resolver
nbd_boot_resolv_conf() {
	local file

	for file in /run/net-*.conf; do
		[ -e "$file" ] || continue
		# shellcheck disable=SC1090,SC2030
		(
			DNSDOMAIN='' DOMAINSEARCH='' IPV4DNS0='' IPV4DNS1=''
			. "$file"
			[ -z "$DOMAINSEARCH$DNSDOMAIN" ] || echo "search ${DOMAINSEARCH:-$DNSDOMAIN}"
			for server in "$IPV4DNS0" "$IPV4DNS1"; do
				[ -z "$server" ] || [ "$server" = 0.0.0.0 ] || echo "nameserver $server"
			done
		)
	done >/etc/resolv.conf
}

# nbd_boot_interfaces [INTERFACE...]: those, or what ipconfig of klibc has configured
nbd_boot_interfaces() {
	local file

	[ $# = 0 ] || { echo "$*"; return; }
	for file in /run/net-*.conf; do
		[ -e "$file" ] || continue
		file=${file#/run/net-}
		echo "${file%.conf}"
	done
}

# nbd_boot_note_root [INTERFACE...]: /run/nbd/root, for whoever must not take it away
nbd_boot_note_root() {
	local interface

	mkdir -p /run/nbd
	{
		echo "device $NBD_DEVICE"
		for interface in $(nbd_boot_interfaces "$@"); do
			echo "interface $interface"
		done
	} >/run/nbd/root
}

# nbd_boot_guard_network RUN [INTERFACE...]: whoever manages the network later leaves the
# root's alone. The tools that would bring it up again are on the root.
nbd_boot_guard_network() {
	local run=$1 interfaces interface

	shift
	interfaces=$(nbd_boot_interfaces "$@")
	[ -n "$interfaces" ] || return 0
	mkdir -p "$run/systemd/system/networking.service.d" "$run/systemd/network" \
		"$run/NetworkManager/conf.d"
	cat >"$run/systemd/system/networking.service.d/nbd-root.conf" <<END
# The root file system comes over this network.
[Unit]
RefuseManualStop=yes
[Service]
ExecStop=
END
	for interface in $interfaces; do
		cat >"$run/systemd/network/00-nbd-root-$interface.network" <<END
# The root file system comes over this interface.
[Match]
Name=$interface
[Network]
KeepConfiguration=yes
END
		cat >"$run/NetworkManager/conf.d/nbd-root-$interface.conf" <<END
# The root file system comes over this interface.
[device-nbd-root-$interface]
match-device=interface-name:$interface
managed=0
END
	done
}

# nbd_boot_overlay SIZE ROOT: puts a tmpfs of that size above what is mounted at ROOT. Under
# systemd mounts are shared, and cannot be moved.
nbd_boot_overlay() {
	local place=/run/nbd/overlay.d

	mkdir -p "$place" && mount -t tmpfs -o "size=$1,mode=755" nbdoverlay "$place" &&
		mkdir "$place/lower" "$place/upper" "$place/work" &&
		{ mount -o move "$2" "$place/lower" 2>/dev/null ||
			mount -o bind "$2" "$place/lower"; } &&
		mount -t overlay -o "lowerdir=$place/lower,upperdir=$place/upper,workdir=$place/work" \
			overlay "$2"
}

# nbd_boot_is_stacked PLACE: what is mounted there is neither on the device itself nor an overlay
nbd_boot_is_stacked() {
	local source place

	while read -r source place _; do
		[ "$place" = "$1" ] || continue
		case $source in
		/dev/nbd* | overlay) return 1 ;;
		/dev/*) return 0 ;;
		esac
	done </proc/mounts
	return 1
}

# nbd_boot_keep PLACE LIST: puts there the files of a list that the image has. /run may allow no
# program to be run, so it has a mount of its own.
nbd_boot_keep() {
	local place=$1

	mkdir -p "$place" && mount -t tmpfs -o mode=755,nodev,nosuid nbdboot "$place" || return
	# shellcheck disable=SC2046 # paths of the system, without blanks
	/usr/lib/nbd/bound keep "$place" $(cat "$2")
}

# nbd_boot_keep_shutdown PLACE: what takes a root apart that is not on the device itself
nbd_boot_keep_shutdown() {
	local place=$1 list=/usr/lib/nbd/shutdown.list path

	[ -e "$list" ] || { nbd_error "the initramfs was made without busybox"; return; }
	nbd_boot_keep "$place" "$list" || return
	for path in dev proc run sys oldroot; do
		mkdir "$place/$path" || return
	done
	for path in reboot rm sed sh sleep tr umount; do
		ln -s busybox "$place/bin/$path" || return
	done
	# Where it is there, systemd goes on with it.
	mv "$place/usr/lib/nbd/shutdown.sh" "$place/shutdown"
}

# nbd_boot_bound RUN PLACE DEVICE: has systemd start what is kept there with each poweroff, reboot,
# halt and kexec. It spares a process whose name begins with "@". With RootDirectory= it would keep
# the root mounted below its own: so only its libraries are from there.
nbd_boot_bound() {
	local units=$1/systemd/system place=$2 list=/usr/lib/nbd/bound.list action wants
	local file loader='' libraries=''

	nbd_boot_keep "$place" "$list" && mkdir -p "$units" || return
	while read -r file; do
		case ${file##*/} in
		ld*.so*) loader=$place$file ;;
		*.so*) libraries=$place${file%/*} ;;
		esac
	done <"$list"
	cat >"$units/nbd-root-bound@.service" <<END
# The root file system is on $3, whose server may be gone.
[Unit]
Description=An end to the %i if the server of the root does not answer
Documentation=man:nbd-boot(7)
DefaultDependencies=no
[Service]
# That of a template's own would be stopped with the rest.
Slice=system.slice
ExecStart=@$loader @nbd-bound --library-path $libraries $place/usr/lib/nbd/bound %i $3
StandardOutput=null
StandardError=null
END
	for action in poweroff reboot halt kexec; do
		wants=$units/$action.target.wants
		mkdir -p "$wants" &&
			ln -s ../nbd-root-bound@.service "$wants/nbd-root-bound@$action.service" ||
			return
	done
}
