// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that are, or not long ago were, in an enclave. A thread's struct lives as long as its leave_work is queued:
 * the kernel runs that before it delivers a signal to the thread, with other work of the kind, and when
 * the thread ends. Whoever finds the thread inside then makes an AEX of it.
 */
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/resume_user_mode.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "enclu.h"

#define TABLE_BITS 8
#define SYSCALL_SIZE 2 /* 0f 05, or cd 80 */

static DEFINE_HASHTABLE(threads, TABLE_BITS);
static DEFINE_SPINLOCK(threads_lock);
static task_work_func_t leaf_function;

/**
 * enclu_thread_find() - Find the calling thread.
 *
 * Context: Any but hard interrupts.
 * Return: the thread, or NULL if it has not been near an enclave.
 */
struct enclu_thread *enclu_thread_find(void)
{
	struct enclu_thread *thread, *found = NULL;
	unsigned long flags;

	spin_lock_irqsave(&threads_lock, flags);
	hash_for_each_possible(threads, thread, node, (unsigned long)current) {
		if (thread->task == current) {
			found = thread;
			break;
		}
	}
	spin_unlock_irqrestore(&threads_lock, flags);
	return found;
}

/* One of the works has run. The last one takes the thread with it. */
static void work_done(struct enclu_thread *thread)
{
	unsigned long flags;

	if (--thread->works)
		return;
	spin_lock_irqsave(&threads_lock, flags);
	hash_del(&thread->node);
	spin_unlock_irqrestore(&threads_lock, flags);
	if (thread->enclave)
		enclu_enclave_put(thread->enclave);
	kfree(thread);
	module_put(THIS_MODULE);
}

static void leave(struct callback_head *head)
{
	struct enclu_thread *thread = container_of(head, struct enclu_thread, leave_work);
	static const struct enclu_exception ud = { .vector = X86_TRAP_UD };
	struct pt_regs *regs = current_pt_regs();

	if (thread->inside && current->flags & PF_EXITING) {
		enclu_abandon(thread);
	} else if (thread->inside) {
		if (thread->syscall_trapped) {
			regs->ax = thread->syscall;
			regs->ip -= SYSCALL_SIZE;
		}
		local_irq_disable();
		enclu_aex(thread, regs, thread->syscall_trapped ? &ud : NULL, thread->syscall_trapped);
		local_irq_enable();
	}
	work_done(thread);
}

static void leaf(struct callback_head *head)
{
	struct enclu_thread *thread = container_of(head, struct enclu_thread, leaf_work);

	/* If an AEX came first, the instruction will be executed anew */
	if (thread->leaf_inside == thread->inside && !(current->flags & PF_EXITING))
		leaf_function(head);
	work_done(thread);
}

/**
 * enclu_thread_get() - Find the calling thread, or make it known.
 *
 * Context: Atomic, interrupts off.
 * Return: the thread; NULL: no memory, or the thread or the module is about to go.
 */
struct enclu_thread *enclu_thread_get(void)
{
	struct enclu_thread *thread = enclu_thread_find();
	unsigned long flags;

	if (thread)
		return thread;
	if (!try_module_get(THIS_MODULE))
		return NULL;
	thread = kzalloc(sizeof(*thread), GFP_ATOMIC | __GFP_NOWARN);
	if (!thread)
		goto put_module;
	thread->task = current;
	thread->works = 1;
	init_task_work(&thread->leave_work, leave);
	init_task_work(&thread->leaf_work, leaf);
	/* Unannounced: whatever makes the kernel look for work is a reason to leave */
	if (task_work_add(current, &thread->leave_work, TWA_NONE))
		goto free;
	spin_lock_irqsave(&threads_lock, flags);
	hash_add(threads, &thread->node, (unsigned long)current);
	spin_unlock_irqrestore(&threads_lock, flags);
	return thread;

free:
	kfree(thread);
put_module:
	module_put(THIS_MODULE);
	return NULL;
}

/**
 * enclu_thread_defer() - Carry on with a leaf in process context, before the thread is back in user mode.
 * @thread: the calling one
 *
 * Context: Any.
 * Return: whether.
 */
bool enclu_thread_defer(struct enclu_thread *thread)
{
	thread->leaf_inside = thread->inside;
	if (task_work_add(current, &thread->leaf_work, TWA_RESUME))
		return false;
	thread->works++;
	return true;
}

/**
 * enclu_threads_init() - Say who carries out deferred leaves.
 * @leaf: called with &enclu_thread.leaf_work
 */
void enclu_threads_init(task_work_func_t leaf)
{
	leaf_function = leaf;
}
