// SPDX-License-Identifier: Apache-2.0
/*
 * Loading pages of file mappings when they are touched: most of a library never is. The bytes come from a host
 * mapping of the file (vma.backing), so that the program may close its descriptor.
 */
#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/mman.h>

#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory_internal.h"

/* The entry that may load the address. */
static const struct vma *backed_entry(const struct compartment *compartment, uint64_t address)
{
    const struct vma_table *vmas = &compartment->memory.vmas;
    uint32_t index = vma_search(vmas, address);
    if (index == vmas->count || vmas->entries[index].start > address || !vmas->entries[index].backing)
        return NULL;
    return &vmas->entries[index];
}

/* The tables that a dynamic linker goes to and fro in: the first segment of a library */
static int is_table(const struct vma *entry)
{
    return entry->prot == PROT_READ && entry->end - entry->start <= LOAD_TABLE_MAX;
}

/* Load the page and its neighbours, as far as they are in its group and not loaded yet. 0 or -errno. */
static long load_group(struct compartment *compartment, const struct vma *entry, uint64_t address)
{
    uint64_t size = is_table(entry) ? LOAD_TABLE_MAX : LOAD_SIZE;
    uint64_t group = address & ~(size - 1), group_end = group + size;
    uint64_t first = page_of(compartment, group > entry->start ? group : entry->start);
    uint64_t last = page_of(compartment, group_end < entry->end ? group_end : entry->end);
    uint64_t low = page_of(compartment, address), high = low + 1;
    while (low > first && !is_loaded(compartment, low - 1))
        low--;
    while (high < last && !is_loaded(compartment, high))
        high++;

    uint64_t offset = low * PAGE_SIZE, source = entry->backing + (compartment->base + offset - entry->start);
    /* first, since the process may be killed in between, and what it leaves must be found by the scrub */
    dirty_map_set(dirty_map(compartment), low, high);
    long filled = host_fill(offset, (high - low) * PAGE_SIZE, source, entry->prot);
    uint64_t end = low + (filled > 0 ? (uint64_t)filled / PAGE_SIZE : 0);
    dirty_map_clear(dirty_map(compartment), end, high);
    if (filled < 0)
        return filled;
    return page_of(compartment, address) < end ? 0 : -EIO; /* beyond the end of the file */
}

long memory_try_load(struct compartment *compartment, uint64_t address)
{
    spin_lock(&compartment->memory.lock);
    const struct vma *entry = backed_entry(compartment, address);
    long result = entry ? load_group(compartment, entry, address) : 0;
    spin_unlock(&compartment->memory.lock);
    return result;
}

enum memory_fault memory_fault(struct compartment *compartment, uint64_t address, uint32_t access)
{
    enum memory_fault result = MEMORY_FAULT_BAD;
    spin_lock(&compartment->memory.lock);
    const struct vma *entry = backed_entry(compartment, address);
    if (entry && vma_permits(entry, access)) {
        result = MEMORY_FAULT_LOADED; /* perhaps by another thread that met the same fault */
        if (!is_loaded(compartment, page_of(compartment, address)) && load_group(compartment, entry, address))
            result = MEMORY_FAULT_NO_FILE;
    }
    spin_unlock(&compartment->memory.lock);
    return result;
}

int memory_load(struct compartment *compartment, uint64_t address, uint64_t size)
{
    const struct vma_table *vmas = &compartment->memory.vmas;
    uint64_t end = address + size;
    int loaded = 0;
    if (end < address)
        return 0;
    spin_lock(&compartment->memory.lock);
    for (uint32_t i = vma_search(vmas, address); i < vmas->count && vmas->entries[i].start < end; i++) {
        const struct vma *entry = &vmas->entries[i];
        uint64_t at = PAGE_ALIGN_DOWN(entry->start > address ? entry->start : address);
        if (!entry->backing || !entry->prot)
            continue;
        for (; at < end && at < entry->end; at += PAGE_SIZE)
            if (!is_loaded(compartment, page_of(compartment, at)) && !load_group(compartment, entry, at))
                loaded = 1;
    }
    spin_unlock(&compartment->memory.lock);
    return loaded;
}

long memory_map_backing(int fd, uint64_t offset, uint64_t size)
{
    long result = host_syscall(__NR_mmap, 0, size, PROT_READ, MAP_PRIVATE, (uint64_t)fd, offset);
    return result < 0 || memory_plausible_host_mapping((uint64_t)result, size) ? result : -EIO;
}
