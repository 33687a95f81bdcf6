/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code of the probe enclave, at its base; see probe_ops.h. No stack.
 * On entry: RAX = CSSA, RBX = TCS, RCX = where to exit to. FS and GS have a page for each TCS.
 */
#include "../guest/probe_ops.h"

#define PAGE_SHIFT 12
#define GPRS (4096 - 184)
#define GPR_RAX (GPRS + 0)
#define GPR_RIP (GPRS + 136)
#define GPR_EXITINFO (GPRS + 160)
#define EXINFO (GPRS - 16)
#define PATTERN 0x5a5a1234

    .text
    .globl entry
entry:
    test %eax, %eax
    jnz exception
    mov %rcx, %gs:0
    cmp $PROBE_OPS, %rdi
    jae leave
    lea table(%rip), %rax
    movslq (%rax,%rdi,4), %rcx
    add %rcx, %rax
    jmp *%rax

    .balign 4
table:
    .long leave - table
    .long bases - table
    .long spin - table
    .long system_call - table
    .long write - table
    .long leaf - table
    .long copy - table

leave:
    mov %gs:0, %rbx
    mov $4, %eax
    .byte 0x0f, 0x01, 0xd7

bases:
    rdfsbase %rax
    mov %rax, (%rsi)
    rdgsbase %rax
    mov %rax, 8(%rsi)
    jmp leave

spin:
    mov $PATTERN, %eax
    movd %eax, %xmm0
    movd %eax, %xmm15
    mov %rax, %r8
    mov %rax, %r15
    mov %rax, %r14
1:  incq (%rsi)
    cmpq $0, 8(%rsi)
    je 1b
    xor %edx, %edx
    .irp register, r8, r14, r15, rax
    cmp $PATTERN, %\register
    setne %cl
    movzbl %cl, %ecx
    add %rcx, %rdx
    .endr
    .irp register, xmm0, xmm15
    movd %\register, %ebx
    cmp $PATTERN, %ebx
    setne %cl
    movzbl %cl, %ecx
    add %rcx, %rdx
    .endr
    mov %rdx, 16(%rsi)
    jmp leave

system_call:
    mov $39, %eax
    syscall
    mov %rax, (%rsi)
    jmp leave

write:
    mov (%rsi), %rax
    movq $1, (%rax)
    jmp leave

leaf:
    mov %rsi, %r8
    mov (%r8), %rax
    mov 8(%r8), %rbx
    mov 16(%r8), %rcx
    mov 24(%r8), %rdx
    .byte 0x0f, 0x01, 0xd7
    mov %rax, 32(%r8)
    jmp leave

copy:
    mov %rsi, %rax
    mov (%rax), %rsi
    mov 8(%rax), %rdi
    mov 16(%rax), %rcx
    rep movsb
    jmp leave

exception:
    lea entry(%rip), %rdx
    sub %rdx, %rbx
    shr $PAGE_SHIFT, %rbx
    lea PROBE_SSA - 2 * PROBE_TCS(%rbx,%rbx), %rbx
    shl $PAGE_SHIFT, %rbx
    add %rdx, %rbx
    mov GPR_EXITINFO(%rbx), %eax
    mov %rax, 16(%rsi)
    mov GPR_RIP(%rbx), %rax
    mov %rax, 24(%rsi)
    add 8(%rsi), %rax
    mov %rax, GPR_RIP(%rbx)
    mov EXINFO(%rbx), %rax
    mov %rax, 32(%rsi)
    mov EXINFO+8(%rbx), %eax
    mov %rax, 40(%rsi)
    mov (%rsi), %rax
    mov %rax, GPR_RAX(%rbx)
    mov %rcx, %rbx
    mov $4, %eax
    .byte 0x0f, 0x01, 0xd7
