// SPDX-License-Identifier: GPL-2.0
/*
 * A module with three bugs, one of which it commits when it is loaded, as its
 * parameter says. tests/debug/canary/run proves with it that the debug kernel
 * and the test framework notice such bugs. It is of no other use.
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

static char *plant = "nothing";
module_param(plant, charp, 0444);
MODULE_PARM_DESC(plant, "use-after-free, inversion or leak");

static void *sink;
static DEFINE_MUTEX(first_lock);
static DEFINE_MUTEX(second_lock);

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

static int __init canary_init(void)
{
	if (!strcmp(plant, "use-after-free"))
		use_after_free();
	else if (!strcmp(plant, "inversion"))
		inversion();
	else if (!strcmp(plant, "leak"))
		leak();
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
