// SPDX-License-Identifier: GPL-2.0
/*
 * Stand-in for the kernel's SGX driver (arch/x86/kernel/cpu/sgx), for tests. It behaves as that one does
 * where teemate.ko depends on it:
 *
 * - its fault handler finds pages by address, never by offset, and adds pages (EAUG) where there are none;
 * - its VMAs have no mremap() of their own and are inherited by fork;
 * - it remembers each address space that maps an enclave, and its reclaimer zaps a page in each of them,
 *   but only in VMAs that carry its own vm_ops (sgx_encl_find());
 * - a reclaimed page comes back in another place: who still has the old one mapped reads something else.
 *
 * Its memory is neither encrypted nor isolated.
 */
#include <asm/sgx.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/wait.h>
#include <linux/xarray.h>
#include <uapi/asm/sgx.h>

/* Evict the page at this offset; returns in how many VMAs it was mapped away */
#define FAKE_SGX_RECLAIM _IO(0xB6, 0)
/* From now on, faults at the page at this offset take until FAKE_SGX_RELEASE */
#define FAKE_SGX_STALL _IO(0xB6, 1)
/* Returns how many are under way */
#define FAKE_SGX_STALLED _IO(0xB6, 2)
#define FAKE_SGX_RELEASE _IO(0xB6, 3)

#define NO_PAGE ULONG_MAX

#define POISON 0x5a

struct fake_page {
	struct page *page;
	u8 prot;
	bool reclaimed;
};

struct fake_mm {
	struct list_head link;
	struct mm_struct *mm;
};

struct fake_enclave {
	struct mutex lock; /* all that follows */
	u64 base;
	u64 size;
	bool initialized;
	struct xarray pages;
	struct list_head mms;

	unsigned long slow_page; /* number, or NO_PAGE */
	atomic_t stalled;
	wait_queue_head_t released;
};

static struct fake_page *new_page(u8 prot)
{
	struct fake_page *new = kzalloc(sizeof(*new), GFP_KERNEL);

	if (!new)
		return NULL;
	new->prot = prot;
	new->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (new->page)
		return new;
	kfree(new);
	return NULL;
}

static void free_page_and_entry(struct fake_page *page)
{
	__free_page(page->page);
	kfree(page);
}

/* EAUG */
static struct fake_page *grow(struct fake_enclave *enclave, unsigned long number)
{
	struct fake_page *page;

	if (!enclave->initialized)
		return NULL;
	page = new_page(VM_READ | VM_WRITE | VM_EXEC);
	if (page && xa_err(xa_store(&enclave->pages, number, page, GFP_KERNEL))) {
		free_page_and_entry(page);
		return NULL;
	}
	return page;
}

/* ELDU: the content comes back elsewhere, and the old place is somebody else's now */
static bool reload(struct fake_page *page)
{
	struct page *elsewhere = alloc_page(GFP_KERNEL);

	if (!elsewhere)
		return false;
	copy_highpage(elsewhere, page->page);
	memset(page_address(page->page), POISON, PAGE_SIZE);
	__free_page(page->page);
	page->page = elsewhere;
	page->reclaimed = false;
	return true;
}

static void stall(struct fake_enclave *enclave, unsigned long number)
{
	if (READ_ONCE(enclave->slow_page) != number)
		return;
	atomic_inc(&enclave->stalled);
	wait_event(enclave->released, READ_ONCE(enclave->slow_page) != number);
	atomic_dec(&enclave->stalled);
}

static vm_fault_t fake_fault(struct vm_fault *vmf)
{
	struct fake_enclave *enclave = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct fake_page *page;
	unsigned long number;

	if (vmf->address < enclave->base || vmf->address - enclave->base >= enclave->size)
		return VM_FAULT_SIGBUS;
	number = (vmf->address - enclave->base) >> PAGE_SHIFT;
	stall(enclave, number);

	mutex_lock(&enclave->lock);
	page = xa_load(&enclave->pages, number) ?: grow(enclave, number);
	if (page && (!page->reclaimed || reload(page)))
		ret = vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(page->page));
	mutex_unlock(&enclave->lock);
	return ret;
}

/* sgx_encl_may_map() */
static int may_map(struct fake_enclave *enclave, unsigned long start, unsigned long end, unsigned long flags)
{
	unsigned long number;
	struct fake_page *page;
	int ret = 0;

	if (start < enclave->base || end > enclave->base + enclave->size)
		return -EACCES;
	mutex_lock(&enclave->lock);
	xa_for_each_range(&enclave->pages, number, page, (start - enclave->base) >> PAGE_SHIFT,
			  ((end - enclave->base) >> PAGE_SHIFT) - 1)
		if (flags & (VM_READ | VM_WRITE | VM_EXEC) & ~(unsigned long)page->prot)
			ret = -EACCES;
	mutex_unlock(&enclave->lock);
	return ret;
}

static int fake_mprotect(struct vm_area_struct *vma, unsigned long start, unsigned long end, unsigned long flags)
{
	return may_map(vma->vm_private_data, start, end, flags);
}

static const struct vm_operations_struct fake_vm_operations = {
	.fault = fake_fault,
	.mprotect = fake_mprotect,
};

static int remember_mm(struct fake_enclave *enclave, struct mm_struct *mm)
{
	struct fake_mm *seen, *entry = kzalloc(sizeof(*entry), GFP_KERNEL);

	if (!entry)
		return -ENOMEM;
	mutex_lock(&enclave->lock);
	list_for_each_entry(seen, &enclave->mms, link) {
		if (seen->mm == mm) {
			kfree(entry);
			goto out;
		}
	}
	mmgrab(mm);
	entry->mm = mm;
	list_add(&entry->link, &enclave->mms);
out:
	mutex_unlock(&enclave->lock);
	return 0;
}

static int fake_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct fake_enclave *enclave = file->private_data;
	int ret;

	ret = may_map(enclave, vma->vm_start, vma->vm_end, vma->vm_flags);
	if (!ret)
		ret = remember_mm(enclave, vma->vm_mm);
	if (ret)
		return ret;
	vma->vm_ops = &fake_vm_operations;
	vma->vm_private_data = enclave;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	vma->vm_flags |= VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP | VM_IO;
#else
	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP | VM_IO);
#endif
	return 0;
}

static long fake_create(struct fake_enclave *enclave, unsigned long arg)
{
	struct sgx_enclave_create create;
	u64 secs[2];
	long ret = -EINVAL;

	if (copy_from_user(&create, (void __user *)arg, sizeof(create)) ||
	    copy_from_user(secs, u64_to_user_ptr(create.src), sizeof(secs)))
		return -EFAULT;
	mutex_lock(&enclave->lock);
	if (!enclave->size) {
		enclave->size = secs[0];
		enclave->base = secs[1];
		ret = 0;
	}
	mutex_unlock(&enclave->lock);
	return ret;
}

static int add_one(struct fake_enclave *enclave, u64 offset, u64 src, u64 flags)
{
	bool tcs = (flags & SGX_SECINFO_PAGE_TYPE_MASK) == SGX_SECINFO_TCS;
	struct fake_page *page = new_page(tcs ? VM_READ | VM_WRITE : flags & SGX_SECINFO_PERMISSION_MASK);
	int ret;

	if (!page)
		return -ENOMEM;
	if (copy_from_user(page_address(page->page), u64_to_user_ptr(src), PAGE_SIZE))
		ret = -EFAULT;
	else
		ret = xa_insert(&enclave->pages, offset >> PAGE_SHIFT, page, GFP_KERNEL);
	if (ret)
		free_page_and_entry(page);
	return ret;
}

static long fake_add_pages(struct fake_enclave *enclave, unsigned long arg)
{
	struct sgx_enclave_add_pages add;
	struct sgx_secinfo secinfo;
	long ret = 0;

	if (copy_from_user(&add, (void __user *)arg, sizeof(add)) ||
	    copy_from_user(&secinfo, u64_to_user_ptr(add.secinfo), sizeof(secinfo)))
		return -EFAULT;
	for (add.count = 0; !ret && add.count < add.length;) {
		ret = add_one(enclave, add.offset + add.count, add.src + add.count, secinfo.flags);
		if (!ret)
			add.count += PAGE_SIZE;
	}
	return copy_to_user((void __user *)arg, &add, sizeof(add)) ? -EFAULT : ret;
}

/* sgx_zap_enclave_ptes() */
static bool zap(struct fake_enclave *enclave, struct mm_struct *mm, unsigned long address)
{
	struct vm_area_struct *vma;
	bool found;

	if (!mmget_not_zero(mm))
		return false;
	mmap_read_lock(mm);
	vma = vma_lookup(mm, address);
	found = vma && vma->vm_ops == &fake_vm_operations && vma->vm_private_data == enclave;
	if (found)
		zap_vma_ptes(vma, address, PAGE_SIZE);
	mmap_read_unlock(mm);
	mmput_async(mm);
	return found;
}

static long fake_reclaim(struct fake_enclave *enclave, unsigned long offset)
{
	struct fake_mm *seen;
	struct fake_page *page;
	long zapped = 0;

	mutex_lock(&enclave->lock);
	page = xa_load(&enclave->pages, offset >> PAGE_SHIFT);
	if (page)
		page->reclaimed = true;
	mutex_unlock(&enclave->lock);
	if (!page)
		return -ENOENT;
	/* Address spaces are only ever added, at the head */
	list_for_each_entry(seen, &enclave->mms, link)
		zapped += zap(enclave, seen->mm, enclave->base + offset);
	return zapped;
}

static long fake_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	struct fake_enclave *enclave = file->private_data;

	switch (command) {
	case SGX_IOC_ENCLAVE_CREATE:
		return fake_create(enclave, arg);
	case SGX_IOC_ENCLAVE_ADD_PAGES:
		return fake_add_pages(enclave, arg);
	case SGX_IOC_ENCLAVE_INIT:
		enclave->initialized = true;
		return 0;
	case FAKE_SGX_RECLAIM:
		return fake_reclaim(enclave, arg);
	case FAKE_SGX_STALL:
		WRITE_ONCE(enclave->slow_page, arg >> PAGE_SHIFT);
		return 0;
	case FAKE_SGX_STALLED:
		return atomic_read(&enclave->stalled);
	case FAKE_SGX_RELEASE:
		WRITE_ONCE(enclave->slow_page, NO_PAGE);
		wake_up_all(&enclave->released);
		return 0;
	default:
		return -ENOTTY;
	}
}

static int fake_open(struct inode *inode, struct file *file)
{
	struct fake_enclave *enclave = kzalloc(sizeof(*enclave), GFP_KERNEL);

	if (!enclave)
		return -ENOMEM;
	mutex_init(&enclave->lock);
	xa_init(&enclave->pages);
	INIT_LIST_HEAD(&enclave->mms);
	enclave->slow_page = NO_PAGE;
	init_waitqueue_head(&enclave->released);
	file->private_data = enclave;
	return 0;
}

static int fake_release(struct inode *inode, struct file *file)
{
	struct fake_enclave *enclave = file->private_data;
	struct fake_mm *seen, *next;
	struct fake_page *page;
	unsigned long number;

	xa_for_each(&enclave->pages, number, page)
		free_page_and_entry(page);
	xa_destroy(&enclave->pages);
	list_for_each_entry_safe(seen, next, &enclave->mms, link) {
		mmdrop(seen->mm);
		kfree(seen);
	}
	kfree(enclave);
	return 0;
}

static const struct file_operations fake_fops = {
	.owner = THIS_MODULE,
	.open = fake_open,
	.release = fake_release,
	.mmap = fake_mmap,
	.unlocked_ioctl = fake_ioctl,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "fake_sgx",
	.mode = 0600,
	.fops = &fake_fops,
};
module_misc_device(device);
MODULE_DESCRIPTION("Stand-in for the kernel's SGX driver, for tests");
MODULE_LICENSE("GPL");
