// SPDX-License-Identifier: GPL-2.0
/* The order of headers and payload in a stream of simple replies. */
#include "framing.h"

static void framing_next_reply(struct nbd_framing *f)
{
	f->payload = false;
	f->left = NBD_REPLY_SIZE;
}

void nbd_framing_init(struct nbd_framing *f)
{
	*f = (struct nbd_framing){ .verdict = NBD_REPLY_OK };
	framing_next_reply(f);
}

static enum nbd_step framing_header(struct nbd_framing *f)
{
	f->verdict = nbd_wire_decode(&f->header, &f->reply);
	if (f->verdict != NBD_REPLY_OK)
		return NBD_STEP_GIVE_UP;
	return NBD_STEP_LOOK_UP;
}

static enum nbd_step framing_finish(struct nbd_framing *f)
{
	framing_next_reply(f);
	return NBD_STEP_FINISH;
}

enum nbd_step nbd_framing_advance(struct nbd_framing *f, __u32 n)
{
	f->left -= n;
	if (f->payload)
		f->offset += n;
	if (f->left)
		return NBD_STEP_READ;
	return f->payload ? framing_finish(f) : framing_header(f);
}

enum nbd_step nbd_framing_expect(struct nbd_framing *f, __u32 len)
{
	/* An error is the whole answer. */
	if (f->reply.error || !len)
		return framing_finish(f);
	f->payload = true;
	f->offset = 0;
	f->left = len;
	return NBD_STEP_READ;
}
