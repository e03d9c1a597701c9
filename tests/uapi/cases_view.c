// SPDX-License-Identifier: GPL-2.0
/* What scripts look at: sysfs, debugfs, trace events, queue limits. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>

#include "probe.h"

#define MIB	(1ULL << 20)
#define ALL	(NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | \
		 NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES)

static void connect_flags(uint64_t flags, uint64_t block)
{
	int fd = peer_fd(peer_new(PEER_UNIX));
	struct msg *msg = connect_msg(0, &fd, 1, 8 * MIB);

	msg_u64(msg, NBD_ATTR_SERVER_FLAGS, flags);
	msg_u64(msg, NBD_ATTR_BLOCK_SIZE_BYTES, block);
	if (nl_call(msg)->error)
		say("connect", "failed");
}

/* Limits that follow from the server's flags and block size, for each of them. */
static void limits(void)
{
	static const struct {
		const char *name;
		uint64_t flags;
		uint64_t block;
	} exports[] = {
		{ "plain", NBD_FLAG_HAS_FLAGS, 512 },
		{ "flush", NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH, 512 },
		{ "fua", NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA, 512 },
		{ "fua-alone", NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FUA, 512 },
		{ "trim", NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_TRIM, 4096 },
		{ "zeroes", NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_WRITE_ZEROES, 4096 },
		{ "rotational", NBD_FLAG_HAS_FLAGS | NBD_FLAG_ROTATIONAL, 512 },
		{ "ro", NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY, 512 },
		{ "all", ALL, 4096 },
		/* and nothing of it is left for the next session */
		{ "plain-again", NBD_FLAG_HAS_FLAGS, 512 },
	};
	static const char *const attributes[] = {
		"logical_block_size", "physical_block_size", "minimum_io_size",
		"discard_max_bytes", "discard_max_hw_bytes", "discard_granularity",
		"write_zeroes_max_bytes", "write_cache", "fua", "rotational",
	};
	size_t i, a;

	for (i = 0; i < ARRAY_SIZE(exports); i++) {
		connect_flags(exports[i].flags, exports[i].block);
		for (a = 0; a < ARRAY_SIZE(attributes); a++)
			say(name("%s-%s", exports[i].name, attributes[a]), "%s",
			    sysfs_text(0, name("queue/%s", attributes[a])));
		say(name("%s-ro", exports[i].name), "%s", sysfs_text(0, "ro"));
		nl_disconnect(0);
		wait_free(0);
	}
}

/* Limits that do not depend on the export. */
static void fixed_limits(void)
{
	static const char *const attributes[] = {
		"max_hw_sectors_kb", "max_sectors_kb", "max_segments", "max_segment_size",
		"optimal_io_size", "io_timeout", "add_random", "nr_requests", "scheduler",
		"read_ahead_kb", "stable_writes", "nomerges", "dma_alignment",
	};
	size_t a;

	connect_flags(ALL, 512);
	for (a = 0; a < ARRAY_SIZE(attributes); a++)
		say(attributes[a], "%s", sysfs_text(0, name("queue/%s", attributes[a])));
}

static void disk(void)
{
	static const char *const attributes[] = {
		"removable", "ro", "range", "ext_range", "capability", "hidden",
		"alignment_offset", "events", "events_async", "events_poll_msecs",
	};
	size_t a;

	for (a = 0; a < ARRAY_SIZE(attributes); a++)
		say(attributes[a], "%s", sysfs_text(0, attributes[a]));
	say("device", "%s", node_number(3));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, sorted, hidden ones left out. */
static const char *folder(const char *path)
{
	static char text[2048];
	char *names[128];
	struct dirent *entry;
	DIR *dir = opendir(path);
	size_t n = 0, i, used = 0;

	if (!dir)
		return "-";
	while ((entry = readdir(dir)) && n < ARRAY_SIZE(names))
		if (entry->d_name[0] != '.')
			names[n++] = strdup(entry->d_name);
	closedir(dir);
	qsort(names, n, sizeof(names[0]), by_name);
	text[0] = 0;
	for (i = 0; i < n; i++)
		used += snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "",
				 names[i]);
	return text;
}

static void say_file(const char *step, const char *path)
{
	char text[1024], *line, *rest = text;
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	unsigned int i = 0;

	if (fd >= 0)
		close(fd);
	if (n < 0) {
		say(step, "-");
		return;
	}
	text[n] = 0;
	while ((line = strsep(&rest, "\n")))
		if (*line || rest)
			say(name("%s-line-%u", step, i++), "'%s'", line);
}

static void debugfs(void)
{
	say("free", "%s", folder("/sys/kernel/debug/nbd"));
	connect_flags(ALL | NBD_FLAG_ROTATIONAL | NBD_FLAG_CAN_MULTI_CONN, 4096);
	say("folder", "%s", folder("/sys/kernel/debug/nbd"));
	say("files", "%s", folder("/sys/kernel/debug/nbd/nbd0"));
	say_file("flags", "/sys/kernel/debug/nbd/nbd0/flags");
	say_file("size_bytes", "/sys/kernel/debug/nbd/nbd0/size_bytes");
	say_file("timeout", "/sys/kernel/debug/nbd/nbd0/timeout");
	say_file("blocksize_bits", "/sys/kernel/debug/nbd/nbd0/blocksize_bits");
	nl_disconnect(0);
	wait_free(0);
	say("then", "%s", folder("/sys/kernel/debug/nbd"));
}

static void tasks(void)
{
	char want[64], text[64] = "";
	int fd;
	ssize_t n;

	connect_flags(ALL, 4096);
	snprintf(want, sizeof(want), "recv: %d\n", getpid());
	fd = open("/sys/kernel/debug/nbd/nbd0/tasks", O_RDONLY);
	n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	say("tasks", "%s", strcmp(text, want) ? "other" : "recv: the caller");
	close(fd);
}

static void traces(void)
{
	static const char *const events[] = {
		"nbd_header_received", "nbd_header_sent", "nbd_payload_received",
		"nbd_payload_sent", "nbd_send_request",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(events); i++)
		say(events[i], "%s",
		    access(name("/sys/kernel/tracing/events/nbd/%s/format", events[i]), F_OK) ?
		    "none" : "there");
}

static void module(void)
{
	say("parameters", "%s", folder("/sys/module/nbd/parameters"));
	say_file("max_part", "/sys/module/nbd/parameters/max_part");
	say_file("nbds_max", "/sys/module/nbd/parameters/nbds_max");
}

/* The use count follows sessions and openers. */
static void references(void)
{
	int node;

	say_file("free", "/sys/module/nbd/refcnt");
	connect_flags(ALL, 4096);
	say_file("connected", "/sys/module/nbd/refcnt");
	node = must_open(0);
	say_file("open", "/sys/module/nbd/refcnt");
	close(node);
	nl_disconnect(0);
	wait_free(0);
	say_file("then", "/sys/module/nbd/refcnt");
}

const struct probe_case view_cases[] = {
	{ "view-limits", limits, 0, 60 },
	{ "view-fixed-limits", fixed_limits, 0, 0 },
	{ "view-disk", disk, 0, 0 },
	{ "view-debugfs", debugfs, 0, 0 },
	{ "view-debugfs-tasks", tasks, 0, 0 },
	{ "view-traces", traces, 0, 0 },
	{ "view-module", module, 0, 0 },
	{ "view-references", references, 0, 0 },
	{ NULL, NULL, 0, 0 },
};
