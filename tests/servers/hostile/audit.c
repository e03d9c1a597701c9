// SPDX-License-Identifier: GPL-2.0
/* What a well-behaved client must not do, counted. */
#include <string.h>

#include "export.h"
#include "request.h"
#include "stats.h"
#include "../wire.h"

/* proto.md: what a client may send at most if the server told no maximum */
#define DEFAULT_MAX	(32U << 20)

const char *request_type_name(uint16_t type)
{
	static const char *const names[] = {
		"read", "write", "disc", "flush", "trim", "cache", "zeroes"
	};

	return type < ARRAY_SIZE(names) ? names[type] : "unknown";
}

static bool has_length(const struct request *req)
{
	return req->type != NBD_CMD_FLUSH && req->type != NBD_CMD_DISC;
}

static void count_type(const struct request *req)
{
	stats.requests++;
	switch (req->type) {
	case NBD_CMD_READ:
		stats.reads++;
		stats.bytes_read += req->len;
		break;
	case NBD_CMD_WRITE:
		stats.writes++;
		stats.bytes_written += req->len;
		break;
	case NBD_CMD_FLUSH:
		stats.flushes++;
		break;
	case NBD_CMD_TRIM:
		stats.trims++;
		break;
	case NBD_CMD_WRITE_ZEROES:
		stats.zeroes++;
		stats.no_hole += !!(req->flags & FLAG_NO_HOLE);
		break;
	case NBD_CMD_DISC:
		stats.discs++;
		break;
	default:
		stats.unknown++;
	}
	stats.fua += !!(req->flags & FLAG_FUA);
}

static void count_length(const struct request *req)
{
	uint32_t max = export.block_max ? export.block_max : DEFAULT_MAX;
	bool payload = req->type == NBD_CMD_READ || req->type == NBD_CMD_WRITE;
	uint32_t unit = export.block_min ? export.block_min : export.limit_min;

	if (!has_length(req))
		return;
	if (payload && req->len > stats.max_len)
		stats.max_len = req->len;
	if (!payload && req->len > stats.max_trim)
		stats.max_trim = req->len;
	if (req->len && (!stats.min_len || req->len < stats.min_len))
		stats.min_len = req->len;
	if (unit && (req->offset % unit || req->len % unit))
		stats.misaligned++;
	if (payload ? req->len > max : export.limit_trim && req->len > export.limit_trim)
		stats.too_long++;
	if (req->offset > export.size || req->len > export.size - req->offset)
		stats.out_of_range++;
	stats.empty += !req->len;
}

static uint16_t needed_flag(uint16_t type)
{
	switch (type) {
	case NBD_CMD_FLUSH: return NBD_FLAG_SEND_FLUSH;
	case NBD_CMD_TRIM: return NBD_FLAG_SEND_TRIM;
	case NBD_CMD_WRITE_ZEROES: return NBD_FLAG_SEND_WRITE_ZEROES;
	default: return 0;
	}
}

static bool is_modification(uint16_t type)
{
	return type == NBD_CMD_WRITE || type == NBD_CMD_TRIM ||
	       type == NBD_CMD_WRITE_ZEROES;
}

static bool offered(const struct request *req)
{
	uint16_t need = needed_flag(req->type);
	uint16_t known = req->type == NBD_CMD_WRITE_ZEROES ? FLAG_FUA | FLAG_NO_HOLE : FLAG_FUA;

	if (req->flags & FLAG_FUA)
		need |= NBD_FLAG_SEND_FUA;
	if (is_modification(req->type) && (export.flags & NBD_FLAG_READ_ONLY))
		return false;
	return (export.flags & need) == need && !(req->flags & ~known);
}

static bool overlaps(const struct request *a, const struct request *b)
{
	return is_modification(a->type) && is_modification(b->type) &&
	       a->offset < b->offset + b->len && b->offset < a->offset + a->len;
}

static void count_company(const struct request *req)
{
	bool overlapping = false, early = false;
	struct request *other;
	struct conn *conn;

	TAILQ_FOREACH(conn, &conns, link)
		TAILQ_FOREACH(other, &conn->requests, link) {
			overlapping |= overlaps(req, other);
			early |= req->type == NBD_CMD_FLUSH && is_modification(other->type);
			if (conn == req->conn && other->cookie == req->cookie)
				stats.dup_cookie++;
		}
	stats.overlapping += overlapping;
	stats.flush_early += early;
}

void audit_request(const struct request *req)
{
	count_type(req);
	count_length(req);
	stats.unoffered += !offered(req);
	if (req->type != NBD_CMD_DISC)
		count_company(req);
}

void audit_payload(const struct request *req, const uint8_t *payload)
{
	uint32_t at;
	uint64_t word;

	if (!export.pattern)
		return;
	for (at = 0; at + 512 <= req->len; at += 512) {
		memcpy(&word, payload + at, sizeof(word));
		stats.pattern_bad += be64toh(word) != req->offset + at;
	}
}
