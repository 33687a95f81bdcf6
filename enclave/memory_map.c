// SPDX-License-Identifier: Apache-2.0
/*
 * Map private memory. The host is asked first and the table changed after, so that a refusal leaves the table true:
 * the same holds for memory_unmap.c and memory_protect.c.
 */
#include <asm/errno.h>
#include <linux/mman.h>

#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory.h"
#include "memory_internal.h"
#include "memory_table.h"

/* File mappings up to this size go near the trampolines: a dynamic linker maps libraries readable first. */
#define NEAR_FILE_SIZE_MAX 0x8000000
/* Small anonymous mappings are touched soon and wholly. */
#define COMMIT_WHOLE_MAX 0x20000

/* An address for the request, or 0. */
static uint64_t choose_address(const struct compartment *compartment, const struct memory_request *request)
{
    const struct memory *memory = &compartment->memory;
    uint64_t low = compartment->base + APP_OFFSET, code_end = compartment->base + APP_CODE_END;
    uint64_t size = request->size, alignment = request->alignment ? request->alignment : PAGE_SIZE;
    int near_code = request->prot & PROT_EXEC || (!(request->map_flags & MAP_ANONYMOUS) && size <= NEAR_FILE_SIZE_MAX);

    uint64_t hint = PAGE_ALIGN_DOWN(request->address);
    if (hint && in_app_area(compartment, hint, size) && hint + size <= memory->map_high &&
        (!(request->prot & PROT_EXEC) || hint + size <= code_end) && !vma_overlaps(&memory->vmas, hint, hint + size))
        return hint;

    uint64_t address = 0;
    if (near_code)
        address = vma_gap_lowest(&memory->vmas, memory->map_low, code_end, size, alignment);
    if (near_code && !address)
        address = vma_gap_lowest(&memory->vmas, low, code_end, size, alignment);
    if (!address)
        address = vma_gap_highest(&memory->vmas, code_end, memory->map_high, size, alignment);
    if (!address)
        address = vma_gap_lowest(&memory->vmas, low, code_end, size, alignment);
    return address;
}

/* Give the range its permissions on the host, and the content zero. */
static long prepare_range(struct compartment *compartment, uint64_t address, const struct memory_request *request,
                          uint32_t prot, int was_accessible)
{
    uint64_t offset = address - compartment->base, size = request->size;
    if (request->backing) /* inaccessible until it is loaded */
        prot = PROT_NONE;
    /* First the permissions: no other thread may write to old content once it is being erased. */
    if (prot || was_accessible) {
        long result = host_protect(offset, size, prot, prot && request->commit_size == size);
        if (result)
            return result;
    }
    long result = memory_zero_locked(compartment, address, size, prot);
    if (result)
        return result;
    if (request->backing) /* a dirty page would count as loaded */
        return memory_dirty_size(compartment, address, address + size) ? -EIO : 0;
    if (!(prot & PROT_WRITE))
        return 0;
    if (request->commit_size && request->commit_size < size)
        host_commit(offset, request->commit_size);
    dirty_map_set(dirty_map(compartment), offset / PAGE_SIZE, (offset + size) / PAGE_SIZE);
    return 0;
}

long memory_map_locked(struct compartment *compartment, const struct memory_request *request)
{
    struct memory *memory = &compartment->memory;
    uint64_t address = request->address, size = request->size;
    uint32_t prot = request->filled ? PROT_READ | PROT_WRITE : request->prot;

    if (request->map_flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (!in_app_area(compartment, address, size))
            return -ENOMEM;
        if (request->map_flags & MAP_FIXED_NOREPLACE && vma_overlaps(&memory->vmas, address, address + size))
            return -EEXIST;
    } else {
        address = choose_address(compartment, request);
        if (!address)
            return -ENOMEM;
    }
    if (!vma_has_room(&memory->vmas))
        return -ENOMEM;

    uint64_t replaced = vma_committed(&memory->vmas, address, address + size);
    uint64_t added = prot ? size : 0;
    long result = memory_charge_locked(compartment, added, replaced);
    if (result)
        return result;
    if (!vma_overlaps(&memory->vmas, address, address + size)) { /* what is stale there is used again */
        uint64_t reused = memory_dirty_size(compartment, address, address + size);
        memory->stale -= reused < memory->stale ? reused : memory->stale;
    }
    int was_accessible = memory_release_replaced_locked(compartment, address, address + size);
    memory_table_clear(compartment, address, address + size); /* cannot fail: there is room */
    result = prepare_range(compartment, address, request, prot, was_accessible);
    if (result) {
        memory->committed -= added;
        return result;
    }
    const struct vma vma = {
        .start = address,
        .end = address + size,
        .prot = prot,
        .kind = VMA_PRIVATE,
        .flags = (request->map_flags & (MAP_TYPE | MAP_ANONYMOUS)) | request->vma_flags,
        .backing = request->backing,
    };
    memory_table_set(compartment, &vma); /* cannot fail: there is room */
    return (long)address;
}

long memory_map(struct compartment *compartment, const struct memory_request *request)
{
    spin_lock(&compartment->memory.lock);
    long result = memory_map_locked(compartment, request);
    spin_unlock(&compartment->memory.lock);
    return result;
}

long memory_map_anonymous(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot,
                          uint32_t map_flags, uint32_t vma_flags)
{
    int whole = map_flags & MAP_POPULATE || (size <= COMMIT_WHOLE_MAX && !(map_flags & (MAP_NORESERVE | MAP_STACK)));
    const struct memory_request request = {
        .address = address,
        .size = size,
        .prot = prot,
        .map_flags = map_flags | MAP_ANONYMOUS,
        .vma_flags = vma_flags,
        .commit_size = prot & PROT_WRITE && whole ? size : 0,
    };
    return memory_map(compartment, &request);
}
