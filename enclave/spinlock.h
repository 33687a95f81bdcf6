/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_SPINLOCK_H
#define TEEMATE_SPINLOCK_H
#include <stdint.h>

struct spinlock {
    uint32_t held;
};

static inline int spin_trylock(struct spinlock *lock)
{
    return !__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE);
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
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}
#endif
