# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Building for the architectures of tests/arch/list: with this machine's cross compilers, and
# for each a folder with that architecture's libraries and kernel headers. They come from the
# main archive of Debian bookworm, where nothing changes any more. The caller has set `top`.

. "$top/tests/kernels/lib.sh"

# What the client links.
libraries=libc6-dev,libnl-3-dev,libnl-genl-3-dev,libkmod-dev,libgnutls28-dev,libblkid-dev

# arch_lines: the lines of tests/arch/list
arch_lines() {
	grep -v '^#' "$top/tests/arch/list"
}

# common_headers RELEASE: the package that all architectures' headers of it need
common_headers() {
	sed -E 's/^([^-]+-[^-]+)-.*/linux-headers-\1-common/' <<<"$1"
}

# unpack_arch ROOT ARCHITECTURE PACKAGES ALONE: a folder with PACKAGES and what they depend
# on, and those of ALONE without that
unpack_arch() {
	# shellcheck disable=SC2016 # the hooks'
	local links='cd "$1" && for dir in bin sbin lib lib64; do mkdir -p usr/$dir; ln -s usr/$dir .; done' \
		alone='cd "$1" && export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG &&
			apt-get -qq -o APT::Sandbox::User=root download '"$4"' &&
			for deb in *.deb; do
				dpkg-deb --fsys-tarfile $deb |
					tar -x --keep-directory-symlink || exit
				rm $deb
			done'

	as_root rm -rf "$1"
	echo "deb [signed-by=$keyring] $(archive_of bookworm) bookworm main" |
		as_root mmdebstrap --quiet --variant=extract --architectures="$2" \
			--aptopt='Acquire::Languages "none"' --include="$3" \
			--setup-hook="$links" --extract-hook="$alone" bookworm "$1" -
}

# use_own_tools ROOT RELEASE: the headers name their common part by its usual place, and the
# tools of the build are this machine's
use_own_tools() {
	local headers=$1/usr/src/linux-headers-$2 tools

	tools=$(readlink "$headers/scripts")
	tools=${tools%/scripts}
	as_root sed -i "s|^include /usr/|include $1/usr/|" "$headers/Makefile"
	as_root ln -sfn "/usr/lib/${tools##*/}" "$1/usr/lib/${tools##*/}"
}

# arch_root NAME ARCHITECTURE PACKAGES ALONE: unpack_arch() into $roots/NAME, unless that is
# there
arch_root() {
	local root=$roots/$1

	mkdir -p "$roots"
	[ "$(cat "$root.packages" 2>/dev/null)" != "${*:3}" ] || return 0
	as_root rm -f "$root.packages"
	twice unpack_arch "$root" "${@:2}" || return
	echo "${*:3}" >"$root.packages"
}

# make_arch_root ARCHITECTURE RELEASE: what the module and the client are built with
make_arch_root() {
	arch_root "$1" "$1" "$libraries" "linux-headers-$2 $(common_headers "$2")" &&
		use_own_tools "$roots/$1" "$2"
}

# make_for ARCHITECTURE TRIPLET ARGUMENT...
make_for() {
	make --no-print-directory -j2 "CROSS=$2" "SYSROOT=$roots/$1" "${@:3}"
}

# client_for ARCHITECTURE TRIPLET
client_for() {
	make_for "$1" "$2" client CFLAGS=-O2
}

# module_for ARCHITECTURE TRIPLET RELEASE: without debug information, as in build_for()
module_for() {
	make_for "$1" "$2" module "KVER=$3" "KDIR=$roots/$1/usr/src/linux-headers-$3" \
		EXTRA_CFLAGS=-g0 KBUILD_ARGS=CONFIG_DEBUG_INFO_BTF_MODULES=
}
