// SPDX-License-Identifier: Apache-2.0
/*
 * mremap. Enclave pages keep their addresses, so that moving a mapping means copying it. The copy is made without
 * the lock, since it may be large; a program that changes the old mapping meanwhile gets what it deserves, a torn copy.
 */
#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/mman.h>

#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory_internal.h"
#include "memory_table.h"
#include "thread.h"
#include "usercopy.h"

static long grow_in_place(struct compartment *compartment, const struct vma *vma, uint64_t end, uint64_t added)
{
    const struct memory_request request = {
        .address = end,
        .size = added,
        .prot = vma->prot,
        .map_flags = (vma->flags & (MAP_TYPE | MAP_ANONYMOUS)) | MAP_FIXED_NOREPLACE,
        .vma_flags = vma->flags & (VMA_STACK | VMA_BRK),
    };
    if (end + added > compartment->memory.map_high)
        return -ENOMEM;
    long result = memory_map(compartment, &request);
    return result < 0 ? result : 0;
}

/* May the range hold data? What does not need not be copied, and may not be readable. */
static int has_data(struct compartment *compartment, uint64_t address, uint64_t size)
{
    uint64_t first = (address - compartment->base) / PAGE_SIZE;
    spin_lock(&compartment->memory.lock);
    uint64_t count = dirty_map_count(dirty_map(compartment), first, first + size / PAGE_SIZE);
    spin_unlock(&compartment->memory.lock);
    return count > 0;
}

static long copy_content(struct compartment *compartment, const struct vma *vma, uint64_t from, uint64_t to,
                         uint64_t size)
{
    memory_load(compartment, from, size);
    if (!has_data(compartment, from, size))
        return 0;
    long result = 0;
    if (!(vma->prot & PROT_READ))
        result = memory_protect(compartment, from, size, PROT_READ);
    if (!result)
        result = copy_to_program((void *)to, (const void *)from, size);
    return result;
}

static long move(struct compartment *compartment, const struct vma *vma, uint64_t address, uint64_t old_size,
                 uint64_t new_size, uint32_t flags, uint64_t new_address)
{
    uint64_t kept = old_size < new_size ? old_size : new_size;
    const struct memory_request request = {
        .address = flags & MREMAP_FIXED ? new_address : 0,
        .size = new_size,
        .prot = vma->prot,
        .map_flags = (vma->flags & (MAP_TYPE | MAP_ANONYMOUS)) | (flags & MREMAP_FIXED ? MAP_FIXED : 0),
        .filled = vma->prot != PROT_NONE || has_data(compartment, address, kept),
        .commit_size = vma->prot ? kept : 0,
    };
    long target = memory_map(compartment, &request);
    if (target < 0)
        return target;
    long result = copy_content(compartment, vma, address, (uint64_t)target, kept);
    if (!result && request.filled && vma->prot != (PROT_READ | PROT_WRITE))
        result = memory_protect(compartment, (uint64_t)target, new_size, vma->prot);
    if (result) {
        memory_unmap(compartment, (uint64_t)target, new_size);
        return result;
    }
    memory_unmap(compartment, address, old_size);
    return target;
}

/* Host memory the host can move. */
static long remap_shared(struct compartment *compartment, const struct vma *vma, uint64_t address, uint64_t old_size,
                         uint64_t new_size, uint32_t flags)
{
    struct memory *memory = &compartment->memory;
    if (flags & MREMAP_FIXED)
        return -ENOMEM; /* into ELRANGE, or where the program cannot know */
    if (thread_self()->is_vfork_child && !(vma->flags & VMA_OF_CHILD))
        return -ENOMEM; /* on the host the parent's would stay where it is */
    long result = host_syscall(__NR_mremap, address, old_size, new_size, flags, 0, 0);
    if (result < 0)
        return result;
    if (!memory_plausible_host_mapping((uint64_t)result, new_size))
        return -EIO;
    struct vma moved = *vma;
    moved.start = (uint64_t)result;
    moved.end = (uint64_t)result + new_size;
    spin_lock(&memory->lock);
    long error = memory_table_clear(compartment, address, address + old_size);
    if (!error)
        error = vma_overlaps(&memory->vmas, moved.start, moved.end) ? -EIO : memory_table_set(compartment, &moved);
    spin_unlock(&memory->lock);
    return error ? error : result;
}

long memory_remap(struct compartment *compartment, uint64_t address, uint64_t old_size, uint64_t new_size,
                  uint32_t flags, uint64_t new_address)
{
    struct vma vma;
    if (memory_find(compartment, address, &vma) || vma.end < address + old_size)
        return -EFAULT;
    if (vma.kind == VMA_SHARED)
        return remap_shared(compartment, &vma, address, old_size, new_size, flags);
    /* What follows in the file is not known any more: the mapping cannot grow. */
    if (vma.backing && new_size > old_size)
        return -ENOMEM;
    if (flags & MREMAP_FIXED)
        return move(compartment, &vma, address, old_size, new_size, flags, new_address);
    if (new_size <= old_size) {
        long result = new_size < old_size ? memory_unmap(compartment, address + new_size, old_size - new_size) : 0;
        return result ? result : (long)address;
    }
    /* Only an anonymous mapping can simply go on with zeros, and only at its end. */
    if (vma.flags & MAP_ANONYMOUS && vma.end == address + old_size &&
        !grow_in_place(compartment, &vma, address + old_size, new_size - old_size))
        return (long)address;
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    return move(compartment, &vma, address, old_size, new_size, flags, 0);
}
