// SPDX-License-Identifier: GPL-2.0
/* Construction of an enclave: its pages. */
#include <linux/highmem.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <uapi/asm/sgx.h>

#include "backing.h"
#include "enclave.h"
#include "epc.h"

static u8 secinfo_prot(const struct sgx_secinfo *secinfo)
{
	u8 prot = 0;

	/* As the SGX driver: the CPU, or here the lease, guards a TCS page, and the page table must let it */
	if ((secinfo->flags & SGX_SECINFO_PAGE_TYPE_MASK) == SGX_SECINFO_TCS)
		return VM_READ | VM_WRITE;
	if (secinfo->flags & SGX_SECINFO_R)
		prot |= VM_READ;
	if (secinfo->flags & SGX_SECINFO_W)
		prot |= VM_WRITE;
	if (secinfo->flags & SGX_SECINFO_X)
		prot |= VM_EXEC;
	return prot;
}

static bool secinfo_is_valid(const struct sgx_secinfo *secinfo)
{
	u64 permissions = secinfo->flags & SGX_SECINFO_PERMISSION_MASK;

	if (secinfo->flags & SGX_SECINFO_RESERVED_MASK || memchr_inv(secinfo->reserved, 0, sizeof(secinfo->reserved)))
		return false;
	switch (secinfo->flags & SGX_SECINFO_PAGE_TYPE_MASK) {
	case SGX_SECINFO_TCS:
		return !permissions;
	case SGX_SECINFO_REG:
		return !(permissions & SGX_SECINFO_W) || permissions & SGX_SECINFO_R;
	default:
		return false;
	}
}

/* EADD of a TCS page: what it refuses, and what it clears before anything is measured */
static bool prepare_tcs(struct sgx_tcs *tcs)
{
	if (tcs->flags & SGX_TCS_RESERVED_MASK || (tcs->ssa_offset | tcs->fs_offset | tcs->gs_offset) & ~PAGE_MASK ||
	    (tcs->fs_limit & 0xfff) != 0xfff || (tcs->gs_limit & 0xfff) != 0xfff ||
	    memchr_inv(tcs->reserved, 0, sizeof(tcs->reserved)))
		return false;
	tcs->flags &= ~(u64)SGX_TCS_DBGOPTIN;
	tcs->state = 0;
	tcs->ssa_index = 0;
	tcs->exit_addr = 0;
	return true;
}

/* Store a page's content, copied into @content, and measure it. */
static int add_page(struct teemate_enclave *enclave, u64 offset, const struct sgx_secinfo *secinfo, bool measured,
		    void *content)
{
	bool tcs = (secinfo->flags & SGX_SECINFO_PAGE_TYPE_MASK) == SGX_SECINFO_TCS;
	unsigned long number = offset >> PAGE_SHIFT;
	struct enclave_segment segment = { number, number, secinfo_prot(secinfo), tcs };
	struct page *page = NULL;
	bool limited;
	int ret;

	if (tcs && !prepare_tcs(content))
		return -EINVAL;
	if (memchr_inv(content, 0, PAGE_SIZE)) {
		page = epc_alloc_page(enclave, &limited);
		if (!page)
			return -ENOMEM;
		memcpy_to_page(page, 0, content, PAGE_SIZE);
	}
	ret = xa_insert(&enclave->initial, number, page ?: EPC_ZERO_PAGE, GFP_KERNEL);
	if (ret)
		goto free_page;
	ret = enclave_add_segment(enclave, &segment);
	if (ret)
		goto erase;

	measure_add(&enclave->measurement, offset, secinfo->flags);
	if (measured)
		measure_extend(&enclave->measurement, offset, content);
	return 0;

erase:
	xa_erase(&enclave->initial, number);
free_page:
	if (page)
		epc_free_page(enclave, page);
	return ret;
}

/* Add pages to emulated EPC until all are in, one fails or a signal comes; says how far it got in add->count */
static int add_emulated(struct teemate_enclave *enclave, struct sgx_enclave_add_pages *add,
			const struct sgx_secinfo *secinfo)
{
	void *content = (void *)__get_free_page(GFP_KERNEL);
	int ret = 0;

	if (!content)
		return -ENOMEM;
	for (add->count = 0; add->count < add->length; add->count += PAGE_SIZE) {
		if (signal_pending(current)) {
			ret = add->count ? 0 : -ERESTARTSYS;
			break;
		}
		cond_resched();
		if (copy_from_user(content, u64_to_user_ptr(add->src + add->count), PAGE_SIZE)) {
			ret = -EFAULT;
			break;
		}
		ret = add_page(enclave, add->offset + add->count, secinfo, add->flags & SGX_PAGE_MEASURE, content);
		if (ret)
			break;
	}
	memzero_explicit(content, PAGE_SIZE);
	free_page((unsigned long)content);
	return ret;
}

/* Let the SGX driver add pages, and remember those that it says it added */
static int add_hardware(struct teemate_enclave *enclave, struct sgx_enclave_add_pages *add,
			const struct sgx_secinfo *secinfo, unsigned long arg)
{
	struct sgx_enclave_add_pages __user *user_add = (void __user *)arg;
	struct enclave_segment segment = {
		.first = add->offset >> PAGE_SHIFT,
		.prot = secinfo_prot(secinfo),
		.tcs = (secinfo->flags & SGX_SECINFO_PAGE_TYPE_MASK) == SGX_SECINFO_TCS,
	};
	int ret, remembered;

	ret = backing_ioctl(enclave->backing, SGX_IOC_ENCLAVE_ADD_PAGES, arg);
	if (get_user(add->count, &user_add->count))
		return -EFAULT;
	if (!add->count)
		return ret;
	if (add->count & ~PAGE_MASK || add->count > add->length)
		return -EIO;
	segment.last = (add->offset + add->count - 1) >> PAGE_SHIFT;
	remembered = enclave_add_segment(enclave, &segment);
	/* What is in the enclave but not on the books could not be guarded: such an enclave is not used */
	if (remembered)
		enclave->created_failed = true;
	return remembered ?: ret;
}

/**
 * enclave_add_pages() - SGX_IOC_ENCLAVE_ADD_PAGES.
 * @enclave: created
 * @arg: address of struct sgx_enclave_add_pages
 *
 * Return: 0 or -errno; in both cases the struct's count says how many bytes were added.
 */
long enclave_add_pages(struct teemate_enclave *enclave, unsigned long arg)
{
	struct sgx_enclave_add_pages add;
	struct sgx_secinfo secinfo;
	long ret;

	if (copy_from_user(&add, (void __user *)arg, sizeof(add)) ||
	    copy_from_user(&secinfo, u64_to_user_ptr(add.secinfo), sizeof(secinfo)))
		return -EFAULT;
	if (!add.length || (add.offset | add.length | add.src) & ~PAGE_MASK || add.flags & ~(u64)SGX_PAGE_MEASURE ||
	    !secinfo_is_valid(&secinfo))
		return -EINVAL;

	if (mutex_lock_killable(&enclave->build_lock))
		return -EINTR;
	if (enclave->state != ENCLAVE_CREATED || enclave->created_failed || add.offset >= enclave->size ||
	    add.length > enclave->size - add.offset)
		ret = -EINVAL;
	else if (enclave->backing)
		ret = add_hardware(enclave, &add, &secinfo, arg);
	else
		ret = add_emulated(enclave, &add, &secinfo);
	mutex_unlock(&enclave->build_lock);

	if (enclave_is_emulated(enclave) && copy_to_user((void __user *)arg, &add, sizeof(add)))
		return -EFAULT;
	return ret;
}
