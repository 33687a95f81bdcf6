/* SPDX-License-Identifier: Apache-2.0 */
/* OCALLs that are a host system call or a host instruction. */
#include <linux/errno.h>
#include <linux/futex.h>
#include <linux/time_types.h>

#include "cpu_table.h"
#include "log.h"
#include "ocall.h"
#include "syscall.h"
#include "vdso.h"
#include "would_wait.h"

#define SLOT_BITS 64
#define CLOCK_REALTIME_ID 0

static long uninterrupted(const struct ocall_syscall *call)
{
    return syscall6(call->number, call->args[0], call->args[1], call->args[2], call->args[3], call->args[4],
                    call->args[5]);
}

void ocall_syscall(struct host_thread *thread)
{
    struct ocall_syscall *call = &thread->exchange->u.syscall;

    if (!(call->flags & OCALL_SYSCALL_INTERRUPTIBLE)) {
        call->result = uninterrupted(call);
        return;
    }
    call->result = syscall_interruptible(call->number, call->args, &thread->exchange->signal_pending);
    if (call->result == SYSCALL_NOT_BEGUN)
        call->result = would_wait(call->number, call->args) ? -EINTR : uninterrupted(call);
}

void ocall_futex_wait(struct host_thread *thread)
{
    struct ocall_futex_wait *wait = &thread->exchange->u.futex_wait;
    struct __kernel_timespec deadline = {.tv_sec = wait->deadline_sec, .tv_nsec = wait->deadline_nsec};
    int operation = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG;
    uint64_t args[6] = {(uint64_t)&thread->exchange->park_word, 0, 0, 0, 0, FUTEX_BITSET_MATCH_ANY};

    if (wait->clock == CLOCK_REALTIME_ID)
        operation |= FUTEX_CLOCK_REALTIME;
    args[1] = operation;
    if (wait->has_deadline)
        args[3] = (uint64_t)&deadline;
    wait->result = syscall_interruptible(__NR_futex, args, &thread->exchange->signal_pending);
    if (wait->result == SYSCALL_NOT_BEGUN)
        wait->result = -EINTR;
}

void ocall_futex_wake(struct host_thread *thread)
{
    const struct ocall_futex_wake *wake = &thread->exchange->u.futex_wake;

    for (uint32_t slot = 0; slot < THREADS_MAX; slot++) {
        struct host_thread *sleeper;

        if (!(wake->slots[slot / SLOT_BITS] & 1UL << slot % SLOT_BITS))
            continue;
        sleeper = thread_of_slot(slot);
        if (!sleeper)
            continue;
        __atomic_store_n(&sleeper->exchange->park_word, 1, __ATOMIC_SEQ_CST);
        syscall3(__NR_futex, &sleeper->exchange->park_word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
    }
}

void ocall_clock(struct host_thread *thread)
{
    struct ocall_clock *clock = &thread->exchange->u.clock;
    struct __kernel_timespec time = {0};

    clock->result = vdso_clock_gettime(clock->clock, &time);
    clock->sec = time.tv_sec;
    clock->nsec = time.tv_nsec;
}

void ocall_cpuid(struct host_thread *thread)
{
    struct ocall_cpuid *request = &thread->exchange->u.cpuid;
    struct cpuid answer = cpu_leaf_on(&thread->sgx, request->leaf, request->subleaf);

    request->eax = answer.eax;
    request->ebx = answer.ebx;
    request->ecx = answer.ecx;
    request->edx = answer.edx;
}

void ocall_log(struct host_thread *thread)
{
    static const char *const levels[] = {"error: ", "warning: ", "debug: "};
    const struct ocall_log *log = &thread->exchange->u.log;
    uint32_t level = log->level < 3 ? log->level : 2;
    uint32_t size = log->size < EXCHANGE_BUFFER_SIZE ? log->size : EXCHANGE_BUFFER_SIZE;

    log_text(levels[level], (const char *)thread->exchange->buffer, size);
}
