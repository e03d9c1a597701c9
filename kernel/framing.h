/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Framing: where in the server's stream of bytes one reply ends and the next one begins,
 * and where in the memory of a request its payload belongs.
 *
 * Pure as wire.h is. The state is what remains to be read, so that the stream can be cut
 * after any byte. A reader knows no reply's form: of the bytes that have come it takes those
 * of the present part, nbd_framing.left at most, to nbd_framing_head(), or to byte
 * nbd_framing.offset of the request if nbd_framing_in_payload(); says so to
 * nbd_framing_advance(); and does what the step is that this returns.
 *
 * What a reply is followed by depends on the request that it answers, and requests are not
 * known here: the reader looks it up when it is told to, and gives its length to
 * nbd_framing_expect().
 */
#ifndef _NBD_FRAMING_H
#define _NBD_FRAMING_H

#ifndef __KERNEL__
#include <stdbool.h>
#endif
#include "wire.h"

/**
 * enum nbd_step - what the reader has to do
 * @NBD_STEP_READ:	go on reading
 * @NBD_STEP_LOOK_UP:	find the request that nbd_framing.reply answers, then call
 *			nbd_framing_expect()
 * @NBD_STEP_FINISH:	complete the request: all of the reply is there; then go on reading
 * @NBD_STEP_GIVE_UP:	the stream cannot be trusted any more, see nbd_framing.verdict;
 *			nothing may be called but nbd_framing_init()
 */
enum nbd_step {
	NBD_STEP_READ,
	NBD_STEP_LOOK_UP,
	NBD_STEP_FINISH,
	NBD_STEP_GIVE_UP,
};

/**
 * struct nbd_framing - what remains to be read
 * @raw:	the header that is being assembled
 * @left:	bytes to come of the present part: of a header, or of payload
 * @payload:	it is payload
 * @offset:	of payload: where in the request the next byte belongs
 * @reply:	the reply of which this is part, from NBD_STEP_LOOK_UP on and still at
 *		NBD_STEP_FINISH
 * @verdict:	at NBD_STEP_GIVE_UP: why
 */
struct nbd_framing {
	union {
		struct nbd_reply header;
		__u8 raw[NBD_REPLY_SIZE];
	};
	__u32 left;
	bool payload;
	__u32 offset;
	struct nbd_wire_reply reply;
	enum nbd_verdict verdict;
};

/* At the beginning of a stream. */
void nbd_framing_init(struct nbd_framing *f);

/* The reader took @n bytes of the present part, from 1 to @left. */
enum nbd_step nbd_framing_advance(struct nbd_framing *f, __u32 n);

/*
 * The answer to NBD_STEP_LOOK_UP: a success of the request brings @len bytes of payload, 0
 * for none. The next step is NBD_STEP_READ or NBD_STEP_FINISH.
 */
enum nbd_step nbd_framing_expect(struct nbd_framing *f, __u32 len);

static inline bool nbd_framing_in_payload(const struct nbd_framing *f)
{
	return f->payload;
}

/* Where the next byte of a header belongs; there is room for @left. */
static inline void *nbd_framing_head(struct nbd_framing *f)
{
	return f->raw + NBD_REPLY_SIZE - f->left;
}

#endif /* _NBD_FRAMING_H */
