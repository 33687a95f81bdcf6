// SPDX-License-Identifier: Apache-2.0
#include "address_layout.h"

#include <asm/errno.h>

#include "compartment.h"
#include "random.h"

/* Between the stack and what may be mapped below it, as Linux's stack_guard_gap. */
#define STACK_GUARD_SIZE 0x100000
/* Above the stack: so that running over its end does not reach the next compartment. */
#define STACK_MARGIN 0x10000
#define STACK_SIZE_MIN 0x40000
/* The stack counts against the pool's `memory` from the start: it is not to take more than this part of it. */
#define STACK_MEMORY_PART 4
#define STACK_SIZE_MAX 0x10000000
/* How far each part may be moved. Code stays in reach of the trampolines; the heap follows APP_CODE_END as on Linux. */
#define STACK_SPREAD 0x10000000
#define MAP_SPREAD 0x10000000
#define BRK_SPREAD 0x2000000
#define CODE_SPREAD 0x4000000
#define STACK_OFFSET_SPREAD 0x1000
#define STACK_ALIGNMENT 16
_Static_assert(APP_OFFSET + CODE_SPREAD < APP_CODE_END / 2, "code");
_Static_assert(APP_CODE_END + BRK_SPREAD + STACK_SIZE_MAX + STACK_SPREAD + MAP_SPREAD < APP_END / 2, "mappings");

static uint64_t stack_size(uint64_t stack_limit, uint64_t memory_limit)
{
    uint64_t size = stack_limit;
    if (size > memory_limit / STACK_MEMORY_PART)
        size = memory_limit / STACK_MEMORY_PART;
    if (size > STACK_SIZE_MAX)
        size = STACK_SIZE_MAX;
    if (size < STACK_SIZE_MIN)
        size = STACK_SIZE_MIN;
    return PAGE_ALIGN_DOWN(size);
}

long address_layout_choose(const struct compartment *compartment, uint64_t stack_limit, uint64_t memory_limit,
                           struct address_layout *layout)
{
    struct {
        uint32_t stack, stack_offset, map, brk, code;
    } random;
    if (random_bytes(&random, sizeof random)) /* never from the host, who may be the one that guesses */
        return -ENODEV;
    uint64_t base = compartment->base;
    layout->stack_high = base + APP_END - STACK_MARGIN - PAGE_ALIGN_DOWN(random.stack % STACK_SPREAD);
    layout->stack_low = layout->stack_high - stack_size(stack_limit, memory_limit);
    layout->stack_offset = random.stack_offset % STACK_OFFSET_SPREAD & ~(uint64_t)(STACK_ALIGNMENT - 1);
    layout->map_high = layout->stack_low - STACK_GUARD_SIZE - PAGE_ALIGN_DOWN(random.map % MAP_SPREAD);
    layout->brk_start = base + APP_CODE_END + PAGE_ALIGN_DOWN(random.brk % BRK_SPREAD);
    layout->map_low = base + APP_OFFSET + PAGE_ALIGN_DOWN(random.code % CODE_SPREAD);
    return 0;
}
