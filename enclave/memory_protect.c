// SPDX-License-Identifier: Apache-2.0
/* Change the permissions of mapped memory. */
#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/mman.h>

#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory.h"
#include "memory_internal.h"
#include "memory_table.h"

/* The permissions of pages on the host. Those that are still to be loaded get theirs when they are. */
static long protect_entry(struct compartment *compartment, const struct vma *entry, uint64_t start, uint64_t end,
                          uint32_t prot)
{
    uint64_t *map = dirty_map(compartment);
    uint64_t first = page_of(compartment, start), last = page_of(compartment, end), run_first, run_end;
    if (!entry->backing) {
        if (prot & PROT_WRITE)
            dirty_map_set(map, first, last);
        return host_protect(start - compartment->base, end - start, prot, 0);
    }
    long result = 0;
    for (; !result && dirty_map_run(map, first, last, &run_first, &run_end); first = run_end)
        result = host_protect(run_first * PAGE_SIZE, (run_end - run_first) * PAGE_SIZE, prot, 0);
    return result;
}

static long protect_pages(struct compartment *compartment, uint64_t start, uint64_t end, uint32_t prot)
{
    const struct vma_table *vmas = &compartment->memory.vmas;
    long result = 0;
    for (uint32_t i = vma_search(vmas, start); !result && start < end; i++) {
        const struct vma *entry = &vmas->entries[i];
        uint64_t stop = entry->end < end ? entry->end : end;
        result = protect_entry(compartment, entry, start, stop, prot);
        start = stop;
    }
    return result;
}

long memory_protect_locked(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot)
{
    struct memory *memory = &compartment->memory;
    uint64_t end = address + size;
    if (!vma_covers(&memory->vmas, address, end) || !vma_has_room(&memory->vmas))
        return -ENOMEM;

    long result = 0;
    if (!in_app_area(compartment, address, size)) {
        /* Host memory: its code could be changed under the program's feet, so it is never executable. */
        if (prot & PROT_EXEC)
            return -EACCES;
        result = host_syscall(__NR_mprotect, address, size, prot, 0, 0, 0);
        return result ? result : memory_table_protect(compartment, address, end, prot);
    }

    uint64_t before = vma_committed(&memory->vmas, address, end), after = prot ? size : 0;
    result = memory_charge_locked(compartment, after, before);
    if (result)
        return result;
    result = protect_pages(compartment, address, end, prot);
    if (result) {
        memory->committed = memory->committed - after + before;
        return result;
    }
    return memory_table_protect(compartment, address, end, prot);
}

long memory_protect(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot)
{
    spin_lock(&compartment->memory.lock);
    long result = memory_protect_locked(compartment, address, size, prot);
    spin_unlock(&compartment->memory.lock);
    return result;
}
