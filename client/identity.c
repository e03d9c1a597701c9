// SPDX-License-Identifier: GPL-2.0
/*
 * What a disk has as identity.
 */
#include <blkid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "error.h"
#include "folders.h"
#include "identity.h"

/* udev looks for a partition table first on a disk as small as a floppy. */
#define SMALL_DISK (1440 * 1024)
#define BY_DISKSEQ "S:disk/by-diskseq/"

/*
 * libblkid reads no more of these than the first and last 128 KiB: if it does not find
 * them there, they are not there. NTFS, UDF and ZFS, for one, have it look elsewhere.
 */
static const char *const complete[] = {
	"bcache", "btrfs", "crypto_LUKS", "erofs", "exfat", "ext2", "ext3",
	"ext4", "f2fs", "jfs", "linux_raid_member", "LVM2_member", "reiserfs",
	"swap", "swsuspend", "vfat", "xfs", "dos", "gpt",
};

bool nbd_identity_known(const struct nbd_identity *id)
{
	return *id->fs.uuid || *id->table.uuid;
}

/* --- what udev knows --- */

/* @value ends with the line; cut off, it would never be found again: leave it out. */
static void set_text(char *field, size_t size, const char *value)
{
	size_t len = strcspn(value, "\n");

	*field = '\0';
	if (len < size) {
		memcpy(field, value, len);
		field[len] = '\0';
	}
}

static void parse_property(struct nbd_identity *id, const char *line)
{
	const struct {
		const char *name;
		char *field;
		size_t size;
	} fields[] = {
		{ "E:ID_FS_TYPE=", id->fs.type, sizeof(id->fs.type) },
		{ "E:ID_FS_UUID=", id->fs.uuid, sizeof(id->fs.uuid) },
		{ "E:ID_PART_TABLE_TYPE=", id->table.type, sizeof(id->table.type) },
		{ "E:ID_PART_TABLE_UUID=", id->table.uuid, sizeof(id->table.uuid) },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		size_t len = strlen(fields[i].name);

		if (!strncmp(line, fields[i].name, len))
			set_text(fields[i].field, fields[i].size, line + len);
	}
}

u64 nbd_identity_parse(struct nbd_identity *id, FILE *file)
{
	char *line = NULL;
	size_t size = 0;
	u64 seq = 0;

	memset(id, 0, sizeof(*id));
	while (getline(&line, &size, file) > 0) {
		parse_property(id, line);
		if (!strncmp(line, BY_DISKSEQ, strlen(BY_DISKSEQ)))
			seq = strtoull(line + strlen(BY_DISKSEQ), NULL, 10);
	}
	free(line);
	return seq;
}

void nbd_identity_of_device(struct nbd_identity *id, s32 index)
{
	char number[32], seq_now[32] = "", path[64];
	FILE *file;
	u64 seq;

	memset(id, 0, sizeof(*id));
	if (!nbd_device_attribute(index, "dev", number, sizeof(number)))
		return;
	snprintf(path, sizeof(path), "/run/udev/data/b%s", number);
	file = nbd_folder_fopen(path, "re");
	if (!file)
		return;
	seq = nbd_identity_parse(id, file);
	fclose(file);
	if (seq && nbd_device_attribute(index, "diskseq", seq_now, sizeof(seq_now)) &&
	    strtoull(seq_now, NULL, 10) != seq)
		memset(id, 0, sizeof(*id));
}

/* --- what libblkid finds --- */

static void take_value(blkid_probe pr, const char *name, char *field,
		       size_t size, bool safe)
{
	char clean[NBD_UUID_MAX];
	const char *value;

	if (blkid_probe_lookup_value(pr, name, &value, NULL))
		return;
	if (safe && !blkid_safe_string(value, clean, sizeof(clean)))
		value = clean;
	set_text(field, size, value);
}

/* True with a partition table, in the place of which nothing else is looked for. */
static bool find_small_table(blkid_probe pr)
{
	if (blkid_probe_get_size(pr) > SMALL_DISK)
		return false;
	blkid_probe_enable_superblocks(pr, 0);
	return !blkid_do_fullprobe(pr) && blkid_probe_has_value(pr, "PTTYPE");
}

static int find_all(blkid_probe pr)
{
	blkid_probe_enable_partitions(pr, 1);
	if (find_small_table(pr))
		return 0;
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_UUID |
					  BLKID_SUBLKS_TYPE |
					  BLKID_SUBLKS_SECTYPE |
					  BLKID_SUBLKS_USAGE |
					  BLKID_SUBLKS_LABEL |
					  BLKID_SUBLKS_VERSION);
	return blkid_do_safeprobe(pr);
}

int nbd_identity_find(struct nbd_identity *id, int fd, u32 block_size)
{
	blkid_probe pr = blkid_new_probe();
	int ret = -ENOMEM;

	memset(id, 0, sizeof(*id));
	if (pr && !blkid_probe_set_device(pr, fd, 0, 0) &&
	    !blkid_probe_set_sectorsize(pr, block_size)) {
		ret = find_all(pr) == -1 ? -EIO : 0;
		take_value(pr, "TYPE", id->fs.type, sizeof(id->fs.type), false);
		take_value(pr, "UUID", id->fs.uuid, sizeof(id->fs.uuid), true);
		take_value(pr, "PTTYPE", id->table.type, sizeof(id->table.type),
			   false);
		take_value(pr, "PTUUID", id->table.uuid, sizeof(id->table.uuid),
			   false);
	}
	if (pr)
		blkid_free_probe(pr);
	return ret;
}

/* --- both --- */

static bool is_complete(const char *type)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(complete); i++)
		if (!strcmp(complete[i], type))
			return true;
	return false;
}

static bool same_signature(const struct nbd_signature *known,
			   const struct nbd_signature *found)
{
	if (!*known->uuid)
		return true;
	if (*found->uuid || *found->type)
		return !strcmp(known->uuid, found->uuid);
	return !is_complete(known->type);
}

bool nbd_identity_same(const struct nbd_identity *known,
		       const struct nbd_identity *found)
{
	return same_signature(&known->fs, &found->fs) &&
	       same_signature(&known->table, &found->table);
}

const char *nbd_identity_uuid(const struct nbd_signature *s)
{
	return *s->uuid ? s->uuid : "none";
}

/* Appends one signature, or that there is none where one is known. */
static void add_text(const char *what, const struct nbd_signature *s,
		     const struct nbd_signature *known, char *buf, size_t size)
{
	char type[sizeof(s->type)], uuid[NBD_UUID_MAX];
	size_t used = strlen(buf);

	if (!*known->uuid && !*s->uuid)
		return;
	nbd_sanitize(type, sizeof(type), s->type, strlen(s->type));
	nbd_sanitize(uuid, sizeof(uuid), nbd_identity_uuid(s),
		     strlen(nbd_identity_uuid(s)));
	snprintf(buf + used, size - used, "%s%s%s%s UUID %s",
		 used ? ", " : "", what, *type ? " " : "", type, uuid);
}

char *nbd_identity_text(const struct nbd_identity *id,
			const struct nbd_identity *known, char *buf, size_t size)
{
	*buf = '\0';
	add_text("partition table", &id->table, &known->table, buf, size);
	add_text("file system", &id->fs, &known->fs, buf, size);
	if (!*buf)
		snprintf(buf, size, "no UUID");
	return buf;
}
