// SPDX-License-Identifier: GPL-2.0
/* What a request does to the image. */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "image.h"
#include "request.h"
#include "stats.h"
#include "../wire.h"

/* A modification or flush that happens when its client no longer expects it. */
struct late {
	unsigned int conn;
	uint16_t type;
	bool fua;
	uint64_t offset;
	uint32_t len;
	uint8_t payload[];
};

static bool modifies(const struct request *req)
{
	return req->type == NBD_CMD_WRITE || req->type == NBD_CMD_TRIM ||
	       req->type == NBD_CMD_WRITE_ZEROES;
}

static bool breaks_limits(const struct request *req)
{
	bool payload = req->type == NBD_CMD_READ || req->type == NBD_CMD_WRITE;
	uint32_t max = payload ? export.limit_max : export.limit_trim;

	if (max && req->len > max)
		return true;
	return export.limit_min &&
	       (req->offset % export.limit_min || req->len % export.limit_min);
}

/* The error that an honest server would give. */
static uint32_t honest_error(const struct request *req)
{
	if (req->type == NBD_CMD_FLUSH)
		return 0;
	if (req->type > NBD_CMD_WRITE_ZEROES || req->type == 5)
		return NBD_EINVAL;
	if (modifies(req) && (export.flags & NBD_FLAG_READ_ONLY))
		return NBD_EPERM;
	if (req->offset > export.size || req->len > export.size - req->offset)
		return modifies(req) ? NBD_ENOSPC : NBD_EINVAL;
	if (req->type == NBD_CMD_READ && req->len > PAYLOAD_MAX)
		return NBD_EINVAL;
	return breaks_limits(req) ? NBD_EINVAL : 0;
}

static void apply(uint16_t type, uint64_t offset, uint32_t len, bool fua,
		  const uint8_t *payload)
{
	if (type == NBD_CMD_WRITE)
		image_write(payload, offset, len, fua);
	else if (type == NBD_CMD_TRIM || type == NBD_CMD_WRITE_ZEROES)
		image_zero(offset, len, fua);
	else if (type == NBD_CMD_FLUSH)
		image_flush();
}

static void apply_late(void *arg)
{
	struct late *late = arg;

	if (!conn_by_tx(late->conn)) {
		stats.late++;
		log_line(late->conn, "late %s %llu %u", request_type_name(late->type),
			 (unsigned long long)late->offset, late->len);
	}
	apply(late->type, late->offset, late->len, late->fua, late->payload);
	free(late);
}

static void postpone(struct request *req, const uint8_t *payload)
{
	uint32_t len = req->type == NBD_CMD_WRITE ? req->len : 0;
	struct late *late = malloc(sizeof(*late) + len);

	if (!late)
		err(1, "late write");
	late->conn = req->conn->tx_id;
	late->type = req->type;
	late->fua = req->flags & FLAG_FUA;
	late->offset = req->offset;
	late->len = req->len;
	if (len)
		memcpy(late->payload, payload, len);
	timer_start(req->fx.late_ns, apply_late, late);
}

static void load(struct request *req)
{
	req->data = malloc(req->len ? req->len : 1);
	if (!req->data)
		err(1, "payload of %u bytes", req->len);
	image_read(req->data, req->offset, req->len);
}

void execute(struct request *req, const uint8_t *payload)
{
	req->error = honest_error(req);
	if (req->fx.has_error) {
		req->error = req->fx.error;
		if (!req->fx.execute_anyway && !req->fx.error_with_data)
			return;
	} else if (req->error) {
		return;
	}
	if (req->type == NBD_CMD_READ)
		load(req);
	else if (req->fx.late_ns)
		postpone(req, payload);
	else
		apply(req->type, req->offset, req->len, req->flags & FLAG_FUA, payload);
}
