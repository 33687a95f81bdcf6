/* SPDX-License-Identifier: Apache-2.0 */
/*
 * long enclave_call(const struct enclave_call *call)
 *
 * The window reaches from the test of `refuse` to the call, inclusive: what a handler finds there has not
 * been entered yet (see signal.c).
 */
#include "enclave_call.h"

#define EINTR 4
#define GATE_SAVED_RSP 24
#define GATE_FRAME 32

    .text
    .globl enclave_call
enclave_call:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rdi, %rax
    mov CALL_GATE_STACK(%rax), %rbx
    mov %rsp, GATE_SAVED_RSP - GATE_FRAME(%rbx)
    mov CALL_RUN(%rax), %rcx
    mov %rcx, -GATE_FRAME(%rbx) /* seventh argument */
    mov CALL_RDI(%rax), %rdi
    mov CALL_RSI(%rax), %rsi
    mov CALL_RDX(%rax), %rdx
    mov CALL_FUNCTION(%rax), %ecx
    mov CALL_REFUSE(%rax), %rax
    .globl enclave_call_window_start
enclave_call_window_start:
    cmpl $0, (%rax)
    jne .Lrefused
    lea -GATE_FRAME(%rbx), %rsp
    call *sgx_enter_enclave(%rip)
    .globl enclave_call_window_end
enclave_call_window_end:
    mov GATE_SAVED_RSP(%rsp), %rsp
    cltq
.Lout:
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
.Lrefused:
    mov $-EINTR, %rax
    jmp .Lout

    .section .note.GNU-stack, "", @progbits
