// SPDX-License-Identifier: Apache-2.0
/* Erasing: the whole of the program's memory (execve, scrub), or the content of a range (madvise). */
#include <asm/errno.h>
#include <linux/mman.h>

#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory_internal.h"
#include "string.h"

/* Pages that nobody maps any more. */
static long erase(const struct compartment *compartment, uint64_t offset, uint64_t size)
{
    if (!host_trim(offset, size))
        return 0;
    long result = host_protect(offset, size, PROT_READ | PROT_WRITE, 0);
    if (!result)
        memset((void *)(compartment->base + offset), 0, size);
    return result;
}

uint64_t memory_reset(struct compartment *compartment)
{
    struct memory *memory = &compartment->memory;
    uint64_t *map = dirty_map(compartment);
    uint64_t first = APP_OFFSET / PAGE_SIZE, end = APP_END / PAGE_SIZE, erased = 0;
    uint64_t run_first, run_end;

    spin_lock(&memory->lock);
    for (; dirty_map_run(map, first, end, &run_first, &run_end); first = run_end) {
        if (erase(compartment, run_first * PAGE_SIZE, (run_end - run_first) * PAGE_SIZE)) {
            /* Whoever comes next must not find this: the compartment ends here. */
            host_log(0,
                     "the host neither takes back nor makes writable the pages of compartment %u: it cannot be erased",
                     compartment->index);
            host_exit_group(1);
        }
        dirty_map_clear(map, run_first, run_end);
        erased += run_end - run_first;
    }
    /* Shared mappings were the host process's, and ended with it. */
    memory->vmas.count = 0;
    memory_init(compartment, memory->limit);
    spin_unlock(&memory->lock);
    return erased;
}

/* Pages of a file that are loaded anew when they are touched again. */
static long unload(struct compartment *compartment, uint64_t start, uint64_t end, uint32_t prot)
{
    uint64_t *map = dirty_map(compartment);
    uint64_t first = (start - compartment->base) / PAGE_SIZE, last = (end - compartment->base) / PAGE_SIZE;
    uint64_t run_first, run_end;
    for (; dirty_map_run(map, first, last, &run_first, &run_end); first = run_end) {
        uint64_t offset = run_first * PAGE_SIZE, size = (run_end - run_first) * PAGE_SIZE;
        long result = host_protect(offset, size, PROT_NONE, 0);
        if (!result && (result = host_trim(offset, size)))
            host_protect(offset, size, prot, 0); /* it is still there, then */
        if (result)
            return result;
        dirty_map_clear(map, run_first, run_end);
    }
    return 0;
}

long memory_discard(struct compartment *compartment, uint64_t address, uint64_t size)
{
    const struct vma_table *vmas = &compartment->memory.vmas;
    uint64_t end = address + size;
    spin_lock(&compartment->memory.lock);
    long result = vma_covers(vmas, address, end) ? 0 : -ENOMEM;
    for (uint32_t i = vma_search(vmas, address); i < vmas->count && vmas->entries[i].start < end; i++) {
        const struct vma *entry = &vmas->entries[i];
        if (entry->kind != VMA_PRIVATE || (!(entry->flags & MAP_ANONYMOUS) && !entry->backing))
            continue;
        uint64_t from = entry->start > address ? entry->start : address;
        uint64_t to = entry->end < end ? entry->end : end;
        long error = entry->backing ? unload(compartment, from, to, entry->prot)
                                    : memory_zero_locked(compartment, from, to - from, entry->prot);
        if (error)
            result = error;
    }
    spin_unlock(&compartment->memory.lock);
    return result;
}
