/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Event loop of one thread: file descriptors, timers and deferred calls.
 * Nothing here may be used from a second thread.
 */
#ifndef NBD_TEST_LOOP_H
#define NBD_TEST_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define NSEC_PER_SEC	1000000000ULL
#define NSEC_PER_MSEC	1000000ULL
#define NSEC_PER_USEC	1000ULL

/**
 * struct source - a file descriptor that the loop watches
 * @fd:		the descriptor, owned by the user of the source
 * @events:	the EPOLL* events it is watched for
 * @watched:	the loop knows it; errors and hang-ups are reported even without @events
 * @ready:	called when one of @events, an error or a hang-up is there
 */
struct source {
	int fd;
	uint32_t events;
	bool watched;
	void (*ready)(struct source *src, uint32_t events);
};

struct timer;

void loop_init(void);

/* Watch @src for @events from now on. Ends the program when epoll refuses. */
void loop_watch(struct source *src, uint32_t events);

/* Stop watching @src, which may be freed in loop_later() and not before. */
void loop_forget(struct source *src);

/*
 * Call expire(arg) once, @delay_ns from now. The timer is gone when expire()
 * has been called; until then timer_cancel() takes it back.
 */
struct timer *timer_start(uint64_t delay_ns, void (*expire)(void *arg), void *arg);
void timer_cancel(struct timer *timer);

/* Call fn(arg) when the events at hand have been served. */
void loop_later(void (*fn)(void *arg), void *arg);

/* Call @fn after every round of events. */
void loop_each_round(void (*fn)(void));

void loop_run(void);
void loop_stop(void);

/* CLOCK_MONOTONIC */
uint64_t now_ns(void);

#endif /* NBD_TEST_LOOP_H */
