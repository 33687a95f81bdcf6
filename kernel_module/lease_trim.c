// SPDX-License-Identifier: GPL-2.0
/* What a container gives back of its lease before the end. */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include "enclave.h"
#include "epc.h"
#include "lease.h"

/* Only pages of private ranges can be given back, and none that was added with content: it would come back. */
static int check_trim(const struct enclave_lease *lease, unsigned long first, unsigned long last)
{
	unsigned long page = first;
	void *entry;

	while (page <= last) {
		const struct lease_range *range = lease_range_at(lease, page);

		if (!range || !(range->flags & TEEMATE_RANGE_PRIVATE))
			return -EACCES;
		page = range->node.last + 1;
	}
	xa_for_each_range(&lease->enclave->initial, page, entry, first, last) {
		if (!xa_is_value(entry))
			return -EINVAL;
		cond_resched();
	}
	return 0;
}

/* How many pages in a range did this lease add? Others were parked there by an earlier one. */
static long count_charged(struct enclave_lease *lease, unsigned long first, unsigned long last)
{
	unsigned long number;
	struct page *page;
	long count = 0;

	xa_for_each_range(&lease->enclave->live, number, page, first, last) {
		count += page_private(page) == lease->id;
		cond_resched();
	}
	return count;
}

/**
 * lease_trim() - Give pages back: they read as zero when touched again.
 * @lease: any
 * @offset: from the enclave's base
 * @length: in bytes
 *
 * Return: 0 or -errno.
 */
long lease_trim(struct enclave_lease *lease, loff_t offset, loff_t length)
{
	struct teemate_enclave *enclave = lease->enclave;
	unsigned long first = offset >> PAGE_SHIFT;
	unsigned long last = (offset + length - 1) >> PAGE_SHIFT;
	long ret;

	if (!enclave_is_emulated(enclave))
		return -EOPNOTSUPP;
	if ((offset | length) & ~PAGE_MASK)
		return -EINVAL;
	ret = check_trim(lease, first, last);
	if (ret)
		return ret;

	down_write(&lease->lock);
	if (lease->state == LEASE_LIVE) {
		unmap_mapping_range(lease->inode->i_mapping, offset, length, 1);
		atomic_long_sub(count_charged(lease, first, last), &lease->page_count);
		epc_free_all(enclave, &enclave->live, first, last);
	} else {
		ret = -EKEYREVOKED;
	}
	up_write(&lease->lock);
	return ret;
}
