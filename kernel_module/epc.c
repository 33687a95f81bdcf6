// SPDX-License-Identifier: GPL-2.0
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include "enclave.h"
#include "epc.h"

static unsigned long epc_pages;
module_param(epc_pages, ulong, 0644);
MODULE_PARM_DESC(epc_pages, "Size of the emulated EPC in pages (default: a quarter of the memory)");

static atomic_long_t epc_page_count = ATOMIC_LONG_INIT(0);

/**
 * epc_init() - Choose the size of the emulated EPC, if the module's parameter did not.
 */
void epc_init(void)
{
	if (!epc_pages)
		epc_pages = totalram_pages() / 4;
}

/**
 * epc_limit() - Size of the emulated EPC. The operator may change it at any time.
 *
 * Return: pages.
 */
unsigned long epc_limit(void)
{
	return READ_ONCE(epc_pages);
}

/**
 * epc_in_use() - How much of the emulated EPC is in use.
 *
 * Return: pages.
 */
long epc_in_use(void)
{
	return atomic_long_read(&epc_page_count);
}

/**
 * epc_charge() - Count one page more, unless a limit is reached.
 * @count: pages so far
 * @limit: pages at most
 *
 * Return: whether it was counted.
 */
bool epc_charge(atomic_long_t *count, u64 limit)
{
	if ((u64)atomic_long_inc_return(count) <= limit)
		return true;
	atomic_long_dec(count);
	return false;
}

/**
 * epc_alloc_page() - Take a zeroed page of the emulated EPC.
 * @enclave: that it is for
 * @limited: out: NULL was returned because of a limit, not for want of memory
 *
 * The page is charged to the memory cgroup of the calling task: the daemon's while an enclave is built,
 * the container's when it touches a page first.
 *
 * Context: May sleep, reclaim and wait for the OOM killer: hold no lock that an eviction needs.
 * Return: the page or NULL.
 */
struct page *epc_alloc_page(struct teemate_enclave *enclave, bool *limited)
{
	struct page *page;

	*limited = true;
	if (!epc_charge(&epc_page_count, epc_limit()))
		return NULL;
	if (!epc_charge(&enclave->page_count, enclave->page_limit ?: U64_MAX))
		goto uncharge_module;

	*limited = false;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (page)
		return page;

	atomic_long_dec(&enclave->page_count);
uncharge_module:
	atomic_long_dec(&epc_page_count);
	return NULL;
}

/**
 * epc_free_page() - Erase a page and give it back.
 * @enclave: that it was for
 * @page: that nothing maps any more
 */
void epc_free_page(struct teemate_enclave *enclave, struct page *page)
{
	clear_highpage(page);
	__free_page(page);
	atomic_long_dec(&enclave->page_count);
	atomic_long_dec(&epc_page_count);
}

/**
 * epc_free_all() - Erase and give back the pages of a range.
 * @enclave: that they were for
 * @pages: enclave.initial or enclave.live
 * @first: number of the first page
 * @last: number of the last page
 *
 * Context: Process context, may sleep. Nothing may map these pages or add to them.
 * Return: how many pages of memory were given back.
 */
unsigned long epc_free_all(struct teemate_enclave *enclave, struct xarray *pages, unsigned long first,
			   unsigned long last)
{
	unsigned long freed = 0;
	unsigned long number;
	void *entry;

	xa_for_each_range(pages, number, entry, first, last) {
		xa_erase(pages, number);
		if (!xa_is_value(entry)) {
			epc_free_page(enclave, entry);
			freed++;
		}
		cond_resched();
	}
	return freed;
}
