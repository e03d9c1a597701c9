// SPDX-License-Identifier: GPL-2.0
/* The transmission phase on the wire, without any state. */
#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <asm/byteorder.h>
#else
#include <assert.h>
#include <stdbool.h>
#include <endian.h>
#include <errno.h>
#define cpu_to_be32(x)	htobe32(x)
#define cpu_to_be64(x)	htobe64(x)
#define be32_to_cpu(x)	be32toh(x)
#define be64_to_cpu(x)	be64toh(x)
#endif
#include "wire.h"

#define NBD_STRUCTURED_REPLY_MAGIC	0x668e33ef

static_assert(sizeof(struct nbd_request) == NBD_REQUEST_SIZE);
static_assert(sizeof(struct nbd_reply) == NBD_REPLY_SIZE);

void nbd_wire_encode(struct nbd_request *header, __u32 type, __u32 flags,
		     __u64 cookie, __u64 from, __u32 len)
{
	header->magic = cpu_to_be32(NBD_REQUEST_MAGIC);
	header->type = cpu_to_be32(type | flags);
	header->cookie = cpu_to_be64(cookie);
	header->from = cpu_to_be64(from);
	header->len = cpu_to_be32(len);
}

enum nbd_verdict nbd_wire_decode(const struct nbd_reply *header,
				 struct nbd_wire_reply *reply)
{
	__u32 magic = be32_to_cpu(header->magic);

	if (magic == NBD_STRUCTURED_REPLY_MAGIC)
		return NBD_REPLY_STRUCTURED;
	if (magic != NBD_REPLY_MAGIC)
		return NBD_REPLY_BAD_MAGIC;
	reply->cookie = be64_to_cpu(header->cookie);
	reply->error = be32_to_cpu(header->error);
	return NBD_REPLY_OK;
}

__u16 nbd_wire_be16(const __u8 *at)
{
	return at[0] << 8 | at[1];
}

__u32 nbd_wire_be32(const __u8 *at)
{
	return (__u32)nbd_wire_be16(at) << 16 | nbd_wire_be16(at + 2);
}

__u64 nbd_wire_be64(const __u8 *at)
{
	return (__u64)nbd_wire_be32(at) << 32 | nbd_wire_be32(at + 4);
}

__u64 nbd_wire_cookie(const __u8 *header)
{
	return nbd_wire_be64(header + 8);
}

static enum nbd_verdict judge_error(const struct nbd_wire_chunk *chunk)
{
	__u32 least = NBD_CHUNK_ERROR_SIZE;

	if (chunk->type == NBD_CHUNK_ERROR_WHERE)
		least += NBD_CHUNK_WHERE_SIZE;
	if (chunk->length < least || chunk->length > NBD_CHUNK_ERROR_MAX)
		return NBD_CHUNK_BAD_LENGTH;
	return NBD_REPLY_OK;
}

enum nbd_verdict nbd_wire_decode_chunk(const __u8 *header, struct nbd_wire_chunk *chunk)
{
	bool good;

	chunk->flags = nbd_wire_be16(header + 4);
	chunk->type = nbd_wire_be16(header + 6);
	chunk->length = nbd_wire_be32(header + 16);
	switch (chunk->type) {
	case NBD_CHUNK_DATA:
		good = chunk->length > NBD_CHUNK_DATA_SIZE;
		break;
	case NBD_CHUNK_HOLE:
		good = chunk->length == NBD_CHUNK_HOLE_SIZE;
		break;
	case NBD_CHUNK_NONE:
		if (!(chunk->flags & NBD_CHUNK_DONE))
			return NBD_CHUNK_NOT_LAST;
		good = !chunk->length;
		break;
	default:
		if (chunk->type & NBD_CHUNK_IS_ERROR)
			return judge_error(chunk);
		return NBD_CHUNK_UNKNOWN;
	}
	return good ? NBD_REPLY_OK : NBD_CHUNK_BAD_LENGTH;
}

void nbd_wire_clean(char *text, __u32 len)
{
	__u32 i;

	for (i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
}

const char *nbd_verdict_text(enum nbd_verdict verdict)
{
	switch (verdict) {
	case NBD_REPLY_OK:
		return "valid reply";
	case NBD_REPLY_STRUCTURED:
		return "structured reply that was not negotiated";
	case NBD_REPLY_BAD_MAGIC:
		return "wrong magic in a reply";
	case NBD_REPLY_SIMPLE_READ:
		return "simple reply to a READ";
	case NBD_CHUNK_UNKNOWN:
		return "chunk of an unknown type";
	case NBD_CHUNK_BAD_LENGTH:
		return "chunk of a length that its type cannot have";
	case NBD_CHUNK_NOT_LAST:
		return "empty chunk that ends no reply";
	case NBD_CHUNK_CONTENT:
		return "content for a request that is no READ";
	case NBD_CHUNK_OUTSIDE:
		return "chunk outside of its request";
	case NBD_CHUNK_OVERLAP:
		return "chunk of bytes that have come before";
	case NBD_CHUNK_SCATTERED:
		return "reply in too many scattered parts";
	case NBD_CHUNK_BAD_TEXT:
		return "error text longer than its chunk";
	case NBD_CHUNK_LACKS:
		return "end of a reply that lacks data";
	}
	return "unknown reply";
}

int nbd_wire_errno(__u32 error)
{
	/* The protocol's numbers are Linux' own, on every architecture alike. */
	switch (error) {
	case 0:
		return 0;
	case 1:
		return -EPERM;
	case 12:
		return -ENOMEM;
	case 22:
		return -EINVAL;
	case 28:
		return -ENOSPC;
	case 75:
		return -EOVERFLOW;
	case 95:
		return -EOPNOTSUPP;
	case 108:
		return -ESHUTDOWN;
	default:
		return -EIO;
	}
}
