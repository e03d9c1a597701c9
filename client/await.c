// SPDX-License-Identifier: GPL-2.0
/*
 * The first connections of an attachment, also to servers that are not there yet.
 */
#include <errno.h>
#include <linux/nbd-netlink.h>
#include <stdio.h>
#include <string.h>

#include "await.h"
#include "clock.h"
#include "lookup.h"

/* From the begin of an attempt to that of the next. */
#define ATTEMPT_MS	1000
/* Whoever looks at the console shall see that it goes on. */
#define TELL_MS		30000

void nbd_patience_begin(struct nbd_patience *p, u64 seconds, s64 now)
{
	p->begun = now;
	p->deadline = seconds == NBD_DEAD_CONN_FOREVER ? NBD_NEVER :
		      now + (s64)seconds * 1000;
	p->told = 0;
	p->reason[0] = '\0';
}

static bool is_news(const struct nbd_patience *p, const char *reason, s64 now)
{
	return !p->told || strcmp(p->reason, reason) || now - p->told >= TELL_MS;
}

bool nbd_patience_lasts(struct nbd_patience *p, const char *reason, s64 now,
			char *text, size_t size)
{
	char left[64] = "for as long as it takes";

	text[0] = '\0';
	if (p->deadline <= now + ATTEMPT_MS)
		return false;
	if (!is_news(p, reason, now))
		return true;
	if (p->deadline != NBD_NEVER)
		snprintf(left, sizeof(left), "for %lld s more", (p->deadline - now) / 1000);
	snprintf(text, size, "%s; trying again each second, after %lld s so far %s",
		 reason, (now - p->begun) / 1000, left);
	snprintf(p->reason, sizeof(p->reason), "%s", reason);
	p->told = now;
	return true;
}

static bool is_listed(const struct nbd_address_list *list, unsigned int server)
{
	unsigned int i;

	for (i = 0; i < list->n; i++)
		if (list->addr[i].server == server)
			return true;
	return false;
}

/* A name that is misspelt would be noticed in an outage only. @err is of the first one. */
static void warn_unresolved(const struct nbd_params *params,
			    const struct nbd_address_list *list,
			    const struct nbd_err *err)
{
	char text[NBD_SERVER_TEXT_MAX];
	unsigned int i;

	for (i = 0; i < params->nservers; i++) {
		if (is_listed(list, i))
			continue;
		nbd_server_text(&params->servers[i], text, sizeof(text));
		if (!strncmp(err->text, text, strlen(text)))
			snprintf(text, sizeof(text), "%s", err->text);
		fprintf(stderr,
			"nbd-client: warning: %s: until the name resolves, that server will not be used\n",
			text);
	}
}

/**
 * struct attempt - what became of one attempt
 * @ret:	0 or a negative errno
 * @unresolved:	a server that has no address yet may be the one that is there
 * @passing:	a failure that may pass
 * @reason:	which one
 */
struct attempt {
	int ret;
	bool unresolved;
	bool passing;
	struct nbd_err reason;
};

static bool all_listed(const struct nbd_params *params,
		       const struct nbd_address_list *list)
{
	unsigned int i;

	for (i = 0; i < params->nservers; i++)
		if (!is_listed(list, i))
			return false;
	return true;
}

/* @warn: tell of names that do not resolve; err is the whole attempt's failure. */
static void make_attempt(struct attempt *a, bool structured,
			 const struct nbd_params *params, struct nbd_bringup *b,
			 struct nbd_address_list *list, bool *warn, struct nbd_err *err)
{
	const struct nbd_err *passing;

	a->ret = nbd_resolve_servers(params, &nbd_here, list, err);
	a->passing = a->ret && nbd_err_may_pass(err);
	a->reason = *err;
	if (a->ret)
		return;
	a->unresolved = !all_listed(params, list);
	if (a->unresolved && *warn)
		warn_unresolved(params, list, err);
	*warn &= !a->unresolved;
	a->ret = nbd_bring_up(b, structured, params, list, &nbd_here, NULL, err);
	if (!a->ret)
		return;
	passing = nbd_bringup_passing(b);
	a->passing = passing || a->unresolved;
	a->reason = passing ? *passing : *err;
}

/* Until the next attempt is due. */
static void pause_until(s64 time)
{
	struct timespec ts = {
		.tv_sec = time / 1000,
		.tv_nsec = time % 1000 * 1000000,
	};

	while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

int nbd_await_servers(bool structured, const struct nbd_params *params,
		      struct nbd_bringup *b, struct nbd_address_list *list,
		      struct nbd_err *err)
{
	char text[NBD_ERR_TEXT_MAX + 128];
	struct nbd_patience patience;
	struct attempt a = { 0 };
	bool warn = true;
	s64 begun;

	nbd_patience_begin(&patience, params->wait, nbd_now_ms());
	for (;;) {
		begun = nbd_now_ms();
		make_attempt(&a, structured, params, b, list, &warn, err);
		if (!a.ret || !a.passing ||
		    !nbd_patience_lasts(&patience, a.reason.text, nbd_now_ms(), text,
					sizeof(text)))
			break;
		if (text[0])
			fprintf(stderr, "nbd-client: %s\n", text);
		pause_until(begun + ATTEMPT_MS);
	}
	if (a.ret && a.passing && params->wait)
		nbd_err_prefix(err, "waited for %lld s in vain",
			       (nbd_now_ms() - patience.begun) / 1000);
	return a.ret;
}
