// SPDX-License-Identifier: GPL-2.0
/* Life of an enclave, and what it was built from. */
#include <linux/file.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "enclave.h"
#include "epc.h"
#include "lease.h"

#define SEGMENTS_AT_FIRST 16
#define SEGMENTS_MAX 65536

/**
 * enclave_alloc() - Make an empty enclave without descriptors.
 *
 * Return: the enclave with one reference, or an ERR_PTR.
 */
struct teemate_enclave *enclave_alloc(void)
{
	struct teemate_enclave *enclave = kzalloc(sizeof(*enclave), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!enclave)
		return ERR_PTR(-ENOMEM);
	ret = events_init(&enclave->events);
	if (ret) {
		kfree(enclave);
		return ERR_PTR(ret);
	}
	kref_init(&enclave->ref);
	mutex_init(&enclave->build_lock);
	mutex_init(&enclave->lock);
	xa_init_flags(&enclave->initial, XA_FLAGS_ACCOUNT);
	xa_init_flags(&enclave->live, XA_FLAGS_ACCOUNT);
	INIT_LIST_HEAD(&enclave->leases);
	enclave->ranges = RB_ROOT_CACHED;
	return enclave;
}

static void enclave_free(struct kref *ref)
{
	struct teemate_enclave *enclave = container_of(ref, struct teemate_enclave, ref);

	/* Every lease and every descriptor held a reference */
	WARN_ON_ONCE(!list_empty(&enclave->leases) || !RB_EMPTY_ROOT(&enclave->ranges.rb_root));
	epc_free_all(enclave, &enclave->live, 0, ULONG_MAX);
	epc_free_all(enclave, &enclave->initial, 0, ULONG_MAX);
	WARN_ON_ONCE(atomic_long_read(&enclave->page_count));
	xa_destroy(&enclave->live);
	xa_destroy(&enclave->initial);
	if (enclave->backing)
		fput(enclave->backing);
	events_destroy(&enclave->events);
	kvfree(enclave->segments);
	kvfree(enclave->tcs);
	kfree(enclave);
}

/**
 * enclave_put() - Drop a reference; the last one erases and frees the enclave.
 * @enclave: whose reference the caller gives up
 *
 * Context: Process context, may sleep.
 */
void enclave_put(struct teemate_enclave *enclave)
{
	kref_put(&enclave->ref, enclave_free);
}

/**
 * enclave_add_controller() - A descriptor of the enclave comes into being.
 * @enclave: that it controls
 *
 * Return: 0 (the descriptor holds a reference), or -ENODEV: the enclave ended with its last descriptor.
 */
int enclave_add_controller(struct teemate_enclave *enclave)
{
	int ret = -ENODEV;

	mutex_lock(&enclave->lock);
	if (!enclave->dead) {
		enclave->controllers++;
		kref_get(&enclave->ref);
		ret = 0;
	}
	mutex_unlock(&enclave->lock);
	return ret;
}

/**
 * enclave_drop_controller() - A descriptor of the enclave is closed.
 * @enclave: that it controlled
 *
 * With the last one nobody is left who could revoke a lease or hear of its end, so all leases end, unless
 * the enclave was set up to let them survive until a new daemon takes over.
 *
 * Context: Process context, may sleep.
 */
void enclave_drop_controller(struct teemate_enclave *enclave)
{
	bool last;

	mutex_lock(&enclave->lock);
	last = !--enclave->controllers && !(enclave->setup_flags & TEEMATE_SETUP_LEASES_SURVIVE);
	if (last)
		enclave->dead = true;
	mutex_unlock(&enclave->lock);

	if (last)
		lease_end_all(enclave);
	enclave_put(enclave);
}

/**
 * enclave_add_segment() - Remember pages that were added.
 * @enclave: being built
 * @segment: their numbers and permissions
 *
 * Context: Holds enclave.build_lock.
 * Return: 0, -ENOMEM or -ENOSPC.
 */
int enclave_add_segment(struct teemate_enclave *enclave, const struct enclave_segment *segment)
{
	lockdep_assert_held(&enclave->build_lock);
	if (enclave->segment_count) {
		struct enclave_segment *last = &enclave->segments[enclave->segment_count - 1];

		if (last->last + 1 == segment->first && last->prot == segment->prot && last->tcs == segment->tcs) {
			last->last = segment->last;
			return 0;
		}
	}

	if (enclave->segment_count == enclave->segment_capacity) {
		unsigned long capacity = enclave->segment_capacity * 2 ?: SEGMENTS_AT_FIRST;
		struct enclave_segment *more;

		if (capacity > SEGMENTS_MAX)
			return -ENOSPC;
		more = kvmalloc_array(capacity, sizeof(*more), GFP_KERNEL_ACCOUNT);
		if (!more)
			return -ENOMEM;
		memcpy(more, enclave->segments, enclave->segment_count * sizeof(*more));
		kvfree(enclave->segments);
		enclave->segments = more;
		enclave->segment_capacity = capacity;
	}
	enclave->segments[enclave->segment_count++] = *segment;
	return 0;
}

static int compare_segments(const void *a, const void *b)
{
	const struct enclave_segment *left = a, *right = b;

	return left->first < right->first ? -1 : left->first > right->first;
}

/**
 * enclave_index_segments() - Make what INIT found searchable.
 * @enclave: being initialized
 *
 * Context: Holds enclave.build_lock.
 * Return: 0 or -ENOMEM.
 */
int enclave_index_segments(struct teemate_enclave *enclave)
{
	unsigned long i, page, count = 0;

	lockdep_assert_held(&enclave->build_lock);
	sort(enclave->segments, enclave->segment_count, sizeof(*enclave->segments), compare_segments, NULL);
	for (i = 0; i < enclave->segment_count; i++)
		if (enclave->segments[i].tcs)
			count += enclave->segments[i].last - enclave->segments[i].first + 1;
	if (!count)
		return 0;

	/* On hardware the count is the driver's and may be anything: too much is an error, not worth a warning */
	enclave->tcs = kvcalloc(count, sizeof(*enclave->tcs), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!enclave->tcs)
		return -ENOMEM;
	for (i = 0; i < enclave->segment_count; i++) {
		if (!enclave->segments[i].tcs)
			continue;
		for (page = enclave->segments[i].first; page <= enclave->segments[i].last; page++)
			enclave->tcs[enclave->tcs_count++].page = page;
	}
	return 0;
}

/**
 * enclave_set_initialized() - From now on nothing is added, and leases may be made.
 * @enclave: being initialized
 *
 * Context: Holds enclave.build_lock.
 */
void enclave_set_initialized(struct teemate_enclave *enclave)
{
	lockdep_assert_held(&enclave->build_lock);
	/* pairs with enclave_is_initialized(): who sees the state sees the segments */
	smp_store_release(&enclave->state, ENCLAVE_INITIALIZED);
}

/**
 * enclave_next_segment() - Find the segment that holds a page, or the next one above it.
 * @enclave: initialized
 * @page: number of the page
 *
 * Return: the segment, or NULL if none is as high.
 */
const struct enclave_segment *enclave_next_segment(const struct teemate_enclave *enclave, unsigned long page)
{
	unsigned long low = 0, high = enclave->segment_count;

	while (low < high) {
		unsigned long middle = low + (high - low) / 2;

		if (enclave->segments[middle].last < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low < enclave->segment_count ? &enclave->segments[low] : NULL;
}

/**
 * enclave_next_tcs() - Find a TCS page, or the next one above it.
 * @enclave: initialized
 * @page: number of the page
 *
 * Return: the TCS, or NULL if none is as high.
 */
struct enclave_tcs *enclave_next_tcs(const struct teemate_enclave *enclave, unsigned long page)
{
	unsigned long low = 0, high = enclave->tcs_count;

	while (low < high) {
		unsigned long middle = low + (high - low) / 2;

		if (enclave->tcs[middle].page < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low < enclave->tcs_count ? &enclave->tcs[low] : NULL;
}
