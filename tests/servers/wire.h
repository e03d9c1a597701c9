/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The handshake's wire format, and what <linux/nbd.h> does not hold of the
 * transmission phase. Everything is big-endian. "proto.md" is doc/proto.md of
 * the NBD project. Shared by the test servers and the bench client.
 */
#ifndef NBD_TEST_WIRE_H
#define NBD_TEST_WIRE_H

#include <endian.h>
#include <stdint.h>
#include <linux/nbd.h>

#include "../common.h"

#define NBD_INIT_MAGIC		0x4e42444d41474943ULL	/* "NBDMAGIC" */
#define NBD_OPTS_MAGIC		0x49484156454f5054ULL	/* "IHAVEOPT" */
#define NBD_OLD_MAGIC		0x0000420281861253ULL	/* oldstyle servers */
#define NBD_REP_MAGIC		0x0003e889045565a9ULL
#define NBD_STRUCTURED_MAGIC	0x668e33ef

/* Handshake flags of the server and the client: proto.md, "Handshake flags". */
#define NBD_HS_FIXED_NEWSTYLE	1
#define NBD_HS_NO_ZEROES	2

enum {
	NBD_OPT_EXPORT_NAME	= 1,
	NBD_OPT_ABORT		= 2,
	NBD_OPT_LIST		= 3,
	NBD_OPT_STARTTLS	= 5,
	NBD_OPT_INFO		= 6,
	NBD_OPT_GO		= 7,
	NBD_OPT_STRUCTURED	= 8,
	NBD_OPT_LIST_META	= 9,
	NBD_OPT_SET_META	= 10,
	NBD_OPT_EXTENDED	= 11,
};

#define NBD_REP_ERROR		0x80000000U
enum {
	NBD_REP_ACK			= 1,
	NBD_REP_SERVER			= 2,
	NBD_REP_INFO			= 3,
};

#define NBD_REP_ERR_UNSUP		(NBD_REP_ERROR | 1)
#define NBD_REP_ERR_POLICY		(NBD_REP_ERROR | 2)
#define NBD_REP_ERR_INVALID		(NBD_REP_ERROR | 3)
#define NBD_REP_ERR_PLATFORM		(NBD_REP_ERROR | 4)
#define NBD_REP_ERR_TLS_REQD		(NBD_REP_ERROR | 5)
#define NBD_REP_ERR_UNKNOWN		(NBD_REP_ERROR | 6)
#define NBD_REP_ERR_SHUTDOWN		(NBD_REP_ERROR | 7)
#define NBD_REP_ERR_BLOCK_SIZE_REQD	(NBD_REP_ERROR | 8)
#define NBD_REP_ERR_TOO_BIG		(NBD_REP_ERROR | 9)

enum {
	NBD_INFO_EXPORT		= 0,
	NBD_INFO_NAME		= 1,
	NBD_INFO_DESCRIPTION	= 2,
	NBD_INFO_BLOCK_SIZE	= 3,
};

/* Error numbers of replies: proto.md, "Error values". */
enum {
	NBD_EPERM	= 1,
	NBD_EIO		= 5,
	NBD_ENOMEM	= 12,
	NBD_EINVAL	= 22,
	NBD_ENOSPC	= 28,
	NBD_EOVERFLOW	= 75,
	NBD_ENOTSUP	= 95,
	NBD_ESHUTDOWN	= 108,
};

/* What the server sends first. */
struct nbd_greeting {
	uint64_t magic;		/* NBD_INIT_MAGIC */
	uint64_t version;	/* NBD_OPTS_MAGIC */
	uint16_t flags;
} __packed;

/* Header of an option; @length bytes follow. */
struct nbd_option {
	uint64_t magic;		/* NBD_OPTS_MAGIC */
	uint32_t option;
	uint32_t length;
} __packed;

/* Header of an option reply; @length bytes follow. */
struct nbd_option_reply {
	uint64_t magic;		/* NBD_REP_MAGIC */
	uint32_t option;
	uint32_t type;
	uint32_t length;
} __packed;

/* Payload of an NBD_REP_INFO of type NBD_INFO_EXPORT. */
struct nbd_info_export {
	uint16_t type;
	uint64_t size;
	uint16_t flags;
} __packed;

/* Payload of an NBD_REP_INFO of type NBD_INFO_BLOCK_SIZE. */
struct nbd_info_block_size {
	uint16_t type;
	uint32_t minimum;
	uint32_t preferred;
	uint32_t maximum;
} __packed;

/* Answer to NBD_OPT_EXPORT_NAME; the zeroes are left out on request. */
struct nbd_export_reply {
	uint64_t size;
	uint16_t flags;
	uint8_t zeroes[124];
} __packed;

/* Header of a chunk of a structured reply; @length bytes follow. */
struct nbd_chunk {
	uint32_t magic;		/* NBD_STRUCTURED_MAGIC */
	uint16_t flags;
	uint16_t type;
	uint64_t cookie;
	uint32_t length;
} __packed;

#define CHUNK_DONE	1	/* flag */
enum {
	CHUNK_NONE	= 0,
	CHUNK_DATA	= 1,
	CHUNK_HOLE	= 2,
	CHUNK_ERROR	= 0x8001,
	CHUNK_ERROR_WHERE = 0x8002,
};

#endif /* NBD_TEST_WIRE_H */
