/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfork: a host process of its own that runs in this compartment, on the calling thread's TCS, until it executes a
 * program or ends; meanwhile the caller waits on the host. One at a time in a compartment.
 */
#ifndef TEEMATE_VFORK_H
#define TEEMATE_VFORK_H
#include "thread.h"

struct vfork_point { /* in the order of vfork_switch.S */
    uint64_t rip, rsp, fsbase, rbx, rbp, r12, r13, r14, r15;
};

/* What is the child's own, and what the parent gets back. */
struct vfork_state {
    struct vfork_point point;
    struct registers *parent_frame;
    struct registers child_registers;
    struct signal_action actions[SIGNAL_COUNT + 1]; /* the child's */
    struct thread parent; /* from `compartment` on */
};
#define VFORK_STATE_OFFSET (HEADER_OFFSET + HEADER_SIZE / 4)
_Static_assert(HEADER_OFFSET + sizeof(struct compartment) <= VFORK_STATE_OFFSET, "compartment header");
_Static_assert(VFORK_STATE_OFFSET + sizeof(struct vfork_state) <= ACCEPTED_MAP_OFFSET, "vfork state");

static inline struct vfork_state *vfork_state(const struct thread *thread)
{
    return (struct vfork_state *)(thread->compartment->base + VFORK_STATE_OFFSET);
}

/* The child's registers as it begins. The child's process id, or -errno; the child itself does not return here. */
long vfork_process(struct thread *self, const struct registers *child);

/* host.c, after each return from outside: it may be the parent's, because the child has ended. */
void vfork_check_return(struct thread *self);

/* On an empty stack, at CSSA = 0: see ECALL_VFORK_DIED. */
_Noreturn void vfork_child_died(struct thread *self);

/* vfork_switch.S */
void vfork_returned(void);
long vfork_save(struct vfork_point *point) __attribute__((returns_twice));
_Noreturn void vfork_leave(struct registers *child_frame);
_Noreturn void vfork_restore(struct vfork_point *point, long result, struct registers *frame);
#endif
