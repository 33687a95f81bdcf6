/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways into the enclave. This map shows those out of it, too (ocall.S, leave.S), and those between the program and
 * the LibOS (program_switch.S).
 *
 *          host                      LibOS (CSSA = 0)                        program
 *   EENTER START --------> enclave_entry -> enclave_begin -> program_enter ---> runs
 *   EENTER OCALL_RETURN -> enclave_entry -> ocall_return                        |
 *                 <------- enclave_ocall        syscall_enter <-----------------| jmp *%gs:8 (patched)
 *                                               cpuid_enter <-------------------| jmp *%gs:136 (patched)
 *                                               frame_call <--------------------| #UD and faults, by exception.c
 *                                               program_resume ---------------->|
 *          host                      LibOS (CSSA = 1)
 *   EENTER EXCEPTION, SIGNAL, RESET -> exception_entry -> exception_begin, which changes SSA[0] only;
 *                                      then EEXIT, and the host's ERESUME continues at CSSA = 0
 *
 * All of it assumes a hostile host: RSI and RCX are checked before use, RSP and RBP are only ever given back,
 * flags that change the meaning of code (DF, AC) are cleared, MXCSR and the x87 control word are loaded.
 */
#include "entry_macros.inc"

#define TCB_TO_FRAME (THREAD_REGISTERS - THREAD_TCB)
#define TCB_TO_EXCEPTION_STACK (THREAD_EXCEPTION_STACK_TOP - THREAD_TCB)

    .section .text.entry, "ax", @progbits

/* RAX = CSSA, RBX = TCS, RCX = where to EEXIT to, RDI = enum ecall, RSI = exchange, RDX = argument */
    .globl enclave_entry
    .type enclave_entry, @function
enclave_entry:
    test %eax, %eax
    jnz exception_entry
    cmp $ENTRY_OCALL_RETURN, %edi
    je ocall_return

/* START, START_THREAD, SCRUB, PREPARE: nothing on the LibOS stack is needed any more, or the ECALL is refused. */
entry_begin:
    CHECK_HOST_POINTERS %r8, %r9, entry_unusable
    cmp $ENTRY_START_THREAD, %edi
    je 1f
    cmp $ENTRY_SCRUB, %edi
    je 2f /* the thread is outside (its TCS was free), so whatever its state: it ends here */
    cmp $ENTRY_PREPARE, %edi
    je 3f
    cmp $ENTRY_START, %edi
    jne entry_refused
3:
    cmpl $THREAD_STATE_FREE, %gs:THREAD_STATE
    jne entry_refused
    jmp 2f
1:
    /* Before anything else is touched: from here on neither a scrub nor the cloning thread takes the slot back */
    mov $THREAD_STATE_STARTING, %eax
    mov $THREAD_STATE_RUNNING, %r8d
    lock cmpxchg %r8d, %gs:THREAD_STATE
    jne entry_refused
2:
    rdgsbase %r8
    mov %r8, THREAD_SELF(%r8)
    mov %rsp, THREAD_HOST_RSP(%r8)
    mov %rbp, THREAD_HOST_RBP(%r8)
    mov %rcx, THREAD_EXIT_TARGET(%r8)
    mov %rsi, THREAD_EXCHANGE(%r8)
    movq $0, THREAD_OCALL_RSP(%r8)
    lea TCB_TO_FRAME(%r8), %rsp
    mov %rsp, THREAD_FRAME(%r8)
    lea syscall_enter(%rip), %rax
    mov %rax, THREAD_SYSCALL_ENTRY(%r8)
    lea cpuid_enter(%rip), %rax
    mov %rax, THREAD_CPUID_ENTRY(%r8)
    CLEAR_FLAGS
    mov %rdx, %r9
    xor %ecx, %ecx
    xgetbv
    and $XFRM_SUPPORTED, %eax
    mov %rax, THREAD_XFRM(%r8)
    xor %edx, %edx
    xrstor64 clean_extended_state(%rip)
    mov %r8, %rsi
    mov %r9, %rdx
    xor %ebp, %ebp
    call enclave_begin /* (ecall, thread, argument) */
    ud2

/* The host broke the protocol. RSP and RBP are still its own; the TCS stays as it was. */
    .globl entry_refused
entry_refused:
    movl $ENTRY_REFUSED, (%rsi)
    mov %rcx, %rbx
    EEXIT_CLEARED

/* Not even a place to say so or to exit to. */
    .globl entry_unusable
entry_unusable:
    ud2

/* EAX = CSSA = 1 */
exception_entry:
    cmp $1, %eax
    jne entry_unusable
    CHECK_HOST_POINTERS %r8, %r9, entry_unusable
    rdgsbase %rax
    mov %rsp, THREAD_EXC_HOST_RSP(%rax)
    mov %rbp, THREAD_EXC_HOST_RBP(%rax)
    mov %rcx, THREAD_EXC_EXIT_TARGET(%rax)
    lea TCB_TO_EXCEPTION_STACK(%rax), %rsp
    CLEAR_FLAGS
    mov %rax, %rdx
    xor %ebp, %ebp
    call exception_begin /* (ecall, exchange, thread) */
    mov %gs:THREAD_EXC_HOST_RSP, %rsp
    mov %gs:THREAD_EXC_HOST_RBP, %rbp
    mov %gs:THREAD_EXC_EXIT_TARGET, %rbx
    EEXIT_CLEARED

    .section .note.GNU-stack, "", @progbits
