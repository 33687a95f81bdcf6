/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two returns of a vfork. The child, another host process, runs on its parent's TCS and thread block, below
 * its parent's part of the LibOS stack: with a frame and an XSAVE area of its own.
 */
#include "thread.h"

    .text
/* _Noreturn void vfork_leave(struct registers *child_frame): the OCALL, and then vfork_returned() on the new frame */
    .globl vfork_leave
    .type vfork_leave, @function
vfork_leave:
    mov %rdi, %rbx
    mov %gs:THREAD_FRAME, %rdi
    add $FRAME_TO_XSAVE, %rdi
    mov %gs:THREAD_XFRM, %rsi
    call extended_state_save
    mov %rbx, %gs:THREAD_FRAME
    mov %rbx, %rsp
    call enclave_ocall
    call vfork_returned
    ud2

/*
 * long vfork_save(struct vfork_point *point): 0. Then vfork_restore(point, result, frame) returns from it once more, with
 * that result, the parent's FS base, and the extended state that vfork_leave put beside the parent's frame.
 */
    .globl vfork_save
    .type vfork_save, @function
vfork_save:
    mov (%rsp), %rax
    mov %rax, 0(%rdi)
    lea 8(%rsp), %rax
    mov %rax, 8(%rdi)
    rdfsbase %rax
    mov %rax, 16(%rdi)
    mov %rbx, 24(%rdi)
    mov %rbp, 32(%rdi)
    mov %r12, 40(%rdi)
    mov %r13, 48(%rdi)
    mov %r14, 56(%rdi)
    mov %r15, 64(%rdi)
    xor %eax, %eax
    ret

    .globl vfork_restore
    .type vfork_restore, @function
vfork_restore:
    mov %rdx, %gs:THREAD_FRAME
    mov %rdx, %rcx
    mov %gs:THREAD_XFRM, %eax
    xor %edx, %edx
    xrstor64 FRAME_TO_XSAVE(%rcx)
    mov 8(%rdi), %rsp
    mov 16(%rdi), %rax
    wrfsbase %rax
    mov 24(%rdi), %rbx
    mov 32(%rdi), %rbp
    mov 40(%rdi), %r12
    mov 48(%rdi), %r13
    mov 56(%rdi), %r14
    mov 64(%rdi), %r15
    mov %rsi, %rax
    jmp *0(%rdi)
    .section .note.GNU-stack, "", @progbits
