/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Network block device: the generic netlink family "nbd".
 *
 * Numbers below NBD_ATTR_EXT_FIRST are the mainline kernel's, with mainline's
 * meaning. The others are extensions: a client recognises those that commands may have
 * by asking the generic netlink controller for the family's policy
 * (CTRL_CMD_GETPOLICY), never by a version number. All commands but STATUS need
 * CAP_SYS_ADMIN in the initial user namespace (EPERM). An attribute that is too short, or
 * a string that is too long, is refused before the driver sees it (ERANGE). Every refusal by
 * the driver carries an extended-ack sentence, but EINTR, which only a task meets that is
 * being killed. Unless said otherwise, a refused command has changed nothing.
 *
 * NBD_CMD_CONNECT: attach a device.
 *   NBD_ATTR_INDEX               which device; absent: a free one, made if there is none
 *   NBD_ATTR_SIZE_BYTES          required, below 2^63; the disk ends at the last whole block
 *   NBD_ATTR_BLOCK_SIZE_BYTES    512..page size, power of two; 0 or absent: 1024
 *   NBD_ATTR_SOCKETS             required: nest of NBD_SOCK_ITEM, each a nest with
 *                                NBD_SOCK_FD, a connected TCP or AF_UNIX stream socket
 *                                that has finished its handshake; TCP may have
 *                                kernel TLS (TCP_ULP "tls") with both keys
 *   NBD_ATTR_TIMEOUT, NBD_ATTR_DEAD_CONN_TIMEOUT, NBD_ATTR_SERVER_FLAGS,
 *   NBD_ATTR_CLIENT_FLAGS, NBD_ATTR_BACKEND_IDENTIFIER, NBD_ATTR_BLOCK_MIN,
 *   NBD_ATTR_BLOCK_PREFERRED, NBD_ATTR_BLOCK_MAX, NBD_ATTR_QUEUE_DEPTH,
 *   NBD_ATTR_SLOW_TIMEOUT, NBD_ATTR_WRITE_POLICY, NBD_ATTR_KEEPER, NBD_ATTR_READ_AHEAD,
 *   NBD_ATTR_STRUCTURED, NBD_ATTR_TLS_SECRETS
 *   Reply: NBD_ATTR_INDEX, NBD_ATTR_SESSION_ID.
 *   Errors: EINVAL (an argument), EBUSY (the device is in use, or open and another
 *   NBD_ATTR_QUEUE_DEPTH is asked for; before Linux 6.3, it is open since before the last
 *   detach, and a cgroup may hold back what was written to it; the socket has another user
 *   in the kernel), EBADF, ENOTSOCK, ENOTCONN (the socket), EOPNOTSUPP (a socket with
 *   kernel TLS that lacks the keys of a direction, or in repair mode), ENOMEM, ENOSPC (no
 *   index is free), ENODEV (the module is being removed), ESHUTDOWN (the machine goes down),
 *   EINTR (killed while the device of that index was being attached, detached or removed).
 *
 * NBD_CMD_DISCONNECT: detach. The servers are told goodbye where that does not
 *   wait, in-flight requests fail, and the command returns when the session is gone,
 *   or after less than two seconds: pages that were written and are held back (by a
 *   cgroup's limit), or a task that keeps a socket locked, may take longer. Then the
 *   device is NBD_STATE_CLOSING, NBD_ATTR_CAUSE says why, and CONNECT is refused until
 *   it is free. With NBD_ATTR_IF_UNUSED it may wait some seconds longer.
 *   NBD_ATTR_INDEX               required
 *   NBD_ATTR_IF_UNUSED           flag: EBUSY while the device is open
 *   NBD_ATTR_SESSION_ID          ESTALE unless the attachment is that one
 *   No error for a device that is not attached, unless NBD_ATTR_SESSION_ID is given; EINVAL
 *   if there is none of that index.
 *
 * NBD_CMD_RECONFIGURE: change an attached device.
 *   NBD_ATTR_INDEX               required
 *   NBD_ATTR_SOCKETS             new connections for the dead ones, in order; with
 *                                NBD_ATTR_REPLACE for all of them
 *   NBD_ATTR_STRUCTURED          how they were negotiated
 *   NBD_ATTR_TLS_SECRETS         what their keys come from
 *   NBD_ATTR_REPLACE             flag: the sockets given become the device's only
 *                                connections, however many there were; the old ones
 *                                retire: what is in flight there is sent again when
 *                                they die or exceed NBD_ATTR_TIMEOUT, and not before
 *   NBD_ATTR_REPLACE_NOW         flag, with NBD_ATTR_REPLACE: the old connections, and
 *                                those that retire already, are given up at once, and
 *                                what is in flight there is sent again
 *   NBD_ATTR_SIZE_BYTES, NBD_ATTR_TIMEOUT, NBD_ATTR_DEAD_CONN_TIMEOUT,
 *   NBD_ATTR_CLIENT_FLAGS, NBD_ATTR_BLOCK_SIZE_BYTES (compared),
 *   NBD_ATTR_BACKEND_IDENTIFIER (compared, and required, if the device has one),
 *   NBD_ATTR_SERVER_FLAGS (compared: EINVAL if the new server lacks something that
 *   the device relies on), NBD_ATTR_SLOW_TIMEOUT, NBD_ATTR_SESSION_ID (compared)
 *   NBD_ATTR_KEEPER              with NBD_ATTR_REPLACE: the new keeper. Without: ESTALE if
 *                                the attachment has another one; it is the keeper then if
 *                                there was none
 *   Reply, only if NBD_ATTR_SESSION_ID or NBD_ATTR_REPLACE was given:
 *   NBD_ATTR_INDEX, NBD_ATTR_SOCKETS_USED, NBD_ATTR_SOCKETS_CLOSED.
 *   Sockets beyond the number of dead connections are not used and stay the
 *   caller's; mainline's success for that is kept, the reply tells.
 *   Errors: EINVAL (an argument; no such device, or it is not attached over netlink and
 *   NBD_ATTR_SESSION_ID does not name the attachment; the new server lacks something),
 *   ESTALE (another attachment or keeper), ESHUTDOWN (it is being detached, or the
 *   machine goes down), EBUSY,
 *   EBADF, ENOTSOCK, ENOTCONN, EOPNOTSUPP (the sockets, as CONNECT), ENOMEM, EINTR (killed
 *   while another command was under way).
 *
 * NBD_CMD_STATUS: without NLM_F_DUMP as mainline: one reply with
 *   NBD_ATTR_DEVICE_LIST, of one device (NBD_ATTR_INDEX) or of all; EINVAL (an index that
 *   cannot be), ENOMEM, EMSGSIZE when the list does not fit into one attribute (64 KiB).
 *   With NLM_F_DUMP one message a device: NBD_ATTR_INDEX, NBD_ATTR_STATE and
 *   NBD_ATTR_OPENERS, and while a session exists NBD_ATTR_SINCE_MS, NBD_ATTR_CAUSE (if
 *   a connection was lost, or while it is being detached), NBD_ATTR_SESSION_ID,
 *   NBD_ATTR_PID, NBD_ATTR_KEEPER and NBD_ATTR_KEEPER_PID (if there is one),
 *   NBD_ATTR_SIZE_BYTES, NBD_ATTR_BLOCK_SIZE_BYTES, NBD_ATTR_TIMEOUT,
 *   NBD_ATTR_DEAD_CONN_TIMEOUT, NBD_ATTR_SLOW_TIMEOUT, NBD_ATTR_SERVER_FLAGS,
 *   NBD_ATTR_QUEUE_DEPTH, NBD_ATTR_READ_AHEAD, NBD_ATTR_WRITE_POLICY,
 *   NBD_ATTR_BACKEND_IDENTIFIER (if there is one),
 *   NBD_ATTR_CONNS, NBD_ATTR_RETIRING, NBD_ATTR_RETIRING_INFLIGHT and
 *   NBD_ATTR_COUNTERS. After the session NBD_STATE_CLOSING with NBD_ATTR_CAUSE, while
 *   the device is not free yet. NBD_ATTR_INDEX in the request limits the dump to that
 *   device. EOPNOTSUPP, as mainline, in another user namespace than the initial one.
 *
 * Multicast group "nbd_mc_group", delivered in every network namespace:
 *   NBD_CMD_LINK_DEAD with NBD_ATTR_INDEX, as mainline: a connection died and may
 *   be replaced through RECONFIGURE.
 *   NBD_CMD_EVENT with NBD_ATTR_INDEX, NBD_ATTR_SESSION_ID, NBD_ATTR_EVENT,
 *   NBD_ATTR_STATE and what the event says it carries.
 *   A receiver that sees ENOBUFS has lost messages and asks STATUS.
 */
#ifndef _UAPI_LINUX_NBD_NETLINK_H
#define _UAPI_LINUX_NBD_NETLINK_H

#include <linux/types.h>

#define NBD_GENL_FAMILY_NAME		"nbd"
#define NBD_GENL_VERSION		0x1
#define NBD_GENL_MCAST_GROUP_NAME	"nbd_mc_group"

enum {
	NBD_ATTR_UNSPEC,
	NBD_ATTR_INDEX,			/* u32 */
	NBD_ATTR_SIZE_BYTES,		/* u64 */
	NBD_ATTR_BLOCK_SIZE_BYTES,	/* u64, the logical block size */
	NBD_ATTR_TIMEOUT,		/* u64 seconds until a request is failed over; 0 never */
	NBD_ATTR_SERVER_FLAGS,		/* u64, NBD_FLAG_* */
	NBD_ATTR_CLIENT_FLAGS,		/* u64, NBD_CFLAG_* */
	NBD_ATTR_SOCKETS,		/* nest of NBD_SOCK_ITEM */
	NBD_ATTR_DEAD_CONN_TIMEOUT,	/* u64 seconds without a connection until I/O
					 * fails; 0 at once, NBD_DEAD_CONN_FOREVER never
					 */
	NBD_ATTR_DEVICE_LIST,		/* nest of NBD_DEVICE_ITEM */
	NBD_ATTR_BACKEND_IDENTIFIER,	/* string, up to NBD_BACKEND_MAX bytes */
	__NBD_ATTR_MAX,

	NBD_ATTR_EXT_FIRST = 64,
	/*
	 * u32 bytes: the server's block size constraints; 0 or absent: unknown. The
	 * smallest is taken and not used: no request is below NBD_ATTR_BLOCK_SIZE_BYTES.
	 */
	NBD_ATTR_BLOCK_MIN = NBD_ATTR_EXT_FIRST,
	NBD_ATTR_BLOCK_PREFERRED,
	NBD_ATTR_BLOCK_MAX,		/* the largest READ or WRITE payload */
	/* u32 requests for each hardware queue, up to NBD_QUEUE_DEPTH_MAX; 0 or absent: as it
	 * is; CONNECT, STATUS. A change makes a new disk of the same name, so EBUSY while it is
	 * open.
	 */
	NBD_ATTR_QUEUE_DEPTH,
	/* u64 seconds until an unanswered request is logged and counted as slow;
	 * 0 never; default NBD_SLOW_TIMEOUT_DEFAULT
	 */
	NBD_ATTR_SLOW_TIMEOUT,
	NBD_ATTR_WRITE_POLICY,		/* u32, enum nbd_write_policy; CONNECT */
	NBD_ATTR_REPLACE,		/* flag; RECONFIGURE */
	NBD_ATTR_IF_UNUSED,		/* flag; DISCONNECT; a task in NBD_DO_IT is no user */
	/* u64, not 0: names one attachment, never used again while the module is loaded */
	NBD_ATTR_SESSION_ID,
	NBD_ATTR_SOCKETS_USED,		/* u32, reply: sockets that became connections */
	NBD_ATTR_SOCKETS_CLOSED,	/* u32, reply: live connections that were replaced */
	NBD_ATTR_STATE,			/* u32, enum nbd_device_state; STATUS, EVENT */
	NBD_ATTR_OPENERS,		/* u32, without the task in NBD_DO_IT; STATUS */
	NBD_ATTR_CONNS,			/* nest of NBD_CONN_ITEM; STATUS */
	NBD_ATTR_COUNTERS,		/* nest of NBD_COUNTER_*; STATUS */
	NBD_ATTR_EVENT,			/* u32, enum nbd_event */
	NBD_ATTR_CAUSE,			/* string: why, for people; EVENT, STATUS */
	/* u32, the task that attached, as the reader's PID namespace counts, 0 if it is not
	 * in there; STATUS
	 */
	NBD_ATTR_PID,
	NBD_ATTR_SINCE_MS,		/* u64 milliseconds in the present state; STATUS */
	NBD_ATTR_CONN_SLOT,		/* u32, which connection; EVENT */
	NBD_ATTR_PAD,
	/* flag; RECONFIGURE: only for servers that are dead, or one write may be done twice */
	NBD_ATTR_REPLACE_NOW,
	NBD_ATTR_RETIRING,		/* u32 replaced connections that still live; STATUS */
	NBD_ATTR_RETIRING_INFLIGHT,	/* u32 requests that they wait for; STATUS */
	/*
	 * u64, not 0: names who makes lost connections again, by a number that the keeper
	 * has drawn and noted down, since a process may be started anew. Two that believe
	 * to be it find out which one is; CONNECT, RECONFIGURE, STATUS, EVENT. Not told
	 * while there is none.
	 */
	NBD_ATTR_KEEPER,
	/* u32, the process that gave NBD_ATTR_KEEPER last, as the PID namespace of the
	 * reader has it, or 0 if it is not in there; not told when it has ended; STATUS
	 */
	NBD_ATTR_KEEPER_PID,
	/*
	 * u32 KiB of read-ahead, up to NBD_READ_AHEAD_MAX, whole pages of them; absent: as the
	 * round trip time of the connections needs, now and when they are made anew, or more;
	 * CONNECT. As it is, whoever has set it; STATUS
	 */
	NBD_ATTR_READ_AHEAD,
	/*
	 * binary: a byte for each socket of NBD_ATTR_SOCKETS, in their order: whether its
	 * server agreed to NBD_OPT_STRUCTURED_REPLY, 0 or 1; 0 for those that it has no byte
	 * for. Such a connection reads structured replies, and may not get a simple one to a
	 * READ; any other may get simple ones only. More bytes than sockets: EINVAL; CONNECT,
	 * RECONFIGURE
	 */
	NBD_ATTR_STRUCTURED,
	/*
	 * binary: struct nbd_tls_secrets for each socket of NBD_ATTR_SOCKETS, in their order;
	 * zeroes for those without kernel TLS of version 1.3. With them the driver follows a
	 * server that changes its keys (KeyUpdate); without, or if they are others than those
	 * of the socket's keys, the connection is lost then. An attribute holds 682 of them: more
	 * sockets in one message have to do without. Known only where the kernel can go on with
	 * other keys. No whole number of them, or more than sockets: EINVAL; CONNECT,
	 * RECONFIGURE
	 */
	NBD_ATTR_TLS_SECRETS,
	__NBD_ATTR_EXT_MAX,
};

#define NBD_ATTR_MAX		(__NBD_ATTR_MAX - 1)
#define NBD_ATTR_EXT_MAX	(__NBD_ATTR_EXT_MAX - 1)

/* NBD_ATTR_DEAD_CONN_TIMEOUT: requests wait until the device is detached. */
#define NBD_DEAD_CONN_FOREVER		(~0ULL)
/* Largest finite value of the timeouts, in seconds. */
#define NBD_TIMEOUT_MAX			0xffffffffULL
#define NBD_SLOW_TIMEOUT_DEFAULT	30
#define NBD_QUEUE_DEPTH_MAX		4096
#define NBD_BACKEND_MAX			1023
#define NBD_READ_AHEAD_MAX		(1 << 20)

#define NBD_TLS_SECRET_MAX		48

/**
 * struct nbd_tls_secrets - one of NBD_ATTR_TLS_SECRETS
 * @receive:	server_application_traffic_secret (RFC 8446, section 7.1), as many bytes as the
 *		cipher's hash has: 48 with AES-256-GCM, else 32; then zeroes
 * @send:	client_application_traffic_secret
 */
struct nbd_tls_secrets {
	__u8 receive[NBD_TLS_SECRET_MAX];
	__u8 send[NBD_TLS_SECRET_MAX];
};

enum {
	NBD_DEVICE_ITEM_UNSPEC,
	NBD_DEVICE_ITEM,		/* nest of NBD_DEVICE_* */
	__NBD_DEVICE_ITEM_MAX,
};

#define NBD_DEVICE_ITEM_MAX (__NBD_DEVICE_ITEM_MAX - 1)

enum {
	NBD_DEVICE_UNSPEC,
	NBD_DEVICE_INDEX,		/* u32 */
	NBD_DEVICE_CONNECTED,		/* u8, 0 or 1 */
	__NBD_DEVICE_MAX,
};

#define NBD_DEVICE_ATTR_MAX (__NBD_DEVICE_MAX - 1)

enum {
	NBD_SOCK_ITEM_UNSPEC,
	NBD_SOCK_ITEM,			/* nest of NBD_SOCK_* */
	__NBD_SOCK_ITEM_MAX,
};

#define NBD_SOCK_ITEM_MAX (__NBD_SOCK_ITEM_MAX - 1)

enum {
	NBD_SOCK_UNSPEC,
	NBD_SOCK_FD,			/* u32 */
	__NBD_SOCK_MAX,
};

#define NBD_SOCK_MAX (__NBD_SOCK_MAX - 1)

enum {
	NBD_CMD_UNSPEC,
	NBD_CMD_CONNECT,
	NBD_CMD_DISCONNECT,
	NBD_CMD_RECONFIGURE,
	NBD_CMD_LINK_DEAD,		/* multicast only */
	NBD_CMD_STATUS,
	__NBD_CMD_MAX,

	NBD_CMD_EVENT = 64,		/* multicast only */
};

#define NBD_CMD_MAX	(__NBD_CMD_MAX - 1)

/**
 * enum nbd_device_state - NBD_ATTR_STATE
 * @NBD_STATE_FREE:	no session
 * @NBD_STATE_LIVE:	at least one connection carries requests
 * @NBD_STATE_WAITING:	no connection; requests wait for one
 * @NBD_STATE_FAILED:	no connection, and the wait is over: requests fail until
 *			a connection comes or the device is detached
 * @NBD_STATE_CLOSING:	being detached; without NBD_ATTR_SESSION_ID: detached, but not
 *			free yet
 */
enum nbd_device_state {
	NBD_STATE_FREE,
	NBD_STATE_LIVE,
	NBD_STATE_WAITING,
	NBD_STATE_FAILED,
	NBD_STATE_CLOSING,
};

/**
 * enum nbd_write_policy - NBD_ATTR_WRITE_POLICY: what a server crash may cost
 * @NBD_WRITE_BACK:	writes may be in the server's cache until a flush; what a
 *			crash takes from that cache is lost unnoticed
 * @NBD_WRITE_THROUGH:	every write carries FUA, the disk is presented without a
 *			volatile cache; EINVAL unless the server offers FUA
 * @NBD_WRITE_STRICT:	as NBD_WRITE_BACK, but the first flush after a connection
 *			was lost or replaced fails with EIO if writes were acknowledged
 *			since the last flush
 */
enum nbd_write_policy {
	NBD_WRITE_BACK,
	NBD_WRITE_THROUGH,
	NBD_WRITE_STRICT,
};

/**
 * enum nbd_event - NBD_ATTR_EVENT
 * @NBD_EVENT_ATTACHED:		a session began
 * @NBD_EVENT_DETACHED:		it is over; CONNECT waits until the device is free
 * @NBD_EVENT_CONN_UP:		RECONFIGURE added a connection (NBD_ATTR_CONN_SLOT)
 * @NBD_EVENT_CONN_DEAD:	one died (NBD_ATTR_CONN_SLOT, NBD_ATTR_CAUSE); its slot
 *				can be filled from now on, unless it was replaced
 * @NBD_EVENT_STATE:		NBD_ATTR_STATE changed between live, waiting and failed,
 *				or connections were added
 * @NBD_EVENT_RESIZED:		NBD_ATTR_SIZE_BYTES changed
 * @NBD_EVENT_KEEPER:		NBD_ATTR_KEEPER changed
 */
enum nbd_event {
	NBD_EVENT_ATTACHED = 1,
	NBD_EVENT_DETACHED,
	NBD_EVENT_CONN_UP,
	NBD_EVENT_CONN_DEAD,
	NBD_EVENT_STATE,
	NBD_EVENT_RESIZED,
	NBD_EVENT_KEEPER,
};

/* One connection slot in NBD_ATTR_CONNS. */
enum {
	NBD_CONN_ITEM_UNSPEC,
	NBD_CONN_ITEM,			/* nest of NBD_CONN_* */
};

enum {
	NBD_CONN_UNSPEC,
	NBD_CONN_SLOT,			/* u32 */
	NBD_CONN_STATE,			/* u32, enum nbd_conn_status */
	NBD_CONN_REQUESTS,		/* u64, issued on this connection */
	NBD_CONN_REPLIES,		/* u64, received */
	NBD_CONN_INFLIGHT,		/* u32, issued and unanswered */
	NBD_CONN_PAD = 7,
	NBD_CONN_STRUCTURED,		/* flag: it reads structured replies */
	/* of a connection with kernel TLS only; as <linux/tls.h> has them */
	NBD_CONN_TLS_VERSION = 12,	/* u32, TLS_1_2_VERSION or TLS_1_3_VERSION */
	NBD_CONN_TLS_CIPHER,		/* u32, TLS_CIPHER_* */
	NBD_CONN_TLS_SENT,		/* u64, number of the next record that is sent */
	NBD_CONN_TLS_RECEIVED,		/* u64, of the next one that is received */
	__NBD_CONN_MAX,
};

#define NBD_CONN_MAX (__NBD_CONN_MAX - 1)

/** enum nbd_conn_status - NBD_CONN_STATE */
enum nbd_conn_status {
	NBD_CONN_DEAD,
	NBD_CONN_LIVE,
};

/* Counters of a session in NBD_ATTR_COUNTERS, all u64, from 0 at attach. */
enum {
	NBD_COUNTER_UNSPEC,
	NBD_COUNTER_RESENT,		/* requests sent again after a connection died */
	NBD_COUNTER_SLOW,		/* requests that exceeded the slow timeout */
	/* connections given up because of NBD_ATTR_TIMEOUT, but for replaced ones */
	NBD_COUNTER_TIMEDOUT,
	NBD_COUNTER_CONN_DEATHS,	/* connections that died, for whatever reason */
	NBD_COUNTER_CONNECTS,		/* connections that were added, the first included */
	NBD_COUNTER_SERVER_ERRORS,	/* error replies */
	/*
	 * Requests that ended in an error, each once and whatever the reason: the server's
	 * answer, a flush that NBD_WRITE_STRICT fails, connections that keep dying, none at
	 * all, a refusal by the driver. A flush that several writes share is one request.
	 */
	NBD_COUNTER_FAILED,
	NBD_COUNTER_PAD,
	__NBD_COUNTER_MAX,
};

#define NBD_COUNTER_MAX (__NBD_COUNTER_MAX - 1)

#endif /* _UAPI_LINUX_NBD_NETLINK_H */
