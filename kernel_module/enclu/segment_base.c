// SPDX-License-Identifier: GPL-2.0
/* FS and GS base of the calling thread in user mode. */
#include <asm/msr.h>
#include <asm/processor.h>
#include <linux/irqflags.h>
#include <linux/sched.h>

#include "enclu.h"

/**
 * user_fs_base() - FS base that the thread has in user mode.
 *
 * Context: Interrupts off.
 * Return: the address.
 */
unsigned long user_fs_base(void)
{
	unsigned long base;

	lockdep_assert_irqs_disabled();
	rdmsrl(MSR_FS_BASE, base);
	return base;
}

/**
 * user_gs_base() - GS base that the thread has in user mode.
 *
 * Context: Interrupts off.
 * Return: the address.
 */
unsigned long user_gs_base(void)
{
	unsigned long base;

	lockdep_assert_irqs_disabled();
	/* In the kernel the two GS bases are swapped */
	rdmsrl(MSR_KERNEL_GS_BASE, base);
	return base;
}

/**
 * set_user_fs_gs_base() - Set the bases that the thread will have in user mode.
 * @fs: below TASK_SIZE_MAX
 * @gs: below TASK_SIZE_MAX
 *
 * Context: Interrupts off.
 */
void set_user_fs_gs_base(unsigned long fs, unsigned long gs)
{
	lockdep_assert_irqs_disabled();
	/* What is in struct thread_struct counts at a switch of threads only where the CPU lacks FSGSBASE */
	current->thread.fsbase = fs;
	current->thread.gsbase = gs;
	wrmsrl(MSR_FS_BASE, fs);
	wrmsrl(MSR_KERNEL_GS_BASE, gs);
}
