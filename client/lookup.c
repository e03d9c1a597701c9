// SPDX-License-Identifier: GPL-2.0
/*
 * Names to addresses within a time.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "lookup.h"

/* Small, since the process may have locked its memory; getaddrinfo() needs half. */
#define STACK_SIZE (256 * 1024)

/**
 * struct answer - what became of one server
 * @all:	the lookup that it belongs to
 * @server:	to resolve
 * @number:	its index
 * @done:	the following are final; under @all's lock
 * @ret:	of nbd_resolve()
 * @list:	its addresses
 * @err:	why not
 */
struct answer {
	struct lookup *all;
	struct nbd_server server;
	unsigned int number;
	bool done;
	int ret;
	struct nbd_address_list list;
	struct nbd_err err;
};

/**
 * struct lookup - servers that are asked for at the same time
 * @lock:	protects @users, and @done of the answers
 * @users:	who asked, and the threads that have not come back: the last one frees it
 * @pending:	answers that are missing; only who asked looks
 * @answered:	eventfd, counts answers
 * @answer:	one for each server
 *
 * Nothing is shared between two lookups: a process may be forked while a thread of an
 * earlier one still waits for a name server.
 */
struct lookup {
	pthread_mutex_t lock;
	unsigned int users;
	unsigned int pending;
	int answered;
	struct answer answer[NBD_SERVERS_MAX];
};

static void put_lookup(struct lookup *l)
{
	bool last;

	pthread_mutex_lock(&l->lock);
	last = !--l->users;
	pthread_mutex_unlock(&l->lock);
	if (!last)
		return;
	if (l->answered >= 0)
		close(l->answered);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void resolve(struct answer *a)
{
	a->ret = nbd_resolve(&a->list, &a->server, a->number, &a->err);
}

static void *run(void *arg)
{
	const u64 one = 1;
	struct answer *a = arg;
	struct lookup *l = a->all;

	resolve(a);
	pthread_mutex_lock(&l->lock);
	a->done = true;
	pthread_mutex_unlock(&l->lock);
	while (write(l->answered, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	put_lookup(l);
	return NULL;
}

static int start_thread(struct answer *a)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&thread, &attr, run, a);
	pthread_attr_destroy(&attr);
	return ret;
}

/* Only a name needs a thread. */
static void begin(struct lookup *l, const struct nbd_server *server,
		  unsigned int number)
{
	struct answer *a = &l->answer[number];
	int ret;

	a->all = l;
	a->server = *server;
	a->number = number;
	if (nbd_resolve_numeric(&a->list, server, number) != -EAGAIN) {
		a->list.n = 0;
		resolve(a);
		a->done = true;
		return;
	}
	pthread_mutex_lock(&l->lock);
	l->users++;
	ret = start_thread(a);
	if (ret) {
		l->users--;
		a->done = true;
		a->ret = nbd_fail(&a->err, NBD_EXIT_FAILURE, ret,
				  "cannot start a thread: %s", strerror(ret));
	} else {
		l->pending++;
	}
	pthread_mutex_unlock(&l->lock);
}

static void wait_for_answers(struct lookup *l, s64 deadline)
{
	struct pollfd pfd = { .fd = l->answered, .events = POLLIN };
	u64 count;

	while (l->pending && nbd_poll_timeout(deadline))
		if (poll(&pfd, 1, nbd_poll_timeout(deadline)) > 0 &&
		    read(l->answered, &count, sizeof(count)) == sizeof(count))
			l->pending -= count;
}

static int take_answer(struct nbd_address_list *list, const struct answer *a,
		       unsigned int n, struct nbd_err *err)
{
	char text[NBD_SERVER_TEXT_MAX];

	if (!a->done)
		return nbd_fail(err, NBD_EXIT_TIMEOUT, ETIMEDOUT,
				"%s: the name was not resolved in time",
				nbd_server_text(&a->server, text, sizeof(text)));
	if (a->ret)
		*err = a->err;
	nbd_address_list_append(list, &a->list, n);
	return a->ret;
}

static int take_answers(struct lookup *l, struct nbd_address_list *list,
			unsigned int n, struct nbd_err *err)
{
	struct nbd_err later;
	unsigned int i;
	int ret = 0, error;

	pthread_mutex_lock(&l->lock);
	for (i = 0; i < n; i++) {
		error = take_answer(list, &l->answer[i], n,
				    ret ? &later : err);
		if (!ret)
			ret = error;
	}
	pthread_mutex_unlock(&l->lock);
	return ret;
}

int nbd_lookup(struct nbd_address_list *list, const struct nbd_server *servers,
	       unsigned int n, s64 deadline, struct nbd_err *err)
{
	struct lookup *l = calloc(1, sizeof(*l));
	unsigned int i;
	int ret;

	list->n = 0;
	if (!l)
		return nbd_fail(err, NBD_EXIT_FAILURE, ENOMEM, "out of memory");
	pthread_mutex_init(&l->lock, NULL);
	l->users = 1;
	l->answered = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->answered < 0) {
		ret = nbd_fail(err, NBD_EXIT_FAILURE, errno,
			       "cannot make an eventfd: %s", strerror(errno));
	} else {
		for (i = 0; i < n; i++)
			begin(l, &servers[i], i);
		wait_for_answers(l, deadline);
		ret = take_answers(l, list, n, err);
	}
	put_lookup(l);
	return ret;
}

/* --- in a process of its own --- */

/* How much longer the process may take than the names. */
#define GRACE_SECONDS 3

/** struct question - what that process is to do */
struct question {
	const struct nbd_server *servers;
	unsigned int n;
	unsigned int seconds;
};

static void answer_question(void *arg, int ret, int out)
{
	const struct question *q = arg;
	struct nbd_answer a = { .ret = ret };

	if (ret)
		nbd_fail(&a.err, NBD_EXIT_CONNECT, -ret,
			 "cannot enter the namespaces of the attachment: %s",
			 strerror(-ret));
	else
		a.ret = nbd_lookup(&a.list, q->servers, q->n,
				   nbd_now_ms() + q->seconds * 1000LL, &a.err);
	if (write(out, &a, sizeof(a)) != sizeof(a))
		_exit(1);
}

int nbd_lookup_begin(struct nbd_helper *helper, const struct nbd_place *place,
		     const struct nbd_server *servers, unsigned int n,
		     unsigned int seconds)
{
	struct question q = { .servers = servers, .n = n, .seconds = seconds };

	return nbd_helper_start(helper, place, NULL, seconds + GRACE_SECONDS,
				answer_question, &q);
}

void nbd_lookup_end(struct nbd_helper *helper, struct nbd_answer *answer)
{
	if (!nbd_helper_read(helper, answer, sizeof(*answer))) {
		memset(answer, 0, sizeof(*answer));
		answer->ret = nbd_fail(&answer->err, NBD_EXIT_TIMEOUT, ETIMEDOUT,
				       "the names were not resolved in time");
	}
	nbd_helper_end(helper);
}

static bool is_here(const struct nbd_place *place)
{
	return place->net < 0 && place->mnt < 0;
}

int nbd_lookup_at(struct nbd_address_list *list, const struct nbd_place *place,
		  const struct nbd_server *servers, unsigned int n,
		  unsigned int seconds, struct nbd_err *err)
{
	s64 deadline = nbd_now_ms() + seconds * 1000LL;
	struct nbd_answer answer;
	struct nbd_helper helper;
	struct pollfd pfd = { .events = POLLIN };
	int ret;

	if (is_here(place))
		return nbd_lookup(list, servers, n, deadline, err);
	ret = nbd_lookup_begin(&helper, place, servers, n, seconds);
	if (ret)
		return nbd_fail(err, NBD_EXIT_FAILURE, -ret,
				"cannot start a process: %s", strerror(-ret));
	pfd.fd = helper.fd;
	poll(&pfd, 1, nbd_poll_timeout(deadline + GRACE_SECONDS * 1000));
	nbd_lookup_end(&helper, &answer);
	*list = answer.list;
	if (answer.ret)
		*err = answer.err;
	return answer.ret;
}

int nbd_resolve_servers(const struct nbd_params *params,
			const struct nbd_place *place,
			struct nbd_address_list *list, struct nbd_err *err)
{
	int ret = nbd_lookup_at(list, place, params->servers, params->nservers,
				params->connect_timeout, err);

	return list->n ? 0 : ret;
}
