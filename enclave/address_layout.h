/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a program finds its parts: not the same at each start, so that who finds a hole in it must guess. The measured
 * layout is another matter: that is fixed (include/layout.h).
 */
#ifndef TEEMATE_ADDRESS_LAYOUT_H
#define TEEMATE_ADDRESS_LAYOUT_H
#include <stdint.h>

#include "include/ocall.h"

struct compartment;

/* What is drawn for the next program, as offsets from the compartment's base, of whole pages */
struct address_draw {
    uint64_t code, heap, mappings_end, stack_end;
    uint64_t prepared; /* bytes of code that the host may have backed, 0: nothing at all */
    uint32_t is_drawn;
};

struct address_layout {
    uint64_t stack_low, stack_high; /* of whole pages */
    uint64_t stack_offset; /* the program starts with so much less of the stack's end, a multiple of 16 */
    uint64_t map_low; /* code and files from here upwards */
    uint64_t map_high; /* other mappings from here downwards */
    uint64_t brk_start;
};

/* Draw what has not been drawn yet. 0, or -ENODEV when the CPU's random number generator fails. */
long address_layout_draw(struct compartment *compartment);

/* The parts of a prepared compartment that the host may have backed. */
void address_layout_prepared(const struct compartment *compartment, struct prepared_range ranges[PREPARED_RANGES]);

/* `stack_limit`: RLIMIT_STACK. 0 or -ENODEV. */
long address_layout_choose(struct compartment *compartment, uint64_t stack_limit, uint64_t memory_limit,
                           struct address_layout *layout);
#endif
