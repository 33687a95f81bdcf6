/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The holder may be interrupted, or outside for OCALL_PROTECT, while there are more threads than processors: without
 * the host's help we would spin for the rest of our time slice.
 */
#include "spinlock.h"

#include "host.h"

#define SPINS_BEFORE_YIELD 100
#define NR_SCHED_YIELD 24

void spin_wait(const struct spinlock *lock)
{
    for (int spins = 0; spins < SPINS_BEFORE_YIELD; spins++) {
        if (!__atomic_load_n(&lock->holder, __ATOMIC_RELAXED))
            return;
        __builtin_ia32_pause();
    }
    host_syscall(NR_SCHED_YIELD, 0, 0, 0, 0, 0, 0);
}
