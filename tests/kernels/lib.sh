# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Building the module for kernels of other suites than this machine's: with an apt state of
# its own, so that the machine's sources stay as they are, and in a small system of that
# suite, whose compiler and C library its headers need. The caller has set `top`.

. "$top/tests/root.sh"

# The caller reads these:
# shellcheck disable=SC2034
flavours=(amd64 cloud-amd64 rt-amd64)
roots=$top/build/roots
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

kernels_die() {
	echo "kernels: $*" >&2
	exit 1
}

# kernel_lines: the lines of tests/kernels/list
kernel_lines() {
	grep -v '^#' "$top/tests/kernels/list"
}

# headers_package VERSION: what leads to the headers of the kernel 6.1 or 6.12 of this
# machine's suite
headers_package() {
	if [ "$1" = 6.1 ]; then echo linux-headers-amd64; else echo "linux-headers-$1-amd64"; fi
}

# has_headers VERSION: whether a kernel's headers are among the packages that are installed
# for the tests
has_headers() {
	grep -qxF "$(headers_package "$1")" "$top/tests/packages.txt"
}

# codename_of SUITE: of the release of Debian that it belongs to
codename_of() {
	echo "${1%%-*}"
}

# archive_of SUITE: where this machine gets Debian's packages, or those of its
# security team, from
archive_of() {
	local wanted='^[a-z]+ ' uri

	[[ $1 != *-security ]] || wanted='^[a-z]+-security '
	# shellcheck disable=SC2016 # apt-get's
	uri=$(apt-get indextargets --format '$(CODENAME) $(ORIGIN) $(REPO_URI)' \
		'Created-By: Packages' 'Origin: Debian' | grep -E "$wanted" | head -n 1)
	[ -n "$uri" ] || kernels_die "this machine's package sources have nothing like $1"
	echo "${uri##* }"
}

# sources_of CODENAME...: lines for sources.list, of all suites of the list that
# belong to these
sources_of() {
	local codename suite

	for codename; do
		for suite in "$codename" $(kernel_lines | awk '{ print $1 }' | sort -u); do
			if [ "$suite" = "$codename" ] || [[ $suite = "$codename"-* ]]; then
				echo "deb [signed-by=$keyring] $(archive_of "$suite") $suite main"
			fi
		done
	done | sort -u
}

# twice COMMAND...: an archive that is just being renewed fails for a moment
twice() {
	"$@" || { sleep 60; "$@"; }
}

# other_apt COMMAND...: an apt command with the other suites' packages
other_apt() {
	APT_CONFIG=$roots/apt/apt.conf "$@"
}

# fetch_lists: fetches the other suites' lists of packages
fetch_lists() {
	mkdir -p "$roots"/apt/etc/{apt.conf,preferences}.d "$roots"/apt/state/lists/partial \
		"$roots"/apt/cache/archives/partial
	sources_of bookworm trixie >"$roots/apt/etc/sources.list"
	cat >"$roots/apt/apt.conf" <<-END
		Dir::Etc "$roots/apt/etc";
		Dir::State "$roots/apt/state";
		Dir::State::status "/dev/null";
		Dir::Cache "$roots/apt/cache";
		Acquire::Languages "none";
		APT::Sandbox::User "root";
	END
	rm -f "$roots/apt/fetched"
	twice other_apt apt-get -qq update && touch "$roots/apt/fetched"
}

# prepare_apt: has lists of packages that are no older than an hour
prepare_apt() {
	mkdir -p "$roots"
	{
		flock 6
		[ -n "$(find "$roots/apt/fetched" -mmin -60 2>/dev/null)" ] || fetch_lists
	} 6>"$roots/apt.lock"
}

# newest_release SUITE PACKAGE: what that package leads to
newest_release() {
	local version

	version=$(other_apt apt-cache madison "$2" |
		awk -F ' *[|] *' -v suite="$1/main" '$3 ~ " " suite " " { print $2 }' |
		sort -V | tail -n 1)
	[ -n "$version" ] || kernels_die "the archive has no $2 in $1"
	other_apt apt-cache show "$2=$version" |
		sed -nE 's/^Depends:.* linux-headers-([^ ,]+)-amd64.*/\1/p' | head -n 1
}

# in_archive RELEASE
in_archive() {
	[ -n "$(other_apt apt-cache show --no-all-versions "linux-headers-$1-amd64" 2>/dev/null)" ]
}

# kernels_of RELEASE: those to build of a release. Those whose headers are installed here are
# left to tests/run, and of cloud and rt only the newest rt is built, unless FULL=1.
kernels_of() {
	local flavour

	if [ "${FULL:-0}" = 1 ]; then
		printf "$1-%s\n" "${flavours[@]}"
		return
	fi
	[ -e "/lib/modules/$1-amd64/build" ] || echo "$1-amd64"
	[ "$1" != "$(kernel_lines | awk 'END { print $3 }')" ] || echo "$1-rt-amd64"
}

# known CODENAME RELEASE: its headers are there already
known() {
	[ -e "$roots/$1/usr/src/linux-headers-$2-amd64" ] || [ -z "$(kernels_of "$2")" ]
}

# update_lists: of packages, if a kernel's headers are to be fetched. No package archive is
# asked while those that are wanted are there.
update_lists() {
	local suite release

	while read -r suite _ release; do
		known "$(codename_of "$suite")" "$release" || { prepare_apt; return; }
	done < <(kernel_lines)
}

# choose_kernels: sets kernels[CODENAME]. A release that the archive has no more gives way to
# the newest; while it is there, a newer one is news and no failure of this tree.
choose_kernels() {
	local suite package release codename newest

	declare -gA kernels=()
	update_lists || return
	while read -r suite package release; do
		codename=$(codename_of "$suite")
		if ! known "$codename" "$release" && ! in_archive "$release"; then
			newest=$(newest_release "$suite" "$package") || return
			echo "# $suite has no $release any more: $newest instead"
			release=$newest
		fi
		kernels[$codename]+=" $(kernels_of "$release" | paste -sd' ')"
	done < <(kernel_lines)
}

# listed_kernel VERSION: of the kernels that choose_kernels found, the codename and the
# release of that which begins with these numbers; VERSION may end in the flavour, as 7.3-rt
listed_kernel() {
	local codename kernel numbers=${1%%-*} flavour=${1#"${1%%-*}"}

	for codename in "${!kernels[@]}"; do
		for kernel in ${kernels[$codename]}; do
			if [[ $kernel = "$numbers".* && ${kernel#"${kernel%%-[a-z]*}"} = "$flavour-amd64" ]]; then
				echo "$codename $kernel"
				return
			fi
		done
	done
	kernels_die "tests/kernels/list has no Linux $1 beside those whose headers are installed here"
}

# unpack_root ROOT CODENAME PACKAGES: only unpacked, for no package's scripts have anything to
# do for a compiler. What makes the links beside /usr in a system that is installed is one of
# them.
unpack_root() {
	# shellcheck disable=SC2016 # the hook's
	local links='cd "$1" && for dir in bin sbin lib lib64; do mkdir -p usr/$dir; ln -s usr/$dir .; done'

	as_root rm -rf "$1"
	sources_of "$2" | as_root mmdebstrap --quiet --variant=extract \
		--aptopt='Acquire::Languages "none"' --include="$3" \
		--setup-hook="$links" "$2" "$1" - || return
	as_root ln -sf mawk "$1/usr/bin/awk"
}

# make_root NAME CODENAME KERNEL...: $roots/NAME is a system of that release of Debian with
# a compiler and the headers of these kernels, as uname -r prints them
make_root() {
	local root=$roots/$1 codename=$2 packages=dash,coreutils,findutils,sed,grep,mawk,diffutils

	mkdir -p "$roots"
	exec 7>"$root.lock"
	flock 7
	packages+=,util-linux,gcc,make,libc6-dev$(printf ',linux-headers-%s' "${@:3}")
	[ "$(cat "$root.packages" 2>/dev/null)" != "$packages" ] || return 0
	as_root rm -f "$root.packages"
	twice unpack_root "$root" "$codename" "$packages" || return
	echo "$packages" >"$root.packages"
}

# make_system NAME CODENAME PACKAGES: $roots/NAME is that release of Debian with these packages,
# all installed, as on a machine
make_system() {
	local root=$roots/$1

	mkdir -p "$roots"
	exec 7>"$root.lock"
	flock 7
	[ "$(cat "$root.packages" 2>/dev/null)" != "$3" ] || return 0
	as_root rm -rf "$root" "$root.packages"
	sources_of "$2" | as_root mmdebstrap --quiet --variant=minbase \
		--aptopt='Acquire::Languages "none"' --include="$3" "$2" "$root" - || return
	echo "$3" >"$root.packages"
}

# in_root NAME COMMAND...: runs it there, with this tree in its place
in_root() {
	# shellcheck disable=SC2016 # the inner shell's
	as_root unshare --mount bash -euc '
		root=$1 top=$2
		shift 2
		mkdir -p "$root/$top" "$root/proc" "$root/tmp"
		mount --bind "$top" "$root/$top"
		mount -t proc proc "$root/proc"
		exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' \
		in_root "$roots/$1" "$top" "${@:2}"
}

# build_for NAME KERNEL: the module, without debug information: what the compiler says is
# all that is wanted
build_for() {
	in_root "$1" make --no-print-directory -j2 -C "$top" module "KVER=$2" \
		"OUT=build/$2" EXTRA_CFLAGS=-g0 KBUILD_ARGS=CONFIG_DEBUG_INFO_BTF_MODULES=
}
