// SPDX-License-Identifier: Apache-2.0
/* Unmap memory, by itself or under a new mapping; its pages are given back in larger lots. */
#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/mman.h>

#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory.h"
#include "memory_internal.h"
#include "memory_table.h"

/* The part of an entry that lies in a range. */
struct part {
    uint64_t start, end;
};

static struct part part_of(const struct vma *entry, uint64_t start, uint64_t end)
{
    return (struct part){entry->start > start ? entry->start : start, entry->end < end ? entry->end : end};
}

void memory_release_backing(const struct vma *entry, uint64_t start, uint64_t end)
{
    if (entry->backing)
        host_syscall(__NR_munmap, entry->backing + (start - entry->start), end - start, 0, 0, 0, 0);
}

uint64_t memory_dirty_size(const struct compartment *compartment, uint64_t start, uint64_t end)
{
    return dirty_map_count(dirty_map(compartment), page_of(compartment, start), page_of(compartment, end)) * PAGE_SIZE;
}

/* Are there pages of the entry in the range that the host lets the program touch? */
static int is_accessible(const struct compartment *compartment, const struct vma *entry, uint64_t start, uint64_t end)
{
    if (entry->kind != VMA_PRIVATE || !entry->prot)
        return 0;
    return !entry->backing || memory_dirty_size(compartment, start, end) > 0;
}

int memory_release_replaced_locked(struct compartment *compartment, uint64_t start, uint64_t end)
{
    const struct vma_table *vmas = &compartment->memory.vmas;
    int accessible = 0;
    for (uint32_t i = vma_search(vmas, start); i < vmas->count && vmas->entries[i].start < end; i++) {
        const struct vma *entry = &vmas->entries[i];
        struct part part = part_of(entry, start, end);
        accessible |= is_accessible(compartment, entry, part.start, part.end);
        memory_release_backing(entry, part.start, part.end);
    }
    return accessible;
}

/* Give back the pages of memory that is mapped no more. */
static void sweep_stale(struct compartment *compartment)
{
    struct memory *memory = &compartment->memory;
    uint64_t *map = dirty_map(compartment);
    uint64_t high = compartment->base + APP_END;
    uint64_t start = compartment->base + APP_OFFSET;
    for (uint32_t i = vma_search(&memory->vmas, start); start < high; i++) {
        const struct vma *next =
            i < memory->vmas.count && memory->vmas.entries[i].start < high ? &memory->vmas.entries[i] : NULL;
        uint64_t first = page_of(compartment, start), end = page_of(compartment, next ? next->start : high);
        uint64_t run_first, run_end;
        for (; dirty_map_run(map, first, end, &run_first, &run_end); first = run_end)
            if (!host_trim(run_first * PAGE_SIZE, (run_end - run_first) * PAGE_SIZE))
                dirty_map_clear(map, run_first, run_end);
        start = next ? next->end : high;
    }
    memory->stale = 0;
}

/* Take the program's access to its private memory in the range. */
static long hide_range(struct compartment *compartment, uint64_t start, uint64_t end)
{
    const struct vma_table *vmas = &compartment->memory.vmas;
    uint64_t low = 0, high = 0;
    for (uint32_t i = vma_search(vmas, start); i < vmas->count && vmas->entries[i].start < end; i++) {
        struct part part = part_of(&vmas->entries[i], start, end);
        if (!is_accessible(compartment, &vmas->entries[i], part.start, part.end))
            continue;
        low = low ? low : part.start;
        high = part.end;
    }
    return high > low ? host_protect(low - compartment->base, high - low, PROT_NONE, 0) : 0;
}

static void release_range(struct compartment *compartment, uint64_t start, uint64_t end)
{
    struct memory *memory = &compartment->memory;
    const struct vma_table *vmas = &memory->vmas;
    for (uint32_t i = vma_search(vmas, start); i < vmas->count && vmas->entries[i].start < end; i++) {
        const struct vma *entry = &vmas->entries[i];
        struct part part = part_of(entry, start, end);
        if (entry->kind == VMA_SHARED) {
            host_syscall(__NR_munmap, part.start, part.end - part.start, 0, 0, 0, 0);
            continue;
        }
        memory_release_backing(entry, part.start, part.end);
        memory->stale += memory_dirty_size(compartment, part.start, part.end);
    }
}

long memory_unmap_locked(struct compartment *compartment, uint64_t address, uint64_t size)
{
    struct memory *memory = &compartment->memory;
    uint64_t end = address + size;
    if (!vma_can_clear(&memory->vmas, address, end))
        return -ENOMEM;
    long result = hide_range(compartment, address, end);
    if (result)
        return result;
    release_range(compartment, address, end);
    memory->committed -= vma_committed(&memory->vmas, address, end);
    memory_table_clear(compartment, address, end); /* cannot fail: asked above */
    if (memory->stale > STALE_SIZE_MAX)
        sweep_stale(compartment);
    return 0;
}

long memory_unmap(struct compartment *compartment, uint64_t address, uint64_t size)
{
    spin_lock(&compartment->memory.lock);
    long result = memory_unmap_locked(compartment, address, size);
    spin_unlock(&compartment->memory.lock);
    return result;
}
