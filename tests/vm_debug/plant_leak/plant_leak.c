// SPDX-License-Identifier: GPL-2.0
/* Forgets memory when it is loaded: a search for leaks that does not find that would not find any other. */
#include <linux/module.h>
#include <linux/slab.h>

#define LEAKS 16 /* something on a stack may look like a pointer to one or the other */
#define LEAK_SIZE 100

static int __init plant_leaks(void)
{
	unsigned int i;

	for (i = 0; i < LEAKS; i++)
		if (!kmalloc(LEAK_SIZE, GFP_KERNEL))
			return -ENOMEM;
	return 0;
}

static void __exit plant_leaks_exit(void)
{
}

module_init(plant_leaks);
module_exit(plant_leaks_exit);
MODULE_DESCRIPTION("Memory that is forgotten, for tests");
MODULE_LICENSE("GPL");
