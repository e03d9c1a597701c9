/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests that are submitted in one batch of the block layer, from one CPU: three or more,
 * not next to each other, or they become one. What fails ends the program.
 */
#ifndef TESTS_BATCH_H
#define TESTS_BATCH_H

#include <stdbool.h>
#include <linux/aio_abi.h>

/* The most requests of a batch. */
#define BATCH_MAX 16

void batch_stay_on(int cpu);

/* For batches of BATCH_MAX requests at most. */
aio_context_t batch_setup(void);

/* Submits @iocbs, of which @aio_data is written. */
void batch_submit(aio_context_t aio, struct iocb *iocbs, unsigned int n);

/* Waits, asleep or not, until @n requests have done all that they were to. */
void batch_reap(aio_context_t aio, unsigned int n, bool asleep);

#endif /* TESTS_BATCH_H */
