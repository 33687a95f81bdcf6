/* SPDX-License-Identifier: Apache-2.0 */
/* One enclave thread: the block that OGSBASE of a TCS points to. Reached as %gs:0 inside the enclave. */
#ifndef TEEMATE_THREAD_H
#define TEEMATE_THREAD_H

/* offsets for assembly, asserted below */
#define THREAD_SELF 0
#define THREAD_SYSCALL_ENTRY 8 /* patched sites: jmp *%gs:8 */
#define THREAD_EXIT_TARGET 16
#define THREAD_HOST_RSP 24
#define THREAD_HOST_RBP 32
#define THREAD_EXC_EXIT_TARGET 40
#define THREAD_EXC_HOST_RSP 48
#define THREAD_EXC_HOST_RBP 56
#define THREAD_OCALL_RSP 64
#define THREAD_APP_RSP 72
#define THREAD_APP_FSBASE 80
#define THREAD_RETURN_RIP 88
#define THREAD_EXCHANGE 96
#define THREAD_SCRATCH 104
#define THREAD_PENDING 112

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

#include "compartment.h"
#include "include/ocall.h"

/* The program's registers at a system call, in the order entry.S pushes them. */
struct registers {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rdx, rcx, rbx, rbp, rax;
    uint64_t rflags, rip, rsp;
};

enum thread_state { THREAD_FREE = 0, THREAD_STARTING = 1, THREAD_RUNNING = 2 };

struct thread {
    struct thread *self;
    uint64_t syscall_entry;
    uint64_t exit_target; /* where to EEXIT to, from RCX of the last EENTER at CSSA = 0 */
    uint64_t host_rsp, host_rbp;
    uint64_t exc_exit_target, exc_host_rsp, exc_host_rbp; /* the same at CSSA = 1 */
    uint64_t ocall_rsp; /* LibOS stack while outside in an OCALL, else 0 */
    uint64_t app_rsp;
    uint64_t app_fsbase; /* the program's FS base; the LibOS itself does not use FS */
    uint64_t return_rip;
    struct exchange *exchange; /* checked to lie outside ELRANGE */
    uint64_t scratch;
    uint32_t pending; /* a signal may be deliverable: look before returning to the program */
    uint32_t state;   /* enum thread_state, under compartment.thread_lock */

    struct compartment *compartment;
    uint32_t slot;
    uint32_t thread_id; /* host thread id, == Linux TID */
    uint64_t clear_child_tid;
    uint64_t robust_list, robust_list_size;
    struct registers start_registers; /* for THREAD_STARTING */

    uint64_t signal_mask;
    uint64_t signal_pending; /* bit n-1: signal n taken, not delivered */
    struct exchange_signal signal_info[SIGNAL_COUNT + 1];
    uint64_t saved_mask; /* mask to restore after sigsuspend and its kin, if has_saved_mask */
    uint32_t has_saved_mask;
    uint32_t altstack_flags;
    uint64_t altstack_base, altstack_size;

    /* futex queue entry, under compartment.futex_lock */
    uint64_t futex_address; /* 0: not waiting */
    uint32_t futex_bits;
    uint32_t futex_woken;
};
#define SELF_OFFSET(field, value) _Static_assert(offsetof(struct thread, field) == (value), #field)
SELF_OFFSET(self, THREAD_SELF);
SELF_OFFSET(syscall_entry, THREAD_SYSCALL_ENTRY);
SELF_OFFSET(exit_target, THREAD_EXIT_TARGET);
SELF_OFFSET(host_rsp, THREAD_HOST_RSP);
SELF_OFFSET(exc_exit_target, THREAD_EXC_EXIT_TARGET);
SELF_OFFSET(exc_host_rbp, THREAD_EXC_HOST_RBP);
SELF_OFFSET(ocall_rsp, THREAD_OCALL_RSP);
SELF_OFFSET(app_fsbase, THREAD_APP_FSBASE);
SELF_OFFSET(return_rip, THREAD_RETURN_RIP);
SELF_OFFSET(exchange, THREAD_EXCHANGE);
SELF_OFFSET(pending, THREAD_PENDING);
_Static_assert(sizeof(struct thread) <= THREAD_TCB_SIZE, "struct thread");

static inline struct thread *thread_self(void)
{
    struct thread *self;
    __asm__("mov %%gs:0, %0" : "=r"(self));
    return self;
}

static inline struct thread *thread_at(const struct compartment *compartment, uint32_t slot)
{
    return (struct thread *)(THREAD_BLOCK(compartment->base, slot) + THREAD_TCB);
}
#endif
#endif
