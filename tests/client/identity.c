// SPDX-License-Identifier: GPL-2.0
/*
 * What udev wrote down, what libblkid finds, and what is the same disk.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../client/identity.h"
#include "../../client/probe.h"
#include "tap.h"

static u64 parse(struct nbd_identity *id, const char *text)
{
	FILE *file = fmemopen((void *)text, strlen(text), "r");
	u64 seq = nbd_identity_parse(id, file);

	fclose(file);
	return seq;
}

static void test_parse(void)
{
	struct nbd_identity id;
	char text[400];

	tap_test("identity: udev's database");
	expect_number(parse(&id, "S:disk/by-uuid/1-2\nI:123\n"
			    "S:disk/by-diskseq/17\nE:ID_FS_TYPE=ext4\n"
			    "E:ID_FS_UUID=1-2\nE:ID_FS_UUID_ENC=1x2\n"
			    "E:ID_PART_TABLE_TYPE=dos\nE:ID_PART_TABLE_UUID=abc\n"
			    "G:systemd\n"), 17);
	expect_text(id.fs.type, "ext4");
	expect_text(id.fs.uuid, "1-2");
	expect_text(id.table.type, "dos");
	expect_text(id.table.uuid, "abc");
	expect(nbd_identity_known(&id));

	tap_test("identity: nothing known");
	expect_number(parse(&id, "I:123\nE:ID_FS_TYPE=squashfs\n"), 0);
	expect(!nbd_identity_known(&id));

	tap_test("identity: too long a UUID is none");
	snprintf(text, sizeof(text), "E:ID_FS_UUID=%0300d\n", 1);
	parse(&id, text);
	expect(!nbd_identity_known(&id));
}

static struct nbd_identity identity(const char *fs, const char *fs_uuid,
				    const char *table, const char *table_uuid)
{
	struct nbd_identity id = { 0 };

	snprintf(id.fs.type, sizeof(id.fs.type), "%s", fs);
	snprintf(id.fs.uuid, sizeof(id.fs.uuid), "%s", fs_uuid);
	snprintf(id.table.type, sizeof(id.table.type), "%s", table);
	snprintf(id.table.uuid, sizeof(id.table.uuid), "%s", table_uuid);
	return id;
}

static void test_same(void)
{
	const struct nbd_identity none = { 0 };
	const struct nbd_identity ext4 = identity("ext4", "A", "", "");
	const struct nbd_identity other = identity("ext4", "B", "", "");
	const struct nbd_identity ntfs = identity("ntfs", "A", "", "");
	const struct nbd_identity gpt = identity("", "", "gpt", "T");
	const struct nbd_identity both = identity("iso9660", "A", "dos", "T");
	const struct nbd_identity anonymous = identity("squashfs", "", "", "");
	char text[NBD_IDENTITY_TEXT_MAX];

	tap_test("identity: the same disk");
	expect(nbd_identity_same(&ext4, &ext4));
	expect(nbd_identity_same(&gpt, &gpt));
	expect(nbd_identity_same(&both, &both));
	expect(nbd_identity_same(&none, &ext4));
	tap_test("identity: another disk");
	expect(!nbd_identity_same(&ext4, &other));
	expect(!nbd_identity_same(&ext4, &gpt));
	expect(!nbd_identity_same(&both, &ext4));
	expect(!nbd_identity_same(&ntfs, &other));
	expect(!nbd_identity_same(&ntfs, &anonymous));
	tap_test("identity: a disk without a signature");
	expect(!nbd_identity_same(&ext4, &none));
	expect(!nbd_identity_same(&gpt, &none));
	expect(nbd_identity_same(&ntfs, &none));
	tap_test("identity: in words");
	expect_text(nbd_identity_text(&ext4, &ext4, text, sizeof(text)),
		    "file system ext4 UUID A");
	expect_text(nbd_identity_text(&none, &ext4, text, sizeof(text)),
		    "file system UUID none");
	expect_text(nbd_identity_text(&gpt, &both, text, sizeof(text)),
		    "partition table gpt UUID T, file system UUID none");
}

/* As probe.c has it: nothing but head and tail of what the command has made. */
static struct nbd_identity find(const char *command, u32 block_size)
{
	char path[] = "/tmp/nbd-unit-XXXXXX", line[256];
	static unsigned char buf[NBD_PROBE_TAIL];
	const off_t size = 320 << 20;
	struct nbd_identity id = { 0 };
	int image = mkstemp(path), disk = memfd_create("disk", 0);
	off_t tail = size - NBD_PROBE_TAIL;

	snprintf(line, sizeof(line), "PATH=$PATH:/sbin; image=%s; %s", path, command);
	expect(!ftruncate(image, size) && !ftruncate(disk, size));
	expect(!system(line));
	expect(pread(image, buf, NBD_PROBE_HEAD, 0) == NBD_PROBE_HEAD);
	expect(pwrite(disk, buf, NBD_PROBE_HEAD, 0) == NBD_PROBE_HEAD);
	expect(pread(image, buf, NBD_PROBE_TAIL, tail) == NBD_PROBE_TAIL);
	expect(pwrite(disk, buf, NBD_PROBE_TAIL, tail) == NBD_PROBE_TAIL);
	expect(!nbd_identity_find(&id, disk, block_size));
	close(image);
	close(disk);
	unlink(path);
	return id;
}

#define UUID "01234567-89ab-4def-8123-456789abcdef"
#define GPT "printf 'label: gpt\\nlabel-id: " UUID "\\nsize=64M\\n' | sfdisk -q $image"

static void test_find(void)
{
	static const char uuid[] = UUID;
	struct nbd_identity id;

	tap_test("identity: ext4 by its head and tail");
	id = find("mkfs.ext4 -q -U " UUID " $image", 512);
	expect_text(id.fs.type, "ext4");
	expect_text(id.fs.uuid, uuid);
	tap_test("identity: xfs by its head and tail");
	id = find("mkfs.xfs -q -m uuid=" UUID " $image", 4096);
	expect_text(id.fs.uuid, uuid);
	tap_test("identity: swap by its head and tail");
	id = find("mkswap -q -U " UUID " $image 2>/dev/null", 512);
	expect_text(id.fs.type, "swap");
	expect_text(id.fs.uuid, uuid);
	tap_test("identity: gpt by its head and tail");
	id = find(GPT, 512);
	expect_text(id.table.type, "gpt");
	expect_text(id.table.uuid, uuid);
	expect_text(id.fs.uuid, "");
	tap_test("identity: gpt by its tail alone");
	id = find(GPT " && dd if=/dev/zero of=$image bs=512 seek=1 count=1"
		  " conv=notrunc status=none", 512);
	expect_text(id.table.uuid, uuid);
	tap_test("identity: a disk with nothing on it");
	id = find("true", 512);
	expect(!nbd_identity_known(&id));
}

void test_identity(void)
{
	test_parse();
	test_same();
	test_find();
}
