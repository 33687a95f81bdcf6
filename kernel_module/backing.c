// SPDX-License-Identifier: GPL-2.0
/*
 * Hardware EPC: the pages are those of the kernel's SGX driver, whose file lies behind the enclave.
 *
 * A lease's VMA keeps the lease as its file but carries the driver's vm_ops: the driver's reclaimer looks
 * for VMAs with its own vm_ops (sgx_encl_find()) in every address space that it saw in its mmap(), and so
 * finds them. The driver resolves faults by address and knows no leases; what a VMA covers is decided once,
 * in lease_mmap(), and lease_get_unmapped_area() keeps it there.
 *
 * For the same reason zapping does not revoke: the next touch would fault the page in again. Revoking
 * swaps the vm_ops for ones that only fail. It waits for no holder: the pages of one who is in the midst of something
 * stay his until that is over, which a worker waits for.
 *
 * No machine with SGX has run this yet. It is tested over a stand-in with the driver's behaviour.
 */
#include <asm/cpufeature.h>
#include <linux/file.h>
#include <linux/kallsyms.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>

#include "backing.h"
#include "compat.h"
#include "enclave.h"
#include "enclu/enclu.h"
#include "lease.h"

#define DRIVER_IOCTL "sgx_ioctl"

static char *insecure__backing_driver = "";
module_param(insecure__backing_driver, charp, 0400);
MODULE_PARM_DESC(insecure__backing_driver,
		 "For tests: name of a module that stands in for the kernel's SGX driver (default: none)");

/* Is this the file of an enclave of the SGX driver, and not of whatever else user space has open? */
static bool is_sgx_enclave(const struct file *file)
{
	const struct file_operations *operations = file->f_op;
	char symbol[KSYM_SYMBOL_LEN];

	if (!S_ISCHR(file_inode(file)->i_mode) || !operations->mmap || !operations->unlocked_ioctl)
		return false;
	if (enclu_is_device_file(file))
		return true;
	if (*insecure__backing_driver)
		return operations->owner && !strcmp(module_name(operations->owner), insecure__backing_driver);

	/* The driver is built in and exports nothing to compare with, but its functions have names */
	if (!boot_cpu_has(X86_FEATURE_SGX) || operations->owner)
		return false;
	sprint_symbol_no_offset(symbol, (unsigned long)operations->unlocked_ioctl);
	return !strcmp(symbol, DRIVER_IOCTL);
}

/**
 * backing_get() - Take the descriptor of a hardware enclave.
 * @fd: of the calling process
 *
 * Return: the file, with a reference for the caller, or an ERR_PTR.
 */
struct file *backing_get(int fd)
{
	struct file *file = fget(fd);

	if (!file)
		return ERR_PTR(-EBADF);
	if (!is_sgx_enclave(file)) {
		fput(file);
		return ERR_PTR(-ENODEV);
	}
	return file;
}

/**
 * backing_ioctl() - Pass a construction ioctl on to the SGX driver.
 * @backing: its file
 * @command: of the ioctl
 * @arg: of the ioctl
 *
 * Return: as the driver's.
 */
long backing_ioctl(struct file *backing, unsigned int command, unsigned long arg)
{
	return backing->f_op->unlocked_ioctl(backing, command, arg);
}

/**
 * backing_mmap() - Let the SGX driver map its enclave in a lease's VMA.
 * @backing: its file
 * @vma: within the lease; vm_file stays the lease's
 *
 * Return: 0 or -errno.
 */
int backing_mmap(struct file *backing, struct vm_area_struct *vma)
{
	return backing->f_op->mmap(backing, vma);
}

static vm_fault_t disarmed_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static int disarmed_mprotect(struct vm_area_struct *vma, unsigned long start, unsigned long end, unsigned long flags)
{
	return -EACCES;
}

static int disarmed_mremap(struct vm_area_struct *vma)
{
	return -EPERM;
}

static void disarmed_open(struct vm_area_struct *vma)
{
}

static int disarmed_access(struct vm_area_struct *vma, unsigned long address, void *buffer, int length, int write)
{
	return -EIO;
}

/* All that a driver may have: who has just seen that one of its operations is there may call that one of these */
static const struct vm_operations_struct disarmed_vm_operations = {
	.open = disarmed_open,
	.fault = disarmed_fault,
	.page_mkwrite = disarmed_fault,
	.pfn_mkwrite = disarmed_fault,
	.mprotect = disarmed_mprotect,
	.mremap = disarmed_mremap,
	.access = disarmed_access,
};

static void disarm_vma(struct vm_area_struct *vma)
{
	WRITE_ONCE(vma->vm_ops, &disarmed_vm_operations);
	zap_vma_ptes(vma, vma->vm_start, vma->vm_end - vma->vm_start);
}

/**
 * backing_disarm() - Take the SGX driver's pages out of every mapping of a lease, for good.
 * @lease: ended: no address space is added to its list any more
 *
 * From here on no fault in these mappings finds the driver, and no holder can delay that: a VMA is in the inode's tree
 * until it is about to be freed, and leaves it under this lock. What is still under way, a fault that had found the
 * driver or a mapping being made, is left to backing_settle().
 *
 * Context: Process context; takes i_mmap_rwsem of the lease's inode.
 */
void backing_disarm(struct enclave_lease *lease)
{
	struct address_space *mapping = lease->inode->i_mapping;
	struct rb_node *node;

	i_mmap_lock_write(mapping);
	for (node = rb_first_cached(&mapping->i_mmap); node; node = rb_next(node))
		disarm_vma(rb_entry(node, struct vm_area_struct, shared.rb));
	i_mmap_unlock_write(mapping);
}

static void disarm_mm(struct enclave_lease *lease, struct mm_struct *mm)
{
	struct teemate_enclave *enclave = lease->enclave;
	unsigned long end = enclave->base + enclave->size;
	struct vm_area_struct *vma;

	lockdep_assert_held_write(&mm->mmap_lock);
	for (vma = find_vma(mm, enclave->base); vma && vma->vm_start < end; vma = find_vma(mm, vma->vm_end))
		if (vma->vm_file && file_inode(vma->vm_file) == lease->inode)
			disarm_vma(vma);
}

static bool lock_mm(struct mm_struct *mm, bool wait)
{
	if (!wait)
		return try_mmap_write_lock(mm);
	/* Nobody kills a worker: this is only so that it does not count as hung while a holder makes it wait */
	while (mmap_write_lock_killable(mm))
		cond_resched();
	return true;
}

/**
 * backing_settle() - See to it that what was under way in the address spaces of a lease is over, and without effect.
 * @lease: disarmed
 * @wait: for as long as a holder takes, which may sit in a page fault of some other mapping; in a worker only
 *
 * A fault has mmap_lock, and so has who makes a mapping: when it was free once, neither is left.
 *
 * Context: Process context; takes mmap_lock of the address spaces.
 * Return: whether all is over; false only without @wait.
 */
bool backing_settle(struct enclave_lease *lease, bool wait)
{
	struct lease_mm *seen;
	bool settled = true;

	list_for_each_entry(seen, &lease->mms, link) {
		if (!settled)
			break;
		if (!mmget_not_zero(seen->mm))
			continue;
		settled = lock_mm(seen->mm, wait);
		if (settled) {
			disarm_mm(lease, seen->mm);
			mmap_write_unlock(seen->mm);
		}
		/* Not the last one by ourselves: a holder's mappings may take their time to go */
		mmput_async(seen->mm);
	}
	return settled;
}
