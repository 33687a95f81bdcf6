// SPDX-License-Identifier: Apache-2.0
/* The heap: one growing mapping that starts where code ends and goes on to whatever is mapped above it. */
#include <linux/mman.h>

#include "compartment.h"
#include "memory_internal.h"

/* malloc asks in steps of about this size. A program that asks again has used the last one. */
#define BRK_COMMIT_MAX 0x21000
#define BRK_COMMIT_FIRST 0x4000

uint64_t memory_brk(struct compartment *compartment, uint64_t end)
{
    struct memory *memory = &compartment->memory;
    spin_lock(&memory->lock);
    uint64_t old_page = PAGE_ALIGN_UP(memory->brk), new_page = PAGE_ALIGN_UP(end);
    long result = 0;
    if (end < memory->brk_start || end > compartment->base + APP_END) {
        end = memory->brk;
    } else if (new_page > old_page) {
        uint64_t size = new_page - old_page;
        uint64_t commit_size = old_page == memory->brk_start && size > BRK_COMMIT_FIRST ? BRK_COMMIT_FIRST : size;
        const struct memory_request request = {
            .address = old_page,
            .size = size,
            .prot = PROT_READ | PROT_WRITE,
            .map_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
            .vma_flags = VMA_BRK,
            .commit_size = size <= BRK_COMMIT_MAX ? commit_size : 0,
        };
        result = memory_map_locked(compartment, &request);
    } else if (new_page < old_page) {
        result = memory_unmap_locked(compartment, new_page, old_page - new_page);
    }
    if (result >= 0)
        memory->brk = end;
    end = memory->brk;
    spin_unlock(&memory->lock);
    return end;
}
