// SPDX-License-Identifier: GPL-2.0
/*
 * Where the kernel comes by: a die notifier for the #UD of ENCLU, a kprobe where every exception of user mode passes
 * before it becomes a signal (and where the vDSO's handler of ENCLU would get it), and one where a trapped system
 * call passes.
 */
#define pr_fmt(format) KBUILD_MODNAME ": " format
#include <asm/vdso.h>
#include <linux/kdebug.h>
#include <linux/kprobes.h>
#include <linux/rcupdate.h>
#include <linux/resume_user_mode.h>
#include <linux/uaccess.h>

#include "enclu.h"

enum opcode {
	OPCODE_OTHER,
	OPCODE_ENCLU,
	OPCODE_UNREADABLE,
};

static enum opcode opcode_at(unsigned long address)
{
	static const u8 enclu[ENCLU_SIZE] = { 0x0f, 0x01, 0xd7 };
	u8 bytes[ENCLU_SIZE];

	if (copy_from_user_nofault(bytes, (const void __user *)address, sizeof(bytes)))
		return OPCODE_UNREADABLE;
	return memcmp(bytes, enclu, sizeof(enclu)) ? OPCODE_OTHER : OPCODE_ENCLU;
}

/* A leaf, as far as atomic context goes */
static enum enclu_result execute(struct enclu_thread *thread, struct pt_regs *regs)
{
	switch ((u32)regs->ax) {
	case LEAF_EENTER:
		return enclu_enter(thread, regs, false);
	case LEAF_ERESUME:
		return enclu_enter(thread, regs, true);
	case LEAF_EEXIT:
		return enclu_leave(thread, regs);
	case LEAF_EREPORT:
	case LEAF_EGETKEY:
	case LEAF_EACCEPT:
	case LEAF_EMODPE:
	case LEAF_EACCEPTCOPY:
		if (thread->inside)
			return ENCLU_DEFER;
		fallthrough;
	default:
		raise_gp(&thread->fault);
		return ENCLU_FAULT;
	}
}

static int on_die(struct notifier_block *block, unsigned long event, void *data)
{
	struct die_args *args = data;
	struct enclu_thread *thread;
	struct pt_regs *regs;

	if (event != DIE_TRAP || args->trapnr != X86_TRAP_UD || !user_64bit_mode(args->regs))
		return NOTIFY_DONE;
	regs = args->regs;
	switch (opcode_at(regs->ip)) {
	case OPCODE_ENCLU:
		break;
	case OPCODE_UNREADABLE:
		/* An enclave's page may have been taken out of the page tables since: fetch the instruction again */
		thread = enclu_thread_find();
		return thread && thread->inside ? NOTIFY_STOP : NOTIFY_DONE;
	default:
		return NOTIFY_DONE;
	}

	thread = enclu_thread_get();
	if (!thread)
		return NOTIFY_DONE;
	thread->fault.vector = 0;
	switch (execute(thread, regs)) {
	case ENCLU_DONE:
		return NOTIFY_STOP;
	case ENCLU_DEFER:
		return enclu_thread_defer(thread) ? NOTIFY_STOP : NOTIFY_DONE;
	default:
		/* Goes on as an exception: see on_exception() */
		return NOTIFY_DONE;
	}
}

/* Deferred leaves */
static void on_leaf(struct callback_head *head)
{
	struct enclu_thread *thread = container_of(head, struct enclu_thread, leaf_work);
	struct pt_regs *regs = current_pt_regs();
	struct enclu_exception fault;
	bool good;

	switch ((u32)regs->ax) {
	case LEAF_EREPORT:
		good = enclu_report(thread, regs, &fault);
		break;
	case LEAF_EGETKEY:
		good = enclu_get_key(thread, regs, &fault);
		break;
	case LEAF_EACCEPT:
		good = enclu_accept(thread, regs, &fault);
		break;
	case LEAF_EMODPE:
		good = enclu_extend_permissions(thread, regs, &fault);
		break;
	case LEAF_EACCEPTCOPY:
		good = enclu_accept_copy(thread, regs, &fault);
		break;
	default:
		/* EENTER and ERESUME are tried again */
		if (!thread->inside)
			enclu_prepare_entry(regs->bx);
		return;
	}
	if (good) {
		regs->ip += ENCLU_SIZE;
		return;
	}
	local_irq_disable();
	enclu_aex(thread, regs, &fault, true);
	local_irq_enable();
}

/* Was it the EPCM that forbade an access, and not the mapping? */
static bool is_epcm_violation(struct enclu_enclave *encl, u64 address, u16 error_code)
{
	unsigned long wanted = error_code & X86_PF_WRITE ? VM_WRITE : error_code & X86_PF_INSTR ? VM_EXEC : VM_READ;
	bool mapped = true, forbidden = false;
	struct epc_entry *entry;
	unsigned long flags;

	if (!enclu_contains(encl, address, 1))
		return false;
	if (mmap_read_trylock(current->mm)) {
		mapped = enclu_mapped_at(current->mm, address, wanted) == encl;
		mmap_read_unlock(current->mm);
	}
	xa_lock_irqsave(&encl->pages, flags);
	entry = xa_load(&encl->pages, enclu_page_number(encl, address));
	if (entry)
		forbidden = !(epc_entry_access(entry) & wanted);
	xa_unlock_irqrestore(&encl->pages, flags);
	return mapped && forbidden;
}

/* fixup_vdso_exception(regs, vector, error_code, address): every exception in user mode that nobody has resolved */
static int on_exception(struct kprobe *probe, struct pt_regs *arguments)
{
	struct pt_regs *regs = (struct pt_regs *)arguments->di;
	struct enclu_thread *thread = enclu_thread_find();
	struct enclu_exception exception;
	unsigned long flags;

	if (!thread || !user_mode(regs))
		return 0;
	exception = (struct enclu_exception){
		.vector = arguments->si,
		.error_code = arguments->dx,
		.address = arguments->cx,
	};
	if (thread->fault.vector && exception.vector == X86_TRAP_UD)
		exception = thread->fault;
	thread->fault.vector = 0;
	if (thread->inside) {
		if (exception.vector == X86_TRAP_PF &&
		    is_epcm_violation(thread->enclave, exception.address, exception.error_code))
			exception.error_code |= X86_PF_SGX | X86_PF_PROT;
		local_irq_save(flags);
		enclu_aex(thread, regs, &exception, false);
		local_irq_restore(flags);
	}
	arguments->si = exception.vector;
	arguments->dx = exception.error_code;
	arguments->cx = exception.address;
	return 0;
}

/*
 * syscall_user_dispatch(regs), which trap_syscalls() brings about. What follows in the kernel must find a system call
 * that does not exist, and nobody to dispatch it to; the AEX is made on the way out.
 */
static int on_syscall(struct kprobe *probe, struct pt_regs *arguments)
{
	struct pt_regs *regs = (struct pt_regs *)arguments->di;
	struct enclu_thread *thread = enclu_thread_find();

	if (!thread || !thread->inside)
		return 0;
	thread->syscall_trapped = true;
	thread->syscall = regs->orig_ax;
	regs->orig_ax = -1;
	current->syscall_dispatch.len = ULONG_MAX;
	set_notify_resume(current);
	return 0;
}

static struct kprobe exception_probe = {
	.symbol_name = "fixup_vdso_exception",
	.pre_handler = on_exception,
};

static struct kprobe syscall_probe = {
	.symbol_name = "syscall_user_dispatch",
	.pre_handler = on_syscall,
};

static struct kprobe *probes[] = { &exception_probe, &syscall_probe };

static struct notifier_block die_notifier = {
	.notifier_call = on_die,
};

/**
 * enclu_dispatch_init() - Begin to carry out ENCLU.
 *
 * Return: 0 or -errno.
 */
int enclu_dispatch_init(void)
{
	int ret;

	enclu_threads_init(on_leaf);
	ret = register_kprobes(probes, ARRAY_SIZE(probes));
	if (ret) {
		pr_err("insecure__emulate_enclu: this kernel has not the functions to probe\n");
		return ret;
	}
	ret = register_die_notifier(&die_notifier);
	if (ret)
		unregister_kprobes(probes, ARRAY_SIZE(probes));
	return ret;
}

/**
 * enclu_dispatch_exit() - No longer carry out ENCLU.
 *
 * Context: No thread is known any more: each has held the module.
 */
void enclu_dispatch_exit(void)
{
	unregister_die_notifier(&die_notifier);
	unregister_kprobes(probes, ARRAY_SIZE(probes));
	/* A thread may have dropped its hold on the module, but not yet be out of leave() */
	synchronize_rcu_tasks();
}
