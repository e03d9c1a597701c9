# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What a Debian has beside its packages to be a machine of the tests.

# customize ROOT NAME PROGRAM: the system in the folder ROOT, whose disk has the label nbdroot:
# NAME is its host, and PROGRAM is called when it is up, without a place for what it prints
customize() {
	local root=$1 units=$1/etc/systemd/system unit=${3##*/}.service

	cat >"$units/$unit" <<-END
		[Unit]
		Description=What the test asks for
		After=multi-user.target
		[Service]
		ExecStart=$3
		StandardOutput=null
		StandardError=null
		[Install]
		WantedBy=multi-user.target
	END
	mkdir -p "$units/multi-user.target.wants"
	ln -sf "../$unit" "$units/multi-user.target.wants/$unit"
	# Its vhangup() would cut off what the test says.
	ln -sf /dev/null "$units/serial-getty@ttyS0.service"
	echo "LABEL=nbdroot / ext4 defaults 0 1" >"$root/etc/fstab"
	echo "$2" >"$root/etc/hostname"
	echo "127.0.0.1 localhost $2" >"$root/etc/hosts"
	mkdir -p "$root/etc/modprobe.d"
	# Drivers for what the guest has not got cost seconds in an emulator.
	printf 'blacklist %s\n' kvm_amd kvm_intel ahci psmouse floppy i2c_piix4 \
		>"$root/etc/modprobe.d/tests.conf"
	rm -rf "$root"/usr/share/{doc,man,locale,info} "$root"/var/lib/apt/lists/* \
		"$root"/var/cache/apt/*.bin
}
