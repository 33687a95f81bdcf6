/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the program to the LibOS and back: entry.S shows the ways. The program's registers have a fixed place, at the
 * top of the LibOS stack of the thread (thread.h), so that an interrupted return can be started again.
 */
#include "thread.h"

    .set FLAGS_ABOVE_R10, REGISTERS_RFLAGS - REGISTERS_R10 /* once R10 is pushed */

/* To the LibOS stack, with the program's registers in the order of struct registers. */
.macro PUSH_PROGRAM return_address, r11
    mov %rsp, %gs:THREAD_APP_RSP
    mov %gs:THREAD_FRAME, %rsp
    lea REGISTERS_SIZE(%rsp), %rsp
    pushq %gs:THREAD_APP_RSP
    push \return_address
    pushfq
    push %rax
    push %rbp
    push %rbx
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    pushq \r11
    push %r12
    push %r13
    push %r14
    push %r15
.endm

/* What of struct registers can be popped: all but the flags, RIP and RSP, which follow. */
.macro POP_PROGRAM
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rbp
    pop %rax
.endm

/* As C code expects it. RDI = struct registers */
.macro BEGIN_LIBOS
    testl $(RFLAGS_DF | RFLAGS_AC), REGISTERS_RFLAGS(%rsp)
    jz 1f
    pushq $2
    popfq
1:
    mov %rsp, %rdi
    xor %ebp, %ebp
.endm

    .text
/* A patched site: RCX = return address, RAX = number. Nothing but RCX has changed since the program's code. */
    .globl syscall_enter
    .type syscall_enter, @function
syscall_enter:
    PUSH_PROGRAM %rcx, FLAGS_ABOVE_R10(%rsp) /* R11 = flags, as SYSCALL does */
    mov %rax, %gs:THREAD_SYSCALL_NUMBER
    BEGIN_LIBOS
    call syscall_entry
    jmp program_resume

/* A patched CPUID: RBX = return address, which CPUID overwrites anyway. Nothing but RBX has changed. */
    .globl cpuid_enter
    .type cpuid_enter, @function
cpuid_enter:
    PUSH_PROGRAM %rbx, %r11
    movq $NO_SYSCALL, %gs:THREAD_SYSCALL_NUMBER
    BEGIN_LIBOS
    call program_cpuid
    jmp program_resume

/* exception.c: the frame is filled; call RAX(RDI, RSI, RDX, RCX) and return to the program. */
    .globl frame_call
    .type frame_call, @function
frame_call:
    mov %gs:THREAD_FRAME, %rsp
    xor %ebp, %ebp
    call *%rax
    jmp program_resume

/* _Noreturn void program_enter(struct thread *self, const struct registers *registers) */
    .globl program_enter
    .type program_enter, @function
program_enter:
    mov THREAD_FRAME(%rdi), %rdi
    mov %rdi, %rdx
    mov $(REGISTERS_SIZE / 8), %ecx
    rep movsq
    mov %rdx, %rsp
    movq $NO_SYSCALL, %gs:THREAD_SYSCALL_NUMBER
    jmp program_resume

exit_pending:
    mov %rsp, %rdi
    call program_exit_pending

/*
 * Back to the program with the registers of the frame. A signal that interrupts [program_resume,
 * program_resume_end) starts it again from the top (exception.c): the frame is still whole.
 */
    .globl program_resume
    .type program_resume, @function
program_resume:
    mov %gs:THREAD_FRAME, %rsp
    cmpl $0, %gs:THREAD_PENDING
    jne exit_pending
    mov REGISTERS_RIP(%rsp), %rax
    mov %rax, %gs:THREAD_RETURN_RIP
    testl $(RFLAGS_DF | RFLAGS_AC), REGISTERS_RFLAGS(%rsp)
    jnz 1f
    /* the arithmetic flags without POPFQ, which takes four times as long: OF by an overflow, the rest by SAHF */
    movzbl REGISTERS_RFLAGS(%rsp), %ecx
    movzbl REGISTERS_RFLAGS+1(%rsp), %eax
    and $8, %al
    mov %cl, %ah
    add $0x78, %al
    sahf
    POP_PROGRAM
    mov 16(%rsp), %rsp
    jmp *%gs:THREAD_RETURN_RIP
1:
    POP_PROGRAM
    popfq
    mov 8(%rsp), %rsp
    jmp *%gs:THREAD_RETURN_RIP
    .globl program_resume_end
program_resume_end:
    .section .note.GNU-stack, "", @progbits
