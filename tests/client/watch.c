// SPDX-License-Identifier: GPL-2.0
/*
 * One attachment in the monitor's care, in a world that changes at random: servers come and
 * go, a name means something else, connections die, requests time out, somebody replaces
 * the connections, the monitor is killed and started anew. The driver, the records and the
 * resolver are played here. Connections to two addresses must never live at the same time,
 * and all are there in the end. SEED=N in the environment repeats what is done.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/nbd-netlink.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../client/clock.h"
#include "../../client/pace.h"
#include "../../client/settings.h"
#include "../../client/uri.h"
#include "../../client/watch.h"
#include "record.h"
#include "tap.h"
#include "wrapped.h"

#define STEPS		150
#define STEP_MS		25
#define END_MS		20000
#define INDEX		7
#define CROWD		80
#define SLOTS		4
/* Addresses that the name may have; the rest are of the next server. */
#define NAMED		2
#define ADDRESSES	3

/** struct place - where a server may listen */
struct place {
	pid_t pid;		/* 0 when nobody does */
	unsigned int port;
};

/* All that is played. */
static struct {
	bool plays;			/* the functions below are those of the world */
	struct place places[ADDRESSES];
	unsigned int slots[SLOTS];	/* the port that each connection leads to, or 0 */
	bool asked;			/* the resolver */
	bool means[NAMED];		/* which of its addresses the name has */
	char *file;			/* the record */
	u64 id;				/* what tells its versions apart */
	bool dies;			/* the monitor, when it hands over next */
	bool dead;			/* it has */
	unsigned int handed;		/* how often it has handed over */
	unsigned int moved;		/* and all connections at once */
	unsigned int begun;		/* connections that were to be made */
	bool mixed;			/* what must not be */
} world;

static struct nbd_kernel kernel = { .sock = (struct nl_sock *)&world };

/* --- the servers --- */

/* One client after the other; the last ones stay connected. */
static void __noreturn serve(int fd)
{
	static const char export[] =
		"\0\3\xe8\x89\x04\x55\x65\xa9\0\0\0\7\0\0\0\3\0\0\0\14"
		"\0\0\0\0\0\0\0\x10\0\0\1\1"
		"\0\3\xe8\x89\x04\x55\x65\xa9\0\0\0\7\0\0\0\1\0\0\0\0";
	int clients[64] = { 0 }, *client;
	unsigned char option[256];
	unsigned int n;

	for (n = 0;; n++) {
		client = &clients[n % ARRAY_SIZE(clients)];
		if (*client)
			close(*client);
		*client = accept(fd, NULL, NULL);
		if (write(*client, "NBDMAGICIHAVEOPT\0\3", 18) == 18 &&
		    recv(*client, option, 20, MSG_WAITALL) == 20 &&
		    recv(*client, option, option[19], MSG_WAITALL) > 0)
			send(*client, export, sizeof(export) - 1, MSG_NOSIGNAL);
	}
}

/* At the port that it had, if it was there before. */
static void open_place(struct place *place)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(place->port),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	socklen_t len = sizeof(in);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	expect(!bind(fd, (void *)&in, sizeof(in)) && !listen(fd, 64));
	expect(!getsockname(fd, (void *)&in, &len));
	place->port = ntohs(in.sin_port);
	fflush(stdout);
	place->pid = fork();
	if (!place->pid)
		serve(fd);
	close(fd);
}

static void close_place(struct place *place)
{
	kill(place->pid, SIGKILL);
	waitpid(place->pid, NULL, 0);
	place->pid = 0;
}

/* --- what the watch calls: the driver, the records, the resolver, the log --- */

bool __wrap_nbd_kernel_knows(const struct nbd_kernel *k, unsigned int attribute)
{
	/* Its servers know the simple replies only. */
	return (world.plays && attribute != NBD_ATTR_STRUCTURED) ||
	       __real_nbd_kernel_knows(k, attribute);
}

static unsigned int live(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < SLOTS; i++)
		n += !!world.slots[i];
	return n;
}

unsigned int __wrap_nbd_kernel_live(struct nbd_kernel *k, s32 index)
{
	if (!world.plays)
		return __real_nbd_kernel_live(k, index);
	expect(k == &kernel && index == INDEX);
	return live();
}

/* Connections to somewhere else live. */
static bool elsewhere(unsigned int port)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (world.slots[i] && world.slots[i] != port)
			return true;
	return false;
}

/* 0 when the server has gone meanwhile: the connection dies at once. */
static unsigned int port_of(int fd)
{
	struct sockaddr_in in = { 0 };
	socklen_t len = sizeof(in);

	if (getpeername(fd, (void *)&in, &len))
		return 0;
	return ntohs(in.sin_port);
}

/* Fills the slots that are free, or all; returns how many sockets that took. */
static unsigned int take_sockets(const struct nbd_kernel_config *config)
{
	unsigned int i, n = 0, port;

	if (config->set & NBD_CONFIG_REPLACE) {
		expect_number(config->nfds, SLOTS);
		memset(world.slots, 0, sizeof(world.slots));
	}
	for (i = 0; i < SLOTS && n < config->nfds; i++) {
		if (world.slots[i])
			continue;
		port = port_of(config->fds[n++]);
		world.mixed |= port && elsewhere(port);
		world.slots[i] = port;
	}
	return n;
}

int __wrap_nbd_kernel_reconfigure(struct nbd_kernel *k, const struct nbd_kernel_config *config,
				  struct nbd_kernel_reply *reply, struct nbd_err *err)
{
	if (!world.plays)
		return __real_nbd_kernel_reconfigure(k, config, reply, err);
	expect(k == &kernel);
	world.handed++;
	world.moved += !!(config->set & NBD_CONFIG_REPLACE);
	reply->sockets_used = take_sockets(config);
	reply->has_sockets_used = true;
	world.dead = world.dies;
	if (!world.dead)
		return 0;
	return nbd_fail(err, NBD_EXIT_FAILURE, EIO, "killed");
}

u64 __wrap_nbd_record_id(s32 index)
{
	if (!world.plays)
		return __real_nbd_record_id(index);
	expect(index == INDEX);
	return world.id;
}

static void save(const struct nbd_record *record)
{
	free(world.file);
	world.file = record_print(record);
	world.id++;
}

int __wrap_nbd_record_update(const struct nbd_record *record, u64 *file, struct nbd_err *err)
{
	if (!world.plays)
		return __real_nbd_record_update(record, file, err);
	if (world.dead)
		return nbd_fail(err, NBD_EXIT_FAILURE, EIO, "killed");
	if (*file != world.id)
		return nbd_fail(err, NBD_EXIT_FAILURE, ESTALE, "stale");
	save(record);
	*file = world.id;
	return 0;
}

static void load(struct nbd_record *record)
{
	struct nbd_err err;

	expect(!record_parse(record, world.file, strlen(world.file), &err));
}

void __wrap_nbd_resolver_submit(struct nbd_resolver_job *job)
{
	if (!world.plays)
		__real_nbd_resolver_submit(job);
	world.asked = world.plays;
}

static void add_address(struct nbd_address_list *list, unsigned int i)
{
	struct nbd_address *a = &list->addr[list->n++];
	struct sockaddr_in *in = (void *)&a->sa;

	memset(a, 0, sizeof(*a));
	a->server = i >= NAMED;
	a->len = sizeof(*in);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in->sin_port = htons(world.places[i].port);
}

static void resolve(struct nbd_address_list *list)
{
	unsigned int i;

	list->n = 0;
	for (i = 0; i < ADDRESSES; i++)
		if (i >= NAMED || world.means[i])
			add_address(list, i);
}

bool __wrap_nbd_resolver_take(struct nbd_resolver_job *job, struct nbd_address_list *result)
{
	if (!world.plays)
		return __real_nbd_resolver_take(job, result);
	if (!world.asked)
		return false;
	world.asked = false;
	resolve(result);
	return true;
}

void __wrap_nbd_bringup_start(struct nbd_bringup *b, enum nbd_goal goal, bool structured,
			      const struct nbd_params *params, struct nbd_listing *listing,
			      const struct nbd_address_list *list, unsigned int wanted,
			      const struct nbd_place *place)
{
	world.begun += wanted;
	__real_nbd_bringup_start(b, goal, structured, params, listing, list, wanted, place);
}

void __wrap_nbd_log(int priority, const char *fmt, ...)
{
	expect(priority && fmt);
}

/* --- what happens --- */

/* As the monitor does after an event. */
static void tell(struct nbd_watch *w, bool timed_out)
{
	w->dirty = false;
	nbd_watch_lost(w, SLOTS - live(), live(), timed_out);
}

static struct nbd_watch *start_watch(void)
{
	struct nbd_record record;
	struct nbd_watch *w;

	load(&record);
	w = nbd_watch_new(&record, world.id, &kernel);
	tell(w, false);
	return w;
}

static struct nbd_watch *restart(struct nbd_watch *w)
{
	nbd_watch_free(w);
	world.dies = false;
	world.dead = false;
	return start_watch();
}

static void lose(struct nbd_watch *w)
{
	bool all = random() % 3 == 0;
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (all || random() % 3 == 0)
			world.slots[i] = 0;
	tell(w, random() % 3 == 0);
}

static void come_or_go(struct place *place)
{
	if (place->pid)
		close_place(place);
	else
		open_place(place);
}

/* -replace has taken the device to one of the places; the monitor may hear of it later. */
static void replace(void)
{
	unsigned int i = random() % ADDRESSES, slot;
	struct nbd_address_list list = { 0 };
	struct nbd_record record;

	load(&record);
	add_address(&list, i);
	record.in_use = list.addr[0];
	record.moving = false;
	for (slot = 0; slot < SLOTS; slot++)
		world.slots[slot] = random() % 4 ? world.places[i].port : 0;
	save(&record);
	nbd_record_free(&record);
}

static void hear(struct nbd_watch *w)
{
	struct nbd_record record;

	if (w->file == world.id)
		return;
	load(&record);
	nbd_watch_update(w, &record, world.id);
	tell(w, false);
}

static void run(struct nbd_watch *w, s64 ms)
{
	struct pollfd pfds[NBD_CONNECTIONS_MAX];
	s64 until = nbd_now_ms() + ms, wake;
	unsigned int n;

	while (nbd_now_ms() < until && !world.mixed && !world.dead) {
		if (w->dirty)
			tell(w, false);
		nbd_watch_run(w);
		n = nbd_watch_poll(w, pfds, &wake);
		poll(pfds, n, nbd_poll_timeout(nbd_min_time(wake, until)));
	}
}

static void change(struct nbd_watch *w)
{
	unsigned int i = random() % NAMED;

	switch (random() % 8) {
	case 0:
		world.dies = true;
		break;
	case 1:
		replace();
		break;
	case 2:
		world.means[i] = !world.means[i];
		break;
	case 3:
	case 4:
		come_or_go(&world.places[random() % ADDRESSES]);
		break;
	default:
		lose(w);
	}
}

static struct nbd_watch *step(struct nbd_watch *w)
{
	change(w);
	run(w, 1 + random() % STEP_MS);
	if (world.dead || random() % 16 == 0)
		return restart(w);
	if (random() % 3)
		hear(w);
	run(w, 1 + random() % STEP_MS);
	return world.dead ? restart(w) : w;
}

/* Everybody is there: so is each connection, soon. */
static void end(struct nbd_watch *w)
{
	s64 until = nbd_now_ms() + END_MS;
	unsigned int i;

	for (i = 0; i < ADDRESSES; i++)
		if (!world.places[i].pid)
			open_place(&world.places[i]);
	world.dies = false;
	hear(w);
	tell(w, false);
	while (live() < SLOTS && nbd_now_ms() < until && !world.mixed)
		run(w, STEP_MS);
	printf("# handed over %u times, moved %u times\n", world.handed, world.moved);
	expect(!world.mixed);
	expect(world.handed > 2);
	expect_number(live(), SLOTS);
	nbd_watch_free(w);
}

static void begin(void)
{
	struct nbd_record record = { .block_size = 512, .nconns = SLOTS };
	unsigned int i;

	for (i = 0; i < ADDRESSES; i++)
		open_place(&world.places[i]);
	for (i = 0; i < NAMED; i++)
		world.means[i] = true;
	nbd_params_init(&record.params);
	record.params.index = INDEX;
	record.params.connect_timeout = 1;
	record.params.timeout = 1;
	nbd_server_add_tcp(&record.params, "name", "1", NULL);
	nbd_server_add_tcp(&record.params, "next", "1", NULL);
	record.export.size = 1 << 20;
	record.export.flags = 0x101;
	record.session_id = 1;
	resolve(&record.addresses);
	record.in_use = record.addresses.addr[0];
	for (i = 0; i < SLOTS; i++)
		world.slots[i] = world.places[0].port;
	save(&record);
	nbd_record_free(&record);
}

/* How many have made an attempt; nobody listens, so each comes to its end at once. */
static unsigned int count_attempts(struct nbd_watch **crowd)
{
	unsigned int i, n = 0;

	for (i = 0; i < CROWD; i++) {
		nbd_watch_run(crowd[i]);
		n += !!crowd[i]->outage;
	}
	return n;
}

/*
 * As many devices of one server lose all their connections. The first ones try at once, for all
 * of their connections; each of the others when it is its turn, for one.
 */
static void test_crowd(void)
{
	const unsigned int at_once = NBD_PACE_BURST / SLOTS;
	struct nbd_watch *crowd[CROWD];
	s64 begin = nbd_now_ms();
	unsigned int i, n;

	tap_test("watch: a crowd of devices does not fall upon its server");
	memset(world.slots, 0, sizeof(world.slots));
	for (i = 0; i < CROWD; i++)
		crowd[i] = start_watch();
	n = count_attempts(crowd);
	expect(n >= at_once);
	expect(n <= at_once + (nbd_now_ms() - begin) * NBD_PACE_RATE / 1000 + 1);
	expect(!crowd[0]->crowded);
	expect(crowd[CROWD - 1]->crowded);
	while (n < CROWD && nbd_now_ms() < begin + END_MS) {
		poll(NULL, 0, 1);
		n = count_attempts(crowd);
	}
	expect_number(n, CROWD);
	expect(nbd_now_ms() - begin >= 1000 * (CROWD - at_once - 1) / NBD_PACE_RATE);
	for (i = 0; i < CROWD; i++)
		nbd_watch_free(crowd[i]);
}

static s64 time_to_wake(const struct nbd_watch *w)
{
	struct pollfd pfds[NBD_CONNECTIONS_MAX];
	s64 wake;

	nbd_watch_poll(w, pfds, &wake);
	return wake;
}

/* All wait behind @first, however long that takes here. */
static void make_queue(struct nbd_watch **crowd, struct nbd_turn *first)
{
	unsigned int i;

	for (i = 0; i < CROWD; i++)
		crowd[i] = start_watch();
	nbd_pace_join(first, &crowd[0]->record.in_use, NBD_PACE_BURST, nbd_now_ms());
	expect_number(count_attempts(crowd), 0);
	for (i = 0; i < CROWD; i++)
		expect(crowd[i]->turn.server);
}

/* All devices but the last one are detached while they wait. */
static void test_detached_crowd(void)
{
	struct nbd_watch *crowd[CROWD], *last;
	struct nbd_turn first;
	s64 begin;
	unsigned int i;

	tap_test("watch: who is behind a crowd that goes away is not kept waiting");
	memset(world.slots, 0, sizeof(world.slots));
	begin = nbd_now_ms();
	make_queue(crowd, &first);
	last = crowd[CROWD - 1];
	expect(time_to_wake(last) >= begin + 1000 * (CROWD - NBD_PACE_BURST) / NBD_PACE_RATE);
	nbd_pace_leave(&first);
	for (i = 0; i < CROWD - 1; i++)
		nbd_watch_free(crowd[i]);
	poll(NULL, 0, 1000 / NBD_PACE_RATE + 1);
	expect(time_to_wake(last) <= nbd_now_ms());
	nbd_watch_run(last);
	expect(!last->turn.server);
	nbd_watch_free(last);
}

static const struct {
	const char *what;
	unsigned int live;
	bool timed_out;
	unsigned int makes;
} losses[] = {
	{ "all of its connections makes one", 0, false, 1 },
	{ "more of its connections makes all that are missing", 1, false, SLOTS - 1 },
	{ "its trust in the server makes all anew", SLOTS - 1, true, SLOTS },
};

/* Devices that have lost a connection each wait for their turns, and lose more meanwhile. */
static void test_loss_in_queue(unsigned int row)
{
	struct nbd_watch *crowd[CROWD];
	struct nbd_turn first;
	unsigned int i, n = 0;
	s64 begin, now;

	tap_test("watch: what loses %s, no faster than it may", losses[row].what);
	for (i = 0; i < SLOTS; i++)
		world.slots[i] = !!i;
	make_queue(crowd, &first);
	memset(world.slots, 0, (SLOTS - losses[row].live) * sizeof(world.slots[0]));
	for (i = 0; i < CROWD; i++)
		tell(crowd[i], losses[row].timed_out);
	world.begun = 0;
	begin = nbd_now_ms();
	now = begin;
	nbd_pace_leave(&first);
	while (n < CROWD && now < begin + END_MS) {
		poll(NULL, 0, 1);
		n = count_attempts(crowd);
		now = nbd_now_ms();
		expect(world.begun <= NBD_PACE_BURST + (now - begin) * NBD_PACE_RATE / 1000 + 1);
	}
	expect_number(n, CROWD);
	expect(world.begun >= CROWD * losses[row].makes);
	for (i = 0; i < CROWD; i++)
		nbd_watch_free(crowd[i]);
}

/* As the monitor does when the driver has been asked. */
static void count_records(struct nbd_watch *w, u64 records)
{
	w->next_look = 0;
	expect(nbd_watch_look(w));
	expect(!nbd_watch_look(w));
	tell(w, false);
	nbd_watch_worn(w, records);
}

/* New connections are tried for, and when there are none the old ones go on. */
static void test_renewal(void)
{
	struct nbd_watch *w;
	s64 end = nbd_now_ms() + END_MS;
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		world.slots[i] = 1;
	w = start_watch();

	tap_test("watch: nothing is renewed without TLS");
	expect(w->next_look == NBD_NEVER);
	nbd_watch_worn(w, U64_MAX);
	expect_number(w->state, NBD_WATCH_IDLE);

	tap_test("watch: keys that are not used up are looked at again");
	w->record.params.tls = true;
	w->record.params.tls_renew = 1000;
	count_records(w, 999);
	expect_number(w->state, NBD_WATCH_IDLE);
	expect(w->next_look > nbd_now_ms() && w->next_look <= nbd_now_ms() + 60000);

	tap_test("watch: keys are renewed, and the old ones serve until then");
	count_records(w, 1000);
	expect(w->renewing);
	expect_number(w->state, NBD_WATCH_PAUSED);
	tell(w, false);
	expect(w->renewing);
	while (w->renewing && nbd_now_ms() < end) {
		nbd_watch_run(w);
		poll(NULL, 0, 1);
	}
	expect_number(w->state, NBD_WATCH_IDLE);
	expect(!w->outage);
	expect_number(w->missing, 0);
	nbd_watch_free(w);
}

void test_watch(void)
{
	const char *given = getenv("SEED");
	unsigned int seed = given ? atoi(given) : time(NULL), i;
	struct nbd_watch *w;

	tap_test("watch: one disk at a time (SEED=%u)", seed);
	srandom(seed);
	world.plays = true;
	begin();
	w = start_watch();
	for (i = 0; i < STEPS && !world.mixed; i++)
		w = step(w);
	end(w);
	for (i = 0; i < ADDRESSES; i++)
		close_place(&world.places[i]);
	test_crowd();
	test_detached_crowd();
	for (i = 0; i < ARRAY_SIZE(losses); i++)
		test_loss_in_queue(i);
	test_renewal();
	free(world.file);
	world.plays = false;
}
