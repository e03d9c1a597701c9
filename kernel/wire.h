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

/* Structured replies: proto.md, "Structured reply chunk message". */
#define NBD_CHUNK_SIZE		20	/* the header */
#define NBD_CHUNK_DATA_SIZE	8	/* what is before the data of NBD_CHUNK_DATA */
#define NBD_CHUNK_HOLE_SIZE	12	/* all of NBD_CHUNK_HOLE */
#define NBD_CHUNK_ERROR_SIZE	6	/* what is before the text of an error */
#define NBD_CHUNK_WHERE_SIZE	8	/* what is behind it in NBD_CHUNK_ERROR_WHERE */
#define NBD_CHUNK_TEXT_MAX	4096
/* An error of a type to come may have so much behind its text. */
#define NBD_CHUNK_ERROR_MAX	(NBD_CHUNK_ERROR_SIZE + 2 * NBD_CHUNK_TEXT_MAX)

#define NBD_CHUNK_DONE		1	/* flag: the last one of the reply */
#define NBD_CHUNK_IS_ERROR	0x8000	/* of all types with this bit so much is known */

enum nbd_chunk_type {
	NBD_CHUNK_NONE = 0,
	NBD_CHUNK_DATA = 1,
	NBD_CHUNK_HOLE = 2,
	NBD_CHUNK_ERROR = 0x8001,
	NBD_CHUNK_ERROR_WHERE = 0x8002,
};

/**
 * enum nbd_verdict - what a reply is, and why it cannot be one
 * @NBD_REPLY_OK:		a simple reply, or a chunk that is in order
 * @NBD_REPLY_STRUCTURED:	the magic of a structured reply
 * @NBD_REPLY_BAD_MAGIC:	not a reply at all
 * @NBD_REPLY_SIMPLE_READ:	a READ is answered in the simple way where structured replies
 *				were agreed on
 * @NBD_CHUNK_UNKNOWN:		a type that is unknown and no error
 * @NBD_CHUNK_BAD_LENGTH:	a length that its type cannot have
 * @NBD_CHUNK_NOT_LAST:		a chunk without content that does not end the reply
 * @NBD_CHUNK_CONTENT:		content for what is no READ
 * @NBD_CHUNK_OUTSIDE:		about bytes that were not asked for
 * @NBD_CHUNK_OVERLAP:		about bytes that have come before
 * @NBD_CHUNK_SCATTERED:	too many parts that do not touch
 * @NBD_CHUNK_BAD_TEXT:		an error text that is longer than its chunk, or than any may be
 * @NBD_CHUNK_LACKS:		the end of a reply of which something has not come
 */
enum nbd_verdict {
	NBD_REPLY_OK,
	NBD_REPLY_STRUCTURED,
	NBD_REPLY_BAD_MAGIC,
	NBD_REPLY_SIMPLE_READ,
	NBD_CHUNK_UNKNOWN,
	NBD_CHUNK_BAD_LENGTH,
	NBD_CHUNK_NOT_LAST,
	NBD_CHUNK_CONTENT,
	NBD_CHUNK_OUTSIDE,
	NBD_CHUNK_OVERLAP,
	NBD_CHUNK_SCATTERED,
	NBD_CHUNK_BAD_TEXT,
	NBD_CHUNK_LACKS,
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

/**
 * struct nbd_wire_chunk - a decoded header of a chunk
 * @flags:	NBD_CHUNK_DONE and others, which mean nothing
 * @type:	enum nbd_chunk_type, or another error
 * @length:	bytes that follow
 */
struct nbd_wire_chunk {
	__u16 flags;
	__u16 type;
	__u32 length;
};

/* Writes the header; @flags are NBD_CMD_FLAG_*, which are in the high 16 bits. */
void nbd_wire_encode(struct nbd_request *header, __u32 type, __u32 flags,
		     __u64 cookie, __u64 from, __u32 len);

/* @reply is only written for NBD_REPLY_OK. */
enum nbd_verdict nbd_wire_decode(const struct nbd_reply *header,
				 struct nbd_wire_reply *reply);

/*
 * Decodes the NBD_CHUNK_SIZE bytes of a header whose magic is that of a structured reply, and
 * judges what needs no request for that. @chunk is written in any case.
 */
enum nbd_verdict nbd_wire_decode_chunk(const __u8 *header, struct nbd_wire_chunk *chunk);

/* The cookie is in all headers at the same place. */
__u64 nbd_wire_cookie(const __u8 *header);

/* Numbers at any address, in the protocol's byte order. */
__u16 nbd_wire_be16(const __u8 *at);
__u32 nbd_wire_be32(const __u8 *at);
__u64 nbd_wire_be64(const __u8 *at);

/* What could steer a terminal, or is no ASCII, becomes a question mark. */
void nbd_wire_clean(char *text, __u32 len);

const char *nbd_verdict_text(enum nbd_verdict verdict);

/*
 * The negative errno that a server's error number means: proto.md, "Error
 * values". A number that the protocol does not know means -EIO.
 */
int nbd_wire_errno(__u32 error);

/*
 * A cookie is the index of the command in its session's table and a
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
