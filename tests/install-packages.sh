#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# install-packages.sh [SECTION...]: installs the packages of tests/packages.txt that this
# machine lacks, and unpacks those that are not to be installed under build/unpacked; of a
# section, which is what a comment there says, or of all. Asks the package archive only if
# something is missing.
set -euo pipefail

top=$(dirname "$(dirname "$(readlink -f "$0")")")
. "$top/tests/root.sh"
list=$top/tests/packages.txt
unpacked=$top/build/unpacked
sections=("$@")
apt=(apt-get -qq -o DPkg::Lock::Timeout=600)

# listed: the lines of those sections
listed() {
	local section

	[ ${#sections[@]} != 0 ] || { grep -v '^#' "$list"; return; }
	for section in "${sections[@]}"; do
		sed -n "/^# $section\$/,/^$/ { /^#/d; p }" "$list"
	done
}

to_install() {
	local wanted

	wanted=$(listed | awk -v full="${FULL:-0}" 'NF == 1 { print $1 }
		$1 == "full" && full == 1 { print $2 }')
	# shellcheck disable=SC2086 # one argument a package
	comm -23 <(sort -u <<<"$wanted") \
		<(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
			sed -n 's/^installed //p' | sort -u)
}

to_unpack() {
	local name

	listed | awk '$1 == "unpack" { print $2 }' | while read -r name; do
		[ -d "$unpacked/$name" ] || echo "$name"
	done
}

unpack() {
	local work

	work=$(mktemp -d "$unpacked/.$1.XXXXXX")
	(cd "$work" && "${apt[@]}" -o APT::Sandbox::User=root download "$1")
	dpkg-deb -x "$work"/*.deb "$work/root"
	mv -T "$work/root" "$unpacked/$1"
	rm -r "$work"
}

for section in "${sections[@]}"; do
	grep -qx "# $section" "$list" ||
		{ echo "install-packages: no section '$section'" >&2; exit 2; }
done
mapfile -t install < <(to_install)
mapfile -t unpack < <(to_unpack)
if [ $((${#install[@]} + ${#unpack[@]})) = 0 ]; then
	exit 0
fi
[ ${#install[@]} = 0 ] || echo "install-packages: installing ${install[*]}"
as_root "${apt[@]}" update
if [ ${#install[@]} != 0 ]; then
	as_root env DEBIAN_FRONTEND=noninteractive "${apt[@]}" -y -o Dpkg::Use-Pty=0 \
		install --no-install-recommends "${install[@]}"
fi
mkdir -p "$unpacked"
for name in "${unpack[@]}"; do
	echo "install-packages: unpacking $name under build/unpacked"
	unpack "$name"
done
