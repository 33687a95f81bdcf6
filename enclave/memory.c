// SPDX-License-Identifier: Apache-2.0
/* The program's memory as a whole: its start, the limit of its pool, and erasing. */
#include "memory.h"

#include <asm/errno.h>
#include <linux/mman.h>

#include "accept.h"
#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory_internal.h"
#include "string.h"

void memory_init(struct compartment *compartment, uint64_t limit)
{
    struct memory *memory = &compartment->memory;
    memory->vmas.entries = (struct vma *)(compartment->base + VMAS_OFFSET);
    memory->vmas.count = 0;
    memory->vmas.capacity = VMAS_SIZE / sizeof(struct vma) - VMA_TABLE_SLACK;
    memory->committed = 0;
    memory->limit = limit;
    memory->limit_logged = 0;
    memory->fill_refused = (uint32_t)enclu_is_real(); /* with real ENCLU pages come empty, or by EACCEPTCOPY */
    memory->fill_tried = 0;
    memory->stale = 0;
    memory->brk_start = memory->brk = compartment->base + APP_CODE_END;
    memory->map_low = compartment->base + APP_OFFSET;
    memory->map_high = compartment->base + APP_END;
}

long memory_charge_locked(struct compartment *compartment, uint64_t added, uint64_t removed)
{
    struct memory *memory = &compartment->memory;
    uint64_t committed = memory->committed - removed + added;
    if (added > removed && committed > memory->limit) {
        if (!memory->limit_logged)
            host_log(
                0,
                "out of memory: the program asked for %lu more bytes, and has %lu of the %lu that its pool allows; "
                "raise the pool's `memory`",
                added - removed, memory->committed, memory->limit);
        memory->limit_logged = 1;
        return -ENOMEM;
    }
    memory->committed = committed;
    return 0;
}

/* Zero what may hold data, without the host's help. The pages have `prot` there, and keep it. */
static long zero_in_place(struct compartment *compartment, uint64_t first, uint64_t end, uint32_t prot)
{
    uint64_t offset = first * PAGE_SIZE, size = (end - first) * PAGE_SIZE, run_first, run_end;
    if (!(prot & PROT_WRITE)) {
        long result = host_protect(offset, size, PROT_READ | PROT_WRITE, 0);
        if (result)
            return result;
    }
    for (; dirty_map_run(dirty_map(compartment), first, end, &run_first, &run_end); first = run_end)
        memset((void *)(compartment->base + run_first * PAGE_SIZE), 0, (run_end - run_first) * PAGE_SIZE);
    return prot & PROT_WRITE ? 0 : host_protect(offset, size, prot, 0);
}

long memory_zero_locked(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot)
{
    uint64_t *map = dirty_map(compartment);
    uint64_t first = page_of(compartment, address), end = first + size / PAGE_SIZE;
    uint64_t dirty = dirty_map_count(map, first, end) * PAGE_SIZE;
    int writable = !!(prot & PROT_WRITE);
    if (!dirty)
        return 0;
    if (writable && dirty <= ZERO_IN_PLACE_MAX)
        return zero_in_place(compartment, first, end, prot);
    if (host_trim(first * PAGE_SIZE, size))
        return zero_in_place(compartment, first, end, prot);
    if (!writable)
        dirty_map_clear(map, first, end);
    return 0;
}
