// SPDX-License-Identifier: GPL-2.0
/* Asynchronous exit: the interrupted state goes into the SSA frame, a synthetic one takes its place (SDM vol. 3D). */
#include <linux/mm.h>
#include <linux/resume_user_mode.h>
#include <linux/thread_info.h>

#include "enclu.h"

static u32 exitinfo(const struct enclu_exception *exception, u32 miscselect)
{
	u32 type = exception->vector == X86_TRAP_BP ? EXITINFO_TYPE_SOFTWARE : EXITINFO_TYPE_HARDWARE;

	switch (exception->vector) {
	case X86_TRAP_PF:
	case X86_TRAP_GP:
		if (!(miscselect & SGX_MISC_EXINFO))
			return 0;
		fallthrough;
	case X86_TRAP_DE:
	case X86_TRAP_DB:
	case X86_TRAP_BP:
	case X86_TRAP_BR:
	case X86_TRAP_UD:
	case X86_TRAP_MF:
	case X86_TRAP_AC:
	case X86_TRAP_XF:
		return EXITINFO_VALID | type | exception->vector;
	default:
		return 0;
	}
}

static void save_gprs(struct ssa_gprs *gprs, const struct pt_regs *regs)
{
	gprs->rax = regs->ax;
	gprs->rcx = regs->cx;
	gprs->rdx = regs->dx;
	gprs->rbx = regs->bx;
	gprs->rsp = regs->sp;
	gprs->rbp = regs->bp;
	gprs->rsi = regs->si;
	gprs->rdi = regs->di;
	gprs->r8 = regs->r8;
	gprs->r9 = regs->r9;
	gprs->r10 = regs->r10;
	gprs->r11 = regs->r11;
	gprs->r12 = regs->r12;
	gprs->r13 = regs->r13;
	gprs->r14 = regs->r14;
	gprs->r15 = regs->r15;
	gprs->rflags = regs->flags;
	gprs->rip = regs->ip;
	gprs->fsbase = user_fs_base();
	gprs->gsbase = user_gs_base();
}

static void save_exception(struct ssa_gprs *gprs, const struct enclu_exception *exception, u32 miscselect)
{
	struct ssa_exinfo *exinfo = (struct ssa_exinfo *)gprs - 1;

	gprs->exitinfo = exception ? exitinfo(exception, miscselect) : 0;
	if (!(gprs->exitinfo & EXITINFO_VALID) ||
	    (exception->vector != X86_TRAP_PF && exception->vector != X86_TRAP_GP))
		return;
	*exinfo = (struct ssa_exinfo){ .maddr = exception->address, .errcd = exception->error_code };
}

static void load_synthetic_state(const struct enclu_thread *thread, struct pt_regs *regs)
{
	const struct ssa_gprs *gprs = ssa_gprs(&thread->frame);

	regs->ax = LEAF_ERESUME;
	regs->bx = thread->tcs_address;
	regs->cx = thread->aep;
	regs->ip = thread->aep;
	regs->sp = READ_ONCE(gprs->ursp);
	regs->bp = READ_ONCE(gprs->urbp);
	regs->dx = 0;
	regs->si = 0;
	regs->di = 0;
	regs->r8 = 0;
	regs->r9 = 0;
	regs->r10 = 0;
	regs->r11 = 0;
	regs->r12 = 0;
	regs->r13 = 0;
	regs->r14 = 0;
	regs->r15 = 0;
	regs->flags = (regs->flags & (X86_EFLAGS_IF | X86_EFLAGS_IOPL)) | X86_EFLAGS_FIXED;
}

/* From here on the thread is outside. The TCS, which somebody may now enter, comes last. */
static void release(struct enclu_thread *thread)
{
	struct sgx_tcs *tcs = tcs_of(thread);

	ssa_unpin(&thread->frame);
	current->syscall_dispatch = thread->outer_dispatch;
	if (!thread->outer_dispatch_on)
		clear_syscall_work(SYSCALL_USER_DISPATCH);
	thread->inside = false;
	/* Pairs with the read in EENTER, under xa_lock of the pages: who finds it idle finds the frame's number */
	smp_store_release(&tcs->state, TCS_IDLE);
	epc_entry_unpin(thread->tcs);
	thread->tcs = NULL;

	if (enclu_enclave_put_if_not_last(thread->enclave))
		thread->enclave = NULL;
	else
		/* The last reference goes in process context: have leave_work run */
		set_notify_resume(current);
}

/**
 * enclu_leave_context() - Give a thread back what EENTER took over from it.
 * @thread: the calling one, inside
 * @regs: its registers in user mode
 *
 * Context: Interrupts off.
 */
void enclu_leave_context(struct enclu_thread *thread, struct pt_regs *regs)
{
	set_user_fs_gs_base(thread->outer_fs, thread->outer_gs);
	regs->flags |= thread->outer_trap_flag;
	release(thread);
}

/**
 * enclu_aex() - Make an asynchronous exit.
 * @thread: the calling one, inside
 * @regs: its registers in user mode
 * @exception: that is the cause, or NULL
 * @report: have the next ERESUME report the exception, which nobody else will do
 *
 * Context: Interrupts off.
 */
void enclu_aex(struct enclu_thread *thread, struct pt_regs *regs, const struct enclu_exception *exception, bool report)
{
	const struct teemate_enclave *enclave = thread->enclave->enclave;
	struct ssa_gprs *gprs = ssa_gprs(&thread->frame);
	struct sgx_tcs *tcs = tcs_of(thread);

	lockdep_assert_irqs_disabled();
	xstate_save(page_address(thread->frame.first->page), enclave->xfrm);
	save_gprs(gprs, regs);
	save_exception(gprs, exception, enclave->miscselect);
	xstate_clear(enclave->xfrm);
	load_synthetic_state(thread, regs);
	/* No system call is restarted by what is done about a signal next */
	regs->orig_ax = -1;
	if (report)
		*tcs_report(tcs) = *exception;
	WRITE_ONCE(tcs->ssa_index, READ_ONCE(tcs->ssa_index) + 1);
	enclu_leave_context(thread, regs);
}

/**
 * enclu_abandon() - End a thread's stay in an enclave together with the thread.
 * @thread: the calling one, inside, and exiting without a signal: the kernel has killed it
 *
 * Its registers are lost; the TCS is not.
 *
 * Context: Process context.
 */
void enclu_abandon(struct enclu_thread *thread)
{
	release(thread);
}
