/* SPDX-License-Identifier: Apache-2.0 */
/* The exits without return: of a thread that ends, of one that keeps its state, and of one that is scrubbed. */
#include "entry_macros.inc"

    .text
/*
 * _Noreturn void enclave_exit_thread(void): the last exit of a thread. From the store on, another thread may
 * prepare the block for a new one (whose EENTER finds the TCS busy until EEXIT), so it is touched no more.
 */
    .globl enclave_exit_thread
    .type enclave_exit_thread, @function
enclave_exit_thread:
    CLEAR_EXTENDED_STATE
    mov %gs:THREAD_HOST_RSP, %rsp
    mov %gs:THREAD_HOST_RBP, %rbp
    mov %gs:THREAD_EXIT_TARGET, %rbx
    movl $THREAD_STATE_FREE, %gs:THREAD_STATE
    EEXIT_CLEARED

/* _Noreturn void enclave_leave(void): an exit without return, the thread's state as it is. */
    .globl enclave_leave
    .type enclave_leave, @function
enclave_leave:
    CLEAR_EXTENDED_STATE
    mov %gs:THREAD_HOST_RSP, %rsp
    mov %gs:THREAD_HOST_RBP, %rbp
    mov %gs:THREAD_EXIT_TARGET, %rbx
    EEXIT_CLEARED

/*
 * _Noreturn void scrub_block_and_leave(uint64_t block): erase the thread block that we run on, as the last
 * thing in the enclave. What EEXIT needs is kept in registers.
 */
.macro ERASE from, size
    lea \from(%rdx), %rdi
    mov $(\size), %ecx
    rep stosb
.endm
    .globl scrub_block_and_leave
    .type scrub_block_and_leave, @function
scrub_block_and_leave:
    mov %rdi, %r8
    CLEAR_EXTENDED_STATE
    mov %r8, %rdx
    mov %gs:THREAD_HOST_RSP, %rsp
    mov %gs:THREAD_HOST_RBP, %rbp
    mov %gs:THREAD_EXIT_TARGET, %rbx
    xor %eax, %eax
    ERASE THREAD_SSA, (SSA_FRAMES * SSA_FRAME_SIZE)
    ERASE THREAD_TCB, THREAD_TCB_SIZE
    ERASE THREAD_EXCEPTION_STACK, (THREAD_EXCEPTION_STACK_TOP - THREAD_EXCEPTION_STACK)
    ERASE THREAD_STACK, (THREAD_STACK_TOP - THREAD_STACK)
    EEXIT_CLEARED

    .section .note.GNU-stack, "", @progbits
