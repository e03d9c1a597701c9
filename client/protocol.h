/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Numbers and layouts of the handshake: proto.md, "Handshake phase" and
 * "Option types". The transmission phase is in <linux/nbd.h>.
 */
#ifndef NBD_PROTOCOL_H
#define NBD_PROTOCOL_H

#include <linux/types.h>

#include "util.h"

#define NBD_INIT_MAGIC		0x4e42444d41474943ULL	/* NBDMAGIC */
#define NBD_OPTION_MAGIC	0x49484156454f5054ULL	/* IHAVEOPT */
#define NBD_OLDSTYLE_MAGIC	0x00420281861253ULL
#define NBD_OPTION_REPLY_MAGIC	0x0003e889045565a9ULL

/* Handshake flags, from the server, and client flags, in answer to them. */
#define NBD_FLAG_FIXED_NEWSTYLE		BIT(0)
#define NBD_FLAG_NO_ZEROES		BIT(1)
#define NBD_FLAG_C_FIXED_NEWSTYLE	BIT(0)
#define NBD_FLAG_C_NO_ZEROES		BIT(1)

enum {
	NBD_OPT_EXPORT_NAME = 1,
	NBD_OPT_ABORT = 2,
	NBD_OPT_LIST = 3,
	NBD_OPT_STARTTLS = 5,
	NBD_OPT_INFO = 6,
	NBD_OPT_GO = 7,
	NBD_OPT_STRUCTURED_REPLY = 8,
};

/* Transmission flags that <linux/nbd.h> has no use for. */
#define NBD_FLAG_SEND_DF		BIT(7)
#define NBD_FLAG_SEND_RESIZE		BIT(9)
#define NBD_FLAG_SEND_CACHE		BIT(10)
#define NBD_FLAG_SEND_FAST_ZERO		BIT(11)

#define NBD_REP_ERROR_BIT BIT(31)
enum {
	NBD_REP_ACK = 1,
	NBD_REP_SERVER = 2,
	NBD_REP_INFO = 3,
	NBD_REP_ERR_UNSUP = 1,	/* the errors: without NBD_REP_ERROR_BIT */
	NBD_REP_ERR_POLICY = 2,
	NBD_REP_ERR_INVALID = 3,
	NBD_REP_ERR_PLATFORM = 4,
	NBD_REP_ERR_TLS_REQD = 5,
	NBD_REP_ERR_UNKNOWN = 6,
	NBD_REP_ERR_SHUTDOWN = 7,
	NBD_REP_ERR_BLOCK_SIZE_REQD = 8,
	NBD_REP_ERR_TOO_BIG = 9,
	NBD_REP_ERR_EXT_HEADER_REQD = 10,
};

enum {
	NBD_INFO_EXPORT = 0,
	NBD_INFO_NAME = 1,
	NBD_INFO_DESCRIPTION = 2,
	NBD_INFO_BLOCK_SIZE = 3,
};

struct nbd_hs_greeting {
	__be64 magic;
	__be64 style;
	__be16 flags;
} __packed;

struct nbd_hs_option {
	__be64 magic;
	__be32 option;
	__be32 length;
} __packed;

struct nbd_hs_reply {
	__be64 magic;
	__be32 option;
	__be32 type;
	__be32 length;
} __packed;

/* Answer to NBD_OPT_EXPORT_NAME; 124 zero bytes follow unless NO_ZEROES. */
struct nbd_hs_export {
	__be64 size;
	__be16 flags;
} __packed;
#define NBD_HS_ZEROES 124

struct nbd_hs_info_export {
	__be16 type;
	__be64 size;
	__be16 flags;
} __packed;

struct nbd_hs_info_block_size {
	__be16 type;
	__be32 minimum;
	__be32 preferred;
	__be32 maximum;
} __packed;

#endif /* NBD_PROTOCOL_H */
