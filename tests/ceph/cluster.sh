# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# A Ceph of one monitor and one OSD that keeps all in memory, without authentication and without
# a manager, on the guest's loopback interface. Sourced after tests/lib.sh; it lives as long as
# the file that sources it.

cluster=/run/ceph
export CEPH_CONF=$cluster/ceph.conf

write_ceph_conf() {
	cat >"$CEPH_CONF" <<-END
		[global]
		fsid = $(</proc/sys/kernel/random/uuid)
		mon host = v1:127.0.0.1:6789
		public addr = 127.0.0.1
		ms bind msgr2 = false
		auth cluster required = none
		auth service required = none
		auth client required = none
		run dir = $cluster
		admin socket =
		log file = $cluster/\$name.log
		log to stderr = false
		osd pool default size = 1
		osd pool default min size = 1
		osd pool default pg num = 8
		osd pool default pg autoscale mode = off
		osd crush chooseleaf type = 0
		mon allow pool size one = true
		# an emulator takes its time
		mon osd report timeout = 86400
		osd heartbeat grace = 86400
		[mon.a]
		mon data = $cluster/mon
		[osd.0]
		osd data = $cluster/osd
		osd objectstore = memstore
		memstore device bytes = 512M
		osd crush update on start = false
		# it would tell the monitor, perhaps before it knows which cluster this is, and end
		osd class update on start = false
	END
}

# start_daemon LOG COMMAND...: in the background; sets started
start_daemon() {
	"${@:2}" >"$1" 2>&1 &
	started=$!
}

osd_is_up() {
	timeout 60 ceph osd stat 2>/dev/null | grep -q '1 up'
}

# step COMMAND...: says so, for tests/vm/batch takes a guest for dead that says nothing
step() {
	echo "# cluster: $*"
	timeout "$(scaled 100)" "$@" >>/run/cluster.log 2>&1 || { echo "# cluster: status $?: $*"; return 1; }
}

# start_cluster: sets mon_pid and osd_pid
start_cluster() {
	local uuid

	rm -rf $cluster
	mkdir -p $cluster/{mon,osd}
	write_ceph_conf
	uuid=$(</proc/sys/kernel/random/uuid)
	step monmaptool --create --addv a '[v1:127.0.0.1:6789]' \
		--fsid "$(ceph-conf --lookup fsid)" $cluster/monmap || return
	step ceph-mon --mkfs -i a --monmap $cluster/monmap || return
	start_daemon $cluster/mon.out ceph-mon -f -i a
	mon_pid=$started
	step ceph osd new "$uuid" || return
	step ceph osd crush add osd.0 1.0 root=default || return
	step ceph-osd --mkfs -i 0 --osd-uuid "$uuid" || return
	start_daemon $cluster/osd.out ceph-osd -f -i 0
	osd_pid=$started
	echo "# cluster: until the OSD is up"
	wait_for 150 osd_is_up || return
	step ceph osd pool create rbd 8 || return
	step rbd pool init rbd
}

stop_cluster() {
	kill -9 "${osd_pid:-}" "${mon_pid:-}" 2>/dev/null
	wait 2>/dev/null
}
