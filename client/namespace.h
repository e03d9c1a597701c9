/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where an attachment's servers are looked for: the network and the mount namespace of
 * whoever attached it. A name means what the files there say, a path leads to what is
 * mounted there, an address to what can be reached from there.
 *
 * What the monitor does not live in itself is kept for it, as a bind mount under
 * NBD_RUN_DIR/netns and NBD_RUN_DIR/mntns, for as long as the attachment lives; but only
 * as far as the servers need it, for a mount namespace that is kept keeps all its mounts
 * busy. Numbers that are never given twice tell a namespace from any other. One that is
 * lost is never replaced by a guess.
 */
#ifndef NBD_NAMESPACE_H
#define NBD_NAMESPACE_H

#include <stdbool.h>

#include "error.h"
#include "model.h"
#include "util.h"

/**
 * struct nbd_place - where to look, for those who do
 * @net:	descriptor of the network namespace for sockets and name servers, -1 for
 *		the caller's
 * @mnt:	descriptor of the mount namespace for paths and the resolver's files, -1
 *		for the caller's
 * @owner:	user whose Unix sockets are believed (peer.h), or NBD_ANYBODY
 */
struct nbd_place {
	int net;
	int mnt;
	u32 owner;
};

/* No user has this number. */
#define NBD_ANYBODY U32_MAX

/* Where the caller is. */
extern const struct nbd_place nbd_here;

/**
 * struct nbd_namespaces - those of one attachment, as its record has them
 * @net:	number of the network namespace; 0: an earlier release did not write it down
 * @mnt:	number of the mount namespace, likewise
 * @net_kept:	it is kept for the monitor
 * @mnt_kept:	likewise
 * @version:	tells what is kept from what -replace is just replacing
 */
struct nbd_namespaces {
	u64 net;
	u64 mnt;
	bool net_kept;
	bool mnt_kept;
	u32 version;
};

/**
 * nbd_namespaces_keep - keep the caller's for an attachment
 * @ns:		filled in; its @version is the caller's to choose
 * @params:	of the attachment: what its servers need is kept
 * @err:	says why that is impossible, and what to do
 *
 * Call with nbd_record_lock() held, when the monitor has been started.
 *
 * Return: 0 or a negative errno. What nobody reconnects needs no namespaces, but gets
 * them where that is possible.
 */
int nbd_namespaces_keep(struct nbd_namespaces *ns,
			const struct nbd_params *params, struct nbd_err *err);

/* Give up what is kept for the device, but for that of @except, which may be NULL. */
void nbd_namespaces_drop(s32 index, const struct nbd_namespaces *except);

/**
 * nbd_namespaces_open - go where an attachment's servers are
 * @place:	filled in; nbd_place_close() it
 * @ns:		of the attachment
 * @params:	of the attachment: only what its servers need is opened
 * @err:	says what is lost, and what to do
 *
 * Return: 0, or a negative errno: there is nowhere to look.
 */
int nbd_namespaces_open(struct nbd_place *place,
			const struct nbd_namespaces *ns,
			const struct nbd_params *params, struct nbd_err *err);
void nbd_place_close(struct nbd_place *place);

/*
 * Whether it is known which files tell what names mean. An earlier release wrote down only
 * that the network namespace was not the initial one; its names keep their addresses.
 */
bool nbd_namespaces_know_files(const struct nbd_namespaces *ns);

/*
 * Move the caller, which must have one thread, for good: 0 or -errno. With none of the
 * two that is nothing.
 */
int nbd_place_enter(const struct nbd_place *place);

/* socket() in the network namespace of @place; -1 with errno. */
int nbd_place_socket(const struct nbd_place *place, int family, int type);

/*
 * For -status: where the attachment's network or mount namespace is kept; NULL for one that
 * is not kept, for it is the monitor's own, or no server needs it. Reads nothing. Returns
 * @buf, of NBD_NAMESPACE_PATH_MAX bytes.
 */
#define NBD_NAMESPACE_PATH_MAX 64
char *nbd_kept_net(const struct nbd_namespaces *ns, s32 index, char *buf);
char *nbd_kept_mnt(const struct nbd_namespaces *ns, s32 index, char *buf);

/*
 * The monitor moves to the network namespace of PID 1, and to its mount namespace if
 * NBD_RUN_DIR is the same folder there, as far as it may: who attaches from a container
 * with a /run of its own is served by a monitor in there. Before any thread is made.
 */
void nbd_namespaces_settle(void);

/* The monitor tells in NBD_RUN_DIR where it lives; it must hold its lock. */
int nbd_namespaces_announce(struct nbd_err *err);

#endif /* NBD_NAMESPACE_H */
