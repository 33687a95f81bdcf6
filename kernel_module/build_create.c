// SPDX-License-Identifier: GPL-2.0
/*
 * Construction of an enclave, with the ioctls of the kernel's SGX driver. On hardware they are passed on
 * to that driver, and what it accepted is remembered; on emulated EPC they are carried out, with the same
 * checks and results. Here: what it is to be (SETUP, which is our own, and CREATE).
 */
#include <linux/file.h>
#include <linux/log2.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <uapi/asm/sgx.h>

#include "backing.h"
#include "enclave.h"
#include "user_struct.h"

#define ENCLAVE_SIZE_MAX BIT_ULL(46)
#define SSA_FRAME_PAGES_MAX 64
#define XFRM_X87_SSE 0x3ULL

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
	enclave->identity.ssa_frame_pages = secs->ssa_frame_size;
	enclave->identity.config_svn = secs->config_svn;
	memcpy(enclave->identity.config_id, secs->config_id, sizeof(enclave->identity.config_id));
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
