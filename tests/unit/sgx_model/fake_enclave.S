/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An enclave of a few instructions, for the model to run. It is linked at ENCLAVE_BASE; its ENCLU sites are
 * calls of the gate, as the software-model provider leaves them.
 */
#include "enclave/include/layout.h"
#include "enclave/include/sgx_arch.h"
#include "fake_enclave.h"

#define SSA_TO_GPRS (SSA_FRAME_SIZE - GPRSGX_SIZE)
#define PATTERN 0x0102030405060708

.macro ENCLU
    .byte 0xe8
    .long MODEL_ENCLU_GATE - . - 4
.endm

.macro EEXIT
    mov $ENCLU_EEXIT, %eax
    ENCLU
    ud2
.endm

    .section .fake_enclave, "awx", @progbits
    .globl fake_start
fake_start:
    .globl fake_entry
fake_entry:
    mov %rcx, %rbx /* where to EEXIT to */
    test %eax, %eax
    jnz exception_entry
    mov %rbx, %gs:8
    cmp $RUN_SYSCALL, %edi
    je run_syscall
    cmp $RUN_TOUCH, %edi
    je fake_touch
    cmp $RUN_HALT, %edi
    je fake_halt
    cmp $RUN_DIVIDE, %edi
    je run_divide
    cmp $RUN_BREAKPOINT, %edi
    je fake_breakpoint
    cmp $RUN_CPUID, %edi
    je fake_cpuid
    cmp $RUN_REPORT_KEY, %edi
    je run_report_key
    cmp $RUN_ACCEPT, %edi
    je run_accept
    cmp $RUN_NOWHERE, %edi
    je run_nowhere
    cmp $RUN_PATTERN, %edi
    je run_pattern
    cmp $RUN_WIDE, %edi
    je run_wide
    cmp $RUN_SPIN, %edi
    je run_spin
finish:
    rdfsbase %rax
    mov %rax, REPORT_FSBASE(%rsi)
    incq REPORT_RUNS(%rsi)
    mov %gs:8, %rbx
    EEXIT

run_syscall:
    mov $39, %eax /* getpid */
    .globl fake_syscall
fake_syscall:
    syscall
    mov %rax, REPORT_VALUE(%rsi)
    jmp finish
    .globl fake_touch
fake_touch:
    movb $1, (%rdx)
    jmp finish
    .globl fake_halt
fake_halt:
    hlt
    jmp finish
run_divide:
    xor %edx, %edx
    xor %ecx, %ecx
    .globl fake_divide
fake_divide:
    div %ecx
    jmp finish
    .globl fake_breakpoint
fake_breakpoint:
    int3
    jmp finish
    .globl fake_cpuid
fake_cpuid:
    cpuid
    jmp finish
run_report_key:
    lea own_stack_top(%rip), %rsp
    mov $ENCLU_EREPORT, %eax
    .globl fake_report_key
fake_report_key:
    ENCLU
    ud2
run_accept:
    mov %rsp, %r12
    lea own_stack_top(%rip), %rsp
    mov $ENCLU_EACCEPT, %eax
    ENCLU
    setz REPORT_VALUE(%rsi)
    mov %r12, %rsp
    test %rax, %rax
    jz finish
    ud2
run_nowhere:
    xor %eax, %eax
    jmp *%rax
/* AVX state is in XFRM, so it comes back; and what the host does in between starts from its initial state. */
run_wide:
    vmovdqu wide_pattern(%rip), %ymm7
1:  vmovdqu %ymm7, %ymm15
    pause
    vpxor wide_pattern(%rip), %ymm15, %ymm15
    vptest %ymm15, %ymm15
    jnz pattern_lost
    dec %rdx
    jnz 1b
    jmp finish
run_spin:
    pause
    jmp run_spin

/* Registers, flags, and the red zone below a stack of our own must survive whatever interrupts. */
run_pattern:
    mov %rsp, %gs:16
    mov %rbp, %gs:40
    mov %rdx, %gs:24
    mov %rsi, %gs:32
    lea own_stack_top(%rip), %rsp
1:  movabs $PATTERN, %rax
    mov %rax, -8(%rsp)
    lea 1(%rax), %rcx
    lea 2(%rax), %rdx
    lea 3(%rax), %rbp
    lea 4(%rax), %rdi
    lea 5(%rax), %r8
    lea 6(%rax), %r9
    lea 7(%rax), %r10
    lea 8(%rax), %r11
    lea 9(%rax), %r12
    lea 10(%rax), %r13
    lea 11(%rax), %r14
    lea 12(%rax), %r15
    movq %rcx, %xmm3
    movq %r15, %xmm15
    stc
    pause
    jnc pattern_lost
    sub %rax, %rcx
    sub %rax, %rdx
    sub %rax, %rbp
    sub %rax, %rdi
    sub %rax, %r8
    sub %rax, %r9
    sub %rax, %r10
    sub %rax, %r11
    sub %rax, %r12
    sub %rax, %r13
    sub %rax, %r14
    sub %rax, %r15
    add %rdx, %rcx
    add %rbp, %rcx
    add %rdi, %rcx
    add %r8, %rcx
    add %r9, %rcx
    add %r10, %rcx
    add %r11, %rcx
    add %r12, %rcx
    add %r13, %rcx
    add %r14, %rcx
    add %r15, %rcx
    cmp $78, %rcx /* 1 + 2 + ... + 12 */
    jne pattern_lost
    movq %xmm3, %rcx
    sub %rax, %rcx
    cmp $1, %rcx
    jne pattern_lost
    movq %xmm15, %rcx
    sub %rax, %rcx
    cmp $12, %rcx
    jne pattern_lost
    cmp -8(%rsp), %rax
    jne pattern_lost
    mov %gs:32, %rsi
    cmpq $0, REPORT_STOP(%rsi)
    jne 2f
    decq %gs:24
    jnz 1b
2:  mov %gs:16, %rsp
    mov %gs:40, %rbp
    jmp finish
pattern_lost:
    ud2

exception_entry: /* EAX = 1 */
    rdgsbase %r8
    sub $(THREAD_TCB - THREAD_SSA - SSA_TO_GPRS), %r8
    cmp $RUN_SIGNAL, %edi
    je 1f
    mov GPRSGX_EXITINFO(%r8), %eax
    mov %rax, REPORT_EXITINFO(%rsi)
    mov -EXINFO_SIZE(%r8), %rax
    mov %rax, REPORT_ADDRESS(%rsi)
    mov 8-EXINFO_SIZE(%r8), %eax
    mov %rax, REPORT_ERROR_CODE(%rsi)
    mov GPRSGX_RIP(%r8), %rax
    mov %rax, REPORT_RIP(%rsi)
    add %rdx, GPRSGX_RIP(%r8)
    EEXIT
1:  incq REPORT_SIGNALS(%rsi)
    EEXIT

wide_pattern:
    .quad 0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444
    .balign 4096
own_stack:
    .skip 4096
own_stack_top:
    .skip FAKE_SIZE - (. - fake_start)

    .section .note.GNU-stack, "", @progbits
