// SPDX-License-Identifier: GPL-2.0
/* EDBGWR for emulated EPC: what the software model's loader changes in an enclave that nobody has leased yet. */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "enclave.h"
#include "epc.h"
#include "user_struct.h"

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
	if (enclave->last_lease_id)
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
