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
/* What the start of a small program touches besides its code */
#define PREPARED_STACK_SIZE 0x8000
#define PREPARED_HEAP_SIZE 0x10000
#define PREPARED_MAPPINGS_SIZE 0x10000
#define PREPARED_TABLE_SIZE 0x2000
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

long address_layout_draw(struct compartment *compartment)
{
    struct address_draw *draw = &compartment->draw;
    struct {
        uint32_t stack, map, brk, code;
    } random;
    if (draw->is_drawn)
        return 0;
    if (random_bytes(&random, sizeof random)) /* never from the host, who may be the one that guesses */
        return -ENODEV;
    draw->stack_end = APP_END - STACK_MARGIN - PAGE_ALIGN_DOWN(random.stack % STACK_SPREAD);
    /* below the largest stack: how large it may be is not known before the start */
    draw->mappings_end = draw->stack_end - STACK_SIZE_MAX - STACK_GUARD_SIZE - PAGE_ALIGN_DOWN(random.map % MAP_SPREAD);
    draw->heap = APP_CODE_END + PAGE_ALIGN_DOWN(random.brk % BRK_SPREAD);
    draw->code = APP_OFFSET + PAGE_ALIGN_DOWN(random.code % CODE_SPREAD);
    draw->is_drawn = 1;
    return 0;
}

/* The dirty map's bits for a range, one a page */
static struct prepared_range dirty_bits(const struct prepared_range *range)
{
    uint64_t first = range->offset / PAGE_SIZE / 8, last = (range->offset + range->size - 1) / PAGE_SIZE / 8;
    uint64_t start = PAGE_ALIGN_DOWN(DIRTY_MAP_OFFSET + first);
    return (struct prepared_range){start, PAGE_ALIGN_DOWN(DIRTY_MAP_OFFSET + last) + PAGE_SIZE - start};
}

void address_layout_prepared(const struct compartment *compartment, struct prepared_range ranges[PREPARED_RANGES])
{
    const struct address_draw *draw = &compartment->draw;
    ranges[0] = (struct prepared_range){draw->code, draw->prepared};
    ranges[1] = (struct prepared_range){draw->heap, PREPARED_HEAP_SIZE};
    ranges[2] = (struct prepared_range){draw->mappings_end - PREPARED_MAPPINGS_SIZE, PREPARED_MAPPINGS_SIZE};
    ranges[3] = (struct prepared_range){draw->stack_end - PREPARED_STACK_SIZE, PREPARED_STACK_SIZE};
    for (int i = 0; i < PREPARED_PROGRAM_RANGES; i++)
        ranges[PREPARED_PROGRAM_RANGES + i] = dirty_bits(&ranges[i]);
    ranges[8] = (struct prepared_range){VMAS_OFFSET, PREPARED_TABLE_SIZE};
    ranges[9] = (struct prepared_range){TRAMPOLINES_OFFSET, PREPARED_TABLE_SIZE};
}

long address_layout_choose(struct compartment *compartment, uint64_t stack_limit, uint64_t memory_limit,
                           struct address_layout *layout)
{
    const struct address_draw *draw = &compartment->draw;
    uint64_t base = compartment->base;
    uint32_t offset;
    if (address_layout_draw(compartment) || random_bytes(&offset, sizeof offset))
        return -ENODEV;
    layout->stack_high = base + draw->stack_end;
    layout->stack_low = layout->stack_high - stack_size(stack_limit, memory_limit);
    layout->stack_offset = offset % STACK_OFFSET_SPREAD & ~(uint64_t)(STACK_ALIGNMENT - 1);
    layout->map_high = base + draw->mappings_end;
    layout->brk_start = base + draw->heap;
    layout->map_low = base + draw->code;
    return 0;
}
