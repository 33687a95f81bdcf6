/* SPDX-License-Identifier: Apache-2.0 */
/* ECALLs at CSSA = 0 that start something; ECALL_OCALL_RETURN is dealt with in ocall.S. */
#include "enter.h"
#include "address_layout.h"
#include "host.h"
#include "thread.h"

static _Noreturn void refuse(struct thread *self)
{
    ((volatile struct exchange *)self->exchange)->op = OCALL_REFUSED;
    enclave_leave();
}

/* The thread's place in the compartment follows from its own address, which the hardware gave (OGSBASE). */
static void locate(struct thread *self)
{
    uint64_t block = thread_block(self);
    uint64_t index = (block - ENCLAVE_BASE) / COMPARTMENT_STRIDE - 1;
    uint64_t base = COMPARTMENT_BASE(index);
    self->compartment = compartment_at(base);
    self->compartment->base = base;
    self->compartment->index = index;
    self->slot = (block - base - THREADS_OFFSET) / THREAD_STRIDE;
    thread_use_cpu(self); /* of a compartment that has not started: as if the CPU had the least */
}

/* The compartment stays fresh, and its first thread outside. */
static _Noreturn void prepare(struct thread *self, uint64_t code_size)
{
    struct compartment *compartment = self->compartment;
    struct prepared_range ranges[PREPARED_RANGES];
    volatile struct exchange *exchange = self->exchange;
    if (!code_size || code_size % PAGE_SIZE || code_size > APP_CODE_END - APP_OFFSET ||
        address_layout_draw(compartment))
        refuse(self);
    uint64_t code_max = APP_CODE_END - compartment->draw.code;
    compartment->draw.prepared = code_size < code_max ? code_size : code_max;
    address_layout_prepared(compartment, ranges);
    for (int i = 0; i < PREPARED_RANGES; i++) {
        exchange->u.prepared.ranges[i].offset = ranges[i].offset;
        exchange->u.prepared.ranges[i].size = ranges[i].size;
    }
    exchange->op = OCALL_PREPARED;
    enclave_leave();
}

/* Become the one thread that may move the compartment from this state. */
static int change_state(struct compartment *compartment, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(&compartment->state, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void enclave_begin(enum ecall ecall, struct thread *self, uint64_t argument)
{
    locate(self);
    struct compartment *compartment = self->compartment;
    if (!host_attach(self))
        refuse(self);
    switch (ecall) {
    case ECALL_START:
        if (self->slot != 0 || !change_state(compartment, COMPARTMENT_FRESH, COMPARTMENT_RUNNING))
            refuse(self);
        compartment->slots_used = 1;
        compartment->threads_alive = 1;
        self->state = THREAD_RUNNING;
        program_start(self);
    case ECALL_START_THREAD:
        /* The slot was taken before this is read, and a scrub looks at the slots after it has set this. */
        if (__atomic_load_n(&compartment->state, __ATOMIC_SEQ_CST) != COMPARTMENT_RUNNING) {
            __atomic_store_n(&self->state, THREAD_FREE, __ATOMIC_RELEASE);
            refuse(self);
        }
        thread_start(self);
    case ECALL_PREPARE:
        if (self->slot != 0 || compartment->state != COMPARTMENT_FRESH)
            refuse(self);
        prepare(self, argument);
    case ECALL_SCRUB:
        if (self->slot != 0 || !scrub_begin(self))
            refuse(self);
        scrub_compartment(self);
    default:
        refuse(self);
    }
}
