# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0

# as_root COMMAND...
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "$0: neither root nor sudo for: $*" >&2
		exit 1
	fi
}
