// SPDX-License-Identifier: GPL-2.0
/* The SGX 2 ioctls of /dev/sgx_enclave: with the checks, results and partial progress of the kernel's SGX driver. */
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <uapi/asm/sgx.h>

#include "enclu.h"

static bool range_is_valid(const struct enclu_enclave *encl, u64 offset, u64 length)
{
	return length && !((offset | length) & ~PAGE_MASK) && offset < encl->enclave->size &&
	       length <= encl->enclave->size - offset;
}

/* The entry of a page, or an error as the driver gives it */
static struct epc_entry *load_locked(struct enclu_enclave *encl, unsigned long number)
{
	struct epc_entry *entry = enclu_load_page(encl, number);

	if (IS_ERR_OR_NULL(entry))
		return ERR_PTR(entry ? -EAGAIN : -EFAULT);
	return entry;
}

/* What is done to one page. @argument and @result as in the ioctl's parameters */
typedef int page_operation(struct enclu_enclave *encl, unsigned long number, u64 argument, u64 *result);

/* To each page of a range; @count says how far it came */
static int change_pages(struct enclu_enclave *encl, page_operation *change, u64 argument, u64 offset, u64 length,
			u64 *count, u64 *result)
{
	int ret = 0;

	while (!ret && *count < length) {
		ret = fatal_signal_pending(current) ? -EINTR : 0;
		if (!ret)
			ret = change(encl, (offset + *count) >> PAGE_SHIFT, argument, result);
		if (!ret)
			*count += PAGE_SIZE;
		cond_resched();
	}
	return ret;
}

/* EMODPR: only takes permissions away */
static int restrict_page(struct enclu_enclave *encl, unsigned long number, u64 permissions, u64 *result)
{
	struct epc_entry *entry;
	int ret = 0;

	mutex_lock(&encl->lock);
	entry = load_locked(encl, number);
	if (IS_ERR(entry)) {
		ret = PTR_ERR(entry);
	} else if (entry->type != SGX_PAGE_TYPE_REG) {
		ret = -EINVAL;
	} else if (entry->pending || entry->modified) {
		*result = SGX_PAGE_NOT_MODIFIABLE;
		ret = -EFAULT;
	} else {
		xa_lock_irq(&encl->pages);
		entry->prot &= permissions;
		entry->restricted = true;
		xa_unlock_irq(&encl->pages);
	}
	mutex_unlock(&encl->lock);
	if (!ret)
		enclu_zap(encl, number);
	return ret;
}

static long restrict_permissions(struct enclu_enclave *encl, void __user *arg)
{
	struct sgx_enclave_restrict_permissions params;
	long ret;

	if (copy_from_user(&params, arg, sizeof(params)))
		return -EFAULT;
	if (!range_is_valid(encl, params.offset, params.length) || params.permissions & ~SGX_SECINFO_PERMISSION_MASK ||
	    (params.permissions & SGX_SECINFO_W && !(params.permissions & SGX_SECINFO_R)) || params.result ||
	    params.count)
		return -EINVAL;

	ret = change_pages(encl, restrict_page, params.permissions, params.offset, params.length,
			   &params.count, &params.result);
	return copy_to_user(arg, &params, sizeof(params)) ? -EFAULT : ret;
}

/* EMODT */
static int modify_type_locked(struct enclu_enclave *encl, struct epc_entry *entry, u8 type, u64 *result)
{
	if (entry->type != SGX_PAGE_TYPE_REG && !(entry->type == SGX_PAGE_TYPE_TCS && type == SGX_PAGE_TYPE_TRIM))
		return -EINVAL;
	if (type == SGX_PAGE_TYPE_TCS && ~entry->prot_max & (VM_READ | VM_WRITE))
		return -EPERM;
	if (entry->pending || entry->modified) {
		*result = SGX_PAGE_NOT_MODIFIABLE;
		return -EFAULT;
	}
	xa_lock_irq(&encl->pages);
	entry->type = type;
	entry->prot = 0;
	entry->modified = true;
	entry->restricted = false;
	if (type == SGX_PAGE_TYPE_TCS)
		entry->prot_max = VM_READ | VM_WRITE;
	xa_unlock_irq(&encl->pages);
	return 0;
}

static int modify_type(struct enclu_enclave *encl, unsigned long number, u64 type, u64 *result)
{
	struct epc_entry *entry;
	int ret;

	mutex_lock(&encl->lock);
	entry = load_locked(encl, number);
	ret = IS_ERR(entry) ? PTR_ERR(entry) : modify_type_locked(encl, entry, type, result);
	mutex_unlock(&encl->lock);
	if (!ret)
		enclu_zap(encl, number);
	return ret;
}

static long modify_types(struct enclu_enclave *encl, void __user *arg)
{
	struct sgx_enclave_modify_types params;
	long ret;

	if (copy_from_user(&params, arg, sizeof(params)))
		return -EFAULT;
	if (!range_is_valid(encl, params.offset, params.length) || params.result || params.count ||
	    (params.page_type != SGX_PAGE_TYPE_TCS && params.page_type != SGX_PAGE_TYPE_TRIM))
		return -EINVAL;

	ret = change_pages(encl, modify_type, params.page_type, params.offset, params.length,
			   &params.count, &params.result);
	return copy_to_user(arg, &params, sizeof(params)) ? -EFAULT : ret;
}

/* EREMOVE of a page that the enclave has given up: trimmed, and accepted by EACCEPT */
static int remove_page(struct enclu_enclave *encl, unsigned long number, u64 unused, u64 *no_result)
{
	struct epc_entry *entry;
	int ret;

	mutex_lock(&encl->lock);
	entry = load_locked(encl, number);
	if (IS_ERR(entry))
		ret = PTR_ERR(entry);
	else if (entry->type != SGX_PAGE_TYPE_TRIM || entry->modified)
		ret = -EPERM;
	else
		ret = enclu_detach_page(encl, number);
	mutex_unlock(&encl->lock);
	if (ret)
		return ret;
	/* First nobody can write to it any more, then it is erased */
	enclu_zap(encl, number);
	epc_entry_free(encl, entry);
	return 0;
}

static long remove_pages(struct enclu_enclave *encl, void __user *arg)
{
	struct sgx_enclave_remove_pages params;
	long ret;

	if (copy_from_user(&params, arg, sizeof(params)))
		return -EFAULT;
	if (!range_is_valid(encl, params.offset, params.length) || params.count)
		return -EINVAL;

	ret = change_pages(encl, remove_page, 0, params.offset, params.length, &params.count, NULL);
	return copy_to_user(arg, &params, sizeof(params)) ? -EFAULT : ret;
}

/**
 * enclu_sgx2_ioctl() - Ioctls on an initialized enclave.
 * @encl: any
 * @command: of the ioctl
 * @arg: of the ioctl
 *
 * Context: Process context.
 * Return: 0 or -errno; -ENOTTY for what is not an SGX 2 ioctl.
 */
long enclu_sgx2_ioctl(struct enclu_enclave *encl, unsigned int command, void __user *arg)
{
	typeof(restrict_permissions) *handler;

	switch (command) {
	case SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS:
		handler = restrict_permissions;
		break;
	case SGX_IOC_ENCLAVE_MODIFY_TYPES:
		handler = modify_types;
		break;
	case SGX_IOC_ENCLAVE_REMOVE_PAGES:
		handler = remove_pages;
		break;
	default:
		return -ENOTTY;
	}
	return enclave_is_initialized(encl->enclave) ? handler(encl, arg) : -EINVAL;
}
