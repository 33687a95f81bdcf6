/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Futexes on memory of the compartment. The queue is in the enclave; the host only puts threads to sleep
 * and wakes them, so the worst it can do is to wake one for no reason or never.
 */
#ifndef TEEMATE_FUTEX_H
#define TEEMATE_FUTEX_H
#include "host.h"
#include "thread.h"

#define FUTEX_ANY_BIT 0xffffffffu

/* 0, -EAGAIN (another value), -EFAULT, -EINTR, -ETIMEDOUT */
long futex_wait(struct thread *self, uint64_t address, uint32_t value, uint32_t bits,
                const struct host_deadline *deadline);

/*
 * A vfork child that used this thread's slot has ended: take what it waited for out of the queue. Whom it woke it could
 * not wake on the host, where they are threads of another process: have all look again.
 */
void futex_end_child(struct thread *self);

/* Returns how many were woken. */
long futex_wake(struct compartment *compartment, uint64_t address, uint32_t count, uint32_t bits);

/*
 * Wake some, and move others to wait for `target`. With `expected`: only if *address still has that value,
 * else -EAGAIN. Returns how many were woken or moved.
 */
long futex_requeue(struct compartment *compartment, uint64_t address, uint32_t wake_count, uint32_t move_count,
                   uint64_t target, const uint32_t *expected);
#endif
