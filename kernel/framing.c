// SPDX-License-Identifier: GPL-2.0
/* The order of headers and payload in a stream of replies. */
#include "framing.h"

static void framing_next_reply(struct nbd_framing *f)
{
	f->payload = false;
	f->part = NBD_PART_REPLY;
	f->left = NBD_REPLY_SIZE;
	f->end = f->raw + NBD_REPLY_SIZE;
}

void nbd_framing_init(struct nbd_framing *f, bool structured)
{
	*f = (struct nbd_framing){ .verdict = NBD_REPLY_OK, .structured = structured };
	framing_next_reply(f);
}

static enum nbd_step give_up(struct nbd_framing *f, enum nbd_verdict verdict)
{
	f->verdict = verdict;
	return NBD_STEP_GIVE_UP;
}

/* Reads @n bytes more, up to @end. */
static enum nbd_step read_part(struct nbd_framing *f, enum nbd_part part, __u8 *end, __u32 n)
{
	f->part = part;
	f->left = n;
	f->end = end;
	return NBD_STEP_READ;
}

static enum nbd_step chunk_part(struct nbd_framing *f);

/* The same of a chunk's header; what was taken ahead is where it belongs. */
static enum nbd_step read_header(struct nbd_framing *f, enum nbd_part part, __u8 *end, __u32 n)
{
	__u32 there = n < f->ahead ? n : f->ahead;

	f->ahead -= there;
	read_part(f, part, end, n - there);
	return f->left ? NBD_STEP_READ : chunk_part(f);
}

static enum nbd_step framing_header(struct nbd_framing *f)
{
	f->verdict = nbd_wire_decode(&f->header, &f->reply);
	if (f->verdict == NBD_REPLY_OK)
		return NBD_STEP_LOOK_UP;
	if (!f->structured || f->verdict != NBD_REPLY_STRUCTURED)
		return NBD_STEP_GIVE_UP;
	f->verdict = NBD_REPLY_OK;
	return read_header(f, NBD_PART_CHUNK, f->raw + NBD_CHUNK_SIZE,
			   NBD_CHUNK_SIZE - NBD_REPLY_SIZE);
}

static enum nbd_step framing_finish(struct nbd_framing *f)
{
	framing_next_reply(f);
	return NBD_STEP_FINISH;
}

/* --- chunks --- */

static enum nbd_step chunk_end(struct nbd_framing *f)
{
	if (!(f->chunk.flags & NBD_CHUNK_DONE)) {
		framing_next_reply(f);
		return NBD_STEP_SUSPEND;
	}
	f->reply.error = f->cover->error;
	if (f->len && !f->reply.error && !nbd_cover_is_whole(f->cover, f->len))
		return give_up(f, NBD_CHUNK_LACKS);
	return framing_finish(f);
}

static enum nbd_step chunk_header(struct nbd_framing *f)
{
	f->verdict = nbd_wire_decode_chunk(f->raw, &f->chunk);
	if (f->verdict != NBD_REPLY_OK)
		return NBD_STEP_GIVE_UP;
	f->reply.cookie = nbd_wire_cookie(f->raw);
	f->reply.error = 0;
	return NBD_STEP_LOOK_UP;
}

/* The chunk says what bytes @at to @at + @n of the export are: they must have been asked for. */
static bool place_content(struct nbd_framing *f, __u64 at, __u32 n)
{
	if (at < f->from || at - f->from > f->len || n > f->len - (at - f->from)) {
		f->verdict = NBD_CHUNK_OUTSIDE;
		return false;
	}
	f->offset = at - f->from;
	f->verdict = nbd_cover_add(f->cover, f->offset, f->offset + n);
	return f->verdict == NBD_REPLY_OK;
}

static enum nbd_step chunk_data(struct nbd_framing *f)
{
	__u64 at = nbd_wire_be64(f->raw + NBD_CHUNK_SIZE);

	if (!place_content(f, at, f->rest))
		return NBD_STEP_GIVE_UP;
	f->part = NBD_PART_DATA;
	f->payload = true;
	f->left = f->rest;
	return NBD_STEP_READ;
}

static enum nbd_step chunk_hole(struct nbd_framing *f)
{
	__u64 at = nbd_wire_be64(f->raw + NBD_CHUNK_SIZE);

	f->hole = nbd_wire_be32(f->raw + NBD_CHUNK_SIZE + sizeof(at));
	if (!f->hole)
		return give_up(f, NBD_CHUNK_BAD_LENGTH);
	return place_content(f, at, f->hole) ? NBD_STEP_ZERO : NBD_STEP_GIVE_UP;
}

/* What nobody wants goes where the header was. */
static enum nbd_step skip(struct nbd_framing *f, __u32 n)
{
	if (n > NBD_FRAMING_RAW)
		n = NBD_FRAMING_RAW;
	f->rest -= n;
	return read_part(f, NBD_PART_SURPLUS, f->raw + n, n);
}

static enum nbd_step skip_text(struct nbd_framing *f)
{
	enum nbd_step step = skip(f, f->text_left);

	f->text_left -= f->left;
	return step;
}

static __u32 where_size(const struct nbd_framing *f)
{
	return f->chunk.type == NBD_CHUNK_ERROR_WHERE ? NBD_CHUNK_WHERE_SIZE : 0;
}

/* Behind the text that is kept: the rest of that, where it is, and what nobody knows. */
static enum nbd_step error_next(struct nbd_framing *f)
{
	if (f->text_left)
		return skip_text(f);
	if (where_size(f) && !f->error.has_where) {
		f->rest -= NBD_CHUNK_WHERE_SIZE;
		return read_part(f, NBD_PART_WHERE, f->raw + NBD_CHUNK_WHERE_SIZE,
				 NBD_CHUNK_WHERE_SIZE);
	}
	if (f->rest)
		return skip(f, f->rest);
	if (!f->cover->error)
		f->cover->error = f->error.number;
	return NBD_STEP_ERROR;
}

static enum nbd_step chunk_error(struct nbd_framing *f)
{
	__u32 len = nbd_wire_be16(f->raw + NBD_CHUNK_SIZE + sizeof(__u32));

	f->error.number = nbd_wire_be32(f->raw + NBD_CHUNK_SIZE);
	/* The protocol has no error 0; the request fails all the same. */
	if (!f->error.number)
		f->error.number = 5;
	f->error.has_where = false;
	if (len > NBD_CHUNK_TEXT_MAX || len > f->rest - where_size(f))
		return give_up(f, NBD_CHUNK_BAD_TEXT);
	f->error.len = len < NBD_FRAMING_TEXT ? len : NBD_FRAMING_TEXT;
	f->error.text[f->error.len] = '\0';
	f->text_left = len - f->error.len;
	if (!len)
		return error_next(f);
	f->rest -= f->error.len;
	return read_part(f, NBD_PART_TEXT, (__u8 *)f->error.text + f->error.len, f->error.len);
}

static enum nbd_step error_where(struct nbd_framing *f)
{
	f->error.where = nbd_wire_be64(f->raw);
	f->error.has_where = true;
	if (f->len && (f->error.where < f->from || f->error.where - f->from >= f->len))
		return give_up(f, NBD_CHUNK_OUTSIDE);
	return error_next(f);
}

static enum nbd_step chunk_fixed(struct nbd_framing *f)
{
	switch (f->chunk.type) {
	case NBD_CHUNK_DATA:
		return chunk_data(f);
	case NBD_CHUNK_HOLE:
		return chunk_hole(f);
	default:
		return chunk_error(f);
	}
}

/* The present part of a chunk is there. */
static enum nbd_step chunk_part(struct nbd_framing *f)
{
	switch (f->part) {
	case NBD_PART_CHUNK:
		return chunk_header(f);
	case NBD_PART_FIXED:
		return chunk_fixed(f);
	case NBD_PART_TEXT:
		nbd_wire_clean(f->error.text, f->error.len);
		return error_next(f);
	case NBD_PART_WHERE:
		return error_where(f);
	case NBD_PART_SURPLUS:
		return error_next(f);
	default:
		return chunk_end(f);
	}
}

static __u32 fixed_size(const struct nbd_wire_chunk *chunk)
{
	switch (chunk->type) {
	case NBD_CHUNK_DATA:
		return NBD_CHUNK_DATA_SIZE;
	case NBD_CHUNK_HOLE:
		return NBD_CHUNK_HOLE_SIZE;
	default:
		return NBD_CHUNK_ERROR_SIZE;
	}
}

enum nbd_step nbd_framing_expect_chunk(struct nbd_framing *f, __u64 from, __u32 len,
				       struct nbd_cover *cover)
{
	__u32 fixed = fixed_size(&f->chunk);

	f->from = from;
	f->len = len;
	f->cover = cover;
	if (f->chunk.type == NBD_CHUNK_NONE)
		return chunk_end(f);
	if (!len && !(f->chunk.type & NBD_CHUNK_IS_ERROR))
		return give_up(f, NBD_CHUNK_CONTENT);
	f->rest = f->chunk.length - fixed;
	return read_header(f, NBD_PART_FIXED, f->raw + NBD_CHUNK_SIZE + fixed, fixed);
}

enum nbd_step nbd_framing_proceed(struct nbd_framing *f)
{
	return chunk_end(f);
}

/* --- both forms --- */

enum nbd_step nbd_framing_advance(struct nbd_framing *f, __u32 n)
{
	if (n > f->left) {
		f->ahead = n - f->left;
		n = f->left;
	}
	f->left -= n;
	if (f->payload)
		f->offset += n;
	if (f->left)
		return NBD_STEP_READ;
	if (f->part != NBD_PART_REPLY)
		return chunk_part(f);
	return f->payload ? framing_finish(f) : framing_header(f);
}

enum nbd_step nbd_framing_expect(struct nbd_framing *f, __u32 len)
{
	if (f->structured && len)
		return give_up(f, NBD_REPLY_SIMPLE_READ);
	/* An error is the whole answer. */
	if (f->reply.error || !len)
		return framing_finish(f);
	f->payload = true;
	f->offset = 0;
	f->left = len;
	return NBD_STEP_READ;
}
