// SPDX-License-Identifier: GPL-2.0
/* Exports and wishes to what the kernel is told. */
#include <errno.h>
#include <linux/nbd.h>
#include <string.h>

#include "../../client/fit.h"
#include "../../client/settings.h"
#include "../../client/util.h"
#include "tap.h"

#define NO_SIZES(s) { .size = s, .flags = 1 }
#define SIZES(s, min, preferred, max) { s, 1, true, min, preferred, max }

static const struct {
	const char *what;
	struct nbd_export export;
	u32 block_size;	/* wished, 0 for nothing */
	u64 size;		/* wished, 0 for nothing */
	const char *words;	/* NULL: accepted */
	u64 result_size;
	u32 result_block;
} cases[] = {
	{ "plain", NO_SIZES(1 << 20), 0, 0, NULL, 1 << 20, 512 },
	{ "the server's minimum", SIZES(1 << 20, 4096, 4096, 1 << 25), 0, 0,
	  NULL, 1 << 20, 4096 },
	{ "a minimum below 512", SIZES(1 << 20, 1, 4096, 1 << 25), 0, 0, NULL,
	  1 << 20, 512 },
	{ "-block-size above the minimum", SIZES(1 << 20, 1, 4096, 1 << 25),
	  2048, 0, NULL, 1 << 20, 2048 },
	{ "-block-size below the minimum", SIZES(1 << 20, 4096, 4096, 1 << 25),
	  512, 0, "-block-size 512 is too small", 0, 0 },
	{ "-block-size above the page size", NO_SIZES(1 << 20), 65536, 0,
	  "page size", 0, 0 },
	{ "a minimum above the page size",
	  SIZES(1 << 20, 65536, 65536, 1 << 25), 0, 0, "page size", 0, 0 },
	{ "a maximum below the block", SIZES(1 << 20, 1, 256, 256), 0, 0,
	  "maximum of 256", 0, 0 },
	{ "a size of 0", NO_SIZES(0), 0, 0, "0 bytes", 0, 0 },
	{ "a size of 2^63", NO_SIZES(1ULL << 63), 0, 0,
	  "9223372036854775808 bytes", 0, 0 },
	{ "a size of 1000", NO_SIZES(1000), 0, 0, NULL, 512, 512 },
	{ "a size that is no multiple of -block-size", NO_SIZES(1000001), 4096,
	  0, NULL, 999424, 4096 },
	{ "a size that is no multiple of the server's minimum",
	  SIZES(10000, 4096, 4096, 1 << 25), 0, 0, NULL, 8192, 4096 },
	{ "a -size of 1000", NO_SIZES(1 << 20), 0, 1000,
	  "1000 bytes, which is not a multiple of the block size 512: -size 512 leaves out the last 488",
	  0, 0 },
	{ "a size below one block", NO_SIZES(100), 0, 0,
	  "less than one block", 0, 0 },
	{ "-size", NO_SIZES(1000), 0, 512, NULL, 512, 512 },
	{ "-size that does not fit the block", NO_SIZES(1 << 20), 4096, 512,
	  "-size asks for 512 bytes", 0, 0 },
};

/* What the ioctls can say of a size, where a long has 32 bits. */
static const struct {
	const char *what;
	u64 size;
	u64 block_size;
	const char *words;	/* NULL: accepted */
} ioctl_cases[] = {
	{ "the last block below 2 TiB", (1ULL << 41) - 512, 512, NULL },
	{ "2 TiB", 1ULL << 41, 512,
	  "can count (4294967295): use netlink (no -nonetlink), or give -block-size 1024" },
	{ "5 TiB", 5ULL << 40, 512, "or give -block-size 2048" },
	{ "5 TiB in larger blocks", 5ULL << 40, 2048, NULL },
	{ "3 TiB that no larger block divides", (3ULL << 40) + 512, 512,
	  "use netlink (no -nonetlink)" },
	{ "16 TiB in pages", 1ULL << 44, 4096, "use netlink (no -nonetlink)" },
};

static void test_fit_ioctl(void)
{
	struct nbd_kernel_config config = { };
	struct nbd_err err;
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(ioctl_cases); i++) {
		tap_test("fit: 32-bit ioctls: %s", ioctl_cases[i].what);
		config.size = ioctl_cases[i].size;
		config.block_size = ioctl_cases[i].block_size;
		ret = nbd_fit_ioctl(&config, U32_MAX, &err);
		expect_number(!ret, !ioctl_cases[i].words);
		if (!ret)
			continue;
		expect_number(err.status, NBD_EXIT_UNFIT);
		expect_words(err.text, ioctl_cases[i].words ?: "");
		expect_number(!strstr(err.text, "-block-size"),
			      !strstr(ioctl_cases[i].words ?: "", "-block-size"));
	}
}

void test_fit(void)
{
	struct nbd_kernel_config config;
	struct nbd_params params;
	struct nbd_err err;
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		tap_test("fit: %s", cases[i].what);
		memset(&config, 0, sizeof(config));
		nbd_params_init(&params);
		params.block_size = cases[i].block_size;
		params.size = cases[i].size;
		params.given = (params.block_size ? NBD_GIVEN_BLOCK_SIZE : 0) |
			       (params.size ? NBD_GIVEN_SIZE : 0);
		ret = nbd_fit(&config, &params, &cases[i].export, &err);
		expect_number(!ret, !cases[i].words);
		if (ret) {
			expect_number(err.status, NBD_EXIT_UNFIT);
			expect_words(err.text, cases[i].words ?: "");
			continue;
		}
		expect_number(config.size, cases[i].result_size);
		expect_number(config.block_size, cases[i].result_block);
	}

	tap_test("fit: read-only on request");
	nbd_params_init(&params);
	params.readonly = true;
	memset(&config, 0, sizeof(config));
	expect_number(nbd_fit(&config, &params, &cases[0].export, &err), 0);
	expect_number(config.server_flags,
		      NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY);

	test_fit_ioctl();
}
