// SPDX-License-Identifier: Apache-2.0
/*
 * Private memory of the program: map, unmap, protect. The host is asked first and the table changed after, so
 * that a refusal leaves the table true.
 */
#include "memory.h"

#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/mman.h>

#include "compartment.h"
#include "dirty_map.h"
#include "host.h"
#include "memory_internal.h"
#include "string.h"

/* File mappings up to this size go near the trampolines: a dynamic linker maps libraries readable first. */
#define NEAR_FILE_SIZE_MAX 0x8000000
/* Small anonymous mappings are touched soon and wholly. */
#define COMMIT_WHOLE_MAX 0x20000

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
        address = vma_gap_lowest(&memory->vmas, low, code_end, size, alignment);
    if (!address)
        address = vma_gap_highest(&memory->vmas, code_end, memory->map_high, size, alignment);
    if (!address)
        address = vma_gap_lowest(&memory->vmas, low, code_end, size, alignment);
    return address;
}

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

/* Bytes of the range that may hold data. */
static uint64_t dirty_size(const struct compartment *compartment, uint64_t start, uint64_t end)
{
    return dirty_map_count(dirty_map(compartment), page_of(compartment, start), page_of(compartment, end)) * PAGE_SIZE;
}

/* Are there pages of the entry in the range that the host lets the program touch? */
static int is_accessible(const struct compartment *compartment, const struct vma *entry, uint64_t start, uint64_t end)
{
    if (entry->kind != VMA_PRIVATE || !entry->prot)
        return 0;
    return !entry->backing || dirty_size(compartment, start, end) > 0;
}

/* What a new mapping replaces. Returns whether the host must be told that it is gone. */
static int release_replaced(struct compartment *compartment, uint64_t start, uint64_t end)
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

/* Give the range its permissions on the host, and the content zero. */
static long prepare_range(struct compartment *compartment, uint64_t address, const struct memory_request *request,
                          uint32_t prot, int was_accessible)
{
    uint64_t offset = address - compartment->base, size = request->size;
    int writable = !!(prot & PROT_WRITE);
    if (request->backing) /* inaccessible until it is loaded */
        prot = PROT_NONE, writable = 0;
    /* First the permissions: no other thread may write to old content once it is being erased. */
    if (prot || was_accessible) {
        long result = host_protect(offset, size, prot, prot && request->commit_size == size);
        if (result)
            return result;
    }
    long result = memory_zero_locked(compartment, address, size, writable);
    if (result || !writable)
        return result;
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
        uint64_t reused = dirty_size(compartment, address, address + size);
        memory->stale -= reused < memory->stale ? reused : memory->stale;
    }
    int was_accessible = release_replaced(compartment, address, address + size);
    vma_clear(&memory->vmas, address, address + size); /* cannot fail: there is room */
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
    vma_set(&memory->vmas, &vma); /* cannot fail: there is room */
    return (long)address;
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
        memory->stale += dirty_size(compartment, part.start, part.end);
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
    vma_clear(&memory->vmas, address, end); /* cannot fail: asked above */
    if (memory->stale > STALE_SIZE_MAX)
        sweep_stale(compartment);
    return 0;
}

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
        return result ? result : vma_protect(&memory->vmas, address, end, prot);
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
    return vma_protect(&memory->vmas, address, end, prot);
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

long memory_unmap(struct compartment *compartment, uint64_t address, uint64_t size)
{
    spin_lock(&compartment->memory.lock);
    long result = memory_unmap_locked(compartment, address, size);
    spin_unlock(&compartment->memory.lock);
    return result;
}

long memory_protect(struct compartment *compartment, uint64_t address, uint64_t size, uint32_t prot)
{
    spin_lock(&compartment->memory.lock);
    long result = memory_protect_locked(compartment, address, size, prot);
    spin_unlock(&compartment->memory.lock);
    return result;
}
