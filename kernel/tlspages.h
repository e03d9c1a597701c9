/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What TLS may be given as pages. It takes references to pages, and puts them again, which those
 * of a request need not count: of what the block layer is given the slab allocator's do not, nor
 * do all but the first of pages that were allocated together as no compound, and the last
 * reference frees the page.
 *
 * Pages are encrypted from where they are if they begin a record. In pieces that no block of the
 * cipher fits into, as behind a header, they cost more than a copy does.
 *
 * For iterators of bio_vecs; nothing is locked.
 */
#ifndef _NBD_TLSPAGES_H
#define _NBD_TLSPAGES_H

#include <linux/sizes.h>
#include <linux/types.h>
#include <linux/uio.h>

/* For fewer bytes of pages it is not worth to begin a record. */
#define NBD_TLS_PAGES_BYTES	SZ_64K

/* Whether references to all of the memory count. */
bool nbd_tls_may_refer(const struct iov_iter *iter);

/**
 * nbd_tls_find_pages - find what can be encrypted from where it is
 * @iter:	what is to be sent; it stays where it is
 * @pages:	bytes of it, in whole records of the longest kind, or 0
 *
 * Returns how many bytes come before: all that @iter has, if there are no such pages.
 */
size_t nbd_tls_find_pages(const struct iov_iter *iter, size_t *pages);

#endif /* _NBD_TLSPAGES_H */
