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
 * Parts of a header that most probably follow each other need not be taken one by one: a
 * reader that can give bytes back takes up to nbd_framing_wanted(), and gives back
 * nbd_framing_unread() when the step is done.
 *
 * What a reply is followed by depends on the request that it answers, and requests are not
 * known here: the reader looks it up when it is told to, and gives what has to be known of it
 * to nbd_framing_expect(), or to nbd_framing_expect_chunk() if nbd_framing_is_chunk().
 *
 * A structured reply comes in chunks, between which there may be others. Where structured
 * replies were agreed on, both forms are read; a READ may not be answered in the simple one.
 */
#ifndef _NBD_FRAMING_H
#define _NBD_FRAMING_H

#ifndef __KERNEL__
#include <stdbool.h>
#endif
#include "cover.h"
#include "wire.h"

/* So much of an error text is kept. */
#define NBD_FRAMING_TEXT	128
/* Header, and the fixed part of a chunk's content. */
#define NBD_FRAMING_RAW		(NBD_CHUNK_SIZE + NBD_CHUNK_HOLE_SIZE)

/**
 * enum nbd_step - what the reader has to do
 * @NBD_STEP_READ:	go on reading
 * @NBD_STEP_LOOK_UP:	find the request that nbd_framing.reply answers, then call
 *			nbd_framing_expect() or nbd_framing_expect_chunk()
 * @NBD_STEP_ZERO:	fill nbd_framing.hole bytes of the request with zeroes, from byte
 *			nbd_framing.offset on; then call nbd_framing_proceed()
 * @NBD_STEP_ERROR:	note nbd_framing.error; then call nbd_framing_proceed()
 * @NBD_STEP_SUSPEND:	let go of the request, of whose reply more will come; then go on
 *			reading
 * @NBD_STEP_FINISH:	complete the request: all of the reply is there; then go on reading
 * @NBD_STEP_GIVE_UP:	the stream cannot be trusted any more, see nbd_framing.verdict;
 *			nothing may be called but nbd_framing_init()
 */
enum nbd_step {
	NBD_STEP_READ,
	NBD_STEP_LOOK_UP,
	NBD_STEP_ZERO,
	NBD_STEP_ERROR,
	NBD_STEP_SUSPEND,
	NBD_STEP_FINISH,
	NBD_STEP_GIVE_UP,
};

/** enum nbd_part - what is being read */
enum nbd_part {
	NBD_PART_REPLY,		/* a simple reply's header, or as much of a chunk's */
	NBD_PART_CHUNK,		/* the rest of that */
	NBD_PART_FIXED,		/* what content begins with */
	NBD_PART_DATA,		/* payload */
	NBD_PART_TEXT,		/* of an error */
	NBD_PART_SURPLUS,	/* of an error: nobody will look at it */
	NBD_PART_WHERE,		/* of an error: what it is about */
};

/**
 * struct nbd_framing_error - an error that came in a chunk
 * @number:	the server's
 * @has_where:	@where is told
 * @where:	byte of the export
 * @len:	of @text, as far as it is kept
 * @text:	printable ASCII, terminated
 */
struct nbd_framing_error {
	__u32 number;
	bool has_where;
	__u64 where;
	__u32 len;
	char text[NBD_FRAMING_TEXT + 1];
};

/**
 * struct nbd_framing - what remains to be read
 * @raw:	the header that is being assembled, and what follows in a chunk
 * @left:	bytes to come of the present part: of a header, or of payload
 * @payload:	it is payload
 * @structured:	structured replies were agreed on
 * @part:	enum nbd_part
 * @end:	where the present part ends, if it is no payload
 * @ahead:	bytes that were taken behind the present part and are in no part yet
 * @offset:	of payload or a hole: where in the request the next byte belongs
 * @reply:	the reply of which this is part, from NBD_STEP_LOOK_UP on and still at
 *		NBD_STEP_FINISH
 * @verdict:	at NBD_STEP_GIVE_UP: why
 * @chunk:	the one that is being read
 * @rest:	bytes of it behind the present part
 * @text_left:	those of them that are text and not kept
 * @hole:	at NBD_STEP_ZERO: bytes
 * @from:	first byte of the export that was asked for
 * @len:	how many, 0 if the request is no READ
 * @cover:	what has come of the reply; the request's
 * @error:	at NBD_STEP_ERROR
 */
struct nbd_framing {
	union {
		struct nbd_reply header;
		__u8 raw[NBD_FRAMING_RAW];
	};
	__u32 left;
	bool payload;
	bool structured;
	__u8 part;
	__u8 *end;
	__u32 ahead;
	__u32 offset;
	struct nbd_wire_reply reply;
	enum nbd_verdict verdict;
	struct nbd_wire_chunk chunk;
	__u32 rest;
	__u32 text_left;
	__u32 hole;
	__u64 from;
	__u32 len;
	struct nbd_cover *cover;
	struct nbd_framing_error error;
};

/* At the beginning of a stream. @f must not move from here on. */
void nbd_framing_init(struct nbd_framing *f, bool structured);

/* The reader took @n bytes, from 1 to @left or, of a header, nbd_framing_wanted(). */
enum nbd_step nbd_framing_advance(struct nbd_framing *f, __u32 n);

/*
 * The answer to NBD_STEP_LOOK_UP: a success of the request brings @len bytes of payload, 0
 * if it is no READ. The next step is NBD_STEP_READ, NBD_STEP_FINISH or NBD_STEP_GIVE_UP;
 * of a chunk any but NBD_STEP_LOOK_UP.
 */
enum nbd_step nbd_framing_expect(struct nbd_framing *f, __u32 len);

/*
 * The same for a chunk: @from is where in the export the request begins, @cover what has come
 * for it, which is the reader's and stays as it is until the request is sent again.
 */
enum nbd_step nbd_framing_expect_chunk(struct nbd_framing *f, __u64 from, __u32 len,
				       struct nbd_cover *cover);

/* After NBD_STEP_ZERO and NBD_STEP_ERROR: the next step is none of the two. */
enum nbd_step nbd_framing_proceed(struct nbd_framing *f);

/* At NBD_STEP_LOOK_UP: of which form the reply is, and whether it is the last of its kind. */
static inline bool nbd_framing_is_chunk(const struct nbd_framing *f)
{
	return f->part != NBD_PART_REPLY;
}

static inline bool nbd_framing_is_last(const struct nbd_framing *f)
{
	return !nbd_framing_is_chunk(f) || f->chunk.flags & NBD_CHUNK_DONE;
}

static inline bool nbd_framing_in_payload(const struct nbd_framing *f)
{
	return f->payload;
}

/* Where the next byte of a header belongs; there is room for @left. */
static inline void *nbd_framing_head(struct nbd_framing *f)
{
	return f->end - f->left;
}

/* At most so many bytes of a header are of use: of the present part, or of the next ones, too. */
static inline __u32 nbd_framing_wanted(const struct nbd_framing *f)
{
	if (f->structured && f->part == NBD_PART_REPLY)
		return f->left + NBD_CHUNK_SIZE + NBD_CHUNK_DATA_SIZE - NBD_REPLY_SIZE;
	return f->left;
}

/* So many of the bytes that were taken last are of no part that was read. */
static inline __u32 nbd_framing_unread(struct nbd_framing *f)
{
	__u32 n = f->ahead;

	f->ahead = 0;
	return n;
}

/* So many bytes may come before payload that is worth to be received by itself. */
static inline __u32 nbd_framing_header_size(const struct nbd_framing *f)
{
	return f->structured ? NBD_CHUNK_SIZE + NBD_CHUNK_DATA_SIZE : NBD_REPLY_SIZE;
}

#endif /* _NBD_FRAMING_H */
