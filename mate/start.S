/* SPDX-License-Identifier: Apache-2.0 */
/* Entry of the process, of cloned threads, and the signal return. */
#include <asm/unistd.h>

    .text
    .globl _start
_start:
    xor %ebp, %ebp
    mov %rsp, %rdi
    and $-16, %rsp
    call mate_main
    ud2

/*
 * long thread_spawn(uint64_t flags, void *stack_top, int *tid, void (*run)(void *), void *argument)
 * `tid` is set in the parent and cleared when the thread ends. The thread never returns from run().
 */
    .globl thread_spawn
thread_spawn:
    push %r12
    push %r13
    mov %rcx, %r12
    mov %r8, %r13
    mov %rdx, %r10
    xor %r8d, %r8d
    mov $__NR_clone, %eax
    syscall
    test %rax, %rax
    jz 1f
    pop %r13
    pop %r12
    ret
1:  xor %ebp, %ebp
    mov %r13, %rdi
    call *%r12
    ud2

    .globl signal_restorer
signal_restorer:
    mov $__NR_rt_sigreturn, %eax
    syscall

    .section .note.GNU-stack, "", @progbits
