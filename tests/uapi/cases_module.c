// SPDX-License-Identifier: GPL-2.0
/* Module parameters. These cases unload the module and load it again. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/nbd-netlink.h>

#include "probe.h"

static int modprobe(const char *arguments)
{
	return system(name("modprobe %s >/dev/null 2>&1", arguments)) ? -1 : 0;
}

static unsigned int count_disks(void)
{
	unsigned int n = 0;

	while (n < 4096 && node_exists(n))
		n++;
	return n;
}

static void try_parameters(const char *nbds_max, const char *max_part)
{
	const char *step = name("nbds_max=%s,max_part=%s", nbds_max, max_part);
	struct stat one, two;
	bool both;

	modprobe("-r nbd");
	if (modprobe(name("nbd nbds_max=%s max_part=%s", nbds_max, max_part))) {
		say(step, "refused");
		return;
	}
	both = !stat("/dev/nbd0", &one) && !stat("/dev/nbd1", &two);
	say(step, "disks=%u minors=%u range=%s readback=%d", count_disks(),
	    both ? minor(two.st_rdev) - minor(one.st_rdev) : 0, sysfs_text(0, "ext_range"),
	    access("/sys/module/nbd/parameters/max_part", F_OK));
}

static void parameters(void)
{
	static const char *const counts[] = { "0", "1", "2", "-1", "1048577", "2147483647" };
	static const char *const parts[] = { "-1", "0", "1", "15", "16", "255", "256", "1000" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counts); i++)
		try_parameters(counts[i], "16");
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		try_parameters("2", parts[i]);
	try_parameters("two", "16");
	try_parameters("32769", "16");
	modprobe("-r nbd");
	say("reload", modprobe("nbd") ? "failed" : "ok");
}

/* The last index that the minor space allows, for each number of partitions. */
static void last_index(void)
{
	static const unsigned int parts[] = { 0, 1, 15, 16, 255 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		unsigned int shift = 0, last, n;

		while ((1U << shift) <= parts[i])
			shift++;
		last = (1U << 20 >> shift) - 1;
		modprobe("-r nbd");
		if (modprobe(name("nbd nbds_max=1 max_part=%u", parts[i])) || !nl_open()) {
			say(name("max_part-%u", parts[i]), "not loaded");
			continue;
		}
		for (n = last; n <= last + 1; n++) {
			int fd = peer_fd(peer_new(PEER_UNIX));
			struct answer *answer;

			answer = nl_step(name("max_part-%u-index-%u", parts[i], n),
					 connect_msg(n, &fd, 1, 1 << 20));
			if (answer->error)
				continue;
			say(name("max_part-%u-node-%u", parts[i], n), "%s", node_number(n));
			nl_disconnect(n);
			wait_free(n);
		}
	}
	modprobe("-r nbd");
	modprobe("nbd");
}

/* Unloading while a device is attached, open, or merely there. */
static void unload(void)
{
	int fd, node;

	modprobe("nbd");
	nl_open();
	fd = peer_fd(peer_new(PEER_UNIX));
	say_result("connect", nl_call(connect_msg(0, &fd, 1, 1 << 20))->error);
	say("attached", modprobe("-r nbd") ? "refused" : "unloaded");
	nl_disconnect(0);
	wait_free(0);
	node = must_open(0);
	say("open", modprobe("-r nbd") ? "refused" : "unloaded");
	close(node);
	say("free", modprobe("-r nbd") ? "refused" : "unloaded");
	say("disks", "%u", count_disks());
	modprobe("nbd");
}

const struct probe_case module_cases[] = {
	{ "module-parameters", parameters, CASE_RELOAD, 200 },
	{ "module-last-index", last_index, CASE_RELOAD, 100 },
	{ "module-unload", unload, CASE_RELOAD, 60 },
	{ NULL, NULL, 0, 0 },
};
