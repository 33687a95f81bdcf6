/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a compartment's tenant. Its process is dead; the host's janitor first lets every interrupted
 * thread leave (ECALL_RESET), then has slot 0 erase all that the tenant may have left (ECALL_SCRUB). Afterwards the
 * compartment is as it was measured: zero.
 */
#include <linux/mman.h>

#include "enter.h"
#include "host.h"
#include "lock_recovery.h"
#include "string.h"
#include "vfork.h"

#define PAGES(size) ((size) / PAGE_SIZE)

/* No thread begins any more (enter.c). That none comes back from an OCALL is up to the caller. */
static void end_compartment(struct compartment *compartment)
{
    compartment->state = COMPARTMENT_SCRUBBING;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void thread_reset(struct thread *self)
{
    volatile struct exchange *exchange = self->exchange;
    uint64_t index = (thread_block(self) - ENCLAVE_BASE) / COMPARTMENT_STRIDE - 1;
    end_compartment(compartment_at(COMPARTMENT_BASE(index)));
    self->ocall_rsp = 0;
    exchange->op = OCALL_RESET_DONE;
    enclave_exit_thread();
}

/*
 * A thread that is neither outside in an OCALL nor ended is inside, or was interrupted and not reset: its
 * SSA frame would outlive the scrub and could be resumed into the next tenant.
 */
int scrub_begin(struct thread *self)
{
    struct compartment *compartment = self->compartment;
    end_compartment(compartment);
    for (uint32_t slot = 0; slot < compartment->slots_used; slot++) {
        struct thread *thread = thread_at(compartment, slot);
        if (thread == self)
            continue;
        uint64_t outside = __atomic_exchange_n(&thread->ocall_rsp, 0, __ATOMIC_ACQ_REL);
        uint32_t state = __atomic_load_n(&thread->state, __ATOMIC_ACQUIRE);
        if (state == THREAD_RUNNING && !outside)
            return 0;
        if (!__atomic_compare_exchange_n(&thread->state, &state, THREAD_FREE, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            return 0; /* it has just been entered */
    }
    return 1;
}

static uint64_t erase(uint64_t start, uint64_t size)
{
    memset((void *)start, 0, size);
    return PAGES(size);
}

/* All of a thread block that is memory, but for the TCS, which software cannot touch. */
static uint64_t erase_block(uint64_t block)
{
    return erase(block + THREAD_SSA, SSA_FRAMES * SSA_FRAME_SIZE) + erase(block + THREAD_TCB, THREAD_TCB_SIZE) +
           erase(block + THREAD_EXCEPTION_STACK, THREAD_EXCEPTION_STACK_TOP - THREAD_EXCEPTION_STACK) +
           erase(block + THREAD_STACK, THREAD_STACK_TOP - THREAD_STACK);
}

/* Our own tables, and the trampolines, which the program may execute. */
static long erase_tables(uint64_t base)
{
    if (!host_trim(VMAS_OFFSET, APP_OFFSET - VMAS_OFFSET))
        return 0;
    long result = host_protect(TRAMPOLINES_OFFSET, TRAMPOLINES_SIZE, PROT_READ | PROT_WRITE, 0);
    if (result)
        return result;
    erase(base + VMAS_OFFSET, VMAS_SIZE);
    erase(base + DIRTY_MAP_OFFSET, DIRTY_MAP_SIZE);
    erase(base + LIBOS_HEAP_OFFSET, LIBOS_HEAP_SIZE);
    erase(base + TRAMPOLINES_OFFSET, TRAMPOLINES_SIZE);
    return 0;
}

/* What the host backed and the tenant did not touch: the next program will be elsewhere. */
static void give_back_prepared(const struct compartment *compartment)
{
    struct prepared_range ranges[PREPARED_RANGES];
    if (!compartment->draw.prepared)
        return;
    address_layout_prepared(compartment, ranges);
    for (int i = 0; i < PREPARED_PROGRAM_RANGES; i++) /* the tables are given back anyway */
        host_trim(ranges[i].offset, ranges[i].size); /* they are zero in any case */
}

void scrub_compartment(struct thread *self)
{
    struct compartment *compartment = self->compartment;
    volatile struct exchange *exchange = self->exchange;
    uint64_t base = compartment->base;
    uint32_t slots_used = compartment->slots_used;

    locks_break(compartment); /* the tenant may have been killed while it held any of them */
    uint64_t pages = memory_reset(compartment);
    give_back_prepared(compartment);
    if (erase_tables(base)) {
        exchange->op = OCALL_REFUSED;
        enclave_leave();
    }
    for (uint32_t slot = 1; slot < slots_used; slot++)
        pages += erase_block(THREAD_BLOCK(base, slot));
    if (compartment->vfork_count)
        pages += erase(base + VFORK_STATE_OFFSET, PAGE_ALIGN_UP(sizeof(struct vfork_state)));
    pages += erase(base + HEADER_OFFSET, PAGE_ALIGN_UP(sizeof(struct compartment)));

    exchange->u.scrubbed.page_count = pages;
    exchange->op = OCALL_SCRUBBED;
    scrub_block_and_leave(THREAD_BLOCK(base, 0)); /* our own stack is the last of it */
}
