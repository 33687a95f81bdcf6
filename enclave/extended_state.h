/* SPDX-License-Identifier: Apache-2.0 */
/* The XSAVE area: x87, SSE, AVX and AVX-512 state of the program. The LibOS itself uses general registers only. */
#ifndef TEEMATE_EXTENDED_STATE_H
#define TEEMATE_EXTENDED_STATE_H
#include <stdint.h>

#include "thread.h"

#define XFRM_X87_SSE 0x3
#define XFRM_AVX 0x4
#define XFRM_AVX512 0xe0

struct extended_state { /* standard format, SDM vol. 1 chapter 13 */
    uint8_t x87[24];
    uint32_t mxcsr, mxcsr_mask;
    uint8_t registers[432];
    uint8_t software[48]; /* the hardware leaves these alone */
    uint64_t xstate_bv, xcomp_bv;
    uint64_t reserved[6];
};
_Static_assert(sizeof(struct extended_state) == 576, "XSAVE area");

/* Saved for a signal frame or a new thread; an OCALL keeps the state there in a form of its own (ocall.S). */
static inline struct extended_state *thread_extended_state(const struct thread *thread)
{
    return (struct extended_state *)((char *)thread->frame + FRAME_TO_XSAVE);
}

/* Bytes of the standard format. CPUID would tell, but it is the host's word; these are architectural. */
static inline uint64_t extended_state_size(uint64_t xfrm)
{
    if (xfrm & XFRM_AVX512)
        return 2688;
    return xfrm & XFRM_AVX ? 832 : sizeof(struct extended_state);
}

/* extended_state.S */
void extended_state_save(struct extended_state *area, uint64_t xfrm);
/* The header must be valid and MXCSR without reserved bits, or this faults. */
void extended_state_restore(const struct extended_state *area, uint64_t xfrm);
#endif
