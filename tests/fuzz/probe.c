// SPDX-License-Identifier: GPL-2.0
/*
 * Head and tail of an export, from a server whose every byte is the fuzzer's. The first
 * byte of the input chooses the block sizes and how the bytes come, the next eight are the
 * size of the export.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../client/probe.h"
#include "fuzz.h"

#define BYTE_BY_BYTE	(1 << 0)
#define STUTTERS	(1 << 1)
#define BLOCK_SIZES	(1 << 2)
#define STRUCTURED	(1 << 3)
/* The three bits above them: the largest request, 512 bytes and more. */
#define BLOCK_MAX(mode)	(512u << ((mode) >> 4))

/**
 * struct input - the server
 * @base:	for probe.c
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

static bool stutters(struct input *in)
{
	return in->mode & STUTTERS && (in->turn++ * 2654435761u) >> 31;
}

static ssize_t input_recv(struct nbd_transport *t, void *buf, size_t len)
{
	struct input *in = (struct input *)t;

	fuzz_check(len);
	if (stutters(in))
		return -EAGAIN;
	if (in->mode & BYTE_BY_BYTE)
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

	fuzz_check(len);
	for (i = 0; i < len; i++)	/* so that ASan sees every byte */
		sum += bytes[i];
	if (stutters(in))
		return -EAGAIN;
	return in->mode & BYTE_BY_BYTE ? 1 : len + 0 * sum;
}

static const struct nbd_transport_ops input_ops = {
	.recv = input_recv,
	.send = input_send,
};

static void probe(struct input *in, const struct nbd_export *e)
{
	struct nbd_probe *p = malloc(sizeof(*p));
	struct nbd_err err = { 0 };
	int i, ret = nbd_probe_init(p, e, in->mode & STRUCTURED, &err);

	for (i = 0; i < 2; i++) {
		fuzz_check(p->area[i].offset + p->area[i].length <= e->size);
		p->area[i].memory = malloc(p->area[i].length);
	}
	while (!ret || ret == -EAGAIN) {
		ret = nbd_probe_run(p, &in->base, &err);
		if (!ret)
			break;
	}
	if (ret) {
		fuzz_check(err.status != NBD_EXIT_OK && err.text[0]);
		fuzz_check_printable(err.text);
	}
	free(p->area[0].memory);
	free(p->area[1].memory);
	free(p);
}

int fuzz_one(const unsigned char *data, size_t len)
{
	struct input in = { .base.ops = &input_ops };
	struct nbd_export e = { 0 };

	if (len < 1 + sizeof(e.size))
		return 0;
	in.mode = data[0];
	memcpy(&e.size, data + 1, sizeof(e.size));
	e.size &= S64_MAX;
	in.data = data + 1 + sizeof(e.size);
	in.left = len - 1 - sizeof(e.size);
	if (in.mode & BLOCK_SIZES) {
		e.has_block_sizes = true;
		e.block_min = 512;
		e.block_preferred = 512;
		e.block_max = BLOCK_MAX(in.mode);
	}
	probe(&in, &e);
	return 0;
}
