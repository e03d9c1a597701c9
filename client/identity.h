/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a disk has as identity: the UUIDs of its partition table, and of the file system,
 * LVM physical volume, LUKS container or swap area on it, under udev's names.
 *
 * udev has read them from the device; libblkid, which udev uses too, finds them in what
 * was read from a server. Neither is asked about partitions: what identifies a disk with
 * partitions is its table.
 */
#ifndef NBD_IDENTITY_H
#define NBD_IDENTITY_H

#include <stdbool.h>
#include <stdio.h>

#include "util.h"

#define NBD_UUID_MAX 80

/**
 * struct nbd_signature - one of the two
 * @type:	"ext4", "gpt", ...; empty if there is none
 * @uuid:	of it; empty if there is none, or it has none
 */
struct nbd_signature {
	char type[32];
	char uuid[NBD_UUID_MAX];
};

/**
 * struct nbd_identity - of one disk
 * @fs:		file system or what is in its place
 * @table:	partition table
 */
struct nbd_identity {
	struct nbd_signature fs;
	struct nbd_signature table;
};

/* Whether there is something that can be compared. */
bool nbd_identity_known(const struct nbd_identity *id);

/*
 * What udev knew of the device last; nothing without udev, or if that was of another disk
 * (disk sequence number). Waits for nothing.
 */
void nbd_identity_of_device(struct nbd_identity *id, s32 index);

/* The same from the text of udev's database; returns the disk sequence number, or 0. */
u64 nbd_identity_parse(struct nbd_identity *id, FILE *file);

/**
 * nbd_identity_find - what libblkid finds, asked as udev asks it
 * @id:		nothing if it finds nothing, or contradictory signatures
 * @fd:		file that looks like the disk
 * @block_size:	logical block size of the disk
 *
 * Return: 0 or a negative errno.
 */
int nbd_identity_find(struct nbd_identity *id, int fd, u32 block_size);

/*
 * Whether a disk where @found was found in NBD_PROBE_HEAD and NBD_PROBE_TAIL can be
 * the one where @known was. What is known must be found; that it is missing counts for the
 * kinds of signatures only that are sure to be there.
 */
bool nbd_identity_same(const struct nbd_identity *known,
		       const struct nbd_identity *found);

/* The UUID, or "none". */
const char *nbd_identity_uuid(const struct nbd_signature *s);

/*
 * "partition table gpt UUID ..., file system ext4 UUID ...", of what has a UUID in @id or in
 * @known, or "no UUID"; printable. Returns @buf.
 */
#define NBD_IDENTITY_TEXT_MAX 320
char *nbd_identity_text(const struct nbd_identity *id,
			const struct nbd_identity *known, char *buf, size_t size);

#endif /* NBD_IDENTITY_H */
