/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host threads. Each has one block of untrusted memory:
 *
 *   0         guard: nothing is mapped
 *   0x1000    alternate signal stack (a frame with AMX state takes 11 KiB)
 *   0x20000   struct host_thread
 *   0x20800   struct exchange
 *   0x22000   guard
 *   0x23000   stack
 *   0x33000   gate stacks, see enclave_call.S
 *   0x3b000   copy buffer
 *
 * The block is aligned to THREAD_ALIGNMENT, so a signal handler finds its thread from the address of
 * its stack: FS and GS may be the enclave's. Blocks lie in a row behind the mate, where the first one needs no page
 * tables of its own.
 */
#ifndef TEEMATE_MATE_THREAD_H
#define TEEMATE_MATE_THREAD_H

#define THREAD_ALIGNMENT 0x20000
#define BLOCK_ALTERNATE_STACK 0x1000
#define BLOCK_ALTERNATE_STACK_END 0x20000
#define BLOCK_THREAD 0x20000
#define BLOCK_EXCHANGE 0x20800
#define BLOCK_GUARD 0x22000
#define BLOCK_STACK 0x23000
#define BLOCK_STACK_END 0x33000
#define BLOCK_GATE_STACKS 0x33000
#define BLOCK_GATE_STACK_SIZE 0x4000
#define BLOCK_BUFFER 0x3b000
#define BLOCK_SIZE (BLOCK_BUFFER + EXCHANGE_BUFFER_SIZE)
#define BLOCK_STRIDE 0x80000
#define BLOCKS (MATE_TEXT + 0x20000)
#define BLOCKS_MAX ((ENCLAVE_BASE - BLOCKS) / BLOCK_STRIDE)

#ifndef __ASSEMBLER__
#include <stdint.h>

#include "../enclave/include/layout.h"
#include "../enclave/include/ocall.h"
#include "enclave_call.h"
#include "sgx_platform.h"

struct host_thread {
    struct sgx_thread sgx; /* first: the platform finds it by thread_of_stack(), too */
    struct exchange *exchange;
    uint64_t tcs;
    uint32_t slot;
    uint32_t tid; /* cleared by the kernel when the thread has ended: the block is free */
    /* CSSA at which the entry from the loop runs: 0, or 1 for exceptions and signals. Handlers read it. */
    uint32_t level;
    uint32_t unannounced; /* signals were queued, and the enclave was not entered to be told so */
    uint64_t blocked; /* signals that wait in the kernel until the ring has room */
    uint32_t returned; /* signals that were given back to the kernel, for this thread */
    struct enclave_call call; /* of the loop; handlers have one of their own */
    struct sgx_enclave_run run;
    struct host_thread *next;
};
_Static_assert(sizeof(struct host_thread) <= BLOCK_EXCHANGE - BLOCK_THREAD, "struct host_thread");
_Static_assert(sizeof(struct exchange) <= BLOCK_GUARD - BLOCK_EXCHANGE, "struct exchange");
_Static_assert(BLOCK_ALTERNATE_STACK_END <= THREAD_ALIGNMENT, "handlers find the block by masking");
_Static_assert(BLOCK_SIZE <= BLOCK_STRIDE && BLOCKS % THREAD_ALIGNMENT == 0 && BLOCK_STRIDE % THREAD_ALIGNMENT == 0 &&
                   BLOCKS_MAX >= THREADS_MAX,
               "blocks");

static inline struct host_thread *thread_of_stack(const void *stack)
{
    return (struct host_thread *)(((uint64_t)stack & ~(uint64_t)(THREAD_ALIGNMENT - 1)) + BLOCK_THREAD);
}

static inline uint64_t thread_block(const struct host_thread *thread)
{
    return (uint64_t)thread - BLOCK_THREAD;
}

/* Memory for the thread that will enter this slot; NULL when there is none. Not yet started. */
struct host_thread *thread_create(uint32_t slot);
/* On the thread itself: alternate stack, platform, signals unblocked. Signals are blocked until then. */
void thread_start(struct host_thread *thread);
/* The thread that last entered this slot, or NULL. */
struct host_thread *thread_of_slot(uint32_t slot);

long thread_clone(uint32_t slot);
_Noreturn void thread_exit(struct host_thread *thread);
#endif
#endif
