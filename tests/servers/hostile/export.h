/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the server tells about its one export, and the limits it enforces.
 * Set by options and the control socket, read by the handshake and transmission.
 */
#ifndef NBD_TEST_EXPORT_H
#define NBD_TEST_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#define TRIM_MAX_DEFAULT	UINT32_MAX

/**
 * struct export - the export
 * @name:	name to be asked for; empty: any name will do
 * @size:	bytes told to the client
 * @flags:	NBD_FLAG_*
 * @tell_blocks: the block size constraints are told to the client
 * @hide:	size and flags are not told in answer to GO and INFO
 * @block_min:	block size constraints
 * @block_pref:	see above
 * @block_max:	see above
 * @limit_min:	EINVAL for a request that is not aligned to that; 0: any
 * @limit_max:	EINVAL for a longer READ or WRITE; 0: any
 * @limit_trim:	EINVAL for a longer TRIM or WRITE_ZEROES; 0: any
 * @old_style_go: NBD_OPT_GO and NBD_OPT_INFO are unknown
 * @structured:	NBD_OPT_STRUCTURED_REPLY is known: a READ is answered in chunks
 * @deaf_disc:	DISC does not end the connection
 * @talk_disc:	DISC is answered
 * @pattern:	WRITE payload is checked: each 512-byte sector starts with its
 *		offset, big-endian
 */
struct export {
	char name[256];
	uint64_t size;
	uint16_t flags;
	bool tell_blocks, hide;
	uint32_t block_min, block_pref, block_max;
	uint32_t limit_min, limit_max, limit_trim;
	bool old_style_go;
	bool structured;
	bool deaf_disc, talk_disc;
	bool pattern;
};

extern struct export export;

/* Parse "flush,fua,trim,-multi,0x8000": adds to or takes from @flags; false if unknown. */
bool export_parse_flags(const char *text, uint16_t *flags);

#endif /* NBD_TEST_EXPORT_H */
