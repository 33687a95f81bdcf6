/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a vfork child runs, two host processes map the compartment, each with permissions of its own, and what one
 * changes (mprotect, a page loaded on demand) the other does not see. So where our table permits an access that
 * faulted, this process's permissions are brought up to date.
 */
#include <linux/mman.h>

#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory_internal.h"

/* Of a file mapping only what is loaded is accessible: the run of such pages around the address. */
static void clip_to_loaded(struct compartment *compartment, uint64_t address, uint64_t *start, uint64_t *end)
{
    uint64_t low = page_of(compartment, address), high = low;
    while (low > page_of(compartment, *start) && is_loaded(compartment, low - 1))
        low--;
    while (high < page_of(compartment, *end) && is_loaded(compartment, high))
        high++;
    *start = compartment->base + low * PAGE_SIZE;
    *end = compartment->base + high * PAGE_SIZE;
}

/* The end of what is now accessible as the table says; 0 if there was nothing to repair. */
static uint64_t repair_locked(struct compartment *compartment, uint64_t address, uint32_t access)
{
    const struct vma_table *vmas = &compartment->memory.vmas;
    uint32_t index = vma_search(vmas, address);
    if (index == vmas->count || vmas->entries[index].start > address)
        return 0;
    const struct vma *entry = &vmas->entries[index];
    uint64_t start = entry->start, end = entry->end;
    if (entry->kind != VMA_PRIVATE || !vma_permits(entry, access))
        return 0;
    if (entry->backing)
        clip_to_loaded(compartment, address, &start, &end);
    if (start >= end || host_protect(start - compartment->base, end - start, entry->prot, 0))
        return 0;
    return end;
}

int memory_repair(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t access)
{
    uint64_t end = address + size;
    int repaired = 0;
    if (!compartment->vfork_count)
        return 0;
    spin_lock(&compartment->memory.lock);
    while (address < end) {
        uint64_t next = repair_locked(compartment, address, access);
        repaired |= next != 0;
        address = next ? next : PAGE_ALIGN_DOWN(address) + PAGE_SIZE;
    }
    spin_unlock(&compartment->memory.lock);
    return repaired;
}
