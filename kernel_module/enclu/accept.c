// SPDX-License-Identifier: GPL-2.0
/* EACCEPT, EACCEPTCOPY and EMODPE (SDM vol. 3D): what an enclave has to say about its own pages. */
#include <linux/highmem.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "enclu.h"

#define RESULT_FLAGS (X86_EFLAGS_ZF | X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_OF | X86_EFLAGS_SF)

static void set_result(struct pt_regs *regs, u64 result)
{
	regs->ax = result;
	regs->flags &= ~RESULT_FLAGS;
	if (result)
		regs->flags |= X86_EFLAGS_ZF;
}

static bool gp(struct enclu_exception *fault)
{
	raise_gp(fault);
	return false;
}

static bool is_own_page(const struct enclu_enclave *encl, u64 address)
{
	return !(address & ~PAGE_MASK) && enclu_contains(encl, address, PAGE_SIZE);
}

/* The SECINFO at RBX, with what cannot be right in any leaf refused */
static bool read_secinfo(const struct enclu_enclave *encl, u64 address, struct sgx_secinfo *secinfo,
			 struct enclu_exception *fault)
{
	if (address & (sizeof(*secinfo) - 1) || !enclu_contains(encl, address, sizeof(*secinfo)))
		return gp(fault);
	if (copy_from_user(secinfo, (const void __user *)address, sizeof(*secinfo))) {
		raise_absent_pf(fault, address, 0);
		return false;
	}
	if (secinfo->flags & ~(SGX_SECINFO_PERMISSION_MASK | SGX_SECINFO_PAGE_TYPE_MASK | SECINFO_STATE_MASK) ||
	    memchr_inv(secinfo->reserved, 0, sizeof(secinfo->reserved)))
		return gp(fault);
	return true;
}

static bool is_mapped(struct enclu_enclave *encl, u64 address)
{
	bool mapped;

	mmap_read_lock(current->mm);
	mapped = enclu_mapped_at(current->mm, address, 0) == encl;
	mmap_read_unlock(current->mm);
	return mapped;
}

/* The page at RCX. What is not there is added, as the page fault of the instruction would have done. */
static struct epc_entry *target(struct enclu_enclave *encl, u64 address, struct enclu_exception *fault)
{
	unsigned long number = enclu_page_number(encl, address);
	struct epc_entry *entry = enclu_load_page(encl, number);

	if (!entry)
		entry = enclu_augment_page(encl, number);
	if (!IS_ERR(entry))
		return entry;
	raise_absent_pf(fault, address, X86_PF_WRITE);
	return NULL;
}

static u64 entry_flags(const struct epc_entry *entry)
{
	return entry->prot | (u64)entry->type << 8 | (entry->pending ? SECINFO_PENDING : 0) |
	       (entry->modified ? SECINFO_MODIFIED : 0) | (entry->restricted ? SECINFO_RESTRICTED : 0);
}

/* Which combinations EACCEPT knows */
static bool can_be_accepted(u64 flags)
{
	switch (flags & SGX_SECINFO_PAGE_TYPE_MASK) {
	case SGX_SECINFO_REG:
		return flags & (SECINFO_PENDING | SECINFO_RESTRICTED) && !(flags & SECINFO_MODIFIED);
	case SGX_SECINFO_TCS:
	case SGX_SECINFO_TRIM:
		return (flags & SECINFO_STATE_MASK) == SECINFO_MODIFIED;
	default:
		return false;
	}
}

static bool is_fresh_tcs(const struct sgx_tcs *tcs)
{
	return !tcs->state && !tcs->flags && !tcs->ssa_index &&
	       !((tcs->ssa_offset | tcs->fs_offset | tcs->gs_offset) & ~PAGE_MASK) &&
	       (tcs->fs_limit & 0xfff) == 0xfff && (tcs->gs_limit & 0xfff) == 0xfff &&
	       !memchr_inv(tcs->reserved, 0, sizeof(tcs->reserved));
}

static bool accept_locked(struct enclu_enclave *encl, struct pt_regs *regs, u64 flags, struct enclu_exception *fault)
{
	struct epc_entry *entry = target(encl, regs->cx, fault);

	if (!entry)
		return false;
	if (entry_flags(entry) != flags) {
		set_result(regs, SGX_PAGE_ATTRIBUTES_MISMATCH);
		return true;
	}
	if (entry->type == SGX_PAGE_TYPE_TCS && !is_fresh_tcs(page_address(entry->page)))
		return gp(fault);
	xa_lock_irq(&encl->pages);
	entry->pending = false;
	entry->modified = false;
	entry->restricted = false;
	xa_unlock_irq(&encl->pages);
	set_result(regs, SGX_SUCCESS);
	return true;
}

/**
 * enclu_accept() - EACCEPT.
 * @thread: the calling one, inside
 * @regs: its registers in user mode
 * @fault: out: what the instruction raises
 *
 * Context: Process context.
 * Return: whether it raises nothing.
 */
bool enclu_accept(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_exception *fault)
{
	struct enclu_enclave *encl = thread->enclave;
	struct sgx_secinfo secinfo;
	bool good;

	if (!read_secinfo(encl, regs->bx, &secinfo, fault))
		return false;
	if (!is_own_page(encl, regs->cx) || !can_be_accepted(secinfo.flags))
		return gp(fault);
	if (!is_mapped(encl, regs->cx)) {
		raise_absent_pf(fault, regs->cx, X86_PF_WRITE);
		return false;
	}
	mutex_lock(&encl->lock);
	good = accept_locked(encl, regs, secinfo.flags, fault);
	mutex_unlock(&encl->lock);
	return good;
}

static bool accept_copy_locked(struct enclu_enclave *encl, struct pt_regs *regs, u64 permissions, const void *content,
			       struct enclu_exception *fault)
{
	struct epc_entry *entry = target(encl, regs->cx, fault);

	if (!entry)
		return false;
	if (entry->type != SGX_PAGE_TYPE_REG || !entry->pending || entry->modified) {
		set_result(regs, SGX_PAGE_ATTRIBUTES_MISMATCH);
		return true;
	}
	/* Nobody has it mapped as long as it is pending */
	memcpy_to_page(entry->page, 0, content, PAGE_SIZE);
	xa_lock_irq(&encl->pages);
	entry->prot |= permissions;
	entry->pending = false;
	xa_unlock_irq(&encl->pages);
	set_result(regs, SGX_SUCCESS);
	return true;
}

/**
 * enclu_accept_copy() - EACCEPTCOPY.
 * @thread: the calling one, inside
 * @regs: its registers in user mode
 * @fault: out: what the instruction raises
 *
 * Context: Process context.
 * Return: whether it raises nothing.
 */
bool enclu_accept_copy(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_exception *fault)
{
	struct enclu_enclave *encl = thread->enclave;
	struct sgx_secinfo secinfo;
	bool good = false;
	void *content;

	if (!read_secinfo(encl, regs->bx, &secinfo, fault))
		return false;
	if (!is_own_page(encl, regs->cx) || !is_own_page(encl, regs->dx) || secinfo.flags & SECINFO_STATE_MASK ||
	    (secinfo.flags & SGX_SECINFO_PAGE_TYPE_MASK) != SGX_SECINFO_REG ||
	    (secinfo.flags & SGX_SECINFO_W && !(secinfo.flags & SGX_SECINFO_R)))
		return gp(fault);

	content = (void *)__get_free_page(GFP_KERNEL);
	if (!content || copy_from_user(content, (const void __user *)regs->dx, PAGE_SIZE)) {
		raise_absent_pf(fault, regs->dx, 0);
	} else if (!is_mapped(encl, regs->cx)) {
		raise_absent_pf(fault, regs->cx, X86_PF_WRITE);
	} else {
		mutex_lock(&encl->lock);
		good = accept_copy_locked(encl, regs, secinfo.flags & SGX_SECINFO_PERMISSION_MASK, content, fault);
		mutex_unlock(&encl->lock);
	}
	if (content) {
		memzero_explicit(content, PAGE_SIZE);
		free_page((unsigned long)content);
	}
	return good;
}

/**
 * enclu_extend_permissions() - EMODPE.
 * @thread: the calling one, inside
 * @regs: its registers in user mode
 * @fault: out: what the instruction raises
 *
 * Context: Process context.
 * Return: whether it raises nothing.
 */
bool enclu_extend_permissions(struct enclu_thread *thread, struct pt_regs *regs, struct enclu_exception *fault)
{
	struct enclu_enclave *encl = thread->enclave;
	struct sgx_secinfo secinfo;
	struct epc_entry *entry;
	unsigned long number;
	bool good = false;
	u8 prot;

	if (!read_secinfo(encl, regs->bx, &secinfo, fault))
		return false;
	if (!is_own_page(encl, regs->cx))
		return gp(fault);
	number = enclu_page_number(encl, regs->cx);

	mutex_lock(&encl->lock);
	entry = enclu_load_page(encl, number);
	if (IS_ERR_OR_NULL(entry)) {
		raise_absent_pf(fault, regs->cx, X86_PF_WRITE);
	} else if (entry->type != SGX_PAGE_TYPE_REG || entry->pending || entry->modified) {
		raise_epcm_pf(fault, regs->cx, X86_PF_WRITE);
	} else {
		prot = entry->prot | (secinfo.flags & SGX_SECINFO_PERMISSION_MASK);
		good = !(prot & VM_WRITE) || prot & VM_READ;
		if (good) {
			xa_lock_irq(&encl->pages);
			entry->prot = prot;
			xa_unlock_irq(&encl->pages);
		} else {
			raise_gp(fault);
		}
	}
	mutex_unlock(&encl->lock);
	/* So that the next touch finds the new permissions */
	if (good)
		enclu_zap(encl, number);
	return good;
}
