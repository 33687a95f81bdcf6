/* SPDX-License-Identifier: Apache-2.0 */
/* Linux's rt_sigframe: what a handler finds on its stack and sigreturn takes back. */
#ifndef TEEMATE_SIGNAL_FRAME_H
#define TEEMATE_SIGNAL_FRAME_H
#include "thread.h"

/* sigaction flags */
#define SA_NOCLDSTOP 0x1UL
#define SA_NOCLDWAIT 0x2UL
#define SA_RESTORER 0x04000000UL
#define SA_ONSTACK 0x08000000UL
#define SA_RESTART 0x10000000UL
#define SA_NODEFER 0x40000000UL
#define SA_RESETHAND 0x80000000UL

/* stack_t.ss_flags */
#define SS_ONSTACK 1u
#define SS_DISABLE 2u
#define SS_AUTODISARM 0x80000000u

/* The kernel's siginfo_t, as far as the LibOS looks into it */
struct signal_info {
    int32_t signal, error, code, padding;
    uint64_t address; /* of a fault */
    uint8_t rest[104];
};
_Static_assert(sizeof(struct signal_info) == 128, "siginfo_t");

struct signal_stack { /* stack_t */
    uint64_t base;
    uint32_t flags, padding;
    uint64_t size;
};

/* What sigaltstack(2) tells: the thread's alternate stack, and whether rsp is on it. */
struct signal_stack signal_stack_of(const struct thread *self, uint64_t rsp);
int signal_on_altstack(const struct thread *self, uint64_t rsp);
/* 0 or -errno */
long signal_stack_set(struct thread *self, uint64_t rsp, const struct signal_stack *stack);

/* Make `registers` enter the handler. saved_mask is what sigreturn puts back. 0 or -EFAULT. */
long signal_frame_push(struct thread *self, struct registers *registers, const struct signal_action *action,
                       const struct signal_info *info, uint64_t saved_mask);

/* sigreturn: registers, extended state, alternate stack and mask of the frame at registers->rsp. 0 or -EFAULT. */
long signal_frame_pop(struct thread *self, struct registers *registers, uint64_t *mask);
#endif
