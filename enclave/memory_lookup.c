// SPDX-License-Identifier: Apache-2.0
/* Questions about the program's mappings, and the patcher's access to program text. */
#include <asm/errno.h>
#include <linux/mman.h>

#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory_internal.h"

int memory_find(struct compartment *compartment, uint64_t address, struct vma *out)
{
    const struct vma_table *vmas = &compartment->memory.vmas;
    int result = -ENOENT;
    spin_lock(&compartment->memory.lock);
    uint32_t index = vma_search(vmas, address);
    if (index < vmas->count && vmas->entries[index].start <= address) {
        *out = vmas->entries[index];
        result = 0;
    }
    spin_unlock(&compartment->memory.lock);
    return result;
}

/* Text comes from a file and is not writable: what a program writes at run time it may also read back. */
static int is_text(const struct vma *entry)
{
    return entry->kind == VMA_PRIVATE && (entry->prot & (PROT_EXEC | PROT_WRITE)) == PROT_EXEC &&
           !(entry->flags & MAP_ANONYMOUS);
}

int memory_is_program_text(struct compartment *compartment, uint64_t address, uint64_t size)
{
    const struct vma_table *vmas = &compartment->memory.vmas;
    int result = 0;
    spin_lock(&compartment->memory.lock);
    if (in_app_area(compartment, address, size) && vma_covers(vmas, address, address + size)) {
        result = 1;
        for (uint32_t i = vma_search(vmas, address); i < vmas->count && vmas->entries[i].start < address + size; i++)
            result &= is_text(&vmas->entries[i]);
    }
    spin_unlock(&compartment->memory.lock);
    return result;
}

static int all_loaded(struct compartment *compartment, uint64_t start, uint64_t end)
{
    uint64_t first = (start - compartment->base) / PAGE_SIZE, last = (end - compartment->base) / PAGE_SIZE;
    spin_lock(&compartment->memory.lock);
    int result = dirty_map_count(dirty_map(compartment), first, last) == last - first;
    spin_unlock(&compartment->memory.lock);
    return result;
}

long memory_text_writable(struct compartment *compartment, uint64_t address, uint64_t size, int writable)
{
    uint64_t start = PAGE_ALIGN_DOWN(address), end = PAGE_ALIGN_UP(address + size);
    struct vma vma;
    if (!memory_is_program_text(compartment, start, end - start) || memory_find(compartment, start, &vma))
        return -EFAULT;
    memory_load(compartment, start, end - start);
    if (vma.backing && !all_loaded(compartment, start, end))
        return -EFAULT; /* the file has become shorter than its mapping */
    /* Still executable: other threads may be running this very page. */
    return host_protect(start - compartment->base, end - start, vma.prot | (writable ? PROT_WRITE : 0), 0);
}
