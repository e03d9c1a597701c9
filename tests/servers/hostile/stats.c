// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "../../common.h"
#include "loop.h"
#include "stats.h"

struct stats stats;
bool log_payload_crc;

static FILE *log_file;

#define FIELD(name) { #name, offsetof(struct stats, name) }

static const struct {
	const char *name;
	size_t offset;
} fields[] = {
	FIELD(conns),
	FIELD(accepted),
	FIELD(negotiated),
	FIELD(tx_conns),
	FIELD(requests),
	FIELD(reads),
	FIELD(writes),
	FIELD(flushes),
	FIELD(trims),
	FIELD(zeroes),
	FIELD(discs),
	FIELD(unknown),
	FIELD(fua),
	FIELD(no_hole),
	FIELD(bytes_read),
	FIELD(bytes_written),
	FIELD(max_len),
	FIELD(max_trim),
	FIELD(min_len),
	FIELD(outstanding),
	FIELD(held),
	FIELD(max_outstanding),
	FIELD(answered),
	FIELD(errors),
	FIELD(fired),
	FIELD(misaligned),
	FIELD(too_long),
	FIELD(out_of_range),
	FIELD(empty),
	FIELD(unoffered),
	FIELD(overlapping),
	FIELD(dup_cookie),
	FIELD(bad_magic),
	FIELD(torn),
	FIELD(peer_resets),
	FIELD(flush_early),
	FIELD(after_disc),
	FIELD(pattern_bad),
	FIELD(late),
	FIELD(lost),
	FIELD(hs_options),
	FIELD(hs_bad),
	FIELD(hs_aborts),
};

#define N_FIELDS	ARRAY_SIZE(fields)

static uint64_t *field(size_t i)
{
	return (uint64_t *)((char *)&stats + fields[i].offset);
}

void stats_print(FILE *out)
{
	size_t i;

	for (i = 0; i < N_FIELDS; i++)
		fprintf(out, "%s=%llu\n", fields[i].name, (unsigned long long)*field(i));
}

uint64_t *stats_find(const char *name)
{
	size_t i;

	for (i = 0; i < N_FIELDS; i++)
		if (!strcmp(fields[i].name, name))
			return field(i);
	return NULL;
}

void stats_reset(void)
{
	struct stats old = stats;

	memset(&stats, 0, sizeof(stats));
	stats.conns = old.conns;
	stats.tx_conns = old.tx_conns;
	stats.outstanding = old.outstanding;
	stats.held = old.held;
}

int log_open(const char *path, bool payload_crc)
{
	if (log_file)
		fclose(log_file);
	log_file = NULL;
	log_payload_crc = payload_crc;
	if (!path)
		return 0;
	log_file = fopen(path, "ae");
	if (!log_file)
		return -errno;
	setvbuf(log_file, NULL, _IOLBF, 0);
	return 0;
}

void log_line(unsigned int conn, const char *fmt, ...)
{
	uint64_t now;
	va_list ap;

	if (!log_file)
		return;
	now = now_ns();
	fprintf(log_file, "%llu.%06llu %u ", (unsigned long long)(now / NSEC_PER_SEC),
		(unsigned long long)(now % NSEC_PER_SEC / NSEC_PER_USEC), conn);
	va_start(ap, fmt);
	vfprintf(log_file, fmt, ap);
	va_end(ap);
	fputc('\n', log_file);
}
