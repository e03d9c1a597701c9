#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# TLS whose records the kernel makes: each server, version and cipher; what a certificate or
# a key can be wrong in; and what a connection with TLS lives through.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../tls.sh"

# tls_server KIND: with 64 MB; sets $args, what attaches it
tls_server() {
	make_certificates
	truncate -s 64M image
	case $1 in
	nbdkit) tls_nbdkit server file image ;;
	qemu-nbd) tls_qemu server image ;;
	nbd-server) tls_nbd_server server disk "$PWD/image" ;;
	esac
	args=("${server_args[@]}" "${ca_args[@]}")
	# its clients must have a certificate
	[ "$1" != nbd-server ] || args+=(-name disk "${client_args[@]}")
}

variants[test_ciphers]="kind:nbdkit,qemu-nbd,nbd-server version:1.2,1.3 cipher:AES-256-GCM,AES-128-GCM,CHACHA20-POLY1305,AES-128-CCM"
# shellcheck disable=SC2154 # set by the variants
test_ciphers() {
	# nbd-server's own priority has no CCM
	[ "$kind $cipher" != "nbd-server AES-128-CCM" ] || return 0
	tls_server "$kind"
	attach "${args[@]}" -priority "NORMAL:-VERS-ALL:+VERS-TLS$version:-CIPHER-ALL:+$cipher"
	device_works
	detach
	cmp -n 1M data image
}

# refused WORDS ARGUMENTS...: nbd-client says so, with the status for TLS, and nothing is
# attached
refused() {
	local words=$1

	shift
	expect_status 8 "$NBD_CLIENT" -print-device "$@"
	assert_match "$output" "$words"
	assert_equal "$(connected_devices)" "" "attached devices"
}

# None of these depends on the driver.
for name in wrong_certificates clients shared_keys list manual; do
	ours_only[test_$name]=1
done

# What is wrong with the server's certificate is said, and nothing is ever sent in clear.
test_wrong_certificates() {
	make_certificates
	modprobe nbd
	tls_nbdkit elsewhere memory 64M
	refused 'not for "127.0.0.1", but for elsewhere.example' "${server_args[@]}" "${ca_args[@]}"
	attach "${server_args[@]}" "${ca_args[@]}" -tlshostname elsewhere.example
	detach
	rm -f /etc/ssl/certs/ca-certificates.crt
	refused 'there are no certificate authorities' "${server_args[@]}" -x
	mkdir -p /etc/ssl/certs
	cp "$tls_dir/other-ca-cert.pem" /etc/ssl/certs/ca-certificates.crt
	refused 'not signed by an authority of' "${server_args[@]}" -x
	refused 'not signed by an authority of .*/other-ca-cert.pem' "${server_args[@]}" \
		-cacertfile "$tls_dir/other-ca-cert.pem"
	attach "${server_args[@]}" -tls-insecure
	detach
	tls_nbdkit expired memory 64M
	refused 'has expired' "${server_args[@]}" "${ca_args[@]}"
	tls_nbdkit self memory 64M
	refused 'signed by nobody but itself' "${server_args[@]}" "${ca_args[@]}"
	tls_nbdkit misused memory 64M
	refused 'is not one for a server' "${server_args[@]}" "${ca_args[@]}"
	transport=tcp start_nbdkit memory 64M
	refused 'TLS was asked for, and the server does not do it' "${server_args[@]}" "${ca_args[@]}"
	refused 'the kernel encrypts TCP only' -unix "$PWD/socket" -x
}

test_clients() {
	make_certificates
	modprobe nbd
	verify_peer=1 tls_nbdkit server memory 64M
	refused 'wants? a certificate of this client' "${server_args[@]}" "${ca_args[@]}"
	attach "${server_args[@]}" "${ca_args[@]}" "${client_args[@]}"
	device_works
	detach
	verify_peer='' tls_nbdkit server memory 64M
	expect_status 8 "$NBD_CLIENT" -print-device "${server_args[@]}"
	assert_match "$output" 'the server demands TLS'
}

variants[test_shared_keys]="kind:nbdkit,qemu-nbd"
test_shared_keys() {
	local uri

	make_certificates
	modprobe nbd
	truncate -s 64M image
	if [ "$kind" = nbdkit ]; then
		transport=tcp start_nbdkit --tls=require "--tls-psk=$tls_dir/psk/keys.psk" file image
	else
		transport=tcp start_qemu_nbd -f raw --object \
			"tls-creds-psk,id=tls0,endpoint=server,dir=$tls_dir/psk" --tls-creds tls0 image
	fi
	uri="nbds://nbd@127.0.0.1:$port/?tls-type=psk&tls-psk-file=$tls_dir"
	refused 'broke off the TLS handshake|key' "$uri/wrong.psk"
	attach "$uri/psk/keys.psk"
	device_works
	detach
}

test_list() {
	make_certificates
	tls_nbdkit server memory 64M
	"$NBD_CLIENT" -l "${server_args[@]}" "${ca_args[@]}" >list
	assert_match "$(<list)" 'Negotiation: ..'
}

# The server is killed and comes back under load, and nothing of the credentials' files is
# left: what the monitor needs of them it has.
timeouts[test_restart]=120
test_restart() {
	local first

	tls_server nbdkit
	cp "$tls_dir/ca-cert.pem" ca.pem
	attach "${server_args[@]}" -cacertfile "$PWD/ca.pem"
	rm ca.pem
	[ "$(stat -c %a "/run/nbd/.$name.tls")" = 600 ]
	expect_log "$name: .*connection"
	fio --name=verify "--filename=$dev" --rw=randrw --bs=4k --direct=1 --size=4M --iodepth=8 \
		--ioengine=libaio --verify=crc32c --verify_fatal=1 --output=fio.log &
	first=$!
	wait_for 20 in_flight
	kill -9 "$server_pid"
	wait_for 20 gone_or_reaped "$server_pid"
	next_port=$port
	tls_nbdkit server file image
	wait "$first"
	device_works
	detach
	[ ! -e "/run/nbd/.$name.tls" ]
}

# Writes of every length, from memory that begins a page and that does not, and those of the page
# cache: of some the pages are encrypted where they are.
timeouts[test_writes]=120
test_writes() {
	local align

	tls_server nbdkit
	attach "${args[@]}"
	for align in 0 512; do
		fio --name=verify "--filename=$dev" --rw=randwrite --bsrange=4k-1m --direct=1 \
			--size=6M --iodepth=8 --ioengine=libaio "--mem_align=$align" \
			--verify=crc32c --verify_fatal=1 --output=fio.log
	done
	head -c 6M /dev/urandom >random
	dd if=random "of=$dev" bs=1M conv=fsync status=none
	detach
	cmp -n 6M random image
}

# Under load connections are made anew before their keys are used up, and none is lost.
ours_only[test_renewal]=1
timeouts[test_renewal]=120
test_renewal() {
	tls_server nbdkit
	attach "${args[@]}" -connections 2 -tls-renew 500
	assert_equal "$(status_field version)" 1.3 "version"
	assert_equal "$(status_field tls_verified)" true "verified"
	"$NBD_CLIENT" -status "$dev" >status
	assert_match "$(<status)" 'TLS 1.3, .*, the server is verified, [0-9]+ of 500 records'
	fio --name=verify "--filename=$dev" --rw=randrw --bs=4k --direct=1 --size=16M --iodepth=8 \
		--ioengine=libaio --verify=crc32c --verify_fatal=1 --output=fio.log
	wait_for 20 renewed
	assert_equal "$(status_field connection_deaths)" "$(($(status_field connects) - 2))" \
		"connections that ended"
	device_works
	detach
}

# renewed: more connections were made than the device has
renewed() {
	[ "$(status_field connects)" -ge 4 ] && [ "$(status_field retiring)" = 0 ]
}

ours_only[test_switch_over]=1
test_switch_over() {
	tls_server nbdkit
	attach "${args[@]}"
	device_works
	tls_qemu server image
	"$NBD_CLIENT" -replace "${server_args[@]}" "$dev"
	dd if="$dev" bs=64k count=1M iflag=direct,count_bytes status=none | cmp - data
	device_works
	detach
}

# What nbd-tls(7) says makes what servers and clients take.
test_manual() {
	sed -n '/^\.\\" tested/,/^\.fi/ { /^\./d; s/^# //; s/\\-/-/g; s/\\e$/\\/; p }' \
		"$top/Documentation/nbd-tls.7" >commands
	assert_within "$(grep -c '^certtool\|^psktool' commands)" 7 7 "commands"
	bash -e commands >commands.log 2>&1
	modprobe nbd
	verify_peer=1 transport=tcp start_nbdkit --tls=require "--tls-certificates=$PWD" \
		--tls-verify-peer memory 64M
	attach "${server_args[@]}" -A ca-cert.pem -F client-cert.pem -K client-key.pem \
		-H server.example.com
	detach
	transport=tcp start_nbdkit --tls=require "--tls-psk=$PWD/keys.psk" memory 64M
	attach "nbds://nbd@127.0.0.1:$port/?tls-psk-file=$PWD/keys.psk"
	device_works
	detach
}

# One connection at a time, and through the ioctls.
test_ioctl() {
	tls_server nbdkit
	modprobe nbd
	use_device nbd0
	"$NBD_CLIENT" -nonetlink "${args[@]}" "$dev"
	device_works
	detach
}

run_tests
