/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock knows its holder, because a holder can die: a vfork child is a process that the host may kill between any two
 * instructions, and its parent goes on in the same compartment (lock_recovery.c). Who makes a change that would be
 * wrong if it stayed half made says so by spin_begin_change.
 */
#ifndef TEEMATE_SPINLOCK_H
#define TEEMATE_SPINLOCK_H
#include <stdint.h>

struct spinlock {
    uint64_t holder; /* its struct thread, or 0 */
    uint32_t changing;
};

/* The calling thread's struct thread. */
static inline uint64_t spin_self(void)
{
    uint64_t self;
    __asm__("mov %%gs:0, %0" : "=r"(self));
    return self;
}

static inline int spin_trylock(struct spinlock *lock)
{
    uint64_t nobody = 0;
    return __atomic_compare_exchange_n(&lock->holder, &nobody, spin_self(), 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* The slow path: spin for a while, then let the host run the holder. Leaves the enclave. */
void spin_wait(const struct spinlock *lock);

static inline void spin_lock(struct spinlock *lock)
{
    while (!spin_trylock(lock))
        spin_wait(lock);
}

static inline void spin_unlock(struct spinlock *lock)
{
    __atomic_store_n(&lock->holder, 0, __ATOMIC_RELEASE);
}

/* Only the order in which this processor executes them matters: whoever looks does so after our death. */
static inline void spin_begin_change(struct spinlock *lock)
{
    lock->changing = 1;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void spin_end_change(struct spinlock *lock)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    lock->changing = 0;
}
#endif
