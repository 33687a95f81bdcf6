// SPDX-License-Identifier: GPL-2.0
/* EENTER, ERESUME and EEXIT (SDM vol. 3D): in the die notifier, interrupts off. */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/thread_info.h>

#include "enclu.h"

/* Flags that a user may set freely, as in FIX_EFLAGS of the kernel's sigreturn, but for the trap flag */
#define USER_FLAGS                                                                                                     \
	(X86_EFLAGS_AC | X86_EFLAGS_OF | X86_EFLAGS_DF | X86_EFLAGS_SF | X86_EFLAGS_ZF | X86_EFLAGS_AF |               \
	 X86_EFLAGS_PF | X86_EFLAGS_CF | X86_EFLAGS_RF)

static enum enclu_result gp(struct enclu_thread *thread)
{
	raise_gp(&thread->fault);
	return ENCLU_FAULT;
}

static bool is_user_address(u64 address)
{
	return address < TASK_SIZE_MAX;
}

/* System calls do not exist in an enclave: have all of this thread's dispatched, that is, trapped */
static void trap_syscalls(struct enclu_thread *thread)
{
	thread->outer_dispatch = current->syscall_dispatch;
	thread->outer_dispatch_on = test_syscall_work(SYSCALL_USER_DISPATCH);
	current->syscall_dispatch = (struct syscall_user_dispatch){};
	set_syscall_work(SYSCALL_USER_DISPATCH);
}

static void enter_context(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_enclave *encl,
			  struct epc_entry *tcs)
{
	struct ssa_gprs *gprs = ssa_gprs(&thread->frame);

	kref_get(&encl->ref);
	thread->enclave = encl;
	thread->tcs_address = regs->bx;
	atomic_inc(&tcs->pins);
	thread->tcs = tcs;
	thread->aep = regs->cx;
	gprs->ursp = regs->sp;
	gprs->urbp = regs->bp;
	thread->outer_fs = user_fs_base();
	thread->outer_gs = user_gs_base();
	/* As for an enclave that has not opted in to debugging */
	thread->outer_trap_flag = regs->flags & X86_EFLAGS_TF;
	regs->flags &= ~X86_EFLAGS_TF;
	trap_syscalls(thread);
	thread->syscall_trapped = false;
	thread->inside = true;
	WRITE_ONCE(tcs_of(thread)->state, TCS_BUSY);
}

static enum enclu_result start(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_enclave *encl,
			       struct epc_entry *tcs_entry, u32 cssa)
{
	const struct sgx_tcs *tcs = page_address(tcs_entry->page);
	u64 base = encl->enclave->base;
	u64 entry = base + READ_ONCE(tcs->entry_offset);
	u64 fs = base + READ_ONCE(tcs->fs_offset);
	u64 gs = base + READ_ONCE(tcs->gs_offset);

	if (!is_user_address(entry) || !is_user_address(fs) || !is_user_address(gs))
		return gp(thread);
	enter_context(thread, regs, encl, tcs_entry);
	set_user_fs_gs_base(fs, gs);
	*tcs_report(tcs_of(thread)) = (struct enclu_exception){};
	regs->ax = cssa;
	regs->cx = regs->ip + ENCLU_SIZE;
	regs->ip = entry;
	return ENCLU_DONE;
}

static void load_gprs(struct pt_regs *regs, const struct ssa_gprs *gprs)
{
	regs->ax = gprs->rax;
	regs->cx = gprs->rcx;
	regs->dx = gprs->rdx;
	regs->bx = gprs->rbx;
	regs->sp = gprs->rsp;
	regs->bp = gprs->rbp;
	regs->si = gprs->rsi;
	regs->di = gprs->rdi;
	regs->r8 = gprs->r8;
	regs->r9 = gprs->r9;
	regs->r10 = gprs->r10;
	regs->r11 = gprs->r11;
	regs->r12 = gprs->r12;
	regs->r13 = gprs->r13;
	regs->r14 = gprs->r14;
	regs->r15 = gprs->r15;
	regs->ip = gprs->rip;
	regs->flags = (regs->flags & ~USER_FLAGS) | (gprs->rflags & USER_FLAGS);
}

static enum enclu_result resume_frame(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_enclave *encl,
				      struct epc_entry *tcs, u32 number)
{
	struct ssa_gprs gprs;

	/* Other threads may be writing to the frame: what is checked must be what is used */
	memcpy(&gprs, ssa_gprs(&thread->frame), sizeof(gprs));
	barrier();
	if (!is_user_address(gprs.rip) || !is_user_address(gprs.fsbase) || !is_user_address(gprs.gsbase) ||
	    xstate_restore(page_address(thread->frame.first->page), encl->enclave->xfrm))
		return gp(thread);
	enter_context(thread, regs, encl, tcs);
	set_user_fs_gs_base(gprs.fsbase, gprs.gsbase);
	WRITE_ONCE(tcs_of(thread)->ssa_index, number);
	load_gprs(regs, &gprs);
	return ENCLU_DONE;
}

static enum enclu_result enter_locked(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_enclave *encl,
				      bool resume)
{
	unsigned long number = enclu_page_number(encl, regs->bx);
	struct epc_entry *entry = xa_load(&encl->pages, number);
	enum enclu_result ret;
	struct sgx_tcs *tcs;
	u32 cssa, frame;

	if (!entry) {
		if (enclu_page_is_added(encl, number))
			return ENCLU_DEFER;
		raise_absent_pf(&thread->fault, regs->bx, X86_PF_WRITE);
		return ENCLU_FAULT;
	}
	if (entry->type != SGX_PAGE_TYPE_TCS || entry->pending || entry->modified) {
		raise_epcm_pf(&thread->fault, regs->bx, X86_PF_WRITE);
		return ENCLU_FAULT;
	}
	tcs = page_address(entry->page);
	cssa = READ_ONCE(tcs->ssa_index);
	if (READ_ONCE(tcs->state) != TCS_IDLE || (resume ? !cssa : cssa >= READ_ONCE(tcs->nr_ssa_frames)) ||
	    encl->enclave->xfrm & ~xstate_supported())
		return gp(thread);
	if (resume && tcs_report(tcs)->vector) {
		thread->fault = *tcs_report(tcs);
		*tcs_report(tcs) = (struct enclu_exception){};
		return ENCLU_FAULT;
	}

	frame = resume ? cssa - 1 : cssa;
	ret = ssa_pin(encl, tcs, frame, &thread->frame, &thread->fault);
	if (ret != ENCLU_DONE)
		return ret;
	ret = resume ? resume_frame(thread, regs, encl, entry, frame)
		     : start(thread, regs, encl, entry, cssa);
	if (ret != ENCLU_DONE)
		ssa_unpin(&thread->frame);
	return ret;
}

/**
 * enclu_enter() - EENTER or ERESUME.
 * @thread: the calling one
 * @regs: its registers in user mode
 * @resume: ERESUME
 *
 * Context: Atomic, interrupts off.
 * Return: what to do. Registers have changed if and only if ENCLU_DONE.
 */
enum enclu_result enclu_enter(struct enclu_thread *thread, struct pt_regs *regs, bool resume)
{
	struct enclu_enclave *encl;
	enum enclu_result ret;
	unsigned long flags;

	if (thread->inside || regs->bx & ~PAGE_MASK || !is_user_address(regs->cx))
		return gp(thread);
	/* The last reference to the enclave of before cannot be dropped here */
	if (thread->enclave || !mmap_read_trylock(current->mm))
		return ENCLU_DEFER;

	encl = enclu_mapped_at(current->mm, regs->bx, VM_READ | VM_WRITE);
	if (!encl || !enclave_is_initialized(encl->enclave) || !enclu_contains(encl, regs->bx, PAGE_SIZE)) {
		raise_absent_pf(&thread->fault, regs->bx, X86_PF_WRITE);
		ret = ENCLU_FAULT;
	} else {
		xa_lock_irqsave(&encl->pages, flags);
		ret = enter_locked(thread, regs, encl, resume);
		xa_unlock_irqrestore(&encl->pages, flags);
	}
	mmap_read_unlock(current->mm);
	return ret;
}

/**
 * enclu_leave() - EEXIT.
 * @thread: the calling one
 * @regs: its registers in user mode
 *
 * Context: Atomic, interrupts off.
 * Return: what to do.
 */
enum enclu_result enclu_leave(struct enclu_thread *thread, struct pt_regs *regs)
{
	if (!thread->inside || !is_user_address(regs->bx))
		return gp(thread);
	regs->cx = thread->aep;
	regs->ip = regs->bx;
	enclu_leave_context(thread, regs);
	return ENCLU_DONE;
}

static int load_frame(struct enclu_enclave *encl, u64 address)
{
	u64 size = (u64)encl->enclave->identity.ssa_frame_pages * PAGE_SIZE;
	struct epc_entry *entry;

	if (!enclu_contains(encl, address, size))
		return 0;
	entry = enclu_load_page(encl, enclu_page_number(encl, address));
	if (!IS_ERR(entry))
		entry = enclu_load_page(encl, enclu_page_number(encl, address + size - 1));
	return PTR_ERR_OR_ZERO(entry);
}

static int load_entry_pages(struct enclu_enclave *encl, u64 tcs_address)
{
	struct epc_entry *entry = enclu_load_page(encl, enclu_page_number(encl, tcs_address));
	const struct sgx_tcs *tcs;
	u32 cssa;
	int ret;

	if (IS_ERR_OR_NULL(entry) || entry->type != SGX_PAGE_TYPE_TCS)
		return PTR_ERR_OR_ZERO(entry);
	tcs = page_address(entry->page);
	cssa = READ_ONCE(tcs->ssa_index);
	ret = load_frame(encl, ssa_frame_address(encl, tcs, cssa));
	if (!ret && cssa)
		ret = load_frame(encl, ssa_frame_address(encl, tcs, cssa - 1));
	return ret;
}

/**
 * enclu_prepare_entry() - Bring what EENTER and ERESUME need to where they find it. The thread then tries again.
 * @tcs_address: of the TCS; any value
 *
 * Context: Process context, holds no lock.
 */
void enclu_prepare_entry(u64 tcs_address)
{
	struct enclu_enclave *encl;
	int ret = 0;

	mmap_read_lock(current->mm);
	encl = enclu_mapped_at(current->mm, tcs_address, VM_READ | VM_WRITE);
	if (encl)
		kref_get(&encl->ref);
	mmap_read_unlock(current->mm);
	if (!encl)
		return;

	if (enclave_is_initialized(encl->enclave) && enclu_contains(encl, tcs_address, PAGE_SIZE)) {
		mutex_lock(&encl->lock);
		ret = load_entry_pages(encl, tcs_address);
		mutex_unlock(&encl->lock);
	}
	enclu_enclave_put(encl);
	/* As when memory for a page runs out: without it the thread would try for ever */
	if (ret)
		force_sig(SIGBUS);
}
