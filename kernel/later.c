// SPDX-License-Identifier: GPL-2.0
/* What is put off until its CPU has nothing better to do. */
#include <linux/cpu.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/prio.h>
#include <linux/workqueue.h>
#include <uapi/linux/sched/types.h>
#include "compat.h"
#include "conn.h"
#include "later.h"

/* How long it waits for its CPU's thread. */
#define NBD_PATIENCE_NS		NSEC_PER_MSEC

/**
 * struct nbd_later_queue - a CPU's thread, and what it has to do
 * @task:	NULL for a CPU that came after the module. It has the policy SCHED_BATCH,
 *		so that waking it does not preempt who runs, and is the first to run when
 *		that one sleeps
 * @list:	of struct nbd_later, the last one first
 * @lock:	taking something. Held for moments, with interrupts off
 * @batch:	what was on @list when it was looked at, and is taken before that is looked at
 *		again; under @lock
 * @taken:	how often something was taken; written under @lock
 * @seen:	@taken when @watch was started
 * @watch:	runs while there is something to take, and for NBD_PATIENCE_NS at most after
 *		that
 * @watched:	bit 0: @watch is running
 * @rescue:	does the thread's work on any CPU, if what has its own does not let it run
 */
struct nbd_later_queue {
	struct task_struct *task;
	struct llist_head list;
	raw_spinlock_t lock;
	struct llist_node *batch;
	unsigned int taken;
	unsigned int seen;
	struct hrtimer watch;
	unsigned long watched;
	struct work_struct rescue;
};

static DEFINE_PER_CPU(struct nbd_later_queue, nbd_later_queues);

/*
 * One at a time: whoever takes it may be kept from the CPU while it does that, and must not
 * keep the others with it. NULL if there is nothing.
 */
static struct nbd_later *later_take(struct nbd_later_queue *queue)
{
	struct llist_node *node;

	raw_spin_lock_irq(&queue->lock);
	if (!queue->batch)
		queue->batch = llist_del_all(&queue->list);
	node = queue->batch;
	if (node) {
		queue->batch = node->next;
		WRITE_ONCE(queue->taken, queue->taken + 1);
	}
	raw_spin_unlock_irq(&queue->lock);
	return node ? llist_entry(node, struct nbd_later, node) : NULL;
}

/* Until there is nothing to take. */
static void later_run_all(struct nbd_later_queue *queue)
{
	struct nbd_later *later;

	while ((later = later_take(queue))) {
		clear_bit(0, &later->queued);
		/* What there is to do from here on puts it on a list again. */
		smp_mb__after_atomic();
		later->run(later);
	}
}

static bool later_has_something(struct nbd_later_queue *queue)
{
	unsigned long flags;
	bool something;

	raw_spin_lock_irqsave(&queue->lock, flags);
	something = queue->batch || !llist_empty(&queue->list);
	raw_spin_unlock_irqrestore(&queue->lock, flags);
	return something;
}

static int later_thread(void *data)
{
	struct nbd_later_queue *queue = data;

	for (;;) {
		later_run_all(queue);
		/* Before looking: whoever has something wakes us after having said what. */
		set_current_state(TASK_IDLE);
		if (!later_has_something(queue)) {
			if (kthread_should_stop())
				break;
			schedule();
		}
		__set_current_state(TASK_RUNNING);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static void later_rescue_work(struct work_struct *work)
{
	later_run_all(container_of(work, struct nbd_later_queue, rescue));
}

static enum hrtimer_restart later_watch_expired(struct hrtimer *timer)
{
	struct nbd_later_queue *queue = container_of(timer, struct nbd_later_queue, watch);

	/* Something of higher priority has the thread's CPU, for as long as it likes. */
	if (later_has_something(queue) && READ_ONCE(queue->taken) == queue->seen)
		queue_work(nbd_wq, &queue->rescue);
	clear_bit(0, &queue->watched);
	/* What is put off from here on starts it again. */
	smp_mb__after_atomic();
	if (!later_has_something(queue) || test_and_set_bit(0, &queue->watched))
		return HRTIMER_NORESTART;
	queue->seen = READ_ONCE(queue->taken);
	hrtimer_forward_now(timer, ns_to_ktime(NBD_PATIENCE_NS));
	return HRTIMER_RESTART;
}

static void later_watch(struct nbd_later_queue *queue)
{
	if (test_bit(0, &queue->watched) || test_and_set_bit(0, &queue->watched))
		return;
	queue->seen = READ_ONCE(queue->taken);
	hrtimer_start(&queue->watch, ns_to_ktime(NBD_PATIENCE_NS), HRTIMER_MODE_REL_PINNED_HARD);
}

struct nbd_later_queue *nbd_later_queue(void)
{
	struct nbd_later_queue *queue = raw_cpu_ptr(&nbd_later_queues);

	return queue->task ? queue : NULL;
}

void nbd_later_add(struct nbd_later_queue *queue, struct nbd_later *later)
{
	if (llist_add(&later->node, &queue->list)) {
		wake_up_process(queue->task);
		later_watch(queue);
	}
}

static int later_start_thread(int cpu)
{
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = SCHED_BATCH,
		.sched_nice = MIN_NICE,
	};
	struct nbd_later_queue *queue = per_cpu_ptr(&nbd_later_queues, cpu);
	struct task_struct *task;

	task = kthread_create_on_cpu(later_thread, queue, cpu, "nbd-later/%u");
	if (IS_ERR(task))
		return PTR_ERR(task);
	raw_spin_lock_init(&queue->lock);
	INIT_WORK(&queue->rescue, later_rescue_work);
	nbd_hrtimer_setup(&queue->watch, later_watch_expired, CLOCK_MONOTONIC,
			  HRTIMER_MODE_REL_PINNED_HARD);
	queue->task = task;
	wake_up_process(task);
	return sched_setattr_nocheck(task, &attr);
}

void nbd_later_exit_threads(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct nbd_later_queue *queue = per_cpu_ptr(&nbd_later_queues, cpu);

		if (!queue->task)
			continue;
		kthread_stop(queue->task);
		hrtimer_cancel(&queue->watch);
		cancel_work_sync(&queue->rescue);
	}
}

int nbd_later_init_threads(void)
{
	int cpu, err = 0;

	cpus_read_lock();
	for_each_online_cpu(cpu) {
		err = later_start_thread(cpu);
		if (err)
			break;
	}
	cpus_read_unlock();
	if (err)
		nbd_later_exit_threads();
	return err;
}
