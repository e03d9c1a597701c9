/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel driver is asked for.
 *
 * The neutral requests and answers, and two ways to the driver: its generic netlink family
 * (nbd_kernel_open(); netlink.c and notice.c) and the legacy ioctls of one device
 * (nbd_ioctl_open(), ioctl.h). Both attach and detach; all else netlink alone can do. Both
 * serve our driver and the stock one: nbd_kernel_knows() tells which extension attributes
 * the loaded driver has, as its own policy says.
 */
#ifndef NBD_KERNEL_H
#define NBD_KERNEL_H

#include <linux/nbd-netlink.h>
#include <stdbool.h>

#include "error.h"
#include "model.h"
#include "util.h"

struct nl_sock;
struct nbd_kernel_ops;

/**
 * struct nbd_kernel - a way to the driver
 * @ops:	what it can do
 * @sock:	netlink: for requests; not shared between threads. NULL when it is closed
 * @family:	netlink: number of the family
 * @group:	netlink: number of its multicast group, not positive if it has none
 * @known:	netlink: bit n: attribute n is in the policy
 * @device:	ioctl: the device, or -1
 */
struct nbd_kernel {
	const struct nbd_kernel_ops *ops;
	struct nl_sock *sock;
	int family;
	int group;
	u64 known[2];
	int device;
};

/* Presence bits of optional fields of struct nbd_kernel_config. */
#define NBD_CONFIG_SIZE			BIT(0)
#define NBD_CONFIG_DEAD_TIMEOUT		BIT(1)
#define NBD_CONFIG_SERVER_FLAGS		BIT(2)
#define NBD_CONFIG_BLOCK_SIZE		BIT(3)
#define NBD_CONFIG_BLOCK_LIMITS		BIT(4)
#define NBD_CONFIG_SESSION_ID		BIT(5)
#define NBD_CONFIG_REPLACE		BIT(6)
#define NBD_CONFIG_REPLACE_NOW		BIT(7)
#define NBD_CONFIG_KEEPER		BIT(8)

/**
 * struct nbd_kernel_config - NBD_CMD_CONNECT or NBD_CMD_RECONFIGURE
 * @set:	NBD_CONFIG_* bits of the fields to send
 * @index:	device, or NBD_INDEX_AUTO (CONNECT only)
 * @fds:	negotiated sockets; stay the caller's
 * @nfds:	how many
 * @structured:	which of them have agreed to structured replies
 * @secrets:	of their TLS keys, zeroes for those without; or NULL
 * @params:	the attachment's settings
 * @settings:	NBD_GIVEN_* bits of those to send; one that is worked out is not sent
 * @dead_timeout: worked out of the settings, see nbd_dead_timeout()
 *
 * The others are the attributes of the same name in <linux/nbd-netlink.h>. An
 * attribute that the driver does not know is not sent.
 */
struct nbd_kernel_config {
	unsigned int set;
	s32 index;
	const int *fds;
	unsigned int nfds;
	u8 structured[NBD_CONNECTIONS_MAX];
	const struct nbd_tls_secrets *secrets;
	const struct nbd_params *params;
	u64 settings;
	u64 size;
	u64 block_size;
	u64 dead_timeout;
	u64 server_flags;
	u32 block_min;
	u32 block_preferred;
	u32 block_max;
	u64 session_id;
	u64 keeper;
};

/**
 * struct nbd_kernel_reply - what CONNECT and RECONFIGURE answer
 * @index:		device
 * @session_id:		CONNECT: the attachment, 0 from a driver without them
 * @sockets_used:	RECONFIGURE: sockets that became connections
 * @has_sockets_used:	that was told
 */
struct nbd_kernel_reply {
	s32 index;
	u64 session_id;
	u32 sockets_used;
	bool has_sockets_used;
};

/**
 * struct nbd_kernel_ops - what both ways can do, by the functions of the same names
 */
struct nbd_kernel_ops {
	int (*connect)(struct nbd_kernel *k,
		       const struct nbd_kernel_config *config,
		       struct nbd_kernel_reply *reply, struct nbd_err *err);
	int (*disconnect)(struct nbd_kernel *k, s32 index, u64 session_id,
			  bool if_unused, struct nbd_err *err);
	void (*close)(struct nbd_kernel *k);
};

/**
 * nbd_kernel_open - reach the driver over netlink
 * @k:		filled in; nbd_kernel_close() it
 * @load:	load the module if it is missing
 * @err:	says why not
 *
 * Return: 0, -ENOENT without a driver, or another negative errno.
 */
int nbd_kernel_open(struct nbd_kernel *k, bool load, struct nbd_err *err);

/* Whichever way it is; it may be closed already. */
void nbd_kernel_close(struct nbd_kernel *k);

/* The loaded driver takes this NBD_ATTR_*; false without netlink. */
bool nbd_kernel_knows(const struct nbd_kernel *k, unsigned int attribute);

/*
 * Attach a device: NBD_CMD_CONNECT, or what comes before NBD_DO_IT; -EBUSY when it is in
 * use. Through ioctls: size, block size, flags, timeout and connections are all that the
 * driver is told.
 */
int nbd_kernel_connect(struct nbd_kernel *k,
		       const struct nbd_kernel_config *config,
		       struct nbd_kernel_reply *reply, struct nbd_err *err);

/* Netlink only: NBD_CMD_RECONFIGURE; -ESTALE when the attachment is another one by now. */
int nbd_kernel_reconfigure(struct nbd_kernel *k,
			   const struct nbd_kernel_config *config,
			   struct nbd_kernel_reply *reply, struct nbd_err *err);

/**
 * nbd_kernel_disconnect - NBD_CMD_DISCONNECT, or NBD_CLEAR_SOCK
 * @k:		the driver
 * @index:	device
 * @session_id:	only if it is this attachment; 0 for any. Netlink only
 * @if_unused:	refuse with -EBUSY while the device is open, where the driver
 *		can tell. Netlink only
 * @err:	says why not
 */
int nbd_kernel_disconnect(struct nbd_kernel *k, s32 index,
			  u64 session_id, bool if_unused,
			  struct nbd_err *err);

/* More connections than this are counted, but not described. */
#define NBD_STATUS_CONNS_MAX 64
#define NBD_CAUSE_MAX 128

/**
 * struct nbd_conn_info - one connection in struct nbd_status
 * @slot:	number of its slot
 * @live:	it carries requests
 * @requests:	sent on it
 * @replies:	received on it
 * @inflight:	unanswered
 * @structured:	its server answers READs in chunks
 * @tls_version: as <linux/tls.h> has it, 0 without kernel TLS
 * @tls_cipher:	likewise
 * @tls_records: number of the next record, in the direction that has had more of them
 */
struct nbd_conn_info {
	u32 slot;
	bool live;
	u64 requests;
	u64 replies;
	u32 inflight;
	bool structured;
	u32 tls_version;
	u32 tls_cipher;
	u64 tls_records;
};

/**
 * struct nbd_status - what the driver tells about a device
 * @index:	device
 * @state:	enum nbd_device_state; from the stock driver FREE or LIVE
 * @detailed:	the other fields are known: the driver is ours
 * @session_id:	the attachment, 0 if there is none
 * @nconns:	connection slots
 * @nlive:	those that carry requests
 * @conns:	the first NBD_STATUS_CONNS_MAX of them
 * @keeper_pid:	process that cares for it, 0 if it has no number here
 * @keeper_lives: that process is there
 * @counters:	by NBD_COUNTER_*
 * @cause:	why it is in this state, sanitized
 * @told:	numbers that the driver has for the settings it knows, by their bits
 * @identifier:	backend identifier as it was given: not for a terminal
 *
 * The others are the attributes of the same name in <linux/nbd-netlink.h>.
 */
struct nbd_status {
	s32 index;
	u32 state;
	bool detailed;
	u64 session_id;
	u64 keeper;
	u32 keeper_pid;
	bool keeper_lives;
	u32 openers;
	u32 pid;
	u64 since_ms;
	u64 size;
	u64 block_size;
	u64 told[NBD_SETTING_BITS];
	u64 server_flags;
	unsigned int nconns;
	unsigned int nlive;
	struct nbd_conn_info conns[NBD_STATUS_CONNS_MAX];
	u32 retiring;
	u32 retiring_inflight;
	u64 counters[NBD_COUNTER_MAX + 1];
	char cause[NBD_CAUSE_MAX];
	char identifier[NBD_BACKEND_MAX + 1];
};

/** typedef nbd_status_fn - called for each device; @status lives that long */
typedef void (*nbd_status_fn)(void *arg, const struct nbd_status *status);

/**
 * nbd_kernel_status - NBD_CMD_STATUS; netlink only
 * @k:		the driver
 * @index:	device, or -1 for all
 * @fn:		called for each
 * @arg:	passed to @fn
 * @err:	says why not
 */
int nbd_kernel_status(struct nbd_kernel *k, s32 index, nbd_status_fn fn,
		      void *arg, struct nbd_err *err);

/* Connections of the device that carry requests; 0 if the driver does not say. */
unsigned int nbd_kernel_live(struct nbd_kernel *k, s32 index);

/* Decodes one message of the dump; for nbd_kernel_status() and the fuzzer. */
struct nlmsghdr;
bool nbd_status_decode(struct nlmsghdr *hdr, struct nbd_status *status);

/**
 * struct nbd_notice - one multicast message
 * @link_dead:	it is mainline's NBD_CMD_LINK_DEAD; only @index is set
 * @index:	device
 * @session_id:	attachment
 * @event:	enum nbd_event
 * @state:	enum nbd_device_state, if the event carries it
 * @size:	bytes, if the event carries them
 * @keeper:	new keeper, if the event carries it
 * @cause:	why, sanitized; may be empty
 */
struct nbd_notice {
	bool link_dead;
	s32 index;
	u64 session_id;
	u32 event;
	u32 state;
	u64 size;
	u64 keeper;
	char cause[NBD_CAUSE_MAX];
};

/** typedef nbd_notice_fn - called for each message; @notice lives that long */
typedef void (*nbd_notice_fn)(void *arg, const struct nbd_notice *notice);

/**
 * nbd_notices_open - listen to the driver
 * @k:		the driver; receives only the messages of its family
 * @sock:	gets the socket, non-blocking; nbd_notices_close() it
 * @err:	says why not
 */
int nbd_notices_open(const struct nbd_kernel *k, struct nl_sock **sock,
		     struct nbd_err *err);
void nbd_notices_close(struct nl_sock *sock);
int nbd_notices_fd(struct nl_sock *sock);

/*
 * Reads all that has come. -ENOBUFS: messages were lost, of which the driver's status tells
 * from now on; another negative errno: the socket is of no use any more.
 */
int nbd_notices_read(struct nl_sock *sock, nbd_notice_fn fn, void *arg);

/* Decodes one multicast message; for nbd_notices_read() and the fuzzer. */
bool nbd_notice_decode(struct nlmsghdr *hdr, struct nbd_notice *notice);

#endif /* NBD_KERNEL_H */
