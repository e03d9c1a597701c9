// SPDX-License-Identifier: GPL-2.0
/*
 * The driver's side of the wire, kernel/wire.c: the input is a stream of reply
 * headers, and each also the fields of a request.
 */
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../../kernel/wire.h"
#include "../common.h"
#include "fuzz.h"

static uint32_t be32_at(const unsigned char *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return be32toh(value);
}

static uint64_t be64_at(const unsigned char *p)
{
	return (uint64_t)be32_at(p) << 32 | be32_at(p + 4);
}

/* The only errors that have a meaning of their own. */
static bool errno_known(int err)
{
	static const int known[] = { 1, 5, 12, 22, 28, 75, 95, 108 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (err == -known[i])
			return true;
	return false;
}

static void check_reply(const unsigned char *bytes)
{
	const struct nbd_wire_reply untouched = { .cookie = ~0ULL, .error = ~0U };
	struct nbd_wire_reply reply = untouched;
	enum nbd_verdict verdict;
	struct nbd_reply header;

	memcpy(&header, bytes, sizeof(header));
	verdict = nbd_wire_decode(&header, &reply);
	fuzz_check_printable(nbd_verdict_text(verdict));
	fuzz_check((verdict == NBD_REPLY_OK) == (be32_at(bytes) == NBD_REPLY_MAGIC));
	if (verdict != NBD_REPLY_OK) {
		fuzz_check(reply.cookie == untouched.cookie && reply.error == untouched.error);
		return;
	}
	fuzz_check(reply.error == be32_at(bytes + 4));
	fuzz_check(reply.cookie == be64_at(bytes + 8));
	fuzz_check(nbd_cookie(reply.cookie >> 32, nbd_cookie_index(reply.cookie)) ==
		   reply.cookie);
	if (reply.error)
		fuzz_check(errno_known(nbd_wire_errno(reply.error)));
	else
		fuzz_check(!nbd_wire_errno(0));
}

static void check_request(const unsigned char *bytes)
{
	uint32_t type = be32_at(bytes) & 0xffff, flags = be32_at(bytes) & 0xffff0000;
	uint64_t cookie = be64_at(bytes + 8), from = cookie ^ be32_at(bytes + 4);
	uint32_t len = be32_at(bytes + 4);
	unsigned char wire[NBD_REQUEST_SIZE];

	nbd_wire_encode((struct nbd_request *)wire, type, flags, cookie, from, len);
	fuzz_check(be32_at(wire) == NBD_REQUEST_MAGIC);
	fuzz_check(be32_at(wire + 4) == (type | flags));
	fuzz_check(be64_at(wire + 8) == cookie);
	fuzz_check(be64_at(wire + 16) == from);
	fuzz_check(be32_at(wire + 24) == len);
}

int fuzz_one(const unsigned char *data, size_t len)
{
	for (; len >= NBD_REPLY_SIZE; data += NBD_REPLY_SIZE, len -= NBD_REPLY_SIZE) {
		check_reply(data);
		check_request(data);
	}
	return 0;
}
