// SPDX-License-Identifier: GPL-2.0
/*
 * The head and the tail of an export.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/nbd.h>
#include <string.h>

#include "probe.h"

/* Its low bits are the piece's number. The driver's cookies begin at 0. */
#define COOKIE_BASE	0x6e62642d69640000ULL
/* proto.md, "Error values" */
#define SERVER_ESHUTDOWN 108

static u32 round_down(u64 value, u32 unit)
{
	return value - value % unit;
}

/* Head and tail, or all of a small export; without an incomplete last block. */
static void choose_areas(struct nbd_probe *p, u64 size, u32 block)
{
	u64 end = size - size % block, tail;

	p->area[0].length = end < NBD_PROBE_HEAD ? end : NBD_PROBE_HEAD;
	p->area[1].length = 0;
	if (end <= NBD_PROBE_HEAD)
		return;
	tail = (end - 1) / NBD_PROBE_ALIGN * NBD_PROBE_ALIGN -
	       (NBD_PROBE_TAIL - NBD_PROBE_ALIGN);
	if (tail < NBD_PROBE_HEAD)
		tail = NBD_PROBE_HEAD;
	p->area[1].offset = tail;
	p->area[1].length = end - tail;
}

static unsigned int pieces(const struct nbd_probe_area *area, u32 piece)
{
	return (area->length + piece - 1) / piece;
}

int nbd_probe_init(struct nbd_probe *p, const struct nbd_export *e,
		   bool structured, struct nbd_err *err)
{
	u32 block = e->has_block_sizes && e->block_min > 512 ? e->block_min : 512;

	memset(p, 0, sizeof(*p));
	choose_areas(p, e->size, block);
	p->piece = NBD_PROBE_HEAD;
	if (e->has_block_sizes && e->block_max < p->piece)
		p->piece = round_down(e->block_max, block);
	nbd_framing_init(&p->framing, structured);
	if (p->piece) {
		p->n_head = pieces(&p->area[0], p->piece);
		p->n = p->n_head + pieces(&p->area[1], p->piece);
	}
	if (p->piece && p->n <= NBD_PROBE_PIECES_MAX)
		return 0;
	return nbd_fail(err, NBD_EXIT_UNFIT, EINVAL,
			"the server's largest request (%u bytes) is too small to look at the disk",
			e->block_max);
}

/* Which bytes piece @i is. */
static void locate(const struct nbd_probe *p, unsigned int i,
		   struct nbd_probe_area *piece)
{
	const struct nbd_probe_area *area = &p->area[i >= p->n_head];
	u32 begin = (i >= p->n_head ? i - p->n_head : i) * p->piece;

	piece->offset = area->offset + begin;
	piece->memory = area->memory + begin;
	piece->length = area->length - begin;
	if (piece->length > p->piece)
		piece->length = p->piece;
}

static void put_request(struct nbd_probe *p)
{
	struct nbd_probe_area piece;
	struct nbd_request request = {
		.magic = htobe32(NBD_REQUEST_MAGIC),
		.type = htobe32(NBD_CMD_READ),
		.cookie = htobe64(COOKIE_BASE + p->sent),
	};

	static_assert(sizeof(request) == NBD_PROBE_REQUEST_SIZE, "size");
	locate(p, p->sent++, &piece);
	request.from = htobe64(piece.offset);
	request.len = htobe32(piece.length);
	memcpy(p->out + p->out_len, &request, sizeof(request));
	p->out_len += sizeof(request);
}

bool nbd_probe_writes(const struct nbd_probe *p)
{
	return p->out_done < p->out_len || p->sent < p->n;
}

static int connection_lost(int ret, struct nbd_err *err)
{
	if (!ret)
		return nbd_fail(err, NBD_EXIT_CONNECT, ECONNRESET,
				"the server ended the connection when it was asked for the disk's first blocks");
	return nbd_fail(err, NBD_EXIT_CONNECT, -ret,
			"the connection broke while the disk's first blocks were read: %s",
			strerror(-ret));
}

static int send_requests(struct nbd_probe *p, struct nbd_transport *t,
			 struct nbd_err *err)
{
	ssize_t n;

	while (nbd_probe_writes(p)) {
		if (p->out_done == p->out_len) {
			p->out_done = 0;
			p->out_len = 0;
			while (p->sent < p->n && p->out_len < sizeof(p->out))
				put_request(p);
		}
		n = t->ops->send(t, p->out + p->out_done,
				 p->out_len - p->out_done);
		if (n == -EAGAIN)
			return 0;
		if (n <= 0)
			return connection_lost(n, err);
		p->out_done += n;
	}
	return 0;
}

static int violation(struct nbd_err *err, const char *what)
{
	return nbd_fail(err, NBD_EXIT_PROTOCOL, EPROTO,
			"the server does not follow the protocol when the disk's first blocks are read: %s",
			what);
}

/* Pieces that have left as a whole: those that are still in @out have not. */
static unsigned int pieces_sent(const struct nbd_probe *p)
{
	size_t left = p->out_len - p->out_done;

	return p->sent - (left + NBD_PROBE_REQUEST_SIZE - 1) /
			 NBD_PROBE_REQUEST_SIZE;
}

/* NBD_STEP_LOOK_UP: which piece the reply is for; the next step, or a negative errno. */
static int look_up(struct nbd_probe *p, struct nbd_err *err)
{
	u64 i = p->framing.reply.cookie - COOKIE_BASE;
	struct nbd_probe_area piece;

	if (i >= pieces_sent(p) || p->done[i])
		return violation(err, "a reply is for a request that is not outstanding");
	p->done[i] = nbd_framing_is_last(&p->framing);
	p->current = i;
	locate(p, i, &piece);
	if (nbd_framing_is_chunk(&p->framing))
		return nbd_framing_expect_chunk(&p->framing, piece.offset, piece.length,
						&p->cover[i]);
	return nbd_framing_expect(&p->framing, piece.length);
}

/* A hole, or an error of which the end of the reply tells, too. */
static int proceed(struct nbd_probe *p, int step)
{
	struct nbd_probe_area piece;

	if (step == NBD_STEP_ZERO) {
		locate(p, p->current, &piece);
		memset(piece.memory + p->framing.offset, 0, p->framing.hole);
	}
	return nbd_framing_proceed(&p->framing);
}

static int end_piece(struct nbd_probe *p, struct nbd_err *err)
{
	u32 error = p->framing.reply.error;

	p->answered++;
	if (error == SERVER_ESHUTDOWN)
		return nbd_fail(err, NBD_EXIT_CONNECT, ESHUTDOWN,
				"the server is shutting down");
	if (!p->error)
		p->error = error;
	return 0;
}

/* @n bytes of the present part have come. */
static int advance(struct nbd_probe *p, u32 n, struct nbd_err *err)
{
	int step = nbd_framing_advance(&p->framing, n);

	if (step == NBD_STEP_LOOK_UP)
		step = look_up(p, err);
	if (step == NBD_STEP_ZERO || step == NBD_STEP_ERROR)
		step = proceed(p, step);
	if (step < 0)
		return step;
	if (step == NBD_STEP_GIVE_UP)
		return violation(err, nbd_verdict_text(p->framing.verdict));
	return step == NBD_STEP_FINISH ? end_piece(p, err) : 0;
}

/* One receive: of a header, or of the data that belongs to it. */
static int receive(struct nbd_probe *p, struct nbd_transport *t,
		   struct nbd_err *err)
{
	struct nbd_probe_area piece;
	ssize_t n;
	void *at;

	if (nbd_framing_in_payload(&p->framing)) {
		locate(p, p->current, &piece);
		at = piece.memory + p->framing.offset;
	} else {
		at = nbd_framing_head(&p->framing);
	}
	n = t->ops->recv(t, at, p->framing.left);
	if (n == -EAGAIN)
		return n;
	if (n <= 0)
		return connection_lost(n, err);
	return advance(p, n, err);
}

int nbd_probe_run(struct nbd_probe *p, struct nbd_transport *t,
		  struct nbd_err *err)
{
	int ret = 0;

	while (!ret && p->answered < p->n) {
		ret = send_requests(p, t, err);
		if (!ret)
			ret = receive(p, t, err);
	}
	return ret;
}
