// SPDX-License-Identifier: Apache-2.0
#include "dirty_map.h"

#define WORD_BITS 64

/* The bits of [first, end) that lie in the word which holds `first`. */
static uint64_t word_mask(uint64_t first, uint64_t end)
{
    uint64_t mask = ~0UL << (first % WORD_BITS);
    uint64_t next = (first / WORD_BITS + 1) * WORD_BITS;
    if (end < next)
        mask &= ~(~0UL << (end % WORD_BITS));
    return mask;
}

static uint64_t next_word(uint64_t page)
{
    return (page / WORD_BITS + 1) * WORD_BITS;
}

void dirty_map_set(uint64_t *map, uint64_t first, uint64_t end)
{
    for (; first < end; first = next_word(first))
        map[first / WORD_BITS] |= word_mask(first, end);
}

void dirty_map_clear(uint64_t *map, uint64_t first, uint64_t end)
{
    for (; first < end; first = next_word(first)) {
        /* Only what was set is written: untouched pages of the map stay untouched. */
        if (map[first / WORD_BITS])
            map[first / WORD_BITS] &= ~word_mask(first, end);
    }
}

/* Without POPCNT, which not every compiler target has and no library provides here. */
static uint64_t count_bits(uint64_t word)
{
    uint64_t count = 0;
    for (; word; word &= word - 1)
        count++;
    return count;
}

uint64_t dirty_map_count(const uint64_t *map, uint64_t first, uint64_t end)
{
    uint64_t count = 0;
    for (; first < end; first = next_word(first)) {
        uint64_t word = map[first / WORD_BITS] & word_mask(first, end);
        count += word == ~0UL ? WORD_BITS : count_bits(word);
    }
    return count;
}

/* The first page of [first, end) whose bit is `value`, or end. */
static uint64_t find(const uint64_t *map, uint64_t first, uint64_t end, int value)
{
    for (; first < end; first = next_word(first)) {
        uint64_t word = (value ? map[first / WORD_BITS] : ~map[first / WORD_BITS]) & word_mask(first, end);
        if (word)
            return first / WORD_BITS * WORD_BITS + (uint64_t)__builtin_ctzl(word);
    }
    return end;
}

int dirty_map_run(const uint64_t *map, uint64_t first, uint64_t end, uint64_t *run_first, uint64_t *run_end)
{
    *run_first = find(map, first, end, 1);
    *run_end = find(map, *run_first, end, 0);
    return *run_first < end;
}
