# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Systems of Debian's for the tests of the packages. The caller has set `top`.

. "$top/tests/kernels/lib.sh"

suite=bookworm
work=$top/build/packages
# a package source with ours, their source, and Debian's nbd-client (tests/packages/run)
repo=$work/repo

# in_system NAME COMMAND...: in a fresh copy, in which tests/ is /mnt, and of which nothing is left
# but what it puts into /srv/out
in_system() {
	mkdir -p "$work/out"
	# shellcheck disable=SC2016 # the inner shell's
	as_root unshare --mount --pid --fork bash -euc '
		base=$1 repo=$2 tests=$3 mnt=$4 out=$5
		shift 5
		mkdir -p "$mnt"
		mount -t tmpfs tmpfs "$mnt"
		mkdir "$mnt"/{upper,work,root}
		mount -t overlay -o "lowerdir=$base,upperdir=$mnt/upper,workdir=$mnt/work" \
			overlay "$mnt/root"
		cd "$mnt/root"
		mkdir -p srv/repo srv/out
		mount --bind "$repo" srv/repo
		mount --bind "$out" srv/out
		mount --bind "$tests" mnt
		mount -t proc proc proc
		mount --bind /dev dev
		exec chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
			DEBIAN_FRONTEND=noninteractive "$@"' \
		in_system "$roots/$1" "$repo" "$top/tests" "$work/mnt" "$work/out" \
		"${@:2}"
}
