/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What has come of a structured reply: which bytes of the request, and the first error.
 *
 * Pure as wire.h is. A server may send the parts of a read in any order, each once. Parts
 * that touch become one, so a server that goes from one end to the other needs one entry.
 */
#ifndef _NBD_COVER_H
#define _NBD_COVER_H

#ifndef __KERNEL__
#include <stdbool.h>
#endif
#include "wire.h"

/* Parts that do not touch; a server that scatters more of them is given up. */
#define NBD_COVER_MAX	16

/**
 * struct nbd_cover - what has come for one request
 * @error:	the server's first error number, 0 for none
 * @nr:		entries of @part
 * @part:	bytes from @from up to @to, which is not in it; ascending, and none touches
 *		another
 */
struct nbd_cover {
	__u32 error;
	__u32 nr;
	struct {
		__u32 from;
		__u32 to;
	} part[NBD_COVER_MAX];
};

/* Nothing has come; when the request is sent, also again. */
static inline void nbd_cover_init(struct nbd_cover *cover)
{
	cover->error = 0;
	cover->nr = 0;
}

/*
 * Bytes @from up to @to have come, at least one: NBD_REPLY_OK, or NBD_CHUNK_OVERLAP or
 * NBD_CHUNK_SCATTERED, and nothing has changed.
 */
enum nbd_verdict nbd_cover_add(struct nbd_cover *cover, __u32 from, __u32 to);

/* All @len bytes have come. */
bool nbd_cover_is_whole(const struct nbd_cover *cover, __u32 len);

#endif /* _NBD_COVER_H */
