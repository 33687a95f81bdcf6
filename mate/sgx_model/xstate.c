/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XSAVE state at an AEX. The kernel has already saved it in the signal frame, in the same (standard) format as
 * the SSA wants, so the components of XFRM are copied from there and left in their initial state for the host.
 */
#include "model.h"

#include "../cpu_table.h"
#include "../log.h"
#include "../string.h"

#define CPUID_XSAVE 0xd
#define LEGACY_SIZE 512
#define XSTATE_HEADER_SIZE 64
#define LEGACY_MXCSR 24
#define LEGACY_X87_END 160
#define COMPONENT_X87 1
#define INITIAL_X87_CONTROL 0x37f
#define INITIAL_MXCSR 0x1f80
#define COMPONENT_FIRST 2
#define COMPONENT_COUNT 63

static struct component {
    uint16_t offset, size;
} components[COMPONENT_COUNT];

void xstate_start(uint64_t xfrm)
{
    for (uint32_t i = COMPONENT_FIRST; i < COMPONENT_COUNT; i++) {
        struct cpuid leaf;

        if (!(xfrm & 1UL << i))
            continue;
        leaf = cpu_leaf(CPUID_XSAVE, i);
        if (leaf.ebx < LEGACY_SIZE + XSTATE_HEADER_SIZE || (uint64_t)leaf.ebx + leaf.eax > XSAVE_SIZE_MAX)
            die("the pool's XFRM %lx has component %u at offset %u with %u bytes, which does not fit into an SSA "
                "frame of %d bytes: use a pool with a smaller XFRM",
                xfrm, i, leaf.ebx, leaf.eax, SSA_FRAME_SIZE);
        components[i].size = leaf.eax;
        components[i].offset = leaf.ebx;
    }
}

/*
 * The kernel marks x87 and SSE as in use in every signal frame. The processor does so only if x87 is not in its initial
 * state, and the LibOS's way out is much shorter if it is.
 */
static int is_x87_initial(const void *legacy)
{
    const uint64_t *words = legacy;

    for (unsigned i = 1; i < LEGACY_X87_END / sizeof(*words); i++)
        if (i != LEGACY_MXCSR / sizeof(*words) && words[i])
            return 0;
    return words[0] == INITIAL_X87_CONTROL;
}

void xstate_save(uint64_t xfrm, void *ssa, void *signal_frame)
{
    uint64_t *header = (uint64_t *)((char *)signal_frame + LEGACY_SIZE);
    uint64_t *ssa_header = (uint64_t *)((char *)ssa + LEGACY_SIZE);
    uint64_t in_use = header[0] & xfrm;

    if (is_x87_initial(signal_frame))
        in_use &= ~(uint64_t)COMPONENT_X87;
    /* MXCSR is part of the legacy area even when x87 and SSE are in their initial state */
    memcpy(ssa, signal_frame, LEGACY_SIZE);
    memset(ssa_header, 0, XSTATE_HEADER_SIZE);
    ssa_header[0] = in_use;
    for (uint32_t i = COMPONENT_FIRST; i < COMPONENT_COUNT; i++)
        if (in_use & 1UL << i)
            memcpy((char *)ssa + components[i].offset, (char *)signal_frame + components[i].offset, components[i].size);
    header[0] &= ~xfrm;
    *(uint32_t *)((char *)signal_frame + LEGACY_MXCSR) = INITIAL_MXCSR;
}
