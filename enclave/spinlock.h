/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEEMATE_SPINLOCK_H
#define TEEMATE_SPINLOCK_H
#include <stdint.h>

struct spinlock {
    uint32_t held;
};

static inline void spin_lock(struct spinlock *lock)
{
    while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED))
            __builtin_ia32_pause();
}

static inline int spin_trylock(struct spinlock *lock)
{
    return !__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE);
}

static inline void spin_unlock(struct spinlock *lock)
{
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}
#endif
