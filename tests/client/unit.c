// SPDX-License-Identifier: GPL-2.0
/*
 * The client's unit tests: no root, no network beyond loopback, no driver.
 */
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "../../client/util.h"
#include "tap.h"

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {
	{ "error", test_error },
	{ "negotiate", test_negotiate },
	{ "tls", test_tls },
	{ "options", test_options },
	{ "uri", test_uri },
	{ "nbdtab", test_nbdtab },
	{ "settings", test_settings },
	{ "record", test_record },
	{ "fit", test_fit },
	{ "notice", test_notice },
	{ "overrun", test_overrun },
	{ "json", test_json },
	{ "list", test_list },
	{ "outage", test_outage },
	{ "address", test_address },
	{ "target", test_target },
	{ "bringup", test_bringup },
	{ "await", test_await },
	{ "pace", test_pace },
	{ "watch", test_watch },
	{ "probe", test_probe },
	{ "identity", test_identity },
	{ "status", test_status },
};

/* Was the part asked to be left out? */
static bool left_out(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return false;
}

/* The arguments are parts to leave out. */
int main(int argc, char **argv)
{
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	alarm(120);
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		if (!left_out(parts[i].name, argc, argv))
			parts[i].run();
	return tap_finish();
}
