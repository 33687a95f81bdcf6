// SPDX-License-Identifier: Apache-2.0
#include "memory_table.h"

#include "memory_internal.h"
#include "string.h"
#include "thread.h"

/* The copy is kept in the unused half of the table. One that is more than half full has no room for it. */
static struct vma *copy_of(const struct vma_table *table)
{
    return table->entries + table->capacity / 2;
}

static int has_room_for_copy(const struct vma_table *table)
{
    return table->count + VMA_TABLE_SLACK <= table->capacity / 2;
}

static void begin(struct memory *memory)
{
    memory->copied = 0;
    if (!thread_self()->is_vfork_child)
        return;
    if (has_room_for_copy(&memory->vmas)) {
        memcpy(copy_of(&memory->vmas), memory->vmas.entries, memory->vmas.count * sizeof(struct vma));
        memory->copied_count = memory->vmas.count;
        memory->copied = 1;
    }
    spin_begin_change(&memory->lock);
}

static void end(struct memory *memory)
{
    spin_end_change(&memory->lock);
}

long memory_table_set(struct compartment *compartment, const struct vma *vma)
{
    begin(&compartment->memory);
    long result = vma_set(&compartment->memory.vmas, vma);
    end(&compartment->memory);
    return result;
}

long memory_table_clear(struct compartment *compartment, uint64_t start, uint64_t end_address)
{
    begin(&compartment->memory);
    long result = vma_clear(&compartment->memory.vmas, start, end_address);
    end(&compartment->memory);
    return result;
}

long memory_table_protect(struct compartment *compartment, uint64_t start, uint64_t end_address, uint32_t prot)
{
    begin(&compartment->memory);
    long result = vma_protect(&compartment->memory.vmas, start, end_address, prot);
    end(&compartment->memory);
    return result;
}

int memory_table_recover(struct compartment *compartment)
{
    struct memory *memory = &compartment->memory;
    if (memory->lock.changing) {
        if (!memory->copied)
            return 0;
        memcpy(memory->vmas.entries, copy_of(&memory->vmas), memory->copied_count * sizeof(struct vma));
        memory->vmas.count = memory->copied_count;
    }
    memory->committed = vma_committed(&memory->vmas, compartment->base + APP_OFFSET, compartment->base + APP_END);
    memory->stale = STALE_SIZE_MAX; /* what it is now nobody knows: look with the next unmapping */
    return 1;
}

void memory_table_end_child(struct compartment *compartment)
{
    struct vma_table *vmas = &compartment->memory.vmas;
    spin_lock(&compartment->memory.lock);
    for (uint32_t i = 0; i < vmas->count;) {
        const struct vma *entry = &vmas->entries[i];
        if (entry->flags & VMA_OF_CHILD)
            vma_clear(vmas, entry->start, entry->end); /* a whole entry: cannot fail */
        else
            i++;
    }
    spin_unlock(&compartment->memory.lock);
}
