/* SPDX-License-Identifier: Apache-2.0 */
/* Entry and exit of a LibOS that knows just enough to ask a mate for services. See fake_libos.c. */
#include "enclave/include/layout.h"
#include "enclave/include/sgx_arch.h"

#define SAVED_RSP 8
#define HOST_RSP 16
#define HOST_RBP 24
#define EXIT_TARGET 32
#define ECALL_OCALL_RETURN 3
#define VFORK_RSP 40
#define OCALL_VFORK 15
#define ECALL_VFORK_DIED 19
#define OCALL_REFUSED 20

    .section .text.entry, "ax", @progbits
    .globl enclave_entry
enclave_entry:
    test %eax, %eax
    jnz unexpected
    mov %rsp, %gs:HOST_RSP
    mov %rbp, %gs:HOST_RBP
    mov %rcx, %gs:EXIT_TARGET
    cmp $ECALL_OCALL_RETURN, %edi
    je 1f
    cmp $ECALL_VFORK_DIED, %edi
    je refused
    rdgsbase %rsp
    add $(THREAD_STACK_TOP - THREAD_TCB), %rsp
    call fake_main /* (ecall, exchange) */
unexpected:
    ud2
1:  cmpl $OCALL_VFORK, (%rsi)
    je 2f
    mov %gs:SAVED_RSP, %rsp
    jmp 3f
/* The child, who shares this memory, must not touch the stack to which the parent will return. */
2:  rdgsbase %rsp
    add $(THREAD_EXCEPTION_STACK_TOP - THREAD_TCB), %rsp
    mov %rsi, %rdi
    call fake_after_vfork
    mov %gs:VFORK_RSP, %rsp
3:  pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

/* No child of ours is ever killed inside. */
refused:
    movl $OCALL_REFUSED, (%rsi)
    mov %rcx, %rbx
    jmp leave

    .text
    .globl fake_ocall
fake_ocall: /* (exchange) */
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %gs:SAVED_RSP
    cmpl $OCALL_VFORK, (%rdi)
    jne 1f
    mov %rsp, %gs:VFORK_RSP
1:
    mov %gs:HOST_RSP, %rsp
    mov %gs:HOST_RBP, %rbp
    mov %gs:EXIT_TARGET, %rbx
leave:
    mov $ENCLU_EEXIT, %eax
.Lenclu:
    .byte 0x0f, 0x01, 0xd7
    .byte 0x66, 0x90
    ud2

    .section .enclu_sites, "", @progbits
    .quad .Lenclu
    .section .note.GNU-stack, "", @progbits
