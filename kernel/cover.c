// SPDX-License-Identifier: GPL-2.0
/* What has come of a structured reply. */
#include "cover.h"

static void remove_part(struct nbd_cover *cover, __u32 at)
{
	cover->nr--;
	for (; at < cover->nr; at++)
		cover->part[at] = cover->part[at + 1];
}

static enum nbd_verdict insert_part(struct nbd_cover *cover, __u32 at, __u32 from, __u32 to)
{
	__u32 i;

	if (cover->nr == NBD_COVER_MAX)
		return NBD_CHUNK_SCATTERED;
	for (i = cover->nr++; i > at; i--)
		cover->part[i] = cover->part[i - 1];
	cover->part[at].from = from;
	cover->part[at].to = to;
	return NBD_REPLY_OK;
}

enum nbd_verdict nbd_cover_add(struct nbd_cover *cover, __u32 from, __u32 to)
{
	__u32 at = 0, next;
	bool behind;

	while (at < cover->nr && cover->part[at].to < from)
		at++;
	behind = at < cover->nr && cover->part[at].to == from;
	next = at + behind;
	if (next < cover->nr && cover->part[next].from < to)
		return NBD_CHUNK_OVERLAP;
	if (!behind && next < cover->nr && cover->part[next].from == to) {
		cover->part[next].from = from;
		return NBD_REPLY_OK;
	}
	if (!behind)
		return insert_part(cover, at, from, to);
	cover->part[at].to = to;
	if (next < cover->nr && cover->part[next].from == to) {
		cover->part[at].to = cover->part[next].to;
		remove_part(cover, next);
	}
	return NBD_REPLY_OK;
}

bool nbd_cover_is_whole(const struct nbd_cover *cover, __u32 len)
{
	return cover->nr == 1 && !cover->part[0].from && cover->part[0].to == len;
}
