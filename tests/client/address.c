// SPDX-License-Identifier: GPL-2.0
/* Names to addresses: no name waits for another, and a forked process asks too. */
#include <string.h>
#include <stdlib.h>
#include <signal.h>
#include <poll.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../client/address.h"
#include "../../client/lookup.h"
#include "../../client/namespace.h"
#include "../../client/resolver.h"
#include "../../client/clock.h"
#include "../../client/settings.h"
#include "../../client/uri.h"
#include "tap.h"

/* Held while nothing is to come back for the name "unanswered". */
static pthread_mutex_t unanswered = PTHREAD_MUTEX_INITIALIZER;

typedef int resolve_fn(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **result);

/* A name with forty addresses. */
static int resolve_many(resolve_fn *real, const char *port, const struct addrinfo *hints,
			struct addrinfo **result)
{
	char host[16];
	int i, ret = 0;

	for (i = 40; i && !ret; i--) {
		struct addrinfo *one;

		snprintf(host, sizeof(host), "127.0.1.%d", i);
		ret = real(host, port, hints, &one);
		one->ai_next = i == 40 ? NULL : *result;
		*result = one;
	}
	return ret;
}

/* Takes the place of the C library's. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **result)
{
	resolve_fn *real = dlsym(RTLD_NEXT, "getaddrinfo");

	if (!strcmp(host, "many") && !(hints->ai_flags & AI_NUMERICHOST))
		return resolve_many(real, port, hints, result);
	if (!strcmp(host, "unanswered") && !(hints->ai_flags & AI_NUMERICHOST)) {
		pthread_mutex_lock(&unanswered);
		pthread_mutex_unlock(&unanswered);
		host = "127.0.0.3";
	}
	return real(host, port, hints, result);
}

/* Seconds for names that are answered, however slow a process is to start here. */
#define AMPLE	60
/* Seconds for the others, beside which "localhost" has to be answered. */
#define FEW	4

static int resolve_within(unsigned int seconds, const char *first, const char *second,
			  struct nbd_address_list *list, struct nbd_err *err)
{
	struct nbd_params params;
	int ret;

	nbd_params_init(&params);
	params.connect_timeout = seconds;
	expect(!nbd_server_append(&params, first, err));
	if (second)
		expect(!nbd_server_append(&params, second, err));
	ret = nbd_resolve_servers(&params, &nbd_here, list, err);
	nbd_params_free(&params);
	return ret;
}

static int resolve(const char *first, const char *second,
		   struct nbd_address_list *list, struct nbd_err *err)
{
	return resolve_within(AMPLE, first, second, list, err);
}

/* Only one thread lives in a child, whatever had been started before. */
static void test_fork(void)
{
	struct nbd_address_list list;
	struct nbd_err err;
	int status = -1;
	pid_t child;

	tap_test("address: a name, and again in a forked process");
	expect_number(resolve("localhost", NULL, &list, &err), 0);
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(resolve("localhost", NULL, &list, &err) ? 1 : 0);
	expect(waitpid(child, &status, 0) == child);
	expect_number(status, 0);
}

static struct nbd_resolver_job *new_job(const char *host)
{
	struct nbd_resolver_job *job = calloc(1, sizeof(*job));

	job->servers[0].family = NBD_TCP;
	job->servers[0].host_len = strlen(host);
	strcpy(job->servers[0].host, host);
	strcpy(job->servers[0].port, "1");
	job->nservers = 1;
	job->seconds = AMPLE;
	job->place = nbd_here;
	return job;
}

/* Until the job has an answer, or for a minute. */
static bool is_answered(int fd, struct nbd_resolver_job *job,
			struct nbd_address_list *list)
{
	const s64 until = nbd_now_ms() + AMPLE * 1000;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	bool answered = nbd_resolver_take(job, list);

	while (!answered && poll(&pfd, 1, nbd_poll_timeout(until)) > 0) {
		nbd_resolver_run();
		answered = nbd_resolver_take(job, list);
	}
	return answered;
}

/* Nobody answers but for "localhost". */
static void test_resolver(void)
{
	struct nbd_resolver_job *silent[NBD_RESOLVER_MAX + 1], *quick;
	struct nbd_address_list list;
	int fd = nbd_resolver_start(NULL);
	unsigned int i;

	tap_test("resolver: one that is not answered delays no other");
	quick = new_job("localhost");
	for (i = 0; i < NBD_RESOLVER_MAX - 1; i++)
		nbd_resolver_submit(silent[i] = new_job("unanswered"));
	nbd_resolver_submit(quick);
	expect(is_answered(fd, quick, &list));
	expect(list.n);

	tap_test("resolver: no more at a time than it may");
	for (; i < NBD_RESOLVER_MAX + 1; i++)
		nbd_resolver_submit(silent[i] = new_job("unanswered"));
	nbd_resolver_submit(quick);
	expect_number(silent[NBD_RESOLVER_MAX - 1]->state, NBD_RESOLVER_ASKING);
	expect_number(silent[NBD_RESOLVER_MAX]->state, NBD_RESOLVER_QUEUED);
	expect_number(quick->state, NBD_RESOLVER_QUEUED);

	tap_test("resolver: what nobody wants is not begun, or ended, and others have their turn");
	nbd_resolver_abandon(silent[NBD_RESOLVER_MAX]);
	nbd_resolver_abandon(silent[0]);
	expect_number(quick->state, NBD_RESOLVER_ASKING);
	expect(is_answered(fd, quick, &list));
	for (i = 0; i < NBD_RESOLVER_MAX + 1; i++) {
		nbd_resolver_abandon(silent[i]);
		free(silent[i]);
	}
	free(quick);
	close(fd);
	signal(SIGCHLD, SIG_DFL);
}

static void test_unanswered(void)
{
	struct nbd_address_list list;
	struct nbd_err err;
	s64 begin;

	pthread_mutex_lock(&unanswered);
	tap_test("address: a name is not answered, the next one is");
	begin = nbd_now_ms();
	expect_number(resolve_within(FEW, "unanswered", "localhost", &list, &err), 0);
	expect(list.n);
	expect_number(list.addr[0].server, 1);
	expect(nbd_now_ms() - begin < 2 * FEW * 1000);

	tap_test("address: a name is not answered, and is the only one");
	expect_number(resolve_within(1, "unanswered", NULL, &list, &err), -ETIMEDOUT);
	expect_number(err.status, NBD_EXIT_TIMEOUT);
	expect_words(err.text, "unanswered");
	expect_words(err.text, "not resolved in time");
	test_resolver();
	pthread_mutex_unlock(&unanswered);

	tap_test("address: in the servers' order");
	expect_number(resolve("unanswered", "127.0.0.2", &list, &err), 0);
	expect_number(list.n, 2);
	expect_number(list.addr[0].server, 0);
	expect_number(list.addr[1].server, 1);
}

static unsigned int of_server(const struct nbd_address_list *list, unsigned int server)
{
	unsigned int i, n = 0;

	for (i = 0; i < list->n; i++)
		n += list->addr[i].server == server;
	return n;
}

static void test_many(void)
{
	struct nbd_address_list list, old;
	struct nbd_err err;

	tap_test("address: a name with many addresses leaves room for the next server");
	expect_number(resolve("many", "127.0.0.2", &list, &err), 0);
	expect_number(of_server(&list, 0), NBD_ADDRESSES_MAX / 2);
	expect_number(of_server(&list, 1), 1);

	tap_test("address: and takes it where there is none");
	expect_number(resolve("many", NULL, &old, &err), 0);
	expect_number(of_server(&old, 0), NBD_ADDRESSES_MAX);

	tap_test("address: those that were known leave room, too");
	list.n = 0;
	nbd_resolve_numeric(&list, &(struct nbd_server){ .host = "127.0.0.2", .port = "1" }, 1);
	nbd_address_list_keep(&list, &old, 2);
	expect_number(of_server(&list, 0), NBD_ADDRESSES_MAX / 2);
	expect_number(of_server(&list, 1), 1);
}

void test_address(void)
{
	test_fork();
	test_many();
	test_unanswered();
}
