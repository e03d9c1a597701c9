// SPDX-License-Identifier: GPL-2.0
/* What TLS may be given as pages. */
#include <linux/bvec.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <net/tls.h>
#include "tlspages.h"

static bool may_refer_to(struct page *page, size_t begin, size_t len)
{
	size_t n;

	for (n = begin >> PAGE_SHIFT; n <= (begin + len - 1) >> PAGE_SHIFT; n++)
		if (!sendpage_ok(page + n))
			return false;
	return true;
}

bool nbd_tls_may_refer(const struct iov_iter *iter)
{
	size_t skip = iter->iov_offset, left = iov_iter_count(iter), len;
	const struct bio_vec *bv;

	for (bv = iter->bvec; left; bv++, left -= len, skip = 0) {
		len = min_t(size_t, bv->bv_len - skip, left);
		if (!may_refer_to(bv->bv_page, bv->bv_offset + skip, len))
			return false;
	}
	return true;
}

size_t nbd_tls_find_pages(const struct iov_iter *iter, size_t *pages)
{
	size_t skip = iter->iov_offset, left = iov_iter_count(iter), before = 0, run = 0;
	const struct bio_vec *bv;
	size_t begin, len;

	/* Until what is left is too little for that. */
	for (bv = iter->bvec; left && run + left >= NBD_TLS_PAGES_BYTES;
	     bv++, left -= len, skip = 0) {
		begin = bv->bv_offset + skip;
		len = min_t(size_t, bv->bv_len - skip, left);
		if (PAGE_ALIGNED(begin) && PAGE_ALIGNED(len) &&
		    may_refer_to(bv->bv_page, begin, len)) {
			run += len;
			continue;
		}
		if (run >= NBD_TLS_PAGES_BYTES)
			break;
		before += run + len;
		run = 0;
	}
	*pages = 0;
	if (run < NBD_TLS_PAGES_BYTES)
		return iov_iter_count(iter);
	*pages = round_down(run, TLS_MAX_PAYLOAD_SIZE);
	return before;
}
