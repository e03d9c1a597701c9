// SPDX-License-Identifier: GPL-2.0
/*
 * Names to addresses for the monitor.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "resolver.h"

/* Small, since it is locked in memory; getaddrinfo() needs about half. */
#define STACK_SIZE (256 * 1024)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static struct nbd_resolver_job *queue;	/* under lock */
static int event_fd = -1;

static void free_job(struct nbd_resolver_job *job)
{
	if (job->netns >= 0)
		close(job->netns);
	free(job);
}

static struct nbd_resolver_job *next_job(void)
{
	struct nbd_resolver_job *job;

	pthread_mutex_lock(&lock);
	while (!queue)
		pthread_cond_wait(&wake, &lock);
	job = queue;
	queue = job->next;
	pthread_mutex_unlock(&lock);
	return job;
}

static void finish_job(struct nbd_resolver_job *job,
		       const struct nbd_address_list *result)
{
	const u64 one = 1;

	pthread_mutex_lock(&lock);
	job->busy = false;
	job->done = true;
	job->result = *result;
	if (job->abandoned)
		free_job(job);
	pthread_mutex_unlock(&lock);
	while (write(event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void resolve(struct nbd_resolver_job *job, int home)
{
	struct nbd_address_list list = { 0 }, one;
	unsigned int i;

	setns(job->netns >= 0 ? job->netns : home, CLONE_NEWNET);
	for (i = 0; i < job->nservers; i++) {
		one.n = 0;
		nbd_resolve(&one, &job->servers[i], i, NULL);
		nbd_address_list_append(&list, &one, job->nservers);
	}
	finish_job(job, &list);
}

static void *run(void *arg)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	for (;;)
		resolve(next_job(), home);
	return arg;
}

/* Loads what getaddrinfo() needs while files can still be read. */
static void warm_up(void)
{
	const struct nbd_server server = {
		.family = NBD_TCP,
		.host = "localhost",
		.host_len = 9,
		.port = NBD_DEFAULT_PORT,
	};
	struct nbd_address_list list = { 0 };

	nbd_resolve(&list, &server, 0, NULL);
}

int nbd_resolver_start(struct nbd_err *err)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	warm_up();
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event_fd < 0)
		return nbd_fail(err, NBD_EXIT_FAILURE, errno,
				"cannot make an eventfd: %s", strerror(errno));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	ret = pthread_create(&thread, &attr, run, NULL);
	pthread_attr_destroy(&attr);
	if (ret)
		return nbd_fail(err, NBD_EXIT_FAILURE, ret,
				"cannot start a thread: %s", strerror(ret));
	pthread_detach(thread);
	return event_fd;
}

void nbd_resolver_ack(void)
{
	u64 count;

	while (read(event_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

void nbd_resolver_submit(struct nbd_resolver_job *job)
{
	struct nbd_resolver_job **at;

	pthread_mutex_lock(&lock);
	if (!job->busy) {
		job->busy = true;
		job->done = false;
		job->next = NULL;
		for (at = &queue; *at; at = &(*at)->next)
			;
		*at = job;
		pthread_cond_signal(&wake);
	}
	pthread_mutex_unlock(&lock);
}

bool nbd_resolver_take(struct nbd_resolver_job *job,
		       struct nbd_address_list *result)
{
	bool done;

	pthread_mutex_lock(&lock);
	done = job->done;
	if (done)
		*result = job->result;
	job->done = false;
	pthread_mutex_unlock(&lock);
	return done;
}

void nbd_resolver_abandon(struct nbd_resolver_job *job)
{
	bool busy;

	pthread_mutex_lock(&lock);
	busy = job->busy;
	job->abandoned = true;
	pthread_mutex_unlock(&lock);
	if (!busy)
		free_job(job);
}
