// SPDX-License-Identifier: GPL-2.0
/*
 * The client's unit tests: no root, no network beyond loopback, no driver.
 */
#include <signal.h>
#include <unistd.h>

#include "tap.h"

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	alarm(120);
	test_error();
	test_negotiate();
	test_options();
	test_uri();
	test_nbdtab();
	test_settings();
	test_record();
	test_fit();
	test_notice();
	test_json();
	test_list();
	test_outage();
	test_address();
	test_target();
	test_bringup();
	test_await();
	test_watch();
	test_probe();
	test_identity();
	return tap_finish();
}
