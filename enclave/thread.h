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
#define THREAD_FRAME 104
#define THREAD_PENDING 112
#define THREAD_STATE 116
#define THREAD_SYSCALL_NUMBER 120
#define THREAD_XFRM 128
#define THREAD_CPUID_ENTRY 136 /* patched sites: jmp *%gs:136 */
#define THREAD_XGETBV_REGISTER 144

/*
 * The top of a thread's LibOS stack, offsets in the thread block: the XSAVE area that keeps the program's
 * extended state while the thread is outside, and below it the program's registers. The stack grows
 * down from there. Both have a fixed place so that an interrupted return to the program can be
 * started again.
 */
#define THREAD_XSAVE (THREAD_STACK_TOP - 0x1000)
#define THREAD_REGISTERS (THREAD_XSAVE - REGISTERS_SIZE)
#define FRAME_TO_XSAVE REGISTERS_SIZE

/* struct registers */
#define REGISTERS_R10 40
#define REGISTERS_RFLAGS 120
#define REGISTERS_RIP 128
#define REGISTERS_SIZE 144

/* struct exchange */
#define EXCHANGE_SIGNAL_PENDING 36
#define EXCHANGE_SIZE_MAX 0x4000 /* more than it has: what must lie outside ELRANGE */

/* enum ecall and enum ocall for assembly */
#define ENTRY_START 1
#define ENTRY_START_THREAD 2
#define ENTRY_OCALL_RETURN 3
#define ENTRY_SCRUB 4
#define ENTRY_PREPARE 5
#define ENTRY_REFUSED 20

/* x87, SSE, AVX, AVX-512: what the LibOS saves. Nothing else may be in use in the enclave. */
#define XFRM_SUPPORTED 0xe7
#define RFLAGS_DF 0x400
#define RFLAGS_AC 0x40000

#define NO_SYSCALL -1 /* syscall_number */

/* enum thread_state */
#define THREAD_STATE_FREE 0
#define THREAD_STATE_STARTING 1
#define THREAD_STATE_RUNNING 2

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

#include "compartment.h"
#include "include/ocall.h"

/* The program's registers at a system call, in the order program_switch.S pushes them. */
struct registers {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rdx, rcx, rbx, rbp, rax;
    uint64_t rflags, rip, rsp;
};

enum thread_state {
    THREAD_FREE = 0,
    THREAD_STARTING = 1, /* prepared by clone: ECALL_START_THREAD may enter */
    THREAD_RUNNING = 2, /* entered */
    THREAD_CLAIMED = 3, /* clone is preparing it */
};

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
    struct registers *frame; /* the program's registers, see THREAD_REGISTERS */
    uint32_t pending; /* a signal may be deliverable: look before returning to the program */
    uint32_t state; /* enum thread_state; the first claim under compartment.thread_lock, each other change atomic */
    int64_t syscall_number; /* of the call whose result `frame` holds, or NO_SYSCALL */
    uint64_t xfrm; /* extended state components to save and clear */
    uint64_t cpuid_entry;
    uint32_t xgetbv_register; /* 1: components in use; 0: those enabled, if the CPU lacks that or XSAVEC: see ocall.S */

    struct compartment *compartment;
    char *host_buffer; /* checked to lie outside ELRANGE, HOST_BUFFER_SIZE bytes */
    uint32_t slot;
    uint32_t thread_id; /* host thread id, == Linux TID; 0 until clone has it */
    uint64_t clear_child_tid;
    uint64_t robust_list;
    struct registers start_registers; /* for THREAD_STARTING */
    uint32_t process_id; /* of a vfork child, else 0: see thread_process_id() */
    uint32_t is_vfork_child;
    uint32_t dying; /* faults of the LibOS itself, which it is reporting */
    struct {
        uint64_t vector, error, address;
    } fault; /* the last one, as sigcontext shows it */
    uint64_t repaired_rip, repaired_address; /* the last fault that memory_repair dealt with */
    uint32_t repaired_after; /* compartment.vfork_count then */

    uint64_t signal_mask; /* what the program believes */
    uint64_t host_mask; /* what the host was told, see signal_sync_host_mask() */
    uint64_t signal_pending; /* bit n-1: signal n is in the queue */
    uint32_t signal_queue_count;
    struct exchange_signal signal_queue[SIGNAL_QUEUE_SIZE]; /* oldest first */
    uint64_t saved_mask; /* mask to restore after sigsuspend and its kin, if has_saved_mask */
    uint32_t has_saved_mask;
    uint32_t altstack_flags;
    uint64_t altstack_base, altstack_size;

    uint32_t futex_woken; /* set by the waker, under compartment.futex_lock */
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
SELF_OFFSET(frame, THREAD_FRAME);
SELF_OFFSET(pending, THREAD_PENDING);
SELF_OFFSET(state, THREAD_STATE);
SELF_OFFSET(syscall_number, THREAD_SYSCALL_NUMBER);
SELF_OFFSET(xfrm, THREAD_XFRM);
SELF_OFFSET(cpuid_entry, THREAD_CPUID_ENTRY);
SELF_OFFSET(xgetbv_register, THREAD_XGETBV_REGISTER);
SELF_OFFSET(exc_host_rsp, THREAD_EXC_HOST_RSP);
SELF_OFFSET(host_rsp, THREAD_HOST_RSP);
SELF_OFFSET(host_rbp, THREAD_HOST_RBP);
SELF_OFFSET(app_rsp, THREAD_APP_RSP);
_Static_assert(offsetof(struct registers, r10) == REGISTERS_R10, "registers.r10");
_Static_assert(offsetof(struct registers, rflags) == REGISTERS_RFLAGS, "registers.rflags");
_Static_assert(offsetof(struct registers, rip) == REGISTERS_RIP, "registers.rip");
_Static_assert(sizeof(struct registers) == REGISTERS_SIZE, "registers");
_Static_assert(offsetof(struct exchange, signal_pending) == EXCHANGE_SIGNAL_PENDING, "exchange.signal_pending");
_Static_assert(sizeof(struct exchange) <= EXCHANGE_SIZE_MAX, "exchange");
_Static_assert(ENTRY_START == ECALL_START && ENTRY_START_THREAD == ECALL_START_THREAD &&
                   ENTRY_OCALL_RETURN == ECALL_OCALL_RETURN && ENTRY_SCRUB == ECALL_SCRUB &&
                   ENTRY_PREPARE == ECALL_PREPARE,
               "enum ecall");
_Static_assert(ENTRY_REFUSED == OCALL_REFUSED, "enum ocall");
_Static_assert(offsetof(struct exchange, op) == 0, "exchange.op");
_Static_assert(THREAD_STATE_FREE == THREAD_FREE && THREAD_STATE_STARTING == THREAD_STARTING &&
                   THREAD_STATE_RUNNING == THREAD_RUNNING,
               "enum thread_state");
_Static_assert(XSAVE_SIZE_MAX <= 0x1000, "XSAVE area");
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

static inline uint32_t thread_process_id(const struct thread *thread)
{
    return thread->is_vfork_child ? thread->process_id : thread->compartment->process_id;
}

/* What the mate says of the CPU is the host's word: if it is wrong the LibOS faults, and the program ends. */
static inline void thread_use_cpu(struct thread *thread)
{
    thread->xgetbv_register = !!(thread->compartment->flags & START_XSAVEC);
}

/* The thread's block, see layout.h. */
static inline uint64_t thread_block(const struct thread *thread)
{
    return (uint64_t)thread - THREAD_TCB;
}

/* Begin the program with these registers, on a thread that has no program state yet. */
_Noreturn void program_enter(struct thread *self, const struct registers *registers);
#endif
#endif
