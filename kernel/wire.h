/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The transmission phase on the wire: encode requests, decode and judge replies.
 *
 * Pure functions without any kernel state, so that KUnit, the userspace unit
 * tests and the fuzzers run the very code that the driver runs. Nothing here
 * looks anything up: a reply that is well-formed may still be nobody's.
 */
#ifndef _NBD_WIRE_H
#define _NBD_WIRE_H

#include <linux/types.h>
#include <linux/nbd.h>

#define NBD_REQUEST_SIZE	28
#define NBD_REPLY_SIZE		16

/**
 * enum nbd_verdict - what a reply header is
 * @NBD_REPLY_OK:		a simple reply
 * @NBD_REPLY_STRUCTURED:	the magic of a structured reply, which was not negotiated
 * @NBD_REPLY_BAD_MAGIC:	not a reply at all
 */
enum nbd_verdict {
	NBD_REPLY_OK,
	NBD_REPLY_STRUCTURED,
	NBD_REPLY_BAD_MAGIC,
};

/**
 * struct nbd_wire_reply - a decoded simple reply
 * @cookie:	of the request that it claims to answer
 * @error:	0 or the server's error number, unjudged
 */
struct nbd_wire_reply {
	__u64 cookie;
	__u32 error;
};

/* Writes the header; @flags are NBD_CMD_FLAG_*, which are in the high 16 bits. */
void nbd_wire_encode(struct nbd_request *header, __u32 type, __u32 flags,
		     __u64 cookie, __u64 from, __u32 len);

/* @reply is only written for NBD_REPLY_OK. */
enum nbd_verdict nbd_wire_decode(const struct nbd_reply *header,
				 struct nbd_wire_reply *reply);

const char *nbd_verdict_text(enum nbd_verdict verdict);

/*
 * The negative errno that a server's error number means: proto.md, "Error
 * values". A number that the protocol does not know means -EIO.
 */
int nbd_wire_errno(__u32 error);

/*
 * A cookie is the index of the command in its connection's table and a
 * generation, which is never the same twice in 2^32 requests of a connection.
 */
static inline __u64 nbd_cookie(__u32 generation, __u32 index)
{
	return (__u64)generation << 32 | index;
}

static inline __u32 nbd_cookie_index(__u64 cookie)
{
	return (__u32)cookie;
}

static inline __u32 nbd_cookie_generation(__u64 cookie)
{
	return cookie >> 32;
}

#endif /* _NBD_WIRE_H */
