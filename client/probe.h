/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The head and the tail of an export, read over a connection that has just ended its
 * handshake.
 *
 * Pure protocol over a struct nbd_transport, as the handshake: nothing blocks, every
 * length is the caller's, and what the server sends lands in the caller's memory only.
 * All requests are sent before the first reply is waited for: one round trip. When it
 * ends well, nothing is left in the stream, and the connection can be given to the
 * driver. Only NBD_CMD_READ is ever sent. Replies are read by the driver's own framing
 * (kernel/framing.h), simple and structured ones.
 */
#ifndef NBD_PROBE_H
#define NBD_PROBE_H

#include "../kernel/framing.h"
#include "error.h"
#include "model.h"
#include "transport.h"
#include "util.h"

/*
 * What libblkid looks at of the kinds that identity.c counts on: btrfs has its superblock
 * at 64 KiB, MD 0.9 up to 128 KiB before the end.
 */
#define NBD_PROBE_HEAD	(128u << 10)
#define NBD_PROBE_TAIL	(128u << 10)
/* Areas begin and end where any server's blocks do. */
#define NBD_PROBE_ALIGN	(64u << 10)
/* With requests of 512 bytes. */
#define NBD_PROBE_PIECES_MAX 512
/* So many requests go into one send. */
#define NBD_PROBE_BATCH	16
#define NBD_PROBE_REQUEST_SIZE	28

/**
 * struct nbd_probe_area - one stretch of the export
 * @offset:	where it begins, a multiple of NBD_PROBE_ALIGN
 * @length:	bytes; 0 for none
 * @memory:	where they go, owned by the caller
 */
struct nbd_probe_area {
	u64 offset;
	u32 length;
	unsigned char *memory;
};

/**
 * struct nbd_probe - the reads
 * @area:	head and tail; the caller gives them memory after nbd_probe_init()
 * @error:	0, or the first error of the NBD protocol that the server answered with
 *
 * The rest is private to probe.c.
 */
struct nbd_probe {
	struct nbd_probe_area area[2];
	u32 error;

	u32 piece;
	unsigned int n;
	unsigned int n_head;
	unsigned int sent;
	unsigned int answered;
	unsigned char out[NBD_PROBE_BATCH * NBD_PROBE_REQUEST_SIZE];
	size_t out_len;
	size_t out_done;
	struct nbd_framing framing;
	unsigned int current;
	bool done[NBD_PROBE_PIECES_MAX];
	struct nbd_cover cover[NBD_PROBE_PIECES_MAX];
};

/**
 * nbd_probe_init - choose what to read
 * @p:		zeroed or used before; not to be moved from here on
 * @e:		the export: its size and its block sizes are respected
 * @structured:	structured replies were agreed on
 * @err:	says why not
 *
 * Return: 0, or -EINVAL if it cannot be read with few requests.
 */
int nbd_probe_init(struct nbd_probe *p, const struct nbd_export *e,
		   bool structured, struct nbd_err *err);

/**
 * nbd_probe_run - go on until all is read, failed, or the stream would block
 * @p:		the reads
 * @t:		the connection
 * @err:	why it failed
 *
 * Return: 0 when all requests are answered, with @p->error; -EAGAIN; or another negative
 * errno with @err, for a connection that is of no use any more.
 */
int nbd_probe_run(struct nbd_probe *p, struct nbd_transport *t,
		  struct nbd_err *err);

/* After -EAGAIN: it waits for the stream to take bytes, too. */
bool nbd_probe_writes(const struct nbd_probe *p);

#endif /* NBD_PROBE_H */
