// SPDX-License-Identifier: Apache-2.0
/* The program's memory as a whole: its start, the limit of its pool, and erasing. */
#include "memory.h"

#include <asm/errno.h>

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
    memory->fill_refused = 0;
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

long memory_zero_locked(struct compartment *compartment, uint64_t address, uint64_t size, int writable)
{
    uint64_t *map = dirty_map(compartment);
    uint64_t first = page_of(compartment, address), end = first + size / PAGE_SIZE;
    uint64_t dirty = dirty_map_count(map, first, end) * PAGE_SIZE;
    if (!dirty)
        return 0;
    if (!writable || dirty > ZERO_IN_PLACE_MAX) {
        long result = host_trim(address - compartment->base, size);
        if (!result && !writable)
            dirty_map_clear(map, first, end);
        return result;
    }
    uint64_t run_first, run_end;
    for (; dirty_map_run(map, first, end, &run_first, &run_end); first = run_end)
        memset((void *)(compartment->base + run_first * PAGE_SIZE), 0, (run_end - run_first) * PAGE_SIZE);
    return 0;
}
