// SPDX-License-Identifier: Apache-2.0
#include "vma.h"

#include <asm/errno.h>
#include <stddef.h>

#include "string.h"

/* Replace `removed` entries at `index` by `added` others. The caller has checked the capacity. */
static void splice(struct vma_table *table, uint32_t index, uint32_t removed, const struct vma *entries, uint32_t added)
{
    struct vma *at = table->entries + index;
    memmove(at + added, at + removed, (table->count - index - removed) * sizeof *at);
    for (uint32_t i = 0; i < added; i++)
        at[i] = entries[i];
    table->count += added - removed;
}

static int alike(const struct vma *low, const struct vma *high)
{
    if (low->end != high->start || low->prot != high->prot || low->kind != high->kind || low->flags != high->flags)
        return 0;
    return low->backing ? high->backing == low->backing + (low->end - low->start) : !high->backing;
}

/* Merge like neighbours among the entries [first, last], which the caller has just touched. */
static void merge(struct vma_table *table, uint32_t first, uint32_t last)
{
    if (last >= table->count)
        last = table->count - 1;
    for (uint32_t i = last; i > first && i < table->count; i--) {
        struct vma *low = &table->entries[i - 1], *high = &table->entries[i];
        if (alike(low, high)) {
            low->end = high->end;
            splice(table, i, 1, NULL, 0);
        }
    }
}

/* Make `address` a border between entries. */
static void split(struct vma_table *table, uint64_t address)
{
    uint32_t index = vma_search(table, address);
    if (index == table->count || table->entries[index].start >= address)
        return;
    struct vma pieces[2] = {table->entries[index], table->entries[index]};
    pieces[0].end = address;
    pieces[1].start = address;
    if (pieces[1].backing)
        pieces[1].backing += address - pieces[0].start;
    splice(table, index, 1, pieces, 2);
}

uint32_t vma_search(const struct vma_table *table, uint64_t address)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (table->entries[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int vma_covers(const struct vma_table *table, uint64_t start, uint64_t end)
{
    for (uint32_t i = vma_search(table, start); i < table->count && table->entries[i].start <= start; i++) {
        start = table->entries[i].end;
        if (start >= end)
            return 1;
    }
    return 0;
}

int vma_overlaps(const struct vma_table *table, uint64_t start, uint64_t end)
{
    uint32_t index = vma_search(table, start);
    return index < table->count && table->entries[index].start < end;
}

uint64_t vma_committed(const struct vma_table *table, uint64_t start, uint64_t end)
{
    uint64_t size = 0;
    for (uint32_t i = vma_search(table, start); i < table->count && table->entries[i].start < end; i++) {
        const struct vma *entry = &table->entries[i];
        if (entry->kind != VMA_PRIVATE || !entry->prot)
            continue;
        uint64_t from = entry->start > start ? entry->start : start;
        uint64_t to = entry->end < end ? entry->end : end;
        size += to - from;
    }
    return size;
}

int vma_has_room(const struct vma_table *table)
{
    return table->count + 2 <= table->capacity;
}

int vma_can_clear(const struct vma_table *table, uint64_t start, uint64_t end)
{
    /* Only a hole in the middle of an entry makes the table grow: a full table can still be emptied. */
    uint32_t index = vma_search(table, start);
    return table->count < table->capacity || index == table->count || table->entries[index].start >= start ||
           table->entries[index].end <= end;
}

int vma_clear(struct vma_table *table, uint64_t start, uint64_t end)
{
    if (!vma_can_clear(table, start, end))
        return -ENOMEM;
    split(table, start);
    split(table, end);
    uint32_t first = vma_search(table, start);
    splice(table, first, vma_search(table, end) - first, NULL, 0);
    return 0;
}

int vma_set(struct vma_table *table, const struct vma *entry)
{
    if (!vma_has_room(table))
        return -ENOMEM;
    split(table, entry->start);
    split(table, entry->end);
    uint32_t first = vma_search(table, entry->start);
    splice(table, first, vma_search(table, entry->end) - first, entry, 1);
    merge(table, first ? first - 1 : 0, first + 1);
    return 0;
}

int vma_protect(struct vma_table *table, uint64_t start, uint64_t end, uint32_t prot)
{
    if (!vma_covers(table, start, end) || !vma_has_room(table))
        return -ENOMEM;
    split(table, start);
    split(table, end);
    uint32_t first = vma_search(table, start), last = first;
    for (; last < table->count && table->entries[last].start < end; last++)
        table->entries[last].prot = prot;
    merge(table, first ? first - 1 : 0, last);
    return 0;
}

/* The free range below entry `index` (above the last one when index is count), cut to [low, high). */
static void gap_below(const struct vma_table *table, uint32_t index, uint64_t low, uint64_t high, uint64_t *start,
                      uint64_t *end)
{
    *start = index && table->entries[index - 1].end > low ? table->entries[index - 1].end : low;
    *end = index < table->count && table->entries[index].start < high ? table->entries[index].start : high;
}

uint64_t vma_gap_lowest(const struct vma_table *table, uint64_t low, uint64_t high, uint64_t size, uint64_t alignment)
{
    for (uint32_t i = vma_search(table, low); i <= table->count; i++) {
        uint64_t start, end;
        gap_below(table, i, low, high, &start, &end);
        if (start >= high)
            return 0;
        uint64_t aligned = (start + alignment - 1) & ~(alignment - 1);
        if (aligned >= start && aligned <= end && end - aligned >= size)
            return aligned;
    }
    return 0;
}

uint64_t vma_gap_highest(const struct vma_table *table, uint64_t low, uint64_t high, uint64_t size, uint64_t alignment)
{
    for (uint32_t i = vma_search(table, high - 1) + 1; i-- > 0;) {
        uint64_t start, end;
        gap_below(table, i, low, high, &start, &end);
        if (end <= low)
            return 0;
        if (end >= start && end - start >= size) {
            uint64_t aligned = (end - size) & ~(alignment - 1);
            if (aligned >= start)
                return aligned;
        }
    }
    return 0;
}
