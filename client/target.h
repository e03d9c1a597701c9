/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the connections of an attachment may be made again.
 *
 * Two addresses are two servers until somebody has said otherwise, and two servers are
 * two disks, or two caches of one: also when one name means both, or meant the one and
 * means the other by now. So while a connection lives, others go where that leads, or
 * all of them are moved at once.
 */
#ifndef NBD_TARGET_H
#define NBD_TARGET_H

#include "address.h"
#include "record.h"

/* Connections live, or may live for all that is known. */
#define NBD_TARGET_LIVE		BIT_ULL(0)
/* The driver can exchange all of them for others. */
#define NBD_TARGET_MOVABLE	BIT_ULL(1)
/* The server in use has left requests unanswered for too long. */
#define NBD_TARGET_STUCK	BIT_ULL(2)
/* It does so again, though it has let clients in meanwhile; implies the former. */
#define NBD_TARGET_RELAPSED	BIT_ULL(3)

/**
 * nbd_targets - which addresses to try, in which order
 * @list:	filled in; empty if there is none that may be tried
 * @record:	the attachment, with the addresses that its servers had last: a resolver
 *		may take its time
 * @situation:	NBD_TARGET_*
 *
 * A connection to another address than that in use, while others live, must take the place
 * of all.
 */
void nbd_targets(struct nbd_address_list *list, const struct nbd_record *record,
		 u64 situation);

#endif /* NBD_TARGET_H */
