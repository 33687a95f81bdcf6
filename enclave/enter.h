/* SPDX-License-Identifier: Apache-2.0 */
/* What the ECALLs lead to, and what entry.S calls. */
#ifndef TEEMATE_ENTER_H
#define TEEMATE_ENTER_H
#include "thread.h"

/* entry.S: an ECALL at CSSA = 0 with a new stack */
void enclave_begin(enum ecall ecall, struct thread *self, uint64_t argument);
/* entry.S: an ECALL at CSSA = 1, on the exception stack */
void exception_begin(enum ecall ecall, volatile struct exchange *exchange, struct thread *self);

/* start.c: load the program that the exchange's start block names, and enter it. */
_Noreturn void program_start(struct thread *self);
/* sys_thread.c: a thread that clone prepared begins. */
_Noreturn void thread_start(struct thread *self);

/* scrub.c: may this compartment be erased now, that is, is no other thread inside? Then none gets in any more. */
int scrub_begin(struct thread *self);
_Noreturn void scrub_compartment(struct thread *self);
/* scrub.c: where ECALL_RESET makes an interrupted thread go on. */
_Noreturn void thread_reset(struct thread *self);

/* fault.c: an exception of the program, on the LibOS stack. `frame` holds the program's registers. */
void program_exception(struct registers *frame, uint64_t vector, uint64_t error, uint64_t address);
/*
 * patch.c: an instruction of two bytes that ends at frame->rip came by #UD, and is about to be served: frame->rax is
 * as before it. May move frame->rip, and for a system call frame->rcx, to a trampoline.
 */
enum patch_kind { PATCH_SYSCALL, PATCH_CPUID };
void patch_site(struct thread *self, struct registers *frame, enum patch_kind kind);
/* patch.c: where a system call that returns to this address is made again. */
uint64_t patch_restart_address(const struct compartment *compartment, uint64_t return_address);
/* patch.c: where a thread continues that was interrupted at this address, should it since have been patched. */
uint64_t patch_forward_address(const struct compartment *compartment, uint64_t address);
/* cpuid.c: CPUID is illegal in an enclave; answer from what the host says, within what the enclave may use. */
void program_cpuid(struct registers *frame);
/* signal.c: program_switch.S saw thread->pending on the way back to the program. */
void program_exit_pending(struct registers *frame);

_Noreturn void scrub_block_and_leave(uint64_t block);

/* Labels of program_switch.S that exception.c points SSA[0] to */
extern const char frame_call[], program_resume[], program_resume_end[];
#endif
