/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a thread, in the order of the kernel's mm_release: robust futexes, clear_child_tid, then the slot. */
#include <linux/errno.h>

#include "futex.h"
#include "signal_frame.h"
#include "syscall.h"

#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu
#define ROBUST_LIST_LIMIT 2048
#define ROBUST_PI 1UL
#define NR_KILL 62
#define SI_TKILL (-6)
#define ALL_SIGNALS (~0UL)

struct robust_list_head {
    uint64_t next;
    int64_t futex_offset;
    uint64_t pending;
};

/* If this thread holds the lock: mark it, and wake one who waits for it. 0 or -EFAULT. */
static long release_futex(struct thread *self, uint64_t address, int is_pending)
{
    uint32_t value, seen;
    if (address % sizeof(value) || load_u32_from_program(&value, (const uint32_t *)address))
        return -EFAULT;
    for (;;) {
        /* the thread may have died between unlocking and waking: then the waker is us */
        if (is_pending && !value) {
            futex_wake(self->compartment, address, 1, FUTEX_ANY_BIT);
            return 0;
        }
        if ((value & FUTEX_TID_MASK) != self->thread_id)
            return 0;
        seen = value;
        long result = exchange_u32_in_program((uint32_t *)address, &seen, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
        if (result < 0)
            return result;
        if (result == 0)
            break;
        value = seen;
    }
    if (value & FUTEX_WAITERS)
        futex_wake(self->compartment, address, 1, FUTEX_ANY_BIT);
    return 0;
}

static void release_robust_list(struct thread *self)
{
    struct robust_list_head head;
    uint64_t start = self->robust_list;
    if (!start || copy_from_program(&head, (const void *)start, sizeof(head)))
        return;
    uint64_t pending = head.pending & ~ROBUST_PI;
    uint64_t entry = head.next & ~ROBUST_PI;
    for (int i = 0; entry != start && i < ROBUST_LIST_LIMIT; i++) {
        uint64_t next; /* read before the lock's new owner may free the entry */
        long error = copy_from_program(&next, (const void *)entry, sizeof(next));
        if (entry != pending && release_futex(self, entry + (uint64_t)head.futex_offset, 0))
            return;
        if (error)
            return;
        entry = next & ~ROBUST_PI;
    }
    if (pending)
        release_futex(self, pending + (uint64_t)head.futex_offset, 1);
}

/* What the host gave to this thread but meant for the process goes to another thread. */
static void pass_signals_on(struct thread *self)
{
    struct signal_info info;
    signal_set_mask(self, ALL_SIGNALS);
    signal_collect(self);
    while (signal_dequeue(self, ALL_SIGNALS, &info))
        if (info.code != SI_TKILL)
            host_syscall(NR_KILL, thread_process_id(self), (uint64_t)info.signal, 0, 0, 0, 0);
}

static void clear_child_tid(struct thread *self)
{
    uint32_t zero = 0;
    uint64_t address = self->clear_child_tid;
    if (address && !copy_to_program((void *)address, &zero, sizeof(zero)))
        futex_wake(self->compartment, address, 1, FUTEX_ANY_BIT);
}

long sys_exit(struct syscall *call)
{
    struct thread *self = call->thread;
    struct compartment *compartment = call->compartment;
    uint32_t status = (uint32_t)call->args[0] & 0xff;

    if (self->is_vfork_child)
        host_exit_group(status);

    spin_lock(&compartment->thread_lock);
    int last = --compartment->threads_alive == 0;
    spin_unlock(&compartment->thread_lock);
    if (last) /* its status is the process's, as in Linux since 6.0 */
        host_exit_group(status);

    release_robust_list(self);
    pass_signals_on(self);
    clear_child_tid(self); /* from here on a joiner may reuse the thread's stack */
    host_exit_thread();
}

long sys_exit_group(struct syscall *call)
{
    host_exit_group((uint32_t)call->args[0] & 0xff);
}
