/* SPDX-License-Identifier: Apache-2.0 */
/* Entry into an enclave that keeps no register. */
    .text
    .macro save
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    .endm
    .macro restore
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    .endm

/* probe_vdso_call(op, words, unused, leaf, function, unused, run): run is at 8(%rsp) */
    .globl probe_vdso_call
probe_vdso_call:
    mov 8(%rsp), %r10
    mov %r8, %rax
    save
    sub $8, %rsp
    push $0
    push %r10
    call *%rax
    add $24, %rsp
    restore
    ret

/* probe_enclu(leaf, rbx, rcx, rdi, rsi) */
    .globl probe_enclu
probe_enclu:
    save
    mov %rdi, %rax
    mov %rsi, %rbx
    mov %rcx, %rdi
    mov %r8, %rsi
    mov %rdx, %rcx
    .byte 0x0f, 0x01, 0xd7
    restore
    ret

    .section .note.GNU-stack, "", @progbits
