/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is put off until its CPU has nothing better to do: sending, while whoever submits is
 * likely to submit more, and receiving, while whoever sends replies is likely to send more.
 * There is a thread for each CPU that does it, one for all devices. What keeps that thread
 * from its CPU for more than a millisecond delays nothing any longer: a work does it then.
 */
#ifndef _NBD_LATER_H
#define _NBD_LATER_H

#include <linux/bitops.h>
#include <linux/llist.h>

/*
 * A connection with more requests in flight is busy, and a submitter that comes with as many
 * before it sleeps is a batch in the making: such requests, and their replies, may be put off.
 */
#define NBD_BUSY	4

struct nbd_later_queue;

/**
 * struct nbd_later - something that can be put off
 * @node:	on a CPU's list
 * @queued:	bit 0: it is there
 * @run:	does it, in a task that must not wait for long. What there is to do from its
 *		beginning on can be put off again
 */
struct nbd_later {
	struct llist_node node;
	unsigned long queued;
	void (*run)(struct nbd_later *later);
};

static inline void nbd_later_init(struct nbd_later *later, void (*run)(struct nbd_later *later))
{
	later->queued = 0;
	later->run = run;
}

/* True if it has to be added to a queue, by the caller; false if it is on one. */
static inline bool nbd_later_claim(struct nbd_later *later)
{
	return !test_and_set_bit(0, &later->queued);
}

/* That of this CPU, or of one that the caller was on; NULL if it has no thread. */
struct nbd_later_queue *nbd_later_queue(void);

/* After nbd_later_claim(); the caller has seen to it that @later stays until it has run. */
void nbd_later_add(struct nbd_later_queue *queue, struct nbd_later *later);

/* Module start and end. */
int nbd_later_init_threads(void);
void nbd_later_exit_threads(void);

#endif /* _NBD_LATER_H */
