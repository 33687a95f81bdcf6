// SPDX-License-Identifier: GPL-2.0
/*
 * Mapping an enclave of /dev/sgx_enclave, as the kernel's SGX driver does it: pages are found by address, the
 * offset in the file counts for nothing, and who maps is remembered so that page table entries can be taken back.
 * What the EPCM forbids a CPU with SGX, page table entries forbid here.
 */
#include <linux/mman.h>
#include <linux/personality.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "../compat.h"
#include "enclu.h"

#define VM_PROT (VM_READ | VM_WRITE | VM_EXEC)

/* An address space that has mapped the enclave */
struct enclu_mm {
	struct list_head link;
	struct mm_struct *mm; /* mmgrab'ed */
	unsigned int pass; /* of enclu_zap() that has seen it */
};

static u8 wanted_access(const struct vm_fault *vmf)
{
	if (vmf->flags & FAULT_FLAG_WRITE)
		return VM_WRITE;
	return vmf->flags & FAULT_FLAG_INSTRUCTION ? VM_EXEC : VM_READ;
}

static vm_fault_t fault_locked(struct enclu_enclave *encl, struct vm_fault *vmf)
{
	unsigned long number = enclu_page_number(encl, vmf->address);
	struct vm_area_struct *vma = vmf->vma;
	struct epc_entry *entry;
	unsigned long prot;

	entry = enclu_load_page(encl, number);
	/* As the driver with SGX 2: the page is there from now on, but is no use before EACCEPT */
	if (!entry)
		entry = enclu_augment_page(encl, number);
	if (IS_ERR(entry))
		return VM_FAULT_SIGBUS;
	prot = epc_entry_access(entry);
	if (!(prot & wanted_access(vmf)))
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn_prot(vma, vmf->address, page_to_pfn(entry->page),
				   vm_get_page_prot(VM_SHARED | (vma->vm_flags & prot)));
}

static vm_fault_t enclu_fault(struct vm_fault *vmf)
{
	struct enclu_enclave *encl = vmf->vma->vm_private_data;
	vm_fault_t ret;

	if (!encl || !enclave_is_initialized(encl->enclave) || !enclu_contains(encl, vmf->address, 1))
		return VM_FAULT_SIGBUS;
	mutex_lock(&encl->lock);
	ret = fault_locked(encl, vmf);
	mutex_unlock(&encl->lock);
	return ret;
}

/* A write to a page that is mapped without write permission: was it permitted since? */
static vm_fault_t enclu_pfn_mkwrite(struct vm_fault *vmf)
{
	struct enclu_enclave *encl = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct epc_entry *entry;

	if (!encl || !enclu_contains(encl, vmf->address, 1))
		return VM_FAULT_SIGBUS;
	mutex_lock(&encl->lock);
	entry = xa_load(&encl->pages, enclu_page_number(encl, vmf->address));
	if (entry && epc_entry_access(entry) & VM_WRITE)
		ret = 0;
	mutex_unlock(&encl->lock);
	return ret;
}

/* SECINFO's permissions of every page in the range; absent pages permit everything */
static int may_map(struct enclu_enclave *encl, unsigned long start, unsigned long end, unsigned long flags)
{
	const struct enclave_segment *segment;
	unsigned long number, first, last;
	struct epc_entry *entry;
	int ret = 0;

	/* What is not yet initialized can be mapped, but has no pages */
	if (!enclave_is_initialized(encl->enclave))
		return 0;
	if (!enclu_contains(encl, start, end - start))
		return -EACCES;
	first = enclu_page_number(encl, start);
	last = enclu_page_number(encl, end - 1);

	mutex_lock(&encl->lock);
	for (number = first; number <= last; number = segment->last + 1) {
		segment = enclave_next_segment(encl->enclave, number);
		if (!segment || segment->first > last)
			break;
		/* A page of the segment that was removed since does not count; one that has changed says so itself */
		if (flags & VM_PROT & ~segment->prot) {
			unsigned long page = max(segment->first, number);

			for (; !ret && page <= min(segment->last, last); page++)
				if (enclu_page_is_added(encl, page))
					ret = -EACCES;
		}
	}
	xa_for_each_range(&encl->pages, number, entry, first, last)
		if (flags & VM_PROT & ~entry->prot_max)
			ret = -EACCES;
	mutex_unlock(&encl->lock);
	return ret;
}

static int enclu_mprotect(struct vm_area_struct *vma, unsigned long start, unsigned long end, unsigned long flags)
{
	struct enclu_enclave *encl = vma->vm_private_data;

	return encl ? may_map(encl, start, end, flags) : -EACCES;
}

static int add_mm(struct enclu_enclave *encl, struct mm_struct *mm)
{
	struct enclu_mm *entry = kzalloc(sizeof(*entry), GFP_KERNEL_ACCOUNT);
	struct enclu_mm *seen, *next;

	if (!entry)
		return -ENOMEM;
	mmgrab(mm);
	entry->mm = mm;

	mutex_lock(&encl->lock);
	list_for_each_entry_safe(seen, next, &encl->mms, link) {
		if (seen->mm == mm) {
			mutex_unlock(&encl->lock);
			mmdrop(mm);
			kfree(entry);
			return 0;
		}
		if (!atomic_read(&seen->mm->mm_users)) {
			list_del(&seen->link);
			mmdrop(seen->mm);
			kfree(seen);
		}
	}
	list_add(&entry->link, &encl->mms);
	mutex_unlock(&encl->lock);
	return 0;
}

/* fork() has copied the mapping, or it was split */
static void enclu_open(struct vm_area_struct *vma)
{
	struct enclu_enclave *encl = vma->vm_private_data;

	if (encl && add_mm(encl, vma->vm_mm))
		vma->vm_private_data = NULL;
}

static const struct vm_operations_struct enclu_vm_operations = {
	.open = enclu_open,
	.fault = enclu_fault,
	.pfn_mkwrite = enclu_pfn_mkwrite,
	.mprotect = enclu_mprotect,
};

/**
 * enclu_mmap() - mmap(2) of /dev/sgx_enclave, or of a lease that is chained to it.
 * @file: of the enclave
 * @vma: as wanted
 *
 * Return: 0 or -errno.
 */
int enclu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct enclu_enclave *encl = file->private_data;
	int ret;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (current->personality & READ_IMPLIES_EXEC)
		return -EACCES;
	ret = may_map(encl, vma->vm_start, vma->vm_end, vma->vm_flags);
	if (ret)
		return ret;
	ret = add_mm(encl, vma->vm_mm);
	if (ret)
		return ret;
	vma->vm_ops = &enclu_vm_operations;
	vma->vm_private_data = encl;
	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP | VM_IO);
	return 0;
}

/**
 * enclu_mapped_at() - Find the enclave that is mapped at an address.
 * @mm: the caller's
 * @address: any
 * @prot: permissions that the mapping must have
 *
 * Context: Holds mmap_lock, which keeps the enclave.
 * Return: the enclave or NULL.
 */
struct enclu_enclave *enclu_mapped_at(struct mm_struct *mm, u64 address, unsigned long prot)
{
	struct vm_area_struct *vma = find_vma(mm, address);

	if (!vma || vma->vm_start > address || vma->vm_ops != &enclu_vm_operations || (vma->vm_flags & prot) != prot)
		return NULL;
	return vma->vm_private_data;
}

static void zap_in(struct enclu_enclave *encl, struct mm_struct *mm, unsigned long address)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, address);
	/* Also where a lease that is being revoked has just changed the vm_ops, and not yet zapped */
	if (vma && vma->vm_start <= address && vma->vm_private_data == encl)
		zap_vma_ptes(vma, address, PAGE_SIZE);
	mmap_read_unlock(mm);
}

/* An address space of the list that this pass has not seen, with a reference; NULL: no more */
static struct mm_struct *next_mm(struct enclu_enclave *encl)
{
	struct mm_struct *mm = NULL;
	struct enclu_mm *entry;

	mutex_lock(&encl->lock);
	list_for_each_entry(entry, &encl->mms, link) {
		if (entry->pass == encl->zap_pass)
			continue;
		entry->pass = encl->zap_pass;
		if (mmget_not_zero(entry->mm)) {
			mm = entry->mm;
			break;
		}
	}
	mutex_unlock(&encl->lock);
	return mm;
}

/**
 * enclu_zap() - Take a page out of all page tables, so that the next touch asks the EPCM.
 * @encl: any
 * @number: of the page
 *
 * Context: Process context, holds no lock.
 */
void enclu_zap(struct enclu_enclave *encl, unsigned long number)
{
	u64 address = encl->enclave->base + ((u64)number << PAGE_SHIFT);
	struct mm_struct *mm;

	mutex_lock(&encl->zap_lock);
	encl->zap_pass++;
	while ((mm = next_mm(encl))) {
		zap_in(encl, mm, address);
		/* Not the last one by ourselves: that would free mappings, and with them perhaps this enclave */
		mmput_async(mm);
	}
	mutex_unlock(&encl->zap_lock);
}

/**
 * enclu_forget_mms() - Forget who mapped an enclave.
 * @encl: that nobody maps any more
 */
void enclu_forget_mms(struct enclu_enclave *encl)
{
	struct enclu_mm *entry, *next;

	list_for_each_entry_safe(entry, next, &encl->mms, link) {
		mmdrop(entry->mm);
		kfree(entry);
	}
}
