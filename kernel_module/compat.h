/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between the kernels that the module builds against: 6.1 up to 6.12. */
#ifndef TEEMATE_COMPAT_H
#define TEEMATE_COMPAT_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#include <asm/unaligned.h>
#else
#include <linux/unaligned.h>
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}

/* setattr() got an idmap where it had a user namespace */
#define mnt_idmap user_namespace
#endif

/* mmap_write_trylock(), which 6.12 has no more */
static inline bool try_mmap_write_lock(struct mm_struct *mm)
{
	return down_write_trylock(&mm->mmap_lock);
}

/* A reference to a file whose last one may just be going away */
static inline bool get_file_if_used(struct file *file)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
	return atomic_long_inc_not_zero(&file->f_count);
#else
	return file_ref_get(&file->f_ref);
#endif
}

#endif
