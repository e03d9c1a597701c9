// SPDX-License-Identifier: GPL-2.0
/*
 * All connections of one attachment, brought up without blocking.
 */
#include <errno.h>
#include <linux/nbd.h>
#include <string.h>
#include <unistd.h>

#include "bringup.h"
#include "clock.h"
#include "fit.h"
#include "record.h"

/*
 * The head start of an address over the next one of the same server, as RFC 8305
 * suggests, and of a server that has been silent for long over all others.
 */
#define HEAD_START_MS		250
#define DISTRUSTED_HEAD_START_MS 500
/* While I/O waits, so long the others may take when one connection is there. */
#define URGENT_FILL_MS		500
/* Connections that are made unasked, where the server allows several. */
#define AUTO_CONNECTIONS	4

static unsigned int auto_connections(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus < 1)
		return 1;
	return cpus < AUTO_CONNECTIONS ? (unsigned int)cpus : AUTO_CONNECTIONS;
}

static void bringup_fail(struct nbd_bringup *b, const struct nbd_err *err)
{
	if (err)
		b->err = *err;
	b->state = NBD_BRINGUP_FAILED;
	nbd_bringup_close(b);
}

/* A link that can be started; links[0] keeps the first error. */
static struct nbd_link *idle_link(struct nbd_bringup *b)
{
	unsigned int i;

	for (i = 0; i < NBD_CONNECTIONS_MAX; i++)
		if (b->links[i].state == NBD_LINK_IDLE)
			return &b->links[i];
	for (i = 1; i < NBD_CONNECTIONS_MAX; i++)
		if (b->links[i].state == NBD_LINK_FAILED)
			return &b->links[i];
	return NULL;
}

static void start_link(struct nbd_bringup *b, struct nbd_link *link,
		       const struct nbd_address *address)
{
	nbd_link_start(link, b->goal, b->structured, b->params, b->listing, address, b->place,
		       nbd_now_ms() + b->params->connect_timeout * 1000LL);
}

/* The next address belongs to another server than the one before it. */
static bool at_next_server(const struct nbd_bringup *b)
{
	const struct nbd_address *next = &b->list->addr[b->next_address];

	return next[0].server != next[-1].server;
}

/* The links that run are to addresses of the first server, which is not waited for. */
static bool at_distrusted(const struct nbd_bringup *b)
{
	return b->distrust && b->list->addr[b->next_address - 1].server ==
			      b->list->addr[0].server;
}

/*
 * Sets the time when the next address joins those that run. Another server is not raced
 * against: it is a second choice, maybe with other data. A list is not asked for twice at
 * a time: its entries would mix.
 */
static void set_next_start(struct nbd_bringup *b)
{
	b->next_start = NBD_NEVER;
	if (b->next_address == b->list->n || b->goal != NBD_GOAL_GO)
		return;
	if (!at_next_server(b))
		b->next_start = nbd_now_ms() + HEAD_START_MS;
	else if (at_distrusted(b))
		b->next_start = nbd_now_ms() + DISTRUSTED_HEAD_START_MS;
}

/* Sends the next address into the race. */
static void start_next_address(struct nbd_bringup *b)
{
	struct nbd_link *link = idle_link(b);

	b->next_start = NBD_NEVER;
	if (!link || b->next_address == b->list->n)
		return;
	start_link(b, link, &b->list->addr[b->next_address++]);
	set_next_start(b);
}

void nbd_bringup_start(struct nbd_bringup *b, enum nbd_goal goal, bool structured,
		       const struct nbd_params *params,
		       struct nbd_listing *listing,
		       const struct nbd_address_list *list,
		       unsigned int wanted, const struct nbd_place *place)
{
	unsigned int i;

	b->state = NBD_BRINGUP_RACE;
	b->err.text[0] = '\0';
	b->nlinks = 0;
	b->params = params;
	b->listing = listing;
	b->list = list;
	b->goal = goal;
	b->structured = structured;
	b->record = NULL;
	b->disk = NULL;
	b->urgent = false;
	b->distrust = false;
	b->place = place;
	b->wanted = wanted;
	b->next_address = 0;
	for (i = 0; i < NBD_CONNECTIONS_MAX; i++) {
		b->links[i].state = NBD_LINK_IDLE;
		b->links[i].fd = -1;
		b->links[i].check = NULL;
		b->links[i].tls = NULL;
	}
	start_next_address(b);
}

void nbd_bringup_reconnect(struct nbd_bringup *b,
			   const struct nbd_record *record, bool urgent)
{
	b->record = record;
	b->urgent = urgent;
}

void nbd_bringup_distrust(struct nbd_bringup *b)
{
	b->distrust = true;
	set_next_start(b);
}

void nbd_bringup_same_disk(struct nbd_bringup *b,
			   const struct nbd_record *record, bool overrule)
{
	b->disk = record;
	b->overrule = overrule;
}

/* Ends the race for every link but the winner, which becomes links[0]. */
static void crown(struct nbd_bringup *b, struct nbd_link *winner)
{
	unsigned int i;

	if (winner != &b->links[0]) {
		nbd_link_close(&b->links[0]);
		b->links[0] = *winner;
		winner->fd = -1;
	}
	for (i = 1; i < NBD_CONNECTIONS_MAX; i++) {
		nbd_link_close(&b->links[i]);
		b->links[i].state = NBD_LINK_IDLE;
	}
	b->export = b->links[0].hs.export;
	b->address = *b->links[0].address;
	b->finding = b->links[0].finding;
	b->nlinks = 1;
}

static unsigned int connections_to_make(struct nbd_bringup *b)
{
	if (b->wanted != NBD_CONNECTIONS_AUTO)
		return b->wanted;
	if (b->export.flags & NBD_FLAG_CAN_MULTI_CONN)
		return auto_connections();
	return 1;
}

/* Several connections to a server without a common cache would lose data. */
static bool may_multiply(struct nbd_bringup *b)
{
	char text[NBD_ADDRESS_TEXT_MAX];

	if (b->params->preinit || b->export.flags & NBD_FLAG_CAN_MULTI_CONN)
		return true;
	nbd_fail(&b->err, NBD_EXIT_UNFIT, EINVAL,
		 "%s: the server does not allow several connections to this export (no NBD_FLAG_CAN_MULTI_CONN): use -connections 1",
		 nbd_address_text(b->links[0].address, text, sizeof(text)));
	return false;
}

static void start_fill(struct nbd_bringup *b)
{
	unsigned int i, n = connections_to_make(b);

	if (n > 1 && !may_multiply(b)) {
		bringup_fail(b, NULL);
		return;
	}
	b->state = NBD_BRINGUP_FILL;
	b->next_start = b->urgent ? nbd_now_ms() + URGENT_FILL_MS : NBD_NEVER;
	for (i = 1; i < n; i++)
		start_link(b, &b->links[i], b->links[0].address);
	b->nlinks = n;
}

/* The error to report: that of the first address, unless a later one got further. */
static const struct nbd_err *race_error(const struct nbd_bringup *b)
{
	const struct nbd_err *best = &b->links[0].err;
	unsigned int i;

	for (i = 1; i < NBD_CONNECTIONS_MAX; i++)
		if (b->links[i].state == NBD_LINK_FAILED &&
		    best->status == NBD_EXIT_CONNECT &&
		    b->links[i].err.status != NBD_EXIT_CONNECT)
			best = &b->links[i].err;
	return best;
}

/* Whether the device that lost its connections can use what the server offers. */
static bool export_fits(const struct nbd_bringup *b, struct nbd_link *link)
{
	if (!b->record || !nbd_check_export(b->record, b->record->nconns,
					    &link->hs.export, &link->err))
		return true;
	nbd_err_prefix(&link->err, "refused to reconnect");
	nbd_link_close(link);
	link->state = NBD_LINK_FAILED;
	return false;
}

/* Whether it is the turn of the next address: those before it @failed, or its time has come. */
static bool next_is_due(const struct nbd_bringup *b, bool busy, bool failed)
{
	if (b->next_address == b->list->n)
		return false;
	return !busy || (failed && !at_next_server(b)) ||
	       nbd_now_ms() >= b->next_start;
}

/* Whether it has the disk that it must have; the link is busy while that is found out. */
static bool disk_fits(const struct nbd_bringup *b, struct nbd_link *link,
		      bool was_checked)
{
	if (was_checked || !b->disk || b->disk->params.no_identity_check)
		return true;
	return nbd_link_check(link, b->disk, b->overrule);
}

static void run_race(struct nbd_bringup *b)
{
	bool busy = false, failed = false;
	unsigned int i;

	for (i = 0; i < NBD_CONNECTIONS_MAX; i++) {
		struct nbd_link *link = &b->links[i];
		bool was_busy = nbd_link_busy(link);
		bool was_checked = link->state == NBD_LINK_CHECK;

		if (was_busy)
			nbd_link_run(link);
		if (link->state == NBD_LINK_UP && export_fits(b, link) &&
		    disk_fits(b, link, was_checked)) {
			crown(b, link);
			start_fill(b);
			return;
		}
		busy |= nbd_link_busy(link);
		failed |= was_busy && link->state == NBD_LINK_FAILED;
	}
	if (next_is_due(b, busy, failed)) {
		start_next_address(b);
		run_race(b);
	} else if (!busy) {
		bringup_fail(b, race_error(b));
	}
}

/* What two connections to one export must agree about. */
static bool same_export(const struct nbd_export *a, const struct nbd_export *b)
{
	return a->size == b->size && a->flags == b->flags &&
	       a->has_block_sizes == b->has_block_sizes &&
	       (!a->has_block_sizes ||
		(a->block_min == b->block_min && a->block_max == b->block_max));
}

static bool check_same_export(struct nbd_bringup *b, struct nbd_link *link)
{
	const struct nbd_export *e = &link->hs.export;
	char text[NBD_ADDRESS_TEXT_MAX];

	if (same_export(&b->export, e))
		return true;
	nbd_fail(&b->err, NBD_EXIT_UNFIT, EINVAL,
		 "%s: the server offers different exports under one name: %llu bytes, flags 0x%x on the first connection, %llu bytes, flags 0x%x on another",
		 nbd_address_text(link->address, text, sizeof(text)),
		 b->export.size, b->export.flags,
		 e->size, e->flags);
	return false;
}

/* Connections that nobody asked for, or that can follow, are no reason to fail. */
static void drop_other_links(struct nbd_bringup *b)
{
	unsigned int i, n = 1;

	for (i = 1; i < b->nlinks; i++) {
		if (b->links[i].state != NBD_LINK_UP) {
			nbd_link_close(&b->links[i]);
			continue;
		}
		if (n != i) {
			b->links[n] = b->links[i];
			b->links[i].fd = -1;
		}
		n++;
	}
	b->nlinks = n;
}

static void run_fill(struct nbd_bringup *b)
{
	const struct nbd_err *err = NULL;
	bool busy = false;
	unsigned int i;

	for (i = 1; i < b->nlinks; i++) {
		struct nbd_link *link = &b->links[i];

		if (nbd_link_busy(link))
			nbd_link_run(link);
		if (link->state == NBD_LINK_UP && !check_same_export(b, link)) {
			bringup_fail(b, NULL);
			return;
		}
		if (link->state == NBD_LINK_FAILED)
			err = &link->err;
		busy |= nbd_link_busy(link);
	}
	if (err && b->wanted != NBD_CONNECTIONS_AUTO && !b->record) {
		bringup_fail(b, err);
	} else if (!busy || nbd_now_ms() >= b->next_start) {
		drop_other_links(b);
		b->state = NBD_BRINGUP_UP;
	}
}

void nbd_bringup_run(struct nbd_bringup *b)
{
	if (b->state == NBD_BRINGUP_RACE)
		run_race(b);
	if (b->state == NBD_BRINGUP_FILL)
		run_fill(b);
}

bool nbd_bringup_busy(const struct nbd_bringup *b)
{
	return b->state == NBD_BRINGUP_RACE || b->state == NBD_BRINGUP_FILL;
}

unsigned int nbd_bringup_poll(const struct nbd_bringup *b,
			      struct pollfd *pfds, s64 *wake)
{
	unsigned int i, n = 0;

	*wake = b->next_start;
	for (i = 0; i < NBD_CONNECTIONS_MAX; i++) {
		if (!nbd_link_busy(&b->links[i]))
			continue;
		pfds[n++] = nbd_link_poll(&b->links[i]);
		*wake = nbd_min_time(*wake, nbd_link_wake(&b->links[i]));
	}
	return n;
}

const struct nbd_err *nbd_bringup_passing(const struct nbd_bringup *b)
{
	unsigned int i;

	if (nbd_err_may_pass(&b->err))
		return &b->err;
	for (i = 0; i < NBD_CONNECTIONS_MAX && !b->nlinks; i++)
		if (b->links[i].state == NBD_LINK_FAILED &&
		    nbd_err_may_pass(&b->links[i].err))
			return &b->links[i].err;
	return NULL;
}

int nbd_bringup_wait(struct nbd_bringup *b)
{
	struct pollfd pfds[NBD_CONNECTIONS_MAX];
	unsigned int n;
	s64 wake;

	nbd_bringup_run(b);
	while (nbd_bringup_busy(b)) {
		n = nbd_bringup_poll(b, pfds, &wake);
		poll(pfds, n, nbd_poll_timeout(wake));
		nbd_bringup_run(b);
	}
	return b->state == NBD_BRINGUP_UP ? 0 : -ECONNREFUSED;
}

void nbd_bringup_close(struct nbd_bringup *b)
{
	unsigned int i;

	for (i = 0; i < NBD_CONNECTIONS_MAX; i++)
		nbd_link_close(&b->links[i]);
}

int nbd_bring_up(struct nbd_bringup *b, bool structured,
		 const struct nbd_params *params,
		 const struct nbd_address_list *list,
		 const struct nbd_place *place,
		 const struct nbd_record *disk, struct nbd_err *err)
{
	int ret;

	nbd_bringup_start(b, NBD_GOAL_GO, structured, params, NULL, list,
			  params->given & NBD_GIVEN_CONNECTIONS ?
			  params->connections : NBD_CONNECTIONS_AUTO, place);
	if (disk)
		nbd_bringup_same_disk(b, disk, params->other_disk);
	ret = nbd_bringup_wait(b);
	if (ret)
		*err = b->err;
	return ret;
}
