/* SPDX-License-Identifier: Apache-2.0 */
/*
 * long syscall_interruptible(long number, const uint64_t args[6], const uint32_t *pending)
 *
 * The window reaches from the test to the SYSCALL instruction, inclusive. A handler that finds RIP in it sets
 * pending and moves RIP to window_aborted. Behind the SYSCALL the kernel has decided: its result counts.
 */
#define SYSCALL_NOT_BEGUN -4096 /* syscall.h */

    .text
    .globl syscall_interruptible
syscall_interruptible:
    push %rbx
    mov %rdx, %rbx
    mov %rdi, %rax
    mov %rsi, %r11
    mov 0(%r11), %rdi
    mov 8(%r11), %rsi
    mov 16(%r11), %rdx
    mov 24(%r11), %r10
    mov 32(%r11), %r8
    mov 40(%r11), %r9
    .globl window_start
window_start:
    cmpl $0, (%rbx)
    jne window_aborted
    syscall
    .globl window_end
window_end:
    pop %rbx
    ret
    .globl window_aborted
window_aborted:
    mov $SYSCALL_NOT_BEGUN, %rax
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits
