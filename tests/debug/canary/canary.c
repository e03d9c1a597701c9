// SPDX-License-Identifier: GPL-2.0
/*
 * A module with four bugs, one of which it commits when it is loaded, as its
 * parameter says. tests/debug/canary/run proves with it that the debug kernels
 * and the test framework notice such bugs. It is of no other use.
 */
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

static char *plant = "nothing";
module_param(plant, charp, 0444);
MODULE_PARM_DESC(plant, "use-after-free, inversion, leak or race");

static void *sink;
static DEFINE_MUTEX(first_lock);
static DEFINE_MUTEX(second_lock);
static unsigned int counter;

/*
 * Read through a volatile pointer, or the compiler would not read at all. The report names
 * the function.
 */
static noinline void use_after_free(void)
{
	char *memory = kmalloc(64, GFP_KERNEL);

	if (!memory)
		return;
	kfree(memory);
	pr_info("freed memory holds %d\n", READ_ONCE(*memory));
}

/* One order, then the other; nobody need wait for lockdep to see it. */
static void inversion(void)
{
	mutex_lock(&first_lock);
	mutex_lock(&second_lock);
	mutex_unlock(&second_lock);
	mutex_unlock(&first_lock);

	mutex_lock(&second_lock);
	mutex_lock(&first_lock);
	mutex_unlock(&first_lock);
	mutex_unlock(&second_lock);
}

/* Some of them, for a stale pointer on a stack may hide one. */
static void leak(void)
{
	int i;

	for (i = 0; i < 16; i++)
		WRITE_ONCE(sink, kmalloc(1000 + i, GFP_KERNEL));
	WRITE_ONCE(sink, NULL);
}

static noinline void count_for_a_second(void)
{
	unsigned long end = jiffies + HZ;

	while (time_before(jiffies, end)) {
		counter++;
		barrier();	/* or the sum would be stored in the end only */
		cond_resched();
	}
}

static int counter_thread(void *unused)
{
	count_for_a_second();
	while (!kthread_should_stop())
		schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
	return 0;
}

/* Two tasks count with one counter. */
static void race(void)
{
	struct task_struct *other = kthread_run(counter_thread, NULL, "canary");

	if (IS_ERR(other))
		return;
	count_for_a_second();
	kthread_stop(other);
}

static int __init canary_init(void)
{
	if (!strcmp(plant, "use-after-free"))
		use_after_free();
	else if (!strcmp(plant, "inversion"))
		inversion();
	else if (!strcmp(plant, "leak"))
		leak();
	else if (!strcmp(plant, "race"))
		race();
	else
		return -EINVAL;
	return 0;
}

static void __exit canary_exit(void)
{
}

module_init(canary_init);
module_exit(canary_exit);

MODULE_DESCRIPTION("Planted bugs for the test of the debug kernel");
MODULE_LICENSE("GPL");
