/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Emulation of the SGX driver and of ENCLU on a CPU without SGX, for tests: enclaves without any protection.
 *
 * A #UD on ENCLU comes by a die notifier, in atomic context. EENTER, ERESUME and EEXIT are carried out there; whatever
 * has to sleep is put off to a task work, which runs before the thread is back in user mode. While a thread is in an
 * enclave a second task work stays queued, unannounced: the kernel runs it before it delivers a signal and when
 * the thread ends, and it makes the asynchronous exit (AEX).
 *
 * Lock order (an inner one never takes an outer one):
 *
 *	enclu_enclave.zap_lock	one at a time takes pages out of page tables
 *	  mmap_lock
 *	    enclu_enclave.lock	pages come and go; address spaces are added; may sleep
 *	      xa_lock of enclu_enclave.pages, interrupts off: what an entry says; TCS pages
 *	      page table locks
 *
 * The die notifier takes mmap_lock by trylock only, then xa_lock. The table of threads has a lock of its own, under
 *which nothing else is taken. enclave.build_lock of the enclave below is never held together with any of these.
 */
#ifndef TEEMATE_ENCLU_H
#define TEEMATE_ENCLU_H

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/ptrace.h>
#include <linux/sched/task_stack.h>
#include <linux/syscall_user_dispatch.h>
#include <linux/task_work.h>
#include <linux/xarray.h>

#include "../enclave.h"
#include "arch.h"

/* A page in the EPC, and what the EPCM says of it. Content under xa_lock of enclu_enclave.pages. */
struct epc_entry {
	struct page *page;
	u8 type; /* SGX_PAGE_TYPE_* */
	u8 prot; /* VM_READ | VM_WRITE | VM_EXEC that EPCM grants */
	u8 prot_max; /* that a mapping may ask for */
	bool pending; /* added after EINIT and not yet accepted */
	bool modified; /* its type was changed, not yet accepted */
	bool restricted; /* its permissions were, not yet accepted */
	atomic_t pins; /* by threads inside that may write to it at any moment; grows under xa_lock */
};

struct enclu_enclave {
	struct kref ref; /* of the file, and of each thread inside */
	struct teemate_enclave *enclave; /* what was built */
	unsigned long flags; /* ENCLU_IN_IOCTL */
	struct mutex zap_lock; /* taking pages out of page tables, one task at a time */
	struct mutex lock; /* what the pages are, and who maps them */
	struct xarray pages; /* struct epc_entry; what was added gets here when it is first needed */
	struct list_head mms; /* under lock */
	unsigned int zap_pass; /* under zap_lock */
};

#define ENCLU_IN_IOCTL 0

/* The pages of an SSA frame that an AEX writes to: XSAVE area and GPRs. Each is pinned. */
struct ssa_frame {
	struct epc_entry *first;
	struct epc_entry *last;
};

/* A thread that is, or not long ago was, in an enclave. Only used by that thread itself. */
struct enclu_thread {
	struct hlist_node node;
	struct task_struct *task;
	struct callback_head leave_work; /* queued as long as the struct lives */
	struct callback_head leaf_work;
	unsigned int works; /* how many of them are queued */

	bool inside;
	bool leaf_inside; /* leaf_work was queued by an ENCLU in the enclave */
	bool syscall_trapped; /* by a system call instruction in the enclave */
	long syscall;
	struct enclu_exception fault; /* the ENCLU that is being handled raises it instead of #UD */

	/* While inside; the reference to the enclave may have to stay longer, until it can be dropped */
	struct enclu_enclave *enclave;
	u64 tcs_address;
	struct epc_entry *tcs; /* pinned */
	u64 aep;
	struct ssa_frame frame;
	unsigned long outer_fs;
	unsigned long outer_gs;
	unsigned long outer_trap_flag;
	struct syscall_user_dispatch outer_dispatch;
	bool outer_dispatch_on;
};

enum enclu_result {
	ENCLU_DONE,
	ENCLU_DEFER, /* has to sleep: carry on in leaf_work */
	ENCLU_FAULT, /* thread->fault says which */
};

static inline void epc_entry_unpin(struct epc_entry *entry)
{
	/* Pairs with the read in enclu_detach_page(): who finds it unpinned finds no write to it after that */
	atomic_fetch_dec_release(&entry->pins);
}

static inline struct sgx_tcs *tcs_of(const struct enclu_thread *thread)
{
	return page_address(thread->tcs->page);
}

static inline bool enclu_contains(const struct enclu_enclave *encl, u64 address, u64 size)
{
	const struct teemate_enclave *enclave = encl->enclave;

	return address >= enclave->base && address - enclave->base < enclave->size &&
	       size <= enclave->size - (address - enclave->base);
}

static inline unsigned long enclu_page_number(const struct enclu_enclave *encl, u64 address)
{
	return (address - encl->enclave->base) >> PAGE_SHIFT;
}

static inline void raise_gp(struct enclu_exception *exception)
{
	*exception = (struct enclu_exception){ .vector = X86_TRAP_GP };
}

/* What the CPU reports when the EPCM forbids an access */
static inline void raise_epcm_pf(struct enclu_exception *exception, u64 address, u16 access)
{
	*exception = (struct enclu_exception){
		.vector = X86_TRAP_PF,
		.error_code = X86_PF_SGX | X86_PF_USER | X86_PF_PROT | access,
		.address = address,
	};
}

/* And when there is no page */
static inline void raise_absent_pf(struct enclu_exception *exception, u64 address, u16 access)
{
	*exception = (struct enclu_exception){
		.vector = X86_TRAP_PF,
		.error_code = X86_PF_USER | access,
		.address = address,
	};
}

/* device.c */
int enclu_init(void);
void enclu_exit(void);
bool enclu_is_device_file(const struct file *file);
void enclu_enclave_put(struct enclu_enclave *encl);
bool enclu_enclave_put_if_not_last(struct enclu_enclave *encl);

/* pages.c */
struct epc_entry *enclu_load_page(struct enclu_enclave *encl, unsigned long number);
struct epc_entry *enclu_augment_page(struct enclu_enclave *encl, unsigned long number);
int enclu_detach_page(struct enclu_enclave *encl, unsigned long number);
void epc_entry_free(struct enclu_enclave *encl, struct epc_entry *entry);
bool enclu_page_is_added(const struct enclu_enclave *encl, unsigned long number);
u8 epc_entry_access(const struct epc_entry *entry);
void enclu_free_pages(struct enclu_enclave *encl);

/* mapping.c */
int enclu_mmap(struct file *file, struct vm_area_struct *vma);
struct enclu_enclave *enclu_mapped_at(struct mm_struct *mm, u64 address, unsigned long prot);
void enclu_zap(struct enclu_enclave *encl, unsigned long number);
void enclu_forget_mms(struct enclu_enclave *encl);

/* sgx2.c */
long enclu_sgx2_ioctl(struct enclu_enclave *encl, unsigned int command, void __user *arg);

/* dispatch.c */
int enclu_dispatch_init(void);
void enclu_dispatch_exit(void);

/* threads.c */
struct enclu_thread *enclu_thread_find(void);
struct enclu_thread *enclu_thread_get(void);
bool enclu_thread_defer(struct enclu_thread *thread);
void enclu_threads_init(task_work_func_t leaf);

/* enter.c */
enum enclu_result enclu_enter(struct enclu_thread *thread, struct pt_regs *regs, bool resume);
enum enclu_result enclu_leave(struct enclu_thread *thread, struct pt_regs *regs);
void enclu_prepare_entry(u64 tcs_address);

/* aex.c */
void enclu_aex(struct enclu_thread *thread, struct pt_regs *regs, const struct enclu_exception *exception, bool report);
void enclu_abandon(struct enclu_thread *thread);
void enclu_leave_context(struct enclu_thread *thread, struct pt_regs *regs);

/* ssa.c */
enum enclu_result ssa_pin(struct enclu_enclave *encl, const struct sgx_tcs *tcs, u32 number, struct ssa_frame *frame,
			  struct enclu_exception *fault);
void ssa_unpin(struct ssa_frame *frame);
u64 ssa_frame_address(const struct enclu_enclave *encl, const struct sgx_tcs *tcs, u32 number);

static inline struct ssa_gprs *ssa_gprs(const struct ssa_frame *frame)
{
	return (struct ssa_gprs *)(page_address(frame->last->page) + PAGE_SIZE) - 1;
}

/* xstate.c */
int xstate_probe(void);
u64 xstate_supported(void);
void xstate_save(void *area, u64 xfrm);
int xstate_restore(const void *area, u64 xfrm);
void xstate_clear(u64 xfrm);

/* segment_base.c */
unsigned long user_fs_base(void);
unsigned long user_gs_base(void);
void set_user_fs_gs_base(unsigned long fs, unsigned long gs);

/* accept.c: leaves that change pages. In process context; true, or false with the exception that they raise. */
bool enclu_accept(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_exception *fault);
bool enclu_accept_copy(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_exception *fault);
bool enclu_extend_permissions(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_exception *fault);

/* report.c, key.c: as above */
bool enclu_report(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_exception *fault);
bool enclu_get_key(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_exception *fault);

#endif
