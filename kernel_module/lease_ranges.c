// SPDX-License-Identifier: GPL-2.0
/* Which pages a lease names, and that nobody else holds what is private. */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>

#include "enclave.h"
#include "lease.h"

static_assert(PROT_READ == VM_READ && PROT_WRITE == VM_WRITE && PROT_EXEC == VM_EXEC);

#define RANGE_FLAGS (TEEMATE_RANGE_PRIVATE | TEEMATE_RANGE_GROW | TEEMATE_RANGE_KEEP)

static bool range_is_valid(const struct teemate_range *range, u64 enclave_size)
{
	return range->length && !((range->offset | range->length) & ~PAGE_MASK) && range->offset < enclave_size &&
	       range->length <= enclave_size - range->offset && !(range->flags & ~RANGE_FLAGS) &&
	       (!(range->flags & TEEMATE_RANGE_KEEP) || range->flags & TEEMATE_RANGE_PRIVATE) && range->prot &&
	       !(range->prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC));
}

static int compare_ranges(const void *a, const void *b)
{
	const struct lease_range *left = a, *right = b;

	return left->node.start < right->node.start ? -1 : left->node.start > right->node.start;
}

/**
 * lease_read_ranges() - Take over the ranges that a lease is asked for.
 * @lease: unborn
 * @request: names the array in user space
 *
 * Return: 0 or -errno. The lease owns what was allocated in both cases.
 */
int lease_read_ranges(struct enclave_lease *lease, const struct teemate_lease *request)
{
	struct teemate_range *wanted;
	unsigned int i;
	int ret = 0;

	if (!request->range_count)
		return 0;
	if (request->range_count > TEEMATE_RANGES_MAX)
		return -EINVAL;
	wanted = memdup_user(u64_to_user_ptr(request->ranges), array_size(request->range_count, sizeof(*wanted)));
	if (IS_ERR(wanted))
		return PTR_ERR(wanted);
	lease->ranges = kcalloc(request->range_count, sizeof(*lease->ranges), GFP_KERNEL_ACCOUNT);
	if (!lease->ranges) {
		ret = -ENOMEM;
		goto out;
	}

	for (i = 0; i < request->range_count; i++) {
		struct lease_range *range = &lease->ranges[i];

		if (!range_is_valid(&wanted[i], lease->enclave->size)) {
			ret = -EINVAL;
			goto out;
		}
		range->node.start = wanted[i].offset >> PAGE_SHIFT;
		range->node.last = (wanted[i].offset + wanted[i].length - 1) >> PAGE_SHIFT;
		range->lease = lease;
		range->flags = wanted[i].flags;
		range->prot = wanted[i].prot;
	}
	/* Before a node is in a tree it may move */
	sort(lease->ranges, request->range_count, sizeof(*lease->ranges), compare_ranges, NULL);
	for (i = 1; i < request->range_count; i++)
		if (lease->ranges[i].node.start <= lease->ranges[i - 1].node.last)
			ret = -EINVAL;
	lease->range_count = request->range_count;
out:
	kfree(wanted);
	return ret;
}

static int compare_tcs(const void *a, const void *b)
{
	const struct enclave_tcs *const *left = a, *const *right = b;

	return *left < *right ? -1 : *left > *right;
}

/**
 * lease_read_tcs() - Take over the TCSs that a lease is asked for.
 * @lease: unborn
 * @request: names the array in user space
 *
 * Return: 0 or -errno. The lease owns what was allocated in both cases.
 */
int lease_read_tcs(struct enclave_lease *lease, const struct teemate_lease *request)
{
	u64 *wanted;
	unsigned int i;
	int ret = 0;

	if (!request->tcs_count)
		return 0;
	if (request->tcs_count > TEEMATE_TCS_MAX)
		return -EINVAL;
	wanted = vmemdup_user(u64_to_user_ptr(request->tcs), array_size(request->tcs_count, sizeof(*wanted)));
	if (IS_ERR(wanted))
		return PTR_ERR(wanted);
	lease->tcs = kvcalloc(request->tcs_count, sizeof(*lease->tcs), GFP_KERNEL_ACCOUNT);
	if (!lease->tcs) {
		ret = -ENOMEM;
		goto out;
	}

	for (i = 0; i < request->tcs_count; i++) {
		struct enclave_tcs *tcs = enclave_next_tcs(lease->enclave, wanted[i] >> PAGE_SHIFT);

		if (wanted[i] & ~PAGE_MASK || !tcs || tcs->page != wanted[i] >> PAGE_SHIFT) {
			ret = -EINVAL;
			goto out;
		}
		lease->tcs[i] = tcs;
	}
	sort(lease->tcs, request->tcs_count, sizeof(*lease->tcs), compare_tcs, NULL);
	for (i = 1; i < request->tcs_count; i++)
		if (lease->tcs[i] == lease->tcs[i - 1])
			ret = -EINVAL;
	lease->tcs_count = request->tcs_count;
out:
	kvfree(wanted);
	return ret;
}

/* Is a range of another live lease in the way, one of the two being private? */
static bool range_is_taken(struct teemate_enclave *enclave, unsigned long first, unsigned long last, bool private)
{
	struct interval_tree_node *node;

	for (node = interval_tree_iter_first(&enclave->ranges, first, last); node;
	     node = interval_tree_iter_next(node, first, last))
		if (private || container_of(node, struct lease_range, node)->flags & TEEMATE_RANGE_PRIVATE)
			return true;
	return false;
}

static bool range_has_held_tcs(const struct teemate_enclave *enclave, const struct lease_range *range)
{
	const struct enclave_tcs *end = enclave->tcs + enclave->tcs_count;
	const struct enclave_tcs *tcs = enclave_next_tcs(enclave, range->node.start);

	for (; tcs && tcs < end && tcs->page <= range->node.last; tcs++)
		if (tcs->holder)
			return true;
	return false;
}

/* A TCS is exclusive by itself; a range that others share around it does not stand in the way. */
static bool tcs_is_taken(struct teemate_enclave *enclave, const struct enclave_tcs *tcs)
{
	return tcs->holder || range_is_taken(enclave, tcs->page, tcs->page, false);
}

/**
 * lease_occupy() - Enter a lease's pages in the enclave's books, if nobody else holds them.
 * @lease: unborn
 *
 * Context: Holds enclave.lock.
 * Return: 0 or -EBUSY.
 */
int lease_occupy(struct enclave_lease *lease)
{
	struct teemate_enclave *enclave = lease->enclave;
	unsigned int i;

	lockdep_assert_held(&enclave->lock);
	for (i = 0; i < lease->range_count; i++) {
		struct lease_range *range = &lease->ranges[i];
		bool private = range->flags & TEEMATE_RANGE_PRIVATE;

		if (range_is_taken(enclave, range->node.start, range->node.last, private) ||
		    (private && range_has_held_tcs(enclave, range)))
			return -EBUSY;
	}
	for (i = 0; i < lease->tcs_count; i++)
		if (tcs_is_taken(enclave, lease->tcs[i]))
			return -EBUSY;

	for (i = 0; i < lease->range_count; i++)
		interval_tree_insert(&lease->ranges[i].node, &enclave->ranges);
	for (i = 0; i < lease->tcs_count; i++)
		WRITE_ONCE(lease->tcs[i]->holder, lease);
	return 0;
}

/**
 * lease_vacate() - Strike a lease's pages off the enclave's books: others may have them now.
 * @lease: that lease_occupy() entered, ended and erased
 *
 * Context: Holds enclave.lock.
 */
void lease_vacate(struct enclave_lease *lease)
{
	unsigned int i;

	lockdep_assert_held(&lease->enclave->lock);
	for (i = 0; i < lease->range_count; i++)
		interval_tree_remove(&lease->ranges[i].node, &lease->enclave->ranges);
	for (i = 0; i < lease->tcs_count; i++)
		WRITE_ONCE(lease->tcs[i]->holder, NULL);
}

/**
 * lease_range_at() - Find the range of a lease that holds a page.
 * @lease: any
 * @page: its number
 *
 * Return: the range or NULL.
 */
const struct lease_range *lease_range_at(const struct enclave_lease *lease, unsigned long page)
{
	unsigned int low = 0, high = lease->range_count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		const struct lease_range *range = &lease->ranges[middle];

		if (page < range->node.start)
			high = middle;
		else if (page > range->node.last)
			low = middle + 1;
		else
			return range;
	}
	return NULL;
}

/**
 * lease_holds_tcs() - Is a page a TCS that a lease holds?
 * @lease: live: so its TCSs name it as their holder
 * @page: its number
 *
 * Return: whether it is.
 */
bool lease_holds_tcs(const struct enclave_lease *lease, unsigned long page)
{
	const struct enclave_tcs *tcs = enclave_next_tcs(lease->enclave, page);

	return tcs && tcs->page == page && READ_ONCE(tcs->holder) == lease;
}

/* All of the range leased, TCS pages only if held by this lease? */
static int check_coverage(const struct enclave_lease *lease, unsigned long first, unsigned long last,
			  unsigned long *prot_max)
{
	const struct enclave_tcs *end = lease->enclave->tcs + lease->enclave->tcs_count;
	const struct enclave_tcs *tcs = enclave_next_tcs(lease->enclave, first);
	unsigned long page = first;

	for (; tcs && tcs < end && tcs->page <= last; tcs++)
		if (READ_ONCE(tcs->holder) != lease)
			return -EACCES;

	while (page <= last) {
		const struct lease_range *range = lease_range_at(lease, page);

		if (range) {
			*prot_max &= range->prot;
			page = range->node.last;
		} else if (lease_holds_tcs(lease, page)) {
			*prot_max &= VM_READ | VM_WRITE;
		} else {
			return -EACCES;
		}
		page++;
	}
	return 0;
}

/**
 * lease_may_map() - May the holder of a lease map pages so?
 * @lease: live
 * @first: number of the first page
 * @last: number of the last page
 * @prot: VM_READ, VM_WRITE and VM_EXEC as wanted
 * @prot_max: out: what the lease allows at most in this range
 *
 * As the SGX driver's sgx_encl_may_map(): no more than the SECINFO of each page that the enclave was built
 * with allows. Pages that appear later may have any permissions that the range allows.
 *
 * Return: 0 or -EACCES.
 */
int lease_may_map(const struct enclave_lease *lease, unsigned long first, unsigned long last, unsigned long prot,
		  unsigned long *prot_max)
{
	const struct teemate_enclave *enclave = lease->enclave;
	const struct enclave_segment *end = enclave->segments + enclave->segment_count;
	const struct enclave_segment *segment = enclave_next_segment(enclave, first);
	int ret;

	*prot_max = VM_READ | VM_WRITE | VM_EXEC;
	ret = check_coverage(lease, first, last, prot_max);
	if (ret)
		return ret;
	if (prot & ~*prot_max)
		return -EACCES;
	for (; segment && segment < end && segment->first <= last; segment++)
		if (prot & ~(unsigned long)segment->prot)
			return -EACCES;
	return 0;
}
