// SPDX-License-Identifier: GPL-2.0
/* What kernel/tlspages.c lets TLS refer to, and where it begins records. */
#include <kunit/test.h>
#include <linux/bvec.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include "../../kernel/tlspages.h"

#define ORDER		5
#define PAGES_BYTES	(PAGE_SIZE << ORDER)
#define HEADER_BYTES	28
#define VECS		32

/**
 * struct tried - what is to be sent
 * @header:	page that headers are in
 * @pages:	PAGES_BYTES of them, as a compound
 * @loose:	as many that were allocated together, and no compound
 * @vec:	what of it comes, @nr segments, @bytes
 */
struct tried {
	struct page *header;
	struct page *pages;
	struct page *loose;
	struct bio_vec vec[VECS];
	unsigned int nr;
	size_t bytes;
};

static void add(struct tried *t, struct page *page, unsigned int offset, unsigned int len)
{
	bvec_set_page(&t->vec[t->nr++], page, len, offset);
	t->bytes += len;
}

static void add_header(struct tried *t)
{
	add(t, t->header, 100 + HEADER_BYTES * t->nr, HEADER_BYTES);
}

static struct iov_iter iter_of(const struct tried *t)
{
	struct iov_iter iter;

	iov_iter_bvec(&iter, ITER_SOURCE, t->vec, t->nr, t->bytes);
	return iter;
}

static void expect(struct kunit *test, const struct iov_iter *iter, size_t before, size_t pages)
{
	size_t found;

	KUNIT_EXPECT_EQ(test, nbd_tls_find_pages(iter, &found), before);
	KUNIT_EXPECT_EQ(test, found, pages);
}

/* All of it comes before pages that are none. */
static void expect_none(struct kunit *test, const struct tried *t)
{
	struct iov_iter iter = iter_of(t);

	expect(test, &iter, t->bytes, 0);
}

static void behind_header(struct kunit *test)
{
	struct tried *t = test->priv;
	struct iov_iter iter;

	add_header(t);
	add(t, t->pages, 0, PAGES_BYTES);
	iter = iter_of(t);
	expect(test, &iter, HEADER_BYTES, PAGES_BYTES);
	iov_iter_advance(&iter, 1);
	expect(test, &iter, HEADER_BYTES - 1, PAGES_BYTES);
	iov_iter_advance(&iter, HEADER_BYTES - 1);
	expect(test, &iter, 0, PAGES_BYTES);
	/* What the socket took ends in the middle of a page. */
	iov_iter_advance(&iter, 100);
	expect(test, &iter, PAGES_BYTES - 100, 0);
	iov_iter_advance(&iter, PAGE_SIZE - 100);
	expect(test, &iter, 0, round_down(PAGES_BYTES - PAGE_SIZE, SZ_16K));
}

static void of_several(struct kunit *test)
{
	struct tried *t = test->priv;
	struct iov_iter iter;

	add_header(t);
	add_header(t);
	add(t, t->pages, 0, SZ_64K);
	add_header(t);
	add(t, t->pages, SZ_64K, SZ_64K);
	add_header(t);
	iter = iter_of(t);
	expect(test, &iter, 2 * HEADER_BYTES, SZ_64K);
	iov_iter_advance(&iter, 2 * HEADER_BYTES + SZ_64K);
	expect(test, &iter, HEADER_BYTES, SZ_64K);
	iov_iter_advance(&iter, HEADER_BYTES + SZ_64K);
	expect(test, &iter, HEADER_BYTES, 0);
}

/* A segment each, and what is no whole record is left. */
static void page_by_page(struct kunit *test)
{
	struct tried *t = test->priv;
	struct iov_iter iter;
	unsigned int i;

	add_header(t);
	for (i = 0; i < 18; i++)
		add(t, t->pages + 31 - i, 0, PAGE_SIZE);
	iter = iter_of(t);
	expect(test, &iter, HEADER_BYTES, round_down(18 * PAGE_SIZE, SZ_16K));
}

static void too_few(struct kunit *test)
{
	struct tried *t = test->priv;

	add_header(t);
	add(t, t->pages, 0, SZ_64K - PAGE_SIZE);
	add_header(t);
	add(t, t->pages, 0, SZ_64K - PAGE_SIZE);
	expect_none(test, t);
}

static void no_whole_pages(struct kunit *test)
{
	struct tried *t = test->priv;

	add_header(t);
	add(t, t->pages, 512, PAGES_BYTES - PAGE_SIZE);
	add(t, t->pages, 0, PAGES_BYTES - 512);
	expect_none(test, t);
}

static void not_counted(struct kunit *test)
{
	struct tried *t = test->priv;
	struct iov_iter iter;

	add_header(t);
	add(t, t->loose, 0, PAGES_BYTES);
	expect_none(test, t);
	iter = iter_of(t);
	KUNIT_EXPECT_FALSE(test, nbd_tls_may_refer(&iter));
	iov_iter_truncate(&iter, HEADER_BYTES + PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, nbd_tls_may_refer(&iter));
}

static void of_slab(struct kunit *test)
{
	struct tried *t = test->priv;
	struct iov_iter iter;
	unsigned int i;
	void *objects;

	/* The allocator's own memory up to twice a page; aligned as it is long. */
	objects = kmalloc(PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, objects);
	for (i = 0; i < 20; i++)
		add(t, virt_to_page(objects), 0, PAGE_SIZE);
	expect_none(test, t);
	iter = iter_of(t);
	KUNIT_EXPECT_FALSE(test, nbd_tls_may_refer(&iter));
	kfree(objects);
}

static int tlspages_init(struct kunit *test)
{
	struct tried *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	if (!t)
		return -ENOMEM;
	test->priv = t;
	t->header = alloc_page(GFP_KERNEL);
	t->pages = alloc_pages(GFP_KERNEL | __GFP_COMP, ORDER);
	t->loose = alloc_pages(GFP_KERNEL, ORDER);
	return t->header && t->pages && t->loose ? 0 : -ENOMEM;
}

static void tlspages_exit(struct kunit *test)
{
	struct tried *t = test->priv;

	if (!t)
		return;
	if (t->header)
		__free_page(t->header);
	if (t->pages)
		__free_pages(t->pages, ORDER);
	if (t->loose)
		__free_pages(t->loose, ORDER);
}

static struct kunit_case tlspages_cases[] = {
	KUNIT_CASE(behind_header),
	KUNIT_CASE(of_several),
	KUNIT_CASE(page_by_page),
	KUNIT_CASE(too_few),
	KUNIT_CASE(no_whole_pages),
	KUNIT_CASE(not_counted),
	KUNIT_CASE(of_slab),
	{ }
};

static struct kunit_suite tlspages_suite = {
	.name = "nbd_tlspages",
	.init = tlspages_init,
	.exit = tlspages_exit,
	.test_cases = tlspages_cases,
};

kunit_test_suites(&tlspages_suite);
