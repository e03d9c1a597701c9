// SPDX-License-Identifier: GPL-2.0
/*
 * Names to addresses for those who must not wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lookup.h"
#include "resolver.h"

static struct nbd_resolver_job *queue;	/* in the order of their turn */
static struct nbd_resolver_job *asking;	/* those with a process */
static unsigned int nasking;
static int epoll_fd = -1;

static void append_job(struct nbd_resolver_job **at,
		       struct nbd_resolver_job *job)
{
	while (*at)
		at = &(*at)->next;
	*at = job;
	job->next = NULL;
}

static void unlink_job(struct nbd_resolver_job **at,
		       struct nbd_resolver_job *job)
{
	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
}

static bool begin_job(struct nbd_resolver_job *job)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = job };

	if (nbd_lookup_begin(&job->helper, &job->place, job->servers,
			     job->nservers, job->seconds))
		return false;
	if (!epoll_ctl(epoll_fd, EPOLL_CTL_ADD, job->helper.fd, &event))
		return true;
	nbd_helper_end(&job->helper);
	return false;
}

/* What cannot be begun is asked for again with the next attempt. */
static void begin_jobs(void)
{
	while (queue && nasking < NBD_RESOLVER_MAX) {
		struct nbd_resolver_job *job = queue;

		queue = job->next;
		job->state = NBD_RESOLVER_IDLE;
		if (!begin_job(job))
			continue;
		job->state = NBD_RESOLVER_ASKING;
		append_job(&asking, job);
		nasking++;
	}
}

static void end_job(struct nbd_resolver_job *job, struct nbd_answer *answer)
{
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, job->helper.fd, NULL);
	nbd_lookup_end(&job->helper, answer);
	unlink_job(&asking, job);
	nasking--;
}

void nbd_resolver_run(void)
{
	struct epoll_event events[NBD_RESOLVER_MAX];
	int i, n = epoll_wait(epoll_fd, events, NBD_RESOLVER_MAX, 0);
	struct nbd_resolver_job *job;
	struct nbd_answer answer;

	for (i = 0; i < n; i++) {
		job = events[i].data.ptr;
		end_job(job, &answer);
		job->result = answer.list;
		job->state = NBD_RESOLVER_DONE;
	}
	begin_jobs();
}

static bool has_name(const struct nbd_resolver_job *job)
{
	struct nbd_address_list list = { 0 };
	unsigned int i;

	for (i = 0; i < job->nservers; i++)
		if (nbd_resolve_numeric(&list, &job->servers[i], i) == -EAGAIN)
			return true;
	return false;
}

void nbd_resolver_submit(struct nbd_resolver_job *job)
{
	if (job->state == NBD_RESOLVER_QUEUED ||
	    job->state == NBD_RESOLVER_ASKING || !has_name(job))
		return;
	job->state = NBD_RESOLVER_QUEUED;
	append_job(&queue, job);
	begin_jobs();
}

bool nbd_resolver_take(struct nbd_resolver_job *job,
		       struct nbd_address_list *result)
{
	if (job->state != NBD_RESOLVER_DONE)
		return false;
	*result = job->result;
	job->state = NBD_RESOLVER_IDLE;
	return true;
}

void nbd_resolver_abandon(struct nbd_resolver_job *job)
{
	struct nbd_answer answer;

	if (job->state == NBD_RESOLVER_QUEUED)
		unlink_job(&queue, job);
	if (job->state == NBD_RESOLVER_ASKING)
		end_job(job, &answer);
	job->state = NBD_RESOLVER_IDLE;
	begin_jobs();
}

/*
 * A name that no file has goes through all that nsswitch.conf lists, so that all of it is
 * loaded. In a network namespace that nothing leads out of, no name server keeps it
 * waiting.
 */
void nbd_resolver_warm_up(void)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	struct addrinfo *ai;

	if (home < 0)
		return;
	if (!unshare(CLONE_NEWNET)) {
		if (!getaddrinfo("nbd-client.invalid", NULL, NULL, &ai))
			freeaddrinfo(ai);
		if (setns(home, CLONE_NEWNET))
			abort();
	}
	close(home);
}

int nbd_resolver_start(struct nbd_err *err)
{
	signal(SIGCHLD, SIG_IGN);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return nbd_fail(err, NBD_EXIT_FAILURE, errno,
				"cannot make an epoll descriptor: %s",
				strerror(errno));
	return epoll_fd;
}
