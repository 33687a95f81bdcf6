// SPDX-License-Identifier: GPL-2.0
/*
 * Makes one allocation fail, chosen by number, on kernels built without fault injection. Counted are the
 * allocations that may fail and that a function of teemate.ko makes, directly or not, in one process.
 *
 * Parameters: `process`: its id; `countdown`: fail the allocation that takes it to 0; `failed`: how many did.
 */
#define pr_fmt(format) KBUILD_MODNAME ": " format
#include <linux/gfp.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/stacktrace.h>
#include <linux/string.h>

#define TARGET "[teemate]"
#define STACK_DEPTH 24

static int process;
module_param(process, int, 0600);
static int countdown;
module_param(countdown, int, 0600);
static int failed;
module_param(failed, int, 0600);

/* Where the allocator takes its flags from */
struct allocator {
	const char *names[2]; /* as of 6.1, 6.12 */
	size_t flags_register; /* in struct pt_regs */
	struct kprobe probe;
};

static struct allocator allocators[] = {
	{ { "__alloc_pages", "__alloc_pages_noprof" }, offsetof(struct pt_regs, di) },
	{ { "__kmalloc", "__kmalloc_noprof" }, offsetof(struct pt_regs, si) },
	{ { "kmalloc_trace", "__kmalloc_cache_noprof" }, offsetof(struct pt_regs, si) },
	{ { "kmem_cache_alloc", "kmem_cache_alloc_noprof" }, offsetof(struct pt_regs, si) },
	{ { "kmem_cache_alloc_lru", "kmem_cache_alloc_lru_noprof" }, offsetof(struct pt_regs, dx) },
};

static bool called_by_target(void)
{
	unsigned long entries[STACK_DEPTH];
	static char name[KSYM_SYMBOL_LEN]; /* of one process only, which has one thread */
	unsigned int i, count = stack_trace_save(entries, STACK_DEPTH, 0);

	for (i = 0; i < count; i++) {
		sprint_symbol(name, entries[i]);
		if (strstr(name, TARGET))
			return true;
	}
	return false;
}

static noinline notrace void *no_memory(void)
{
	return NULL;
}

static int before_allocation(struct kprobe *probe, struct pt_regs *regs)
{
	struct allocator *allocator = container_of(probe, struct allocator, probe);
	gfp_t flags = *(unsigned long *)((char *)regs + allocator->flags_register);

	/*
	 * That a task allocates is seen from the flags: where probes are breakpoints, not calls by ftrace,
	 * in_task() is false in their handlers.
	 */
	if (current->tgid != READ_ONCE(process) || !(flags & __GFP_DIRECT_RECLAIM) || flags & __GFP_NOFAIL ||
	    countdown <= 0 || !called_by_target())
		return 0;
	if (--countdown)
		return 0;
	failed++;
	/* Go on there instead; it returns to the allocator's caller. A probe may not move the stack pointer. */
	regs->ip = (unsigned long)no_memory;
	return 1;
}

/* Its being there keeps the probe from being optimized, which would forbid changing where to go on */
static void after_allocation(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

static int probe_allocator(struct allocator *allocator)
{
	int i, ret = -ENOENT;

	for (i = 0; i < 2 && ret == -ENOENT; i++) {
		allocator->probe = (struct kprobe){
			.symbol_name = allocator->names[i],
			.pre_handler = before_allocation,
			.post_handler = after_allocation,
		};
		ret = register_kprobe(&allocator->probe);
	}
	return ret;
}

static int __init fail_alloc_init(void)
{
	int i, ret = 0;

	for (i = 0; i < ARRAY_SIZE(allocators); i++) {
		ret = probe_allocator(&allocators[i]);
		if (ret) {
			pr_err("%s: %d\n", allocators[i].names[0], ret);
			break;
		}
	}
	if (ret)
		while (i--)
			unregister_kprobe(&allocators[i].probe);
	return ret;
}

static void __exit fail_alloc_exit(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(allocators); i++)
		unregister_kprobe(&allocators[i].probe);
}

module_init(fail_alloc_init);
module_exit(fail_alloc_exit);
MODULE_DESCRIPTION("Allocation failures for the tests of teemate.ko");
MODULE_LICENSE("GPL");
