/* SPDX-License-Identifier: Apache-2.0 */
/* Host threads: their memory, their birth and their end. */
#include "thread.h"

#include <asm/signal.h>
#include <linux/errno.h>
#include <linux/mman.h>
#include <linux/sched.h>

#include "../enclave/include/sgx_arch.h"
#include "enclave_loop.h"
#include "log.h"
#include "mate.h"
#include "ocall.h"
#include "signal.h"
#include "string.h"
#include "syscall.h"

#define CLONE_THREAD_FLAGS                                                                                             \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID |          \
     CLONE_CHILD_CLEARTID)

long thread_spawn(uint64_t flags, void *stack_top, uint32_t *tid, void (*run)(void *), void *argument);

/* Blocks are never unmapped: one whose thread has ended serves the next. Readers need no lock. */
static struct host_thread *blocks;
static uint32_t block_count;
/* Its first entry ends the page of variables that each start touches, see mate.lds */
struct host_thread *threads_by_slot[THREADS_MAX] __attribute__((section(".bss.by_slot")));
static uint32_t blocks_locked;

static void lock_blocks(void)
{
    while (__atomic_exchange_n(&blocks_locked, 1, __ATOMIC_ACQUIRE))
        syscall0(__NR_sched_yield);
}

static void unlock_blocks(void)
{
    __atomic_store_n(&blocks_locked, 0, __ATOMIC_RELEASE);
}

static long map_part(uint64_t start, uint64_t end)
{
    return syscall6(__NR_mmap, start, end - start, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

static long map_block(uint64_t block)
{
    long result = map_part(block + BLOCK_ALTERNATE_STACK, block + BLOCK_GUARD);

    if (syscall_failed(result))
        return result;
    result = map_part(block + BLOCK_STACK, block + BLOCK_SIZE);
    if (syscall_failed(result))
        syscall2(__NR_munmap, block + BLOCK_ALTERNATE_STACK, BLOCK_GUARD - BLOCK_ALTERNATE_STACK);
    return result;
}

/* A block whose thread has ended, as empty as a new one. */
static struct host_thread *reuse_block(void)
{
    struct host_thread *thread = blocks, *next;

    while (thread && __atomic_load_n(&thread->tid, __ATOMIC_ACQUIRE))
        thread = thread->next;
    if (!thread)
        return NULL;
    next = thread->next;
    memset(thread->exchange, 0, sizeof(*thread->exchange));
    memset(thread, 0, sizeof(*thread));
    thread->next = next;
    return thread;
}

static struct host_thread *new_block(void)
{
    uint64_t block = BLOCKS + (uint64_t)block_count * BLOCK_STRIDE;
    struct host_thread *thread = (struct host_thread *)(block + BLOCK_THREAD);

    if (block_count == BLOCKS_MAX || syscall_failed(map_block(block)))
        return NULL;
    block_count++;
    thread->next = blocks;
    blocks = thread;
    return thread;
}

static void initialise(struct host_thread *thread, uint32_t slot)
{
    uint64_t block = thread_block(thread);

    thread->slot = slot;
    thread->tid = ~0U; /* taken; the kernel writes the real one */
    thread->tcs = THREAD_BLOCK(mate.lease.grant.compartment_base, slot) + THREAD_TCS;
    thread->call.gate_stack = block + BLOCK_GATE_STACKS + BLOCK_GATE_STACK_SIZE;
    thread->call.run = &thread->run;
    thread->exchange = (struct exchange *)(block + BLOCK_EXCHANGE);
    thread->exchange->slot = slot;
    thread->exchange->buffer = block + BLOCK_BUFFER;
    thread->exchange->buffer_size = EXCHANGE_BUFFER_SIZE;
}

struct host_thread *thread_create(uint32_t slot)
{
    struct host_thread *thread;

    lock_blocks();
    thread = reuse_block();
    if (!thread)
        thread = new_block();
    if (thread) {
        initialise(thread, slot);
        __atomic_store_n(&threads_by_slot[slot], thread, __ATOMIC_RELEASE);
    }
    unlock_blocks();
    return thread;
}

struct host_thread *thread_of_slot(uint32_t slot)
{
    return slot < THREADS_MAX ? __atomic_load_n(&threads_by_slot[slot], __ATOMIC_ACQUIRE) : NULL;
}

void thread_start(struct host_thread *thread)
{
    stack_t stack = {.ss_sp = (void *)(thread_block(thread) + BLOCK_ALTERNATE_STACK),
                     .ss_size = BLOCK_ALTERNATE_STACK_END - BLOCK_ALTERNATE_STACK};
    long result = syscall2(__NR_sigaltstack, &stack, NULL);

    if (result)
        die("cannot set the alternate signal stack: error %d", (int)-result);
    sgx_thread_start(&thread->sgx);
}

static void run_thread(void *argument)
{
    struct host_thread *thread = argument;

    thread_start(thread);
    signal_set_mask(0);
    enclave_loop(thread, ECALL_START_THREAD, 0);
    thread_exit(thread);
}

long thread_clone(uint32_t slot)
{
    struct host_thread *thread;
    uint64_t mask;
    long result;

    if (slot >= mate.lease.grant.thread_count)
        return -EINVAL;
    thread = thread_create(slot);
    if (!thread)
        return -EAGAIN;
    /* Until its alternate stack is in place the new thread must not take a signal: it inherits this mask */
    signal_block_all(&mask);
    result = thread_spawn(CLONE_THREAD_FLAGS, (void *)(thread_block(thread) + BLOCK_STACK_END), &thread->tid,
                          run_thread, thread);
    signal_set_mask(mask);
    if (syscall_failed(result))
        __atomic_store_n(&thread->tid, 0, __ATOMIC_RELEASE);
    return result;
}

void thread_exit(struct host_thread *thread)
{
    signal_block_all(NULL);
    signal_hand_over(thread);
    for (;;)
        syscall1(__NR_exit, 0);
}

void ocall_clone_thread(struct host_thread *thread)
{
    struct ocall_clone_thread *request = &thread->exchange->u.clone_thread;

    request->result = thread_clone(request->slot);
}
