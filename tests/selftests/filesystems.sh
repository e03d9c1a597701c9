#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# File systems: a tree of files survives what users do with a disk.
# vm-debug: --append kmemleak=off
. "$(dirname "$0")/../lib.sh"
dealt_out=1

# make_tree DIR FILES: files of many sizes, some in deep folders, all different
make_tree() {
	python3 - "$@" <<-'END'
	import os, random, sys

	top, files = sys.argv[1], int(sys.argv[2])
	random.seed(files)
	for i in range(files):
	    folder = os.path.join(top, *("d%d" % (i // 7 ** n % 7) for n in (1, 2, 3)))
	    os.makedirs(folder, exist_ok=True)
	    size = random.choice((0, 1, 511, 4096, random.randrange(20000)))
	    if i % 100 == 0:
	        size = random.randrange(2 << 20)
	    with open(os.path.join(folder, "f%d" % i), "wb") as f:
	        f.write(random.randbytes(size))
	END
}

checksums() {
	(cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

drop_caches() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

filesystem_check() {
	case $fs in
	ext4) e2fsck -fn "$dev" ;;
	xfs) xfs_repair -n "$dev" ;;
	esac
}

kinds=ext4,xfs
[[ $(uname -r) != *-nbd-@(debug|kcsan) ]] || kinds=ext4	# it has no other

timeouts[test_tree]=$(($(count 600) + 240))
variants[test_tree]=fs:$kinds
test_tree() {
	local files

	files=$(count 5000)
	truncate -s 512M image
	start_nbdkit file image
	attach "${server_args[@]}"
	"mkfs.$fs" -q "$dev"
	mkdir mnt tree
	mount "$dev" mnt
	cleanup_fn umount_quietly
	make_tree tree "$files"
	checksums tree >wanted
	assert_equal "$(wc -l <wanted)" "$files" "files"
	cp -a tree mnt/
	drop_caches
	checksums mnt/tree | cmp - wanted
	umount mnt
	filesystem_check
	detach

	attach "${server_args[@]}"
	mount "$dev" mnt
	checksums mnt/tree | cmp - wanted
	umount mnt
	filesystem_check
	detach
}

# A hole that is punched through a file system reads back as zeroes, and what is
# beside it stays.
variants[test_punch]=fs:$kinds
test_punch() {
	truncate -s 512M image
	start_nbdkit --filter=log file image logfile=log
	attach "${server_args[@]}"
	"mkfs.$fs" -q "$dev"
	mkdir mnt
	mount -o discard "$dev" mnt
	cleanup_fn umount_quietly
	head -c 8M /dev/urandom >data
	cp data mnt/file
	sync
	fallocate --punch-hole --offset 1M --length 4M mnt/file
	dd if=/dev/zero of=data bs=1M seek=1 count=4 conv=notrunc status=none
	drop_caches
	cmp data mnt/file
	umount mnt
	filesystem_check
	grep -q ' Trim id=' log || fail "the server saw no TRIM"
	detach
}

# mkfs discards the whole device first, which the server sees.
test_mkfs_discards() {
	truncate -s 128M image
	start_nbdkit --filter=log file image logfile=log
	attach "${server_args[@]}"
	mkfs.ext4 -q -E discard "$dev"
	grep -q ' Trim id=' log || fail "the server saw no TRIM"
	e2fsck -fn "$dev"
	detach
}

# send_mapped FILE: over a TCP connection, straight from the file's pages, none of which is
# in memory, in pieces of odd sizes; compares what arrives
send_mapped() {
	python3 - "$1" <<-'END'
	import mmap, socket, sys, threading

	def receive():
	    connection = listener.accept()[0]
	    while piece := connection.recv(1 << 16):
	        received.extend(piece)

	received = bytearray()
	listener = socket.create_server(("127.0.0.1", 0))
	receiver = threading.Thread(target=receive)
	receiver.start()
	sender = socket.create_connection(listener.getsockname())
	with open(sys.argv[1], "rb") as file:
	    pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
	pages.madvise(mmap.MADV_RANDOM)     # each page when it is needed
	view, at = memoryview(pages), 0
	while at < len(view):
	    at += sender.send(view[at:at + 1 + at % 20011])
	sender.close()
	receiver.join()
	sys.exit(received != view)
	END
}

# The socket's send waits in its middle for a page from the device, which the same task
# asks the server for: two sends, one in the other.
test_sent_from_pages() {
	transport=tcp start_nbdkit memory 64M
	attach "${server_args[@]}"
	mount_ext4 "$dev"
	head -c 4M /dev/urandom >mnt/file
	drop_caches
	send_mapped mnt/file
	umount mnt
	[ "$DRIVER" = stock ] ||
		assert_equal "$(status_field connection_deaths)" 0 "lost connections"
	detach
}

run_tests
