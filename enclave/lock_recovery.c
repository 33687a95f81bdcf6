// SPDX-License-Identifier: Apache-2.0
#include "lock_recovery.h"

#include "memory_table.h"

struct named_lock {
    struct spinlock *lock;
    const char *guards;
};

/* All but vfork_lock and memory.lock. */
#define LOCK_COUNT (7 + CLOCKS_KEPT)
static void list_locks(struct compartment *compartment, struct named_lock locks[LOCK_COUNT])
{
    uint32_t count = 0;
    locks[count++] = (struct named_lock){&compartment->futex_lock, "the futex queue"};
    locks[count++] = (struct named_lock){&compartment->fd_lock, "the table of epoll registrations"};
    locks[count++] = (struct named_lock){&compartment->signal_lock, "the signal actions"};
    locks[count++] = (struct named_lock){&compartment->thread_lock, "the table of threads"};
    locks[count++] = (struct named_lock){&compartment->patch_lock, "the program's code"};
    locks[count++] = (struct named_lock){&compartment->cpuid_lock, "the CPUID answers"};
    locks[count++] = (struct named_lock){&compartment->accept_lock, "the map of accepted pages"};
    for (uint32_t i = 0; i < CLOCKS_KEPT; i++)
        locks[count++] = (struct named_lock){&compartment->clocks[i].lock, "a clock"};
}

static int holds(const struct thread *thread, const struct spinlock *lock)
{
    return __atomic_load_n(&lock->holder, __ATOMIC_ACQUIRE) == (uint64_t)thread;
}

static void break_lock(struct spinlock *lock)
{
    lock->changing = 0;
    spin_unlock(lock);
}

const char *locks_recover(const struct thread *thread)
{
    struct compartment *compartment = thread->compartment;
    struct named_lock locks[LOCK_COUNT];
    list_locks(compartment, locks);
    for (uint32_t i = 0; i < LOCK_COUNT; i++) {
        if (!holds(thread, locks[i].lock))
            continue;
        if (locks[i].lock->changing)
            return locks[i].guards;
        break_lock(locks[i].lock);
    }
    if (holds(thread, &compartment->memory.lock)) {
        if (!memory_table_recover(compartment))
            return "the table of memory mappings";
        break_lock(&compartment->memory.lock);
    }
    return NULL;
}

void locks_break(struct compartment *compartment)
{
    struct named_lock locks[LOCK_COUNT];
    list_locks(compartment, locks);
    for (uint32_t i = 0; i < LOCK_COUNT; i++)
        break_lock(locks[i].lock);
    break_lock(&compartment->memory.lock);
    break_lock(&compartment->vfork_lock);
}
