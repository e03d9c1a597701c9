# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# How demos are shown: step by step, with times.

seconds() {
	local now=${EPOCHREALTIME/[.,]/}

	printf '%d.%d s' $(((now - $1) / 1000000)) $(((now - $1) % 1000000 / 100000))
}

# step TEXT COMMAND...: says what it does, shows the command's output and its time
step() {
	local text=$1 begin=${EPOCHREALTIME/[.,]/} status=0

	shift
	printf '\n%s\n' "$text"
	"$@" 2>&1 | sed 's/^/      /' || status=$?
	[ $status = 0 ] || { printf '   failed after %s\n' "$(seconds "$begin")"; exit 1; }
	printf '   done in %s\n' "$(seconds "$begin")"
}

# show COMMAND...: prints it as a person would type it, and runs it
show() {
	echo "# $*"
	"$@"
}
