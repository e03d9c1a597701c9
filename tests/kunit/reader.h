/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A reader of replies on top of kernel/framing.h, as small as one can be: bytes from an
 * array, requests in an array. For KUnit, the userspace tests and the fuzzer. A header with
 * code.
 */
#ifndef _NBD_TEST_READER_H
#define _NBD_TEST_READER_H

#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif
#include "../../kernel/framing.h"

#define READER_BYTES	64

/**
 * struct reader_request - a request; its cookie is its place in the array
 * @len:	bytes of payload that a success brings, READER_BYTES at most
 * @answered:	the header of its reply has come, of a structured one that of the last chunk
 * @finished:	how often its reply was complete
 * @error:	of the reply
 * @chunks:	headers of chunks that have come
 * @from:	where in the export it begins
 * @cover:	what has come
 * @text:	of the last error
 * @memory:	where payload goes
 */
struct reader_request {
	__u32 len;
	__u32 answered;
	__u32 finished;
	__u32 error;
	__u32 chunks;
	__u64 from;
	struct nbd_cover cover;
	char text[NBD_FRAMING_TEXT + 1];
	__u8 memory[READER_BYTES];
};

/**
 * struct reader - a connection's receiver
 * @framing:	see there
 * @requests:	@nr of them
 * @current_one: the one whose reply is being read
 * @strange:	a reply was to no request, or to one that was answered before
 * @outside:	the framing wanted bytes outside of what it had been told
 */
struct reader {
	struct nbd_framing framing;
	struct reader_request *requests;
	__u32 nr;
	struct reader_request *current_one;
	bool strange;
	bool outside;
};

static inline void reader_init(struct reader *r, struct reader_request *requests, __u32 nr,
			       bool structured)
{
	*r = (struct reader){ .requests = requests, .nr = nr };
	nbd_framing_init(&r->framing, structured);
}

static inline enum nbd_step reader_look_up(struct reader *r)
{
	struct reader_request *q;

	if (r->framing.reply.cookie >= r->nr ||
	    r->requests[r->framing.reply.cookie].answered) {
		r->strange = true;
		return NBD_STEP_GIVE_UP;
	}
	q = &r->requests[r->framing.reply.cookie];
	r->current_one = q;
	q->answered = nbd_framing_is_last(&r->framing);
	if (nbd_framing_is_chunk(&r->framing)) {
		q->chunks++;
		return nbd_framing_expect_chunk(&r->framing, q->from, q->len, &q->cover);
	}
	return nbd_framing_expect(&r->framing, q->len);
}

/* Whether all that may be taken of a header or text is put in memory of the framing's. */
static inline bool reader_has_room(struct reader *r)
{
	const __u8 *from = nbd_framing_head(&r->framing);
	const __u8 *end = from + nbd_framing_wanted(&r->framing);
	const __u8 *text = (const __u8 *)r->framing.error.text;
	const __u8 *raw = r->framing.raw;

	return (from >= raw && end <= raw + NBD_FRAMING_RAW) ||
	       (from >= text && end <= text + NBD_FRAMING_TEXT);
}

/* What a step between the chunks asks for; the step that is next. */
static inline enum nbd_step reader_do(struct reader *r, enum nbd_step step)
{
	const struct nbd_framing *f = &r->framing;
	struct reader_request *q = r->current_one;

	if (step == NBD_STEP_ERROR)
		memcpy(q->text, f->error.text, f->error.len + 1);
	else if (f->offset <= q->len && f->hole <= q->len - f->offset)
		memset(q->memory + f->offset, 0, f->hole);
	else
		r->outside = true;
	return nbd_framing_proceed(&r->framing);
}

/* Where the next bytes go, or NULL if the framing wants more than there is room for. */
static inline void *reader_place(struct reader *r)
{
	const struct nbd_framing *f = &r->framing;

	if (!nbd_framing_in_payload(f))
		return reader_has_room(r) ? nbd_framing_head(&r->framing) : NULL;
	if (f->offset > r->current_one->len || f->left > r->current_one->len - f->offset)
		return NULL;
	return r->current_one->memory + f->offset;
}

/* Bytes of @bytes that were read: all @len, or fewer if it came to an end. */
static inline __u32 reader_read(struct reader *r, const __u8 *bytes, __u32 len)
{
	enum nbd_step step = NBD_STEP_READ;
	__u32 done = 0, n;
	void *place;

	while (done < len && step != NBD_STEP_GIVE_UP) {
		place = reader_place(r);
		if (!place || !r->framing.left) {
			r->outside = true;
			break;
		}
		n = nbd_framing_in_payload(&r->framing) ? r->framing.left :
							  nbd_framing_wanted(&r->framing);
		if (n > len - done)
			n = len - done;
		memcpy(place, bytes + done, n);
		done += n;
		step = nbd_framing_advance(&r->framing, n);
		if (step == NBD_STEP_LOOK_UP)
			step = reader_look_up(r);
		if (step == NBD_STEP_ZERO || step == NBD_STEP_ERROR)
			step = reader_do(r, step);
		if (step == NBD_STEP_FINISH) {
			r->current_one->finished++;
			r->current_one->error = r->framing.reply.error;
		}
		done -= nbd_framing_unread(&r->framing);
	}
	return done;
}

#endif /* _NBD_TEST_READER_H */
