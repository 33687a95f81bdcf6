// SPDX-License-Identifier: GPL-2.0
/*
 * Mapping a lease. An enclave page has one linear address: enclave base + its offset. A lease maps there
 * or not at all, and what it maps cannot be moved, inherited, widened, dumped or read by another process.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/personality.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "backing.h"
#include "compat.h"
#include "enclave.h"
#include "epc.h"
#include "lease.h"

#define VM_PROT (VM_READ | VM_WRITE | VM_EXEC)
/* Not to be copied by fork, nor expanded, nor in core dumps; and no struct page for others to get hold of */
#define VM_LEASE (VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY)

/* Is this page mapped as it was added, because nobody may write to it? */
static struct page *unwritable_page(const struct teemate_enclave *enclave, const struct enclave_segment *segment,
				    unsigned long number)
{
	void *entry;

	if (!segment || segment->prot & VM_WRITE)
		return NULL;
	entry = xa_load((struct xarray *)&enclave->initial, number);
	return xa_is_value(entry) ? NULL : entry;
}

/*
 * Make a page to be written to: a copy of what was added, or zeros. Allocates, reclaims, and may wait for the
 * container's own memory limit, so no lock is held: a revoke does not have to wait for a hostile holder. (Only
 * page tables, one for 512 pages, are allocated under lease.lock: vmf_insert_pfn() does that.)
 */
static struct page *new_live_page(struct enclave_lease *lease, const struct enclave_segment *segment,
				  unsigned long number, bool private, vm_fault_t *fault)
{
	struct teemate_enclave *enclave = lease->enclave;
	void *initial = segment ? xa_load(&enclave->initial, number) : NULL;
	bool limited = true;
	struct page *page;

	*fault = VM_FAULT_SIGBUS;
	if (private && !epc_charge(&lease->page_count, lease->page_limit ?: U64_MAX))
		goto refused;
	page = epc_alloc_page(enclave, &limited);
	if (!page)
		goto uncharge;
	if (xa_reserve(&enclave->live, number, GFP_KERNEL)) {
		limited = false;
		goto free;
	}
	if (initial && !xa_is_value(initial))
		copy_highpage(page, initial);
	/* Says which lease's page_count it is in; a page that is kept outlives it, and ids are not used again */
	set_page_private(page, private ? lease->id : 0);
	return page;

free:
	epc_free_page(enclave, page);
uncharge:
	if (private)
		atomic_long_dec(&lease->page_count);
refused:
	if (limited)
		atomic_long_inc(&lease->refused_count);
	else
		*fault = VM_FAULT_OOM;
	return NULL;
}

/* Put a new page in its place, or find that another thread was first. Returns what is there. */
static struct page *publish_live_page(struct teemate_enclave *enclave, unsigned long number, struct page *page)
{
	struct page *there;

	xa_lock(&enclave->live);
	there = xa_load(&enclave->live, number);
	if (!there) {
		/* Reserved, so this does not allocate; if a racing thread undid that, the fault is taken again */
		if (!xa_err(__xa_store(&enclave->live, number, page, GFP_NOWAIT)))
			there = page;
	}
	xa_unlock(&enclave->live);
	return there;
}

static void drop_unused_page(struct enclave_lease *lease, unsigned long number, bool private, struct page *page)
{
	xa_release(&lease->enclave->live, number);
	epc_free_page(lease->enclave, page);
	if (private)
		atomic_long_dec(&lease->page_count);
}

static vm_fault_t lease_fault(struct vm_fault *vmf)
{
	struct enclave_lease *lease = vmf->vma->vm_private_data;
	struct teemate_enclave *enclave = lease->enclave;
	const struct lease_range *range = lease_range_at(lease, vmf->pgoff);
	const struct enclave_segment *segment = enclave_next_segment(enclave, vmf->pgoff);
	bool private = range && range->flags & TEEMATE_RANGE_PRIVATE;
	struct page *page, *fresh = NULL;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	if (segment && segment->first > vmf->pgoff)
		segment = NULL;
	if (!segment && !(range && range->flags & TEEMATE_RANGE_GROW))
		return VM_FAULT_SIGBUS;

	down_read(&lease->lock);
	if (lease->state != LEASE_LIVE)
		goto out;
	page = xa_load(&enclave->live, vmf->pgoff) ?: unwritable_page(enclave, segment, vmf->pgoff);
	if (!page) {
		up_read(&lease->lock);
		fresh = new_live_page(lease, segment, vmf->pgoff, private, &ret);
		if (!fresh)
			return ret;
		ret = VM_FAULT_SIGBUS;
		down_read(&lease->lock);
		if (lease->state != LEASE_LIVE)
			goto out;
		page = publish_live_page(enclave, vmf->pgoff, fresh);
		if (page == fresh)
			fresh = NULL;
	}
	ret = page ? vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(page)) : VM_FAULT_NOPAGE;
out:
	up_read(&lease->lock);
	if (fresh)
		drop_unused_page(lease, vmf->pgoff, private, fresh);
	return ret;
}

static int lease_mprotect(struct vm_area_struct *vma, unsigned long start, unsigned long end, unsigned long flags)
{
	unsigned long first = vma->vm_pgoff + ((start - vma->vm_start) >> PAGE_SHIFT);
	unsigned long last = first + ((end - start) >> PAGE_SHIFT) - 1;
	unsigned long prot_max;

	return lease_may_map(vma->vm_private_data, first, last, flags & VM_PROT, &prot_max);
}

static int lease_mremap(struct vm_area_struct *vma)
{
	return -EPERM;
}

static const struct vm_operations_struct lease_vm_operations = {
	.fault = lease_fault,
	.mprotect = lease_mprotect,
	.mremap = lease_mremap,
};

/* Remember who maps the lease. With SINGLE_MM refuse all but one, until that one's process is gone. */
static int lease_add_mm(struct enclave_lease *lease, struct mm_struct *mm)
{
	struct lease_mm *entry = kzalloc(sizeof(*entry), GFP_KERNEL_ACCOUNT);
	struct lease_mm *seen, *next;
	int ret = 0;

	if (!entry)
		return -ENOMEM;
	mmgrab(mm);
	entry->mm = mm;

	down_write(&lease->lock);
	/* After the state has changed nothing is added: who ends the lease may walk the list */
	if (lease->state != LEASE_LIVE) {
		ret = -EKEYREVOKED;
		goto out;
	}
	list_for_each_entry_safe(seen, next, &lease->mms, link) {
		if (seen->mm == mm)
			goto out;
		if (!atomic_read(&seen->mm->mm_users)) {
			list_del(&seen->link);
			mmdrop(seen->mm);
			kfree(seen);
		} else if (lease->flags & TEEMATE_LEASE_SINGLE_MM) {
			ret = -EBUSY;
			goto out;
		}
	}
	list_add(&entry->link, &lease->mms);
	entry = NULL;
out:
	up_write(&lease->lock);
	if (entry) {
		mmdrop(mm);
		kfree(entry);
	}
	return ret;
}

/**
 * lease_mmap() - mmap(2) of a lease.
 * @file: of the lease
 * @vma: as wanted
 *
 * Return: 0; -EINVAL: private, or not at base + offset; -EACCES: not leased, or not so;
 * -EKEYREVOKED: the lease has ended; -EBUSY: another address space has it.
 */
int lease_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct enclave_lease *lease = file->private_data;
	struct teemate_enclave *enclave = lease->enclave;
	unsigned long last = vma->vm_pgoff + vma_pages(vma) - 1;
	unsigned long prot_max;
	int ret;

	if (!(vma->vm_flags & VM_SHARED) || last >= enclave->size >> PAGE_SHIFT || last < vma->vm_pgoff ||
	    vma->vm_start != enclave->base + ((u64)vma->vm_pgoff << PAGE_SHIFT))
		return -EINVAL;
	if (current->personality & READ_IMPLIES_EXEC)
		return -EACCES;
	ret = lease_may_map(lease, vma->vm_pgoff, last, vma->vm_flags & VM_PROT, &prot_max);
	if (ret)
		return ret;
	ret = lease_add_mm(lease, vma->vm_mm);
	if (ret)
		return ret;

	if (enclave->backing) {
		ret = backing_mmap(enclave->backing, vma);
		if (ret)
			return ret;
	} else {
		vma->vm_ops = &lease_vm_operations;
		vma->vm_private_data = lease;
	}
	vm_flags_set(vma, VM_LEASE);
	/* mprotect() cannot go beyond these: on hardware it asks the SGX driver, which knows no leases */
	vm_flags_clear(vma, (VM_PROT & ~prot_max) << 4);
	return 0;
}

/**
 * lease_get_unmapped_area() - Where a lease may be mapped: at the address that the offset implies.
 * @file: of the lease
 * @address: wanted
 * @length: wanted
 * @page_offset: in the file
 * @flags: MAP_FIXED is also set for MAP_FIXED_NOREPLACE
 *
 * mremap() asks here for the new place, too. Hardware finds pages by address, not by offset, so this is what
 * keeps a mapping from being moved onto pages that are not leased.
 *
 * Return: @address, or -EINVAL.
 */
unsigned long lease_get_unmapped_area(struct file *file, unsigned long address, unsigned long length,
				      unsigned long page_offset, unsigned long flags)
{
	struct enclave_lease *lease = file->private_data;

	if (!(flags & MAP_FIXED) || address != lease->enclave->base + ((u64)page_offset << PAGE_SHIFT))
		return -EINVAL;
	return address;
}
