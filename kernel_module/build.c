// SPDX-License-Identifier: GPL-2.0
/*
 * Construction of an enclave, with the ioctls of the kernel's SGX driver. On hardware they are passed on
 * to that driver, and what it accepted is remembered; on emulated EPC they are carried out here, with the
 * same checks and results.
 */
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/log2.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <uapi/asm/sgx.h>

#include "backing.h"
#include "enclave.h"
#include "epc.h"
#include "sigstruct.h"
#include "user_struct.h"

#define ENCLAVE_SIZE_MAX BIT_ULL(46)
#define SSA_FRAME_PAGES_MAX 64
#define XFRM_X87_SSE 0x3ULL
#define ATTRIBUTES_ALLOWED (SGX_ATTR_DEBUG | SGX_ATTR_MODE64BIT | SGX_ATTR_KSS)

/**
 * enclave_setup() - TEEMATE_IOC_SETUP.
 * @enclave: not created yet
 * @arg: struct teemate_setup of the caller's version
 * @size: of the caller's version
 *
 * Return: 0 or -errno.
 */
long enclave_setup(struct teemate_enclave *enclave, const void __user *arg, size_t size)
{
	struct file *backing = NULL;
	struct teemate_setup setup;
	int ret;

	ret = user_struct_get(&setup, sizeof(setup), arg, size);
	if (ret)
		return ret;
	if (setup.flags & ~(TEEMATE_SETUP_BACKING | TEEMATE_SETUP_LEASES_SURVIVE))
		return -EINVAL;
	if (!(setup.flags & TEEMATE_SETUP_BACKING) && setup.backing_fd)
		return -EINVAL;

	if (setup.flags & TEEMATE_SETUP_BACKING) {
		backing = backing_get(setup.backing_fd);
		if (IS_ERR(backing))
			return PTR_ERR(backing);
	}

	mutex_lock(&enclave->build_lock);
	if (enclave->state == ENCLAVE_NEW && !enclave->backing) {
		enclave->page_limit = setup.page_limit;
		enclave->setup_flags = setup.flags;
		enclave->backing = backing;
		backing = NULL;
	} else {
		ret = -EBUSY;
	}
	mutex_unlock(&enclave->build_lock);

	if (backing)
		fput(backing);
	return ret;
}

/* What ECREATE would fault on (SDM vol. 3D), as far as software can tell */
static bool secs_is_valid(const struct sgx_secs *secs)
{
	return is_power_of_2(secs->size) && secs->size >= 2 * PAGE_SIZE && secs->size <= ENCLAVE_SIZE_MAX &&
	       secs->base && !(secs->base & (secs->size - 1)) && secs->base < TASK_SIZE_MAX &&
	       secs->size <= TASK_SIZE_MAX - secs->base && secs->ssa_frame_size &&
	       secs->ssa_frame_size <= SSA_FRAME_PAGES_MAX && !(secs->miscselect & ~SGX_MISC_EXINFO) &&
	       (secs->xfrm & XFRM_X87_SSE) == XFRM_X87_SSE &&
	       !memchr_inv(secs->reserved1, 0, sizeof(secs->reserved1)) &&
	       !memchr_inv(secs->reserved2, 0, sizeof(secs->reserved2)) &&
	       !memchr_inv(secs->reserved3, 0, sizeof(secs->reserved3)) &&
	       !memchr_inv(secs->reserved4, 0, sizeof(secs->reserved4));
}

static int create_locked(struct teemate_enclave *enclave, const struct sgx_secs *secs, unsigned long arg)
{
	int ret = 0;

	if (enclave->state != ENCLAVE_NEW || enclave->created_failed)
		return -EINVAL;
	if (enclave->backing) {
		ret = backing_ioctl(enclave->backing, SGX_IOC_ENCLAVE_CREATE, arg);
		if (ret) {
			enclave->created_failed = true;
			return ret;
		}
	} else if (!(secs->attributes & SGX_ATTR_MODE64BIT)) {
		return -EINVAL;
	}

	enclave->base = secs->base;
	enclave->size = secs->size;
	enclave->attributes = secs->attributes;
	enclave->xfrm = secs->xfrm;
	enclave->miscselect = secs->miscselect;
	measure_create(&enclave->measurement, secs->ssa_frame_size, secs->size);
	enclave->state = ENCLAVE_CREATED;
	return 0;
}

/**
 * enclave_create() - SGX_IOC_ENCLAVE_CREATE.
 * @enclave: new
 * @arg: address of struct sgx_enclave_create
 *
 * Return: 0 or -errno.
 */
long enclave_create(struct teemate_enclave *enclave, unsigned long arg)
{
	struct sgx_enclave_create create;
	struct sgx_secs *secs;
	long ret;

	if (copy_from_user(&create, (void __user *)arg, sizeof(create)))
		return -EFAULT;
	secs = memdup_user(u64_to_user_ptr(create.src), sizeof(*secs));
	if (IS_ERR(secs))
		return PTR_ERR(secs);

	ret = -EINVAL;
	if (secs_is_valid(secs)) {
		mutex_lock(&enclave->build_lock);
		ret = create_locked(enclave, secs, arg);
		mutex_unlock(&enclave->build_lock);
	}
	kfree(secs);
	return ret;
}

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

static int init_locked(struct teemate_enclave *enclave, const struct sgx_sigstruct *sigstruct, unsigned long arg)
{
	u8 mrenclave[SHA256_DIGEST_SIZE];
	int ret;

	if (enclave->state != ENCLAVE_CREATED || enclave->created_failed)
		return -EINVAL;
	if (enclave->backing) {
		/* The driver's EINIT is the judge */
		ret = backing_ioctl(enclave->backing, SGX_IOC_ENCLAVE_INIT, arg);
		memcpy(mrenclave, sigstruct->body.mrenclave, sizeof(mrenclave));
	} else {
		if (enclave->attributes & ~(u64)ATTRIBUTES_ALLOWED)
			return -EACCES;
		measure_final(&enclave->measurement, mrenclave);
		ret = sigstruct_check(sigstruct, enclave, mrenclave);
	}
	if (ret)
		return ret;

	ret = enclave_index_segments(enclave);
	if (ret)
		return ret;
	memcpy(enclave->mrenclave, mrenclave, sizeof(mrenclave));
	sha256(sigstruct->modulus, sizeof(sigstruct->modulus), enclave->mrsigner);
	enclave_set_initialized(enclave);
	return 0;
}

/**
 * enclave_init() - SGX_IOC_ENCLAVE_INIT.
 * @enclave: created, its pages added
 * @arg: address of struct sgx_enclave_init
 *
 * Return: 0 or -errno.
 */
long enclave_init(struct teemate_enclave *enclave, unsigned long arg)
{
	struct sgx_sigstruct *sigstruct;
	struct sgx_enclave_init init;
	long ret;

	if (copy_from_user(&init, (void __user *)arg, sizeof(init)))
		return -EFAULT;
	sigstruct = memdup_user(u64_to_user_ptr(init.sigstruct), sizeof(*sigstruct));
	if (IS_ERR(sigstruct))
		return PTR_ERR(sigstruct);

	mutex_lock(&enclave->build_lock);
	ret = init_locked(enclave, sigstruct, arg);
	mutex_unlock(&enclave->build_lock);
	kfree(sigstruct);
	return ret;
}

/* The page that was added, with memory of its own to write to */
static struct page *writable_initial_page(struct teemate_enclave *enclave, unsigned long number)
{
	void *entry = xa_load(&enclave->initial, number);
	struct page *page;
	bool limited;
	int ret;

	if (!entry)
		return ERR_PTR(-EINVAL);
	if (!xa_is_value(entry))
		return entry;
	page = epc_alloc_page(enclave, &limited);
	if (!page)
		return ERR_PTR(-ENOMEM);
	ret = xa_err(xa_store(&enclave->initial, number, page, GFP_KERNEL));
	if (ret) {
		epc_free_page(enclave, page);
		return ERR_PTR(ret);
	}
	return page;
}

/**
 * enclave_debug_write() - TEEMATE_IOC_DEBUG_WRITE.
 * @enclave: emulated, initialized, never leased
 * @arg: struct teemate_debug_write of the caller's version
 * @size: of the caller's version
 *
 * Return: 0 or -errno.
 */
long enclave_debug_write(struct teemate_enclave *enclave, const void __user *arg, size_t size)
{
	struct teemate_debug_write write;
	u64 done, chunk;
	long ret;

	ret = user_struct_get(&write, sizeof(write), arg, size);
	if (ret)
		return ret;
	if (!enclave_is_initialized(enclave))
		return -EINVAL;
	if (!enclave_is_emulated(enclave))
		return -EOPNOTSUPP;
	if (!write.length || write.offset >= enclave->size || write.length > enclave->size - write.offset)
		return -EINVAL;

	if (mutex_lock_killable(&enclave->build_lock))
		return -EINTR;
	if (READ_ONCE(enclave->last_lease_id))
		ret = -EBUSY;
	for (done = 0; !ret && done < write.length; done += chunk) {
		u64 in_page = (write.offset + done) & ~PAGE_MASK;
		struct page *page = writable_initial_page(enclave, (write.offset + done) >> PAGE_SHIFT);

		if (IS_ERR(page)) {
			ret = PTR_ERR(page);
			break;
		}
		chunk = min(write.length - done, PAGE_SIZE - in_page);
		if (copy_from_user(page_address(page) + in_page, u64_to_user_ptr(write.src + done), chunk))
			ret = -EFAULT;
		else if (fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	mutex_unlock(&enclave->build_lock);
	return ret;
}
