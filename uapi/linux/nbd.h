/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Network block device: the ioctl interface of /dev/nbdX and the wire format
 * of the transmission phase.
 *
 * Numbers and layouts are those of the mainline kernel's header of the same
 * name, so that a program built with either runs with both. "proto.md" is the
 * protocol specification, doc/proto.md of the NBD project.
 */
#ifndef _UAPI_LINUX_NBD_H
#define _UAPI_LINUX_NBD_H

#include <linux/types.h>

/*
 * ioctl interface. The order is: SET_BLKSIZE, SET_SIZE or SET_SIZE_BLOCKS,
 * SET_FLAGS, SET_TIMEOUT in any order, SET_SOCK once a connection, DO_IT.
 * All need CAP_SYS_ADMIN (EPERM). A device that was attached over netlink takes only
 * DISCONNECT, CLEAR_SOCK and what does nothing, and refuses the others with EINVAL.
 * While it is attached by ioctl, size and timeout can be changed; what is not as it was,
 * SET_SOCK and DO_IT are refused with EBUSY. So are SET_SOCK while another process has given
 * sockets, and all SET_* while the device is being attached or is not free yet, or somebody
 * else has it open since before the last attachment ended; they wait some seconds for the
 * two latter (EINTR). ENXIO: the disk that is open was replaced by another one.
 */
/*
 * int fd of a connected, negotiated stream socket; EBADF, ENOTSOCK, EINVAL, EOPNOTSUPP
 * (kernel TLS, repair mode), ENOTCONN, EBUSY, ENOSPC (1024 are set), ENOMEM
 */
#define NBD_SET_SOCK		_IO(0xab, 0)
/* bytes, power of two from 512 to the page size, 0 means 1024; EINVAL */
#define NBD_SET_BLKSIZE		_IO(0xab, 1)
/* bytes; EINVAL */
#define NBD_SET_SIZE		_IO(0xab, 2)
/*
 * serves the device; returns when it is detached: 0, ETIMEDOUT, EINTR; at once if it cannot
 * be attached: EINVAL (what was set), EBUSY, ENOTCONN, EOPNOTSUPP, ENOMEM
 */
#define NBD_DO_IT		_IO(0xab, 3)
/* as NBD_DISCONNECT; and forgets the sockets that were set */
#define NBD_CLEAR_SOCK		_IO(0xab, 4)
/* accepted, does nothing */
#define NBD_CLEAR_QUE		_IO(0xab, 5)
/* accepted, does nothing */
#define NBD_PRINT_DEBUG		_IO(0xab, 6)
/* size in blocks, of the block size that is set by then; EINVAL on overflow */
#define NBD_SET_SIZE_BLOCKS	_IO(0xab, 7)
/* says goodbye to the servers where that does not wait, and detaches; requests fail */
#define NBD_DISCONNECT		_IO(0xab, 8)
/* seconds until a request is failed over, 0 means never; EINVAL above 2^32-1 */
#define NBD_SET_TIMEOUT		_IO(0xab, 9)
/* transmission flags, NBD_FLAG_* below */
#define NBD_SET_FLAGS		_IO(0xab, 10)

/* Request types: proto.md, "Request types". */
enum {
	NBD_CMD_READ		= 0,
	NBD_CMD_WRITE		= 1,
	NBD_CMD_DISC		= 2,	/* has no reply */
	NBD_CMD_FLUSH		= 3,
	NBD_CMD_TRIM		= 4,
	NBD_CMD_WRITE_ZEROES	= 6,
};

/* Transmission flags, from the server: proto.md, "Transmission flags". */
#define NBD_FLAG_HAS_FLAGS		(1 << 0) /* the others are valid */
#define NBD_FLAG_READ_ONLY		(1 << 1)
#define NBD_FLAG_SEND_FLUSH		(1 << 2) /* NBD_CMD_FLUSH works */
#define NBD_FLAG_SEND_FUA		(1 << 3) /* NBD_CMD_FLAG_FUA works */
#define NBD_FLAG_ROTATIONAL		(1 << 4)
#define NBD_FLAG_SEND_TRIM		(1 << 5) /* NBD_CMD_TRIM works */
#define NBD_FLAG_SEND_WRITE_ZEROES	(1 << 6) /* NBD_CMD_WRITE_ZEROES works */
#define NBD_FLAG_CAN_MULTI_CONN		(1 << 8) /* one cache for all connections */

/* Command flags, as they stand in the 32-bit type field of struct nbd_request. */
#define NBD_CMD_FLAG_FUA	(1 << 16)	/* on stable storage before the reply */
#define NBD_CMD_FLAG_NO_HOLE	(1 << 17)	/* WRITE_ZEROES keeps blocks allocated */

/* Client flags: what the driver shall do, unknown to the server. */
#define NBD_CFLAG_DESTROY_ON_DISCONNECT	(1 << 0) /* remove the device on detach */
#define NBD_CFLAG_DISCONNECT_ON_CLOSE	(1 << 1) /* detach when the last opener closes */

#define NBD_REQUEST_MAGIC	0x25609513
#define NBD_REPLY_MAGIC		0x67446698

/**
 * struct nbd_request - header of a request: proto.md, "Request message"
 * @magic:	NBD_REQUEST_MAGIC
 * @type:	request type in the low 16 bits, command flags in the high 16
 * @cookie:	opaque to the server, which returns it with the reply
 * @handle:	the older name of @cookie
 * @from:	offset in bytes
 * @len:	length in bytes; a WRITE's payload of that length follows
 */
struct nbd_request {
	__be32 magic;
	__be32 type;
	union {
		__be64 cookie;
		char handle[8];
	};
	__be64 from;
	__be32 len;
} __attribute__((packed));

/**
 * struct nbd_reply - header of a simple reply: proto.md, "Simple reply message"
 * @magic:	NBD_REPLY_MAGIC
 * @error:	0, or one of the protocol's error numbers
 * @cookie:	from the request
 * @handle:	the older name of @cookie
 *
 * The payload of a successful READ follows.
 */
struct nbd_reply {
	__be32 magic;
	__be32 error;
	union {
		__be64 cookie;
		char handle[8];
	};
};

#endif /* _UAPI_LINUX_NBD_H */
