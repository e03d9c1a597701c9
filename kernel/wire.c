// SPDX-License-Identifier: GPL-2.0
/* The transmission phase on the wire, without any state. */
#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <asm/byteorder.h>
#else
#include <assert.h>
#include <endian.h>
#include <errno.h>
#define cpu_to_be32(x)	htobe32(x)
#define cpu_to_be64(x)	htobe64(x)
#define be32_to_cpu(x)	be32toh(x)
#define be64_to_cpu(x)	be64toh(x)
#endif
#include "wire.h"

/* Structured replies: proto.md, "Structured reply chunk message". */
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

const char *nbd_verdict_text(enum nbd_verdict verdict)
{
	switch (verdict) {
	case NBD_REPLY_OK:
		return "valid reply";
	case NBD_REPLY_STRUCTURED:
		return "structured reply that was not negotiated";
	case NBD_REPLY_BAD_MAGIC:
		return "wrong magic in a reply";
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
