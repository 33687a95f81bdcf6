/* SPDX-License-Identifier: Apache-2.0 */
/* EENTER and EEXIT for hostile_entry.c, as far as it needs them. */
    .text
/* void test_eenter(uint64_t cssa, uint64_t ecall, uint64_t exchange, uint64_t target, uint64_t entry, uint64_t gs) */
    .globl test_eenter
test_eenter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, host_rsp(%rip)
    rdfsbase %rax
    mov %rax, host_fsbase(%rip)
    wrgsbase %r9
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    test %rcx, %rcx
    jnz 1f
    lea test_eexit_target(%rip), %rcx
1:
    mov $0x1111111111111111, %rdx
    mov %rdx, %r10
    mov %rdx, %r11
    mov %rdx, %r12
    mov %rdx, %r13
    mov %rdx, %r14
    mov %rdx, %r15
    mov %rdx, %rbp
    mov entry_argument(%rip), %rdx
    vpcmpeqd %ymm0, %ymm0, %ymm0
    vmovdqa %ymm0, %ymm7
    vmovdqa %ymm0, %ymm15
    pushq entry_flags(%rip)
    popfq
    jmp *%r8

/* Where ENCLU goes: keep what the host sees, then do as EEXIT does. */
    .globl test_gate
test_gate:
    pop return_address(%rip)
    mov %rax, seen(%rip)
    lea seen(%rip), %rax
    mov %rcx, 8(%rax)
    mov %rdx, 16(%rax)
    mov %rbx, 24(%rax)
    mov %rsp, 32(%rax)
    mov %rbp, 40(%rax)
    mov %rsi, 48(%rax)
    mov %rdi, 56(%rax)
    mov %r8, 64(%rax)
    mov %r9, 72(%rax)
    mov %r10, 80(%rax)
    mov %r11, 88(%rax)
    mov %r12, 96(%rax)
    mov %r13, 104(%rax)
    mov %r14, 112(%rax)
    mov %r15, 120(%rax)
    pushfq
    pop 128(%rax)
    pushq $2
    popfq
    vmovdqu %ymm0, 136(%rax)
    vmovdqu %ymm7, 168(%rax)
    vmovdqu %ymm15, 200(%rax)
    mov host_fsbase(%rip), %rcx
    wrfsbase %rcx
    jmp *%rbx

    .globl test_eexit_target
test_eexit_target:
    mov host_rsp(%rip), %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .bss
    .balign 32
    .globl seen
seen:
    .zero 232
host_rsp:
    .quad 0
host_fsbase:
    .quad 0
return_address:
    .quad 0
    .section .note.GNU-stack, "", @progbits
