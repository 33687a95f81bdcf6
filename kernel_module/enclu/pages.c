// SPDX-License-Identifier: GPL-2.0
/* The EPC pages of an enclave: where they come from, and where they go. */
#include <linux/slab.h>

#include "../epc.h"
#include "enclu.h"

static const struct enclave_segment *segment_of(const struct enclu_enclave *encl, unsigned long number)
{
	const struct enclave_segment *segment = enclave_next_segment(encl->enclave, number);

	return segment && segment->first <= number ? segment : NULL;
}

/**
 * enclu_page_is_added() - Is this a page that was added before EINIT and not needed since?
 * @encl: initialized
 * @number: of the page
 *
 * Context: Any.
 * Return: whether enclu_load_page() would find it.
 */
bool enclu_page_is_added(const struct enclu_enclave *encl, unsigned long number)
{
	return xa_load(&encl->enclave->initial, number);
}

/**
 * epc_entry_access() - What may be done with a page.
 * @entry: of the page
 *
 * Context: Holds xa_lock of the enclave's pages, or its lock.
 * Return: VM_READ | VM_WRITE | VM_EXEC.
 */
u8 epc_entry_access(const struct epc_entry *entry)
{
	return entry->type == SGX_PAGE_TYPE_REG && !entry->pending && !entry->modified ? entry->prot : 0;
}

/* An entry, and a page of zeros unless there is one already */
static struct epc_entry *new_entry(struct enclu_enclave *encl, struct page *page)
{
	struct epc_entry *entry = kzalloc(sizeof(*entry), GFP_KERNEL_ACCOUNT);
	bool limited;

	if (!entry)
		return NULL;
	entry->page = page ?: epc_alloc_page(encl->enclave, &limited);
	if (entry->page)
		return entry;
	kfree(entry);
	return NULL;
}

static int publish(struct enclu_enclave *encl, unsigned long number, struct epc_entry *entry)
{
	return xa_insert_irq(&encl->pages, number, entry, GFP_KERNEL_ACCOUNT);
}

/**
 * enclu_load_page() - Find a page, and bring it here if it was added but not needed so far.
 * @encl: initialized
 * @number: of the page
 *
 * Context: Process context, holds encl->lock. Allocates.
 * Return: the entry, valid while the lock is held; NULL: no such page; -ENOMEM.
 */
struct epc_entry *enclu_load_page(struct enclu_enclave *encl, unsigned long number)
{
	struct epc_entry *entry = xa_load(&encl->pages, number);
	const struct enclave_segment *segment;
	void *added;
	int ret;

	lockdep_assert_held(&encl->lock);
	if (entry)
		return entry;
	added = xa_load(&encl->enclave->initial, number);
	segment = segment_of(encl, number);
	if (!added || WARN_ON_ONCE(!segment))
		return NULL;

	entry = new_entry(encl, xa_is_value(added) ? NULL : added);
	if (!entry)
		return ERR_PTR(-ENOMEM);
	entry->type = segment->tcs ? SGX_PAGE_TYPE_TCS : SGX_PAGE_TYPE_REG;
	entry->prot = segment->tcs ? 0 : segment->prot;
	entry->prot_max = segment->prot;
	ret = publish(encl, number, entry);
	if (ret) {
		if (xa_is_value(added))
			epc_free_page(encl->enclave, entry->page);
		kfree(entry);
		return ERR_PTR(ret);
	}
	/* The page has changed hands */
	xa_erase(&encl->enclave->initial, number);
	return entry;
}

/**
 * enclu_augment_page() - EAUG: add a page of zeros to an initialized enclave.
 * @encl: initialized
 * @number: of the page, which is not there
 *
 * Context: Process context, holds encl->lock. Allocates.
 * Return: the entry or -ENOMEM.
 */
struct epc_entry *enclu_augment_page(struct enclu_enclave *encl, unsigned long number)
{
	struct epc_entry *entry = new_entry(encl, NULL);
	int ret;

	lockdep_assert_held(&encl->lock);
	if (!entry)
		return ERR_PTR(-ENOMEM);
	entry->type = SGX_PAGE_TYPE_REG;
	entry->prot = VM_READ | VM_WRITE;
	entry->prot_max = VM_READ | VM_WRITE | VM_EXEC;
	entry->pending = true;
	ret = publish(encl, number, entry);
	if (!ret)
		return entry;
	epc_entry_free(encl, entry);
	return ERR_PTR(ret);
}

/**
 * enclu_detach_page() - The first half of EREMOVE: the page is the enclave's no more.
 * @encl: any
 * @number: of a page that the enclave has given up
 *
 * What is left is to take it out of all page tables, and then to erase and free it.
 *
 * Context: Process context, holds encl->lock.
 * Return: 0, or -EBUSY: a thread is inside by this TCS, or leaves its state in this page when it comes out.
 */
int enclu_detach_page(struct enclu_enclave *encl, unsigned long number)
{
	struct epc_entry *entry;
	int ret = -EBUSY;

	lockdep_assert_held(&encl->lock);
	xa_lock_irq(&encl->pages);
	entry = xa_load(&encl->pages, number);
	/* pairs with epc_entry_unpin() */
	if (!atomic_read_acquire(&entry->pins)) {
		__xa_erase(&encl->pages, number);
		ret = 0;
	}
	xa_unlock_irq(&encl->pages);
	return ret;
}

/**
 * epc_entry_free() - Erase and give back a page.
 * @encl: that it was of
 * @entry: of the page, which nothing maps and nobody can find any more
 */
void epc_entry_free(struct enclu_enclave *encl, struct epc_entry *entry)
{
	epc_free_page(encl->enclave, entry->page);
	kfree(entry);
}

/**
 * enclu_free_pages() - Erase and give back all pages that got here.
 * @encl: that nobody uses any more
 */
void enclu_free_pages(struct enclu_enclave *encl)
{
	struct epc_entry *entry;
	unsigned long number;

	xa_for_each(&encl->pages, number, entry) {
		epc_entry_free(encl, entry);
		cond_resched();
	}
	xa_destroy(&encl->pages);
}
