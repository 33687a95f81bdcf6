/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compartment.futex_waiters is in the order of arrival. A waiter is taken out of it by whoever ends its wait,
 * and futex_woken says that it was a waker. The futex word is read once before taking the lock, which may
 * load its page, and again under it: should it fault there, usercopy.S makes that an error.
 */
#include "futex.h"

#include <linux/errno.h>

#include "string.h"
#include "usercopy.h"

struct slot_set {
    uint64_t bits[THREADS_MAX / 64];
};

static void add_slot(struct slot_set *set, uint32_t slot)
{
    set->bits[slot / 64] |= 1UL << slot % 64;
}

static void remove_at(struct compartment *compartment, uint32_t index)
{
    struct futex_waiter *waiters = compartment->futex_waiters;
    uint32_t after = compartment->futex_waiter_count - 1 - index;
    spin_begin_change(&compartment->futex_lock);
    memmove(&waiters[index], &waiters[index + 1], after * sizeof(*waiters));
    compartment->futex_waiter_count--;
    spin_end_change(&compartment->futex_lock);
}

static void append(struct compartment *compartment, uint64_t address, uint32_t bits, uint32_t slot)
{
    spin_begin_change(&compartment->futex_lock);
    compartment->futex_waiters[compartment->futex_waiter_count++] =
        (struct futex_waiter){.address = address, .bits = bits, .slot = slot};
    spin_end_change(&compartment->futex_lock);
}

static void remove_slot(struct compartment *compartment, uint32_t slot)
{
    for (uint32_t i = 0; i < compartment->futex_waiter_count; i++) {
        if (compartment->futex_waiters[i].slot == slot) {
            remove_at(compartment, i);
            return;
        }
    }
}

/* The wait ends for another reason than a waker. Returns 0 if a waker was faster. */
static int withdraw(struct thread *self)
{
    struct compartment *compartment = self->compartment;
    spin_lock(&compartment->futex_lock);
    int withdrawn = !self->futex_woken;
    if (withdrawn)
        remove_slot(compartment, self->slot);
    spin_unlock(&compartment->futex_lock);
    return withdrawn;
}

static int is_woken(const struct thread *self)
{
    return __atomic_load_n(&self->futex_woken, __ATOMIC_ACQUIRE);
}

/*
 * The waker sets futex_woken, then the host sets park_word. So clearing park_word before looking at
 * futex_woken cannot lose a wake-up.
 */
static void arm(struct thread *self)
{
    ((volatile struct exchange *)self->exchange)->park_word = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static long sleep(struct thread *self, const struct host_deadline *deadline)
{
    for (;;) {
        long result = host_futex_wait(deadline);
        if (is_woken(self))
            return 0;
        if (result == -ETIMEDOUT)
            return withdraw(self) ? -ETIMEDOUT : 0;
        if (self->pending || result == -EINTR) {
            signal_collect(self);
            if (signal_deliverable(self)) {
                self->pending = 1;
                return withdraw(self) ? -EINTR : 0;
            }
        }
        arm(self);
        if (is_woken(self))
            return 0;
    }
}

long futex_wait(struct thread *self, uint64_t address, uint32_t value, uint32_t bits,
                const struct host_deadline *deadline)
{
    struct compartment *compartment = self->compartment;
    uint32_t found;
    long error = load_u32_from_program(&found, (const uint32_t *)address);
    if (error)
        return error;
    spin_lock(&compartment->futex_lock);
    error = usercopy_load_u32(&found, (const uint32_t *)address);
    if (!error && found != value)
        error = -EAGAIN;
    if (!error) {
        append(compartment, address, bits, self->slot);
        self->futex_woken = 0;
        arm(self);
    }
    spin_unlock(&compartment->futex_lock);
    return error ? error : sleep(self, deadline);
}

/* Under futex_lock. Returns how many, their slots in `set`. */
static uint32_t wake_locked(struct compartment *compartment, uint64_t address, uint32_t count, uint32_t bits,
                            struct slot_set *set)
{
    uint32_t woken = 0;
    for (uint32_t i = 0; i < compartment->futex_waiter_count && woken < count;) {
        const struct futex_waiter *waiter = &compartment->futex_waiters[i];
        if (waiter->address != address || !(waiter->bits & bits)) {
            i++;
            continue;
        }
        add_slot(set, waiter->slot);
        __atomic_store_n(&thread_at(compartment, waiter->slot)->futex_woken, 1, __ATOMIC_RELEASE);
        remove_at(compartment, i);
        woken++;
    }
    return woken;
}

long futex_wake(struct compartment *compartment, uint64_t address, uint32_t count, uint32_t bits)
{
    struct slot_set set = {0};
    spin_lock(&compartment->futex_lock);
    uint32_t woken = wake_locked(compartment, address, count, bits, &set);
    spin_unlock(&compartment->futex_lock);
    if (woken)
        host_futex_wake(set.bits);
    return woken;
}

static uint32_t move_locked(struct compartment *compartment, uint64_t address, uint32_t count, uint64_t target)
{
    uint32_t moved = 0;
    uint32_t unseen = compartment->futex_waiter_count; /* those that are moved go to the end */
    for (uint32_t i = 0; unseen && moved < count; unseen--) {
        struct futex_waiter waiter = compartment->futex_waiters[i];
        if (waiter.address != address) {
            i++;
            continue;
        }
        remove_at(compartment, i);
        append(compartment, target, waiter.bits, waiter.slot);
        moved++;
    }
    return moved;
}

long futex_requeue(struct compartment *compartment, uint64_t address, uint32_t wake_count, uint32_t move_count,
                   uint64_t target, const uint32_t *expected)
{
    struct slot_set set = {0};
    uint32_t found, woken = 0, moved = 0;
    long error = 0;
    if (expected && load_u32_from_program(&found, (const uint32_t *)address))
        return -EFAULT;
    spin_lock(&compartment->futex_lock);
    if (expected) {
        error = usercopy_load_u32(&found, (const uint32_t *)address);
        if (!error && found != *expected)
            error = -EAGAIN;
    }
    if (!error) {
        woken = wake_locked(compartment, address, wake_count, FUTEX_ANY_BIT, &set);
        moved = move_locked(compartment, address, move_count, target);
    }
    spin_unlock(&compartment->futex_lock);
    if (woken)
        host_futex_wake(set.bits);
    return error ? error : (long)woken + moved;
}

void futex_end_child(struct thread *self)
{
    struct compartment *compartment = self->compartment;
    struct slot_set set = {0};
    uint32_t woken = 0;
    spin_lock(&compartment->futex_lock);
    remove_slot(compartment, self->slot);
    for (uint32_t slot = 0; slot < compartment->slots_used; slot++) {
        const struct thread *thread = thread_at(compartment, slot);
        if (thread != self && __atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) == THREAD_RUNNING && is_woken(thread)) {
            add_slot(&set, slot);
            woken++;
        }
    }
    spin_unlock(&compartment->futex_lock);
    if (woken)
        host_futex_wake(set.bits);
}
