// SPDX-License-Identifier: GPL-2.0
/* What is put off (kernel/later.c): it is done, each once, whatever the others wait for. */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/preempt.h>
#include "../../kernel/later.h"

#define NR		3
#define FOR_EVER	(20 * HZ)

/**
 * struct errand - something that is put off
 * @later:	in a queue
 * @all:	those of its test
 * @ran:	how often it has run
 */
struct errand {
	struct nbd_later later;
	struct errands *all;
	unsigned int ran;
};

/**
 * struct errands - those of one test
 * @one:	each of them
 * @begun:	how many runs have begun
 * @others:	all but the first one have
 * @ended:	once for each run; the last that it touches of all this
 * @freed:	whether the first one saw the others done
 */
struct errands {
	struct errand one[NR];
	atomic_t begun;
	struct completion others;
	struct completion ended;
	bool freed;
};

static struct errand *errand_of(struct nbd_later *later)
{
	return container_of(later, struct errand, later);
}

static void errand_done(struct errand *errand)
{
	errand->ran++;
	complete(&errand->all->ended);
}

static void run_it(struct nbd_later *later)
{
	errand_done(errand_of(later));
}

static void run_again(struct nbd_later *later)
{
	struct errand *errand = errand_of(later);

	if (!errand->ran && nbd_later_claim(later))
		nbd_later_add(nbd_later_queue(), later);
	errand_done(errand);
}

/* Whichever is the first one keeps who runs it until the others are done. */
static void run_stuck(struct nbd_later *later)
{
	struct errand *errand = errand_of(later);
	struct errands *all = errand->all;

	if (atomic_inc_return(&all->begun) == 1)
		all->freed = wait_for_completion_timeout(&all->others, FOR_EVER);
	else if (atomic_read(&all->begun) == NR)
		complete(&all->others);
	errand_done(errand);
}

static struct errands *new_errands(struct kunit *test, void (*run)(struct nbd_later *later))
{
	struct errands *all = kunit_kzalloc(test, sizeof(*all), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, all);
	init_completion(&all->others);
	init_completion(&all->ended);
	for (i = 0; i < NR; i++) {
		nbd_later_init(&all->one[i].later, run);
		all->one[i].all = all;
	}
	return all;
}

/* All at once: nothing is taken in between, for the thread is of this CPU. */
static void put_off_all(struct kunit *test, struct errands *all)
{
	struct nbd_later_queue *queue;
	unsigned int i;

	preempt_disable();
	queue = nbd_later_queue();
	for (i = 0; queue && i < NR; i++)
		if (nbd_later_claim(&all->one[i].later))
			nbd_later_add(queue, &all->one[i].later);
	preempt_enable();
	KUNIT_ASSERT_NOT_NULL(test, queue);
}

/* Not asserted: what is not over must not be freed. */
static void wait_for_ends(struct kunit *test, struct errands *all, unsigned int nr)
{
	while (nr)
		if (wait_for_completion_timeout(&all->ended, FOR_EVER))
			nr--;
		else
			KUNIT_FAIL(test, "%u have not ended", nr);
}

static void each_runs_once(struct kunit *test)
{
	struct errands *all = new_errands(test, run_it);
	unsigned int i;

	put_off_all(test, all);
	wait_for_ends(test, all, NR);
	put_off_all(test, all);
	wait_for_ends(test, all, NR);
	for (i = 0; i < NR; i++)
		KUNIT_EXPECT_EQ(test, all->one[i].ran, 2);
}

static void claimed_once(struct kunit *test)
{
	struct errands *all = new_errands(test, run_it);

	KUNIT_EXPECT_TRUE(test, nbd_later_claim(&all->one[0].later));
	KUNIT_EXPECT_FALSE(test, nbd_later_claim(&all->one[0].later));
}

/* From its beginning on it can be put off again. */
static void runs_again(struct kunit *test)
{
	struct errands *all = new_errands(test, run_again);
	unsigned int i;

	put_off_all(test, all);
	wait_for_ends(test, all, 2 * NR);
	for (i = 0; i < NR; i++)
		KUNIT_EXPECT_EQ(test, all->one[i].ran, 2);
}

/* They came together with one that does not end: somebody else does them. */
static void one_keeps_no_others(struct kunit *test)
{
	struct errands *all = new_errands(test, run_stuck);

	put_off_all(test, all);
	wait_for_ends(test, all, NR);
	KUNIT_EXPECT_TRUE(test, all->freed);
}

static struct kunit_case later_cases[] = {
	KUNIT_CASE(each_runs_once),
	KUNIT_CASE(claimed_once),
	KUNIT_CASE(runs_again),
	KUNIT_CASE(one_keeps_no_others),
	{ }
};

static struct kunit_suite later_suite = {
	.name = "nbd_later",
	.test_cases = later_cases,
};

kunit_test_suites(&later_suite);
