# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Certificates, keys and servers with TLS, for selftests that source tests/lib.sh first.

tls_dir=/tmp/nbd-tls
# -cacertfile, for what make_certificates makes
ca_args=(-cacertfile "$tls_dir/ca-cert.pem")
client_args=(-certfile "$tls_dir/client-cert.pem" -keyfile "$tls_dir/client-key.pem")

# make_certificate NAME CA [LINE...]: NAME-cert.pem and its key, signed by CA; LINEs are of
# certtool's template
make_certificate() {
	local name=$1 ca=$2

	shift 2
	printf '%s\n' "cn = $name" "$@" >"$name.template"
	certtool --generate-privkey --ecdsa --curve=secp256r1 --outfile "$name-key.pem" 2>/dev/null
	case $ca in
	"$name") set -- --generate-self-signed ;;
	*) set -- --generate-certificate --load-ca-certificate "$ca-cert.pem" \
		--load-ca-privkey "$ca-key.pem" ;;
	esac
	certtool "$@" --load-privkey "$name-key.pem" --template "$name.template" \
		--outfile "$name-cert.pem" 2>/dev/null
}

# server_folder NAME: what nbdkit and qemu-nbd take, with the certificate NAME. Without
# dh-params.pem qemu-nbd looks for primes of its own, for a minute or more.
server_folder() {
	mkdir "$1"
	ln -s ../dh-params.pem "$1/dh-params.pem"
	ln -s ../ca-cert.pem "$1/ca-cert.pem"
	ln -s "../$1-cert.pem" "$1/server-cert.pem"
	ln -s "../$1-key.pem" "$1/server-key.pem"
}

# make_certificates: all that the tests need, once for a guest. What `make programs` has made
# is there in a moment; certtool takes most of a minute in an emulator.
make_certificates() {
	[ ! -e "$tls_dir/complete" ] || return 0
	[ -e "$top/build/tests/certificates/complete" ] || return
	mkdir -p "$tls_dir"
	cp -a "$top/build/tests/certificates/." "$tls_dir"
}

# new_certificates FOLDER: all that the tests need
new_certificates() {
	local here=$PWD name server=(tls_www_server signing_key "dns_name = localhost" \
		"ip_address = 127.0.0.1" "ip_address = ::1" "ip_address = 10.0.2.2" \
		"expiration_days = 3650")

	rm -rf "$1"
	mkdir -p "$1"
	cd "$1" || return
	make_certificate ca ca ca cert_signing_key "expiration_days = 3650"
	make_certificate other-ca other-ca ca cert_signing_key "expiration_days = 3650"
	make_certificate server ca "${server[@]}"
	make_certificate foreign other-ca "${server[@]}"
	make_certificate self self "${server[@]}"
	make_certificate expired ca "${server[@]:0:6}" 'activation_date = "2020-01-01"' \
		'expiration_date = "2021-01-01"'
	make_certificate misused ca "${server[@]/tls_www_server/tls_www_client}"
	make_certificate elsewhere ca tls_www_server signing_key \
		"dns_name = elsewhere.example" "expiration_days = 3650"
	make_certificate client ca tls_www_client signing_key "expiration_days = 3650"
	certtool --get-dh-params --sec-param=medium --outfile dh-params.pem 2>/dev/null
	for name in server foreign self expired misused elsewhere; do server_folder "$name"; done
	mkdir psk
	ln -s ../dh-params.pem psk/dh-params.pem
	psktool -u nbd -p psk/keys.psk >/dev/null
	psktool -u nbd -p wrong.psk >/dev/null
	touch complete
	cd "$here" || return
}

# tls_nbdkit FOLDER ARGUMENTS...: nbdkit's; verifies clients with verify_peer=1
tls_nbdkit() {
	local folder=$tls_dir/$1 transport=tcp

	shift
	start_nbdkit --tls=require "--tls-certificates=$folder" \
		${verify_peer:+--tls-verify-peer} "$@"
}

# tls_qemu FOLDER IMAGE: a raw one
tls_qemu() {
	local transport=tcp

	start_qemu_nbd -f raw --object "tls-creds-x509,id=tls0,endpoint=server,dir=$tls_dir/$1,verify-peer=${verify_peer:-no}" \
		--tls-creds tls0 "$2"
}

# tls_nbd_server FOLDER EXPORT IMAGE
tls_nbd_server() {
	local folder=$tls_dir/$1 transport=tcp

	extra_generic="force_tls = true
certfile = $folder/server-cert.pem
keyfile = $folder/server-key.pem
cacertfile = $folder/ca-cert.pem"
	start_nbd_server "$2" "$3" "flush = true" "fua = true"
}
