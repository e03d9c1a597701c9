# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Library of the selftests that cut the network: servers in the namespace "far", and
# links to it that can be cut and healed. A test file sources it in place of
# survive.sh.
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/survive.sh"

# make_links N: the namespace "far", with N links to it; link I has the addresses
# 10.77.I.1 here and 10.77.I.2 there
make_links() {
	local i

	ip netns add far
	cleanup_fn ip netns del far
	ip -n far link set lo up
	for ((i = 0; i < $1; i++)); do
		ip link add "near$i" type veth peer name "far$i" netns far
		ip addr add "10.77.$i.1/24" dev "near$i"
		ip link set "near$i" up
		ip -n far addr add "10.77.$i.2/24" dev "far$i"
		ip -n far link set "far$i" up
	done
}

far_listening() {
	gone_or_reaped "$server_pid" || [ -n "$(ip netns exec far ss -Hltn "sport = $port")" ]
}

# launch_far COMMAND...: in the namespace and the background. Not with ip netns exec: that
# gives it the mounts of this moment to keep, and a server must not end those of its own
# device.
launch_far() {
	nsenter --net=/run/netns/far "$@" >>server.log 2>&1 &
	server_pid=$!
}

# await_far COMMAND...: until the server that was launched last listens
await_far() {
	wait_for 20 far_listening
	if gone_or_reaped "$server_pid"; then
		cat server.log
		fail "the server ended: $*"
	fi
}

# start_far COMMAND...: a server in the namespace; ends with the test
start_far() {
	launch_far "$@"
	cleanup_fn stop_process "$server_pid"
	await_far "$@"
}

# cut_link I, heal_link I: in the way that $how says
cut_link() {
	case $how in
	down) ip link set "near$1" down ;;
	drop)
		nft -f - <<-END
			table inet cut$1 {
				chain in {
					type filter hook input priority 0; iifname near$1 drop;
				}
				chain out {
					type filter hook output priority 0; oifname near$1 drop;
				}
			}
		END
		;;
	loss)
		tc qdisc add dev "near$1" root netem loss 100%
		ip netns exec far tc qdisc add dev "far$1" root netem loss 100%
		;;
	esac
	cut=$1
}

heal_link() {
	case $how in
	down) ip link set "near$1" up ;;
	drop) nft delete table inet "cut$1" ;;
	loss)
		tc qdisc del dev "near$1" root
		ip netns exec far tc qdisc del dev "far$1" root
		;;
	esac
	cut=
}

# The links die with the namespace; what nft was told does not.
heal_at_end() {
	[ -z "${cut:-}" ] || heal_link "$cut"
}
