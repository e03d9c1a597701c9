// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake, with a server whose every byte is the fuzzer's. The first byte
 * of the input chooses the goal and how the bytes come.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../client/negotiate.h"
#include "../../client/settings.h"
#include "fuzz.h"

#define WITHOUT_GO	(1 << 0)
#define LIST		(1 << 1)
#define BYTE_BY_BYTE	(1 << 2)
#define STUTTERS	(1 << 3)
#define TLS		(1 << 4)
#define INFO		(1 << 5)
#define STRUCTURED	(1 << 6)

/**
 * struct input - the server
 * @base:	for negotiate.c
 * @data:	what it sends
 * @left:	so much of it
 * @mode:	flags above
 * @turn:	calls so far
 */
struct input {
	struct nbd_transport base;
	const unsigned char *data;
	size_t left;
	unsigned int mode;
	unsigned int turn;
};

static ssize_t input_recv(struct nbd_transport *t, void *buf, size_t len)
{
	struct input *in = (struct input *)t;

	if (in->mode & STUTTERS && in->turn++ % 2)
		return -EAGAIN;
	if (in->mode & BYTE_BY_BYTE && len)
		len = 1;
	if (len > in->left)
		len = in->left;
	memcpy(buf, in->data, len);
	in->data += len;
	in->left -= len;
	return len;
}

static ssize_t input_send(struct nbd_transport *t, const void *buf, size_t len)
{
	struct input *in = (struct input *)t;
	const unsigned char *bytes = buf;
	size_t i, sum = 0;

	for (i = 0; i < len; i++)	/* so that ASan sees every byte */
		sum += bytes[i];
	if (in->mode & STUTTERS && in->turn++ % 2)
		return -EAGAIN;
	return in->mode & BYTE_BY_BYTE ? 1 : len + 0 * sum;
}

static const struct nbd_transport_ops input_ops = {
	.recv = input_recv,
	.send = input_send,
};

static void restart(void *arg)
{
	(void)arg;
}

static void entry(void *arg, const char *name, size_t name_len,
		  const char *description, size_t description_len)
{
	char text[64];

	(void)arg;
	fuzz_check(name_len <= NBD_STRING_MAX);
	nbd_sanitize(text, sizeof(text), name, name_len);
	nbd_sanitize(text, sizeof(text), description, description_len);
}

/* The same export again. */
static bool next(void *arg, const char **name, size_t *name_len)
{
	unsigned int *left = arg;

	*name = "disk";
	*name_len = 4;
	if (!*left)
		return false;
	--*left;
	return true;
}

static void description(void *arg, const char *text, size_t len)
{
	char clean[64];

	(void)arg;
	nbd_sanitize(clean, sizeof(clean), text, len);
}

static void described(void *arg, const struct nbd_export *export)
{
	(void)arg;
	fuzz_check(!export->has_block_sizes || export->block_max >= export->block_min);
}

static void refused(void *arg, const struct nbd_err *err)
{
	(void)arg;
	fuzz_check(err->status != NBD_EXIT_OK && err->text[0]);
	fuzz_check_printable(err->text);
}

static enum nbd_goal goal_of(unsigned int mode)
{
	if (mode & INFO)
		return NBD_GOAL_INFO;
	return mode & LIST ? NBD_GOAL_LIST : NBD_GOAL_GO;
}

/* What the header promises about a result. */
static void check_result(const struct nbd_handshake *hs, int ret,
			 const struct nbd_err *err)
{
	const struct nbd_export *e = &hs->export;

	if (ret) {
		fuzz_check(hs->state == NBD_HS_FAILED);
		fuzz_check(err->status != NBD_EXIT_OK && err->text[0]);
		fuzz_check_printable(err->text);
		return;
	}
	fuzz_check(hs->state == NBD_HS_DONE || hs->state == NBD_HS_TLS_READY);
	if (!e->has_block_sizes)
		return;
	fuzz_check(e->block_min && !(e->block_min & (e->block_min - 1)));
	fuzz_check(e->block_min <= 65536 && e->block_max >= e->block_min);
	fuzz_check(e->block_preferred >= e->block_min);
}

int fuzz_one(const unsigned char *data, size_t len)
{
	static struct nbd_listing listing = {
		.restart = restart,
		.entry = entry,
		.next = next,
		.description = description,
		.described = described,
		.refused = refused,
	};
	unsigned int exports = 2;
	struct nbd_handshake *hs;
	struct input in = { .base.ops = &input_ops };
	struct nbd_params params;
	struct nbd_err err = { 0 };
	int ret;

	if (!len)
		return 0;
	hs = malloc(sizeof(*hs));
	nbd_params_init(&params);
	in.mode = data[0];
	in.data = data + 1;
	in.left = len - 1;
	params.no_optgo = in.mode & WITHOUT_GO;
	params.tls = in.mode & TLS;
	listing.arg = &exports;
	nbd_handshake_init(hs, goal_of(in.mode), in.mode & STRUCTURED, &params, &listing, &err);
	do {
		ret = nbd_handshake_run(hs, &in.base, &err);
		if (!ret && hs->state == NBD_HS_TLS_READY) {
			nbd_handshake_tls_done(hs);
			ret = -EAGAIN;
		}
	} while (ret == -EAGAIN);
	check_result(hs, ret, &err);
	free(hs);
	return 0;
}
