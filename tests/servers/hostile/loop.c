// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

struct timer {
	TAILQ_ENTRY(timer) link;
	uint64_t due;
	void (*expire)(void *arg);
	void *arg;
};

/* Sorted by due time. Most timers are started with the delay of the last. */
static TAILQ_HEAD(timer_list, timer) timers = TAILQ_HEAD_INITIALIZER(timers);

struct deferred {
	STAILQ_ENTRY(deferred) link;
	void (*fn)(void *arg);
	void *arg;
};

static STAILQ_HEAD(deferred_list, deferred) deferred = STAILQ_HEAD_INITIALIZER(deferred);

static int epoll_fd = -1;
static bool stopped;
static void (*each_round)(void);

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

void loop_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		err(1, "epoll_create1");
}

void loop_watch(struct source *src, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };
	int op = src->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (src->watched && events == src->events)
		return;
	if (epoll_ctl(epoll_fd, op, src->fd, &ev) < 0)
		err(1, "epoll_ctl");
	src->watched = true;
	src->events = events;
}

void loop_forget(struct source *src)
{
	if (!src->watched)
		return;
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, src->fd, NULL);
	src->watched = false;
	src->events = 0;
}

struct timer *timer_start(uint64_t delay_ns, void (*expire)(void *arg), void *arg)
{
	struct timer *timer = malloc(sizeof(*timer));
	struct timer *before;

	if (!timer)
		err(1, "timer");
	timer->due = now_ns() + delay_ns;
	timer->expire = expire;
	timer->arg = arg;
	TAILQ_FOREACH_REVERSE(before, &timers, timer_list, link)
		if (before->due <= timer->due)
			break;
	if (before)
		TAILQ_INSERT_AFTER(&timers, before, timer, link);
	else
		TAILQ_INSERT_HEAD(&timers, timer, link);
	return timer;
}

void timer_cancel(struct timer *timer)
{
	if (!timer)
		return;
	TAILQ_REMOVE(&timers, timer, link);
	free(timer);
}

static void run_timers(void)
{
	struct timer *timer;
	uint64_t now = now_ns();

	while ((timer = TAILQ_FIRST(&timers)) && timer->due <= now) {
		TAILQ_REMOVE(&timers, timer, link);
		timer->expire(timer->arg);
		free(timer);
	}
}

static int next_timeout(void)
{
	struct timer *timer = TAILQ_FIRST(&timers);
	uint64_t now, ms;

	if (!timer)
		return -1;
	now = now_ns();
	if (timer->due <= now)
		return 0;
	ms = (timer->due - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	return ms > 60000 ? 60000 : (int)ms;
}

void loop_later(void (*fn)(void *arg), void *arg)
{
	struct deferred *call = malloc(sizeof(*call));

	if (!call)
		err(1, "loop_later");
	call->fn = fn;
	call->arg = arg;
	STAILQ_INSERT_TAIL(&deferred, call, link);
}

static void run_deferred(void)
{
	struct deferred *call;

	while ((call = STAILQ_FIRST(&deferred))) {
		STAILQ_REMOVE_HEAD(&deferred, link);
		call->fn(call->arg);
		free(call);
	}
}

void loop_each_round(void (*fn)(void))
{
	each_round = fn;
}

void loop_run(void)
{
	struct epoll_event events[64];
	int i, n;

	while (!stopped) {
		n = epoll_wait(epoll_fd, events, 64, next_timeout());
		if (n < 0 && errno != EINTR)
			err(1, "epoll_wait");
		for (i = 0; i < n; i++) {
			struct source *src = events[i].data.ptr;

			/* an earlier event of this round may have ended it */
			if (src->watched)
				src->ready(src, events[i].events);
		}
		run_timers();
		run_deferred();
		if (each_round)
			each_round();
	}
}

void loop_stop(void)
{
	stopped = true;
}
